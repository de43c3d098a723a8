"""Exact canonical forms: every value as an integer linear form over atoms.

An atom is an input or the result of one non-linear op applied to forms. Two values with the same form are the same
function of the inputs: the linear part is compared coefficient by coefficient, and atoms are equal only if their op,
immediates and operand forms are, and tables only if they are the same function of what few codes they come from
(`proof.functions`). Ranges are derived here from nothing but the input ranges, the forms, and the bounds
of the specification's neurons by `ir.relaxation`, so they are a second opinion on the compiler's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd

import numpy as np

from hardwire.fixed import MAX_BITS, Ints, Rounding, wrap_codes
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Op
from hardwire.ir.ranges import Range, range_of, round_int
from hardwire.proof.functions import MOST_BASE_CODES, Function, additive_parts, scaled, total

Terms = tuple[tuple[int, int], ...]
"""(atom, coefficient) pairs, sorted by atom, none zero."""


@dataclass(frozen=True, slots=True)
class Form:
    """Σ coefficient·atom + constant."""

    terms: Terms
    constant: int


class Atoms:
    """All atoms of one proof, shared between the specification and the implementation."""

    def __init__(self, inputs: list[Range]) -> None:
        self.ranges: list[Range] = list(inputs)
        self._ids: dict[tuple[object, ...], int] = {}
        self.clamps: dict[int, tuple[int, int, Form]] = {}
        """Atoms that are clamps: bounds and operand."""
        self._functions: dict[int | Form, Function | None] = {}
        self._bases: dict[int, tuple[int, ...]] = {}
        """Atoms that are tables, and their bases."""
        self._keys: list[tuple[object, ...]] = [() for _ in inputs]
        self._spellings: dict[int, Form] = {}
        """Atoms that are spelt as sums of others."""
        self._known: dict[Terms, Range] = {}
        """Proven ranges of sums, by their terms without a common factor."""
        self._nearer: dict[int, Range] = {}
        """Proven ranges of atoms: what a function reaches whose bases are not independent."""

    def atom(self, key: tuple[object, ...], span: Range) -> int:
        """Id of the atom described by `key`; the range follows from the key, so the first one given stands."""
        if key not in self._ids:
            self._ids[key] = len(self.ranges)
            self.ranges.append(span)
            self._keys.append(key)
        return self._ids[key]

    def clamp_of(self, form: Form) -> tuple[Form, int, int] | None:
        """Operand and bounds of the clamp that a form is, up to a positive factor and a constant; or None."""
        if len(form.terms) != 1 or form.terms[0][0] not in self.clamps or form.terms[0][1] < 0:
            return None
        ((atom, coef),) = form.terms
        low, high, inner = self.clamps[atom]
        low, high = coef * low + form.constant, coef * high + form.constant
        return _combined(inner, coef, Form((), form.constant), 1), low, high

    def inside(self, code: OpCode, form: Form) -> tuple[int, int, Form] | None:
        """(first immediate, second, operand) of a form that is one atom of a unary op plus a constant, or None."""
        if len(form.terms) != 1 or form.terms[0][1] != 1:
            return None
        match self._keys[form.terms[0][0]]:
            case (OpCode() as found, int(p), int(q), Form() as operand) if found is code:
                return p, q, operand
        return None

    def function(self, form: Form) -> Function | None:
        """The form as a function of its bases; None where it has too many points."""
        if form not in self._functions:
            found = self._total(form.terms, form.constant)
            lo, hi = self.range(form)
            if found is None and hi - lo < MOST_BASE_CODES:
                # Of many bases, but of few codes: a base itself.
                own = Form(form.terms, 0)
                base = self.atom(("value", own), self.range(own))
                low, high = self.ranges[base]
                found = Function((base,), np.arange(low, high + 1, dtype=np.int64) + form.constant)
            self._functions[form] = found
        return self._functions[form]

    def _total(self, terms: Sequence[tuple[int, int]], constant: int) -> Function | None:
        parts = [(coef, self._atom_function(atom)) for atom, coef in terms]
        known = [(coef, part) for coef, part in parts if part is not None]
        return total(known, constant) if len(known) == len(parts) else None

    def _atom_function(self, atom: int) -> Function | None:
        if atom not in self._functions:
            lo, hi = self.ranges[atom]
            found = None
            if hi - lo < MOST_BASE_CODES:
                found = self._looked_through(atom) or Function((atom,), np.arange(lo, hi + 1, dtype=np.int64))
            self._functions[atom] = found
        return self._functions[atom]

    def _looked_through(self, atom: int) -> Function | None:
        match self._keys[atom]:
            case (OpCode.ROUND, int(p), Rounding.TRN, Form() as operand):
                # From one bit more: floor(x / 2^p) = floor((floor((x - 2^(p-1)) / 2^(p-1)) + 1) / 2).
                finer = _rounded(Form(operand.terms, operand.constant - (1 << (p - 1))), p - 1, Rounding.TRN, self)
                lo, hi = self.range(finer)
                inner = self.function(finer) if hi - lo < MOST_BASE_CODES else None
                return None if inner is None else Function(inner.bases, (inner.values + 1) >> 1)
            case (OpCode.WRAP, int(bits), int(signed), Form() as operand):
                inner = self.function(operand)
                if inner is None and signed:
                    # Of the same bits without a sign.
                    inner = self.function(_wrapped(operand, bits, 0, self))
                return None if inner is None else Function(inner.bases, wrap_codes(inner.values, bits, bool(signed)))
            case (OpCode.CLAMP, int(low), int(high), Form() as operand):
                inner = self.function(operand)
                return None if inner is None else Function(inner.bases, np.clip(inner.values, low, high))
        return None

    def looked_up(self, operand: Form, entries: Ints, first: int) -> Form:
        """The table of `entries`, from code `first`, at a form.

        A circuit under proof may read its table outside, which the proof reports; here it reads the nearest entry.
        """
        last = first + len(entries) - 1
        inner = self.function(operand)
        if inner is None:
            low, high = (min(max(bound, first), last) for bound in self.range(operand))
            reached = entries[low - first : high - first + 1]
            if np.all(reached == reached[0]):
                return Form((), int(reached[0]))
            factor, values = scaled(reached - reached[0])
            key = (OpCode.TABLE, low, values.tobytes(), operand)
            atom = self.atom(key, (int(values.min()), int(values.max())))
            return Form(((atom, factor),), int(reached[0]))
        values = entries[np.clip(inner.values, first, last) - first]
        return self._split(Function(inner.bases, values))

    def _split(self, function: Function) -> Form:
        """The form of a function: a sum of tables that have no base in common."""
        constant, parts = additive_parts(function)
        terms: dict[int, int] = {}
        for part in parts:
            factor, values = scaled(part.values)
            if values.ndim == 1 and np.array_equal(values, np.arange(len(values))):
                atom = part.bases[0]
                constant -= factor * self.ranges[atom][0]
            else:
                atom = self.atom((OpCode.TABLE, part.bases, values.tobytes()), (int(values.min()), int(values.max())))
                self._functions[atom] = Function(part.bases, values)
                self._bases[atom] = part.bases
            terms[atom] = factor
        return Form(tuple(sorted(terms.items())), constant)

    def merged(self, form: Form) -> Form:
        """Return the form with tables of common bases as one."""
        if len(form.terms) < 2 or not self._bases:
            return form
        parts = [(self._bases.get(atom, (atom,)), atom, coef) for atom, coef in form.terms]
        bases = [base for part in parts for base in part[0]]
        if len(set(bases)) == len(bases):
            return form
        groups: list[tuple[set[int], list[tuple[int, int]]]] = []
        for own, atom, coef in parts:
            near = [group for group in groups if not group[0].isdisjoint(own)]
            groups = [group for group in groups if group[0].isdisjoint(own)]
            groups.append(
                (set(own).union(*(g[0] for g in near)), [(atom, coef), *(term for g in near for term in g[1])])
            )
        constant, terms = form.constant, list[tuple[int, int]]()
        for _, members in groups:
            found = self._total(members, 0) if len(members) > 1 else None
            whole = Form(tuple(members), 0) if found is None else self._split(found)
            constant += whole.constant
            terms += whole.terms
        merged = Form(tuple(sorted(terms)), constant)
        self.learn(merged, self.range(form))
        return merged

    def range(self, form: Form) -> Range:
        """Range of a form: exact over the box of its atoms' ranges, or nearer where it was learnt."""
        lo = hi = form.constant
        for atom, coef in form.terms:
            low, high = self._nearer.get(atom) or self.ranges[atom]
            lo += coef * (low if coef > 0 else high)
            hi += coef * (high if coef > 0 else low)
        if self._known and len(form.terms) > 1:
            terms, unit = primitive(form.terms)
            if terms in self._known:
                low, high = sorted(unit * bound + form.constant for bound in self._known[terms])
                return max(lo, low), min(hi, high)
        return lo, hi

    def learn(self, form: Form, span: Range) -> None:
        """Take `span`, which another proof gives, as the range of a form, its multiples, and what is a constant off."""
        lo, hi = self.range(form)
        if not form.terms or (span[0] <= lo and hi <= span[1]):
            return
        terms, unit = primitive(form.terms)
        low, high = sorted((bound - form.constant) / Fraction(unit) for bound in (max(lo, span[0]), min(hi, span[1])))
        if len(terms) == 1:
            self._nearer[terms[0][0]] = ceil(low), floor(high)
        else:
            self._known[terms] = ceil(low), floor(high)

    def is_learnt(self, form: Form) -> bool:
        """Whether a sum's range was learnt, nearer than what its terms say."""
        return len(form.terms) > 1 and primitive(form.terms)[0] in self._known

    def spell(self, form: Form, other: Form, span: Range) -> None:
        """Where a form is one choice, spell it as `other`, which is equal to it and in `span`, from now on."""
        if len(form.terms) == 1 and form.terms[0][1] == 1 and not form.constant:
            atom = form.terms[0][0]
            if self._keys[atom][:1] == (OpCode.SELECT,):
                self._spellings[atom] = other
                self.learn(other, span)

    def spelt(self, form: Form) -> Form:
        """Return the form, or how one that is an atom is spelt."""
        alone = len(form.terms) == 1 and form.terms[0][1] == 1 and not form.constant
        return self._spellings.get(form.terms[0][0], form) if alone else form


def primitive(terms: Terms) -> tuple[Terms, int]:
    """Terms over their greatest common divisor, the first positive, and that divisor, negative where they turned."""
    unit = gcd(*(coef for _, coef in terms))
    if terms[0][1] < 0:
        unit = -unit
    return (terms, 1) if unit == 1 else (tuple((atom, coef // unit) for atom, coef in terms), unit)


def _combined(x: Form, scale_x: int, y: Form, scale_y: int) -> Form:
    terms = {atom: coef * scale_x for atom, coef in x.terms}
    for atom, coef in y.terms:
        total = terms.get(atom, 0) + coef * scale_y
        if total:
            terms[atom] = total
        else:
            del terms[atom]
    return Form(tuple(sorted(terms.items())), x.constant * scale_x + y.constant * scale_y)


_ZERO = Form((), 0)


def forms_of(kernel: Kernel, atoms: Atoms, *, learn: bool = False) -> list[Form]:
    """Canonical form of every value of a flat kernel; with `learn` its ranges are taken as proven.

    Sums are added up as they are given and only then merged: of three tables two may merge where all of them have too
    many points, so that a sum of merged parts would depend on their order.
    """
    sums: list[Form] = []
    forms: list[Form] = []
    for op in kernel:
        given = _sum(op, sums)
        if given is None:
            found = _form(op, forms, atoms, kernel)
            # An op that changes nothing is what it reads, in all spellings.
            given = next((sums[arg] for arg in op.args if forms[arg] == found), found)
        form = atoms.merged(given)
        if learn:
            atoms.learn(form, (op.lo, op.hi))
        if form.terms:
            lo, hi = atoms.range(form)
            if lo == hi:
                form = Form((), lo)
        forms.append(form)
        sums.append(given if form.terms else form)
    return forms


def _sum(op: Op, sums: list[Form]) -> Form | None:
    """What an op adds up, or None where it does anything else."""
    args = [sums[arg] for arg in op.args]
    match op.code:
        case OpCode.INPUT:
            return Form(((op.p, 1),), 0)
        case OpCode.CONST:
            return Form((), op.p)
        case OpCode.LINEAR:
            terms: dict[int, int] = {}
            constant = op.p
            for form, weight in zip(args, op.coefs, strict=True):
                constant += weight * form.constant
                for atom, coef in form.terms:
                    terms[atom] = terms.get(atom, 0) + weight * coef
            return Form(tuple(sorted((a, c) for a, c in terms.items() if c)), constant)
        case OpCode.ADD:
            return _combined(args[0], 1 << op.p, args[1], 1 << op.q)
        case OpCode.SUB:
            return _combined(args[0], 1 << op.p, args[1], -(1 << op.q))
        case OpCode.SHL:
            return _combined(args[0], 1 << op.p, _ZERO, 1)
        case OpCode.MUL if not args[0].terms:
            return _combined(args[1], args[0].constant, _ZERO, 1) if args[0].constant else _ZERO
        case OpCode.MUL if not args[1].terms:
            return _combined(args[0], args[1].constant, _ZERO, 1) if args[1].constant else _ZERO
    return None


def _form(op: Op, forms: list[Form], atoms: Atoms, kernel: Kernel) -> Form:
    args = [forms[arg] for arg in op.args]
    match op.code:
        case OpCode.ROUND:
            return _rounded(args[0], op.p, op.q, atoms)
        case OpCode.CLAMP:
            return _clamped(args[0], op.p, op.q, atoms)
        case OpCode.WRAP:
            return _wrapped(args[0], op.p, op.q, atoms)
        case OpCode.TABLE:
            return atoms.looked_up(args[0], kernel.tables[op.p], op.q)
    return _other(op.code, args, atoms)


_POSITIVE = {
    Rounding.TRN_ZERO: Rounding.TRN,
    Rounding.RND_ZERO: Rounding.RND_MIN_INF,
    Rounding.RND_INF: Rounding.RND,
    Rounding.AWAY: Rounding.CEIL,
}
"""What modes that look at the sign do to values that are never negative."""
_NEGATIVE = {
    Rounding.TRN_ZERO: Rounding.CEIL,
    Rounding.RND_ZERO: Rounding.RND,
    Rounding.RND_INF: Rounding.RND_MIN_INF,
    Rounding.AWAY: Rounding.TRN,
}


_ADDED: dict[Rounding, Callable[[int], int]] = {
    Rounding.RND: lambda half: half,
    Rounding.RND_MIN_INF: lambda half: half - 1,
    Rounding.CEIL: lambda half: 2 * half - 1,
}
"""What makes a floor of other modes, by the half of the step."""
_TO_NEAREST = (Rounding.RND_ZERO, Rounding.RND_INF, Rounding.RND_MIN_INF, Rounding.RND_CONV)


def _rounded(form: Form, shift: int, mode: int, atoms: Atoms) -> Form:
    lo, hi = atoms.range(form)
    if lo >= 0 or hi <= 0:
        mode = (_POSITIVE if lo >= 0 else _NEGATIVE).get(Rounding(mode), Rounding(mode))
    if mode in _TO_NEAREST and 0 < shift <= MAX_BITS - 2 and _no_tie(form, shift):
        mode = Rounding.RND
    if mode in _ADDED and 0 < shift <= MAX_BITS - 2:
        # Half up is floor with the half added, and so on: one spelling for all.
        form, mode = Form(form.terms, form.constant + _ADDED[Rounding(mode)](1 << (shift - 1))), Rounding.TRN
    floor = mode == Rounding.TRN
    # A constant's bit below those of all terms never carries into them: floor drops it.
    while shift and (floor or form.constant % 2 == 0) and all(coef % 2 == 0 for _, coef in form.terms):
        form = Form(tuple((atom, coef // 2) for atom, coef in form.terms), form.constant // 2)
        shift -= 1
    if shift == 0:
        return form
    clamp = atoms.clamp_of(form)
    if clamp is not None:
        # Rounding never falls: it may be done before a clamp, whose bounds are rounded as well.
        inner, low, high = clamp
        low, high = round_int(low, shift, mode), round_int(high, shift, mode)
        return _clamped(_rounded(inner, shift, mode, atoms), low, high, atoms)
    if floor and (inside := atoms.inside(OpCode.ROUND, form)) and inside[1] == Rounding.TRN:
        # A floor of a floor is one floor; an integer between them is a whole number of the first one's steps.
        first, _, operand = inside
        operand = Form(operand.terms, operand.constant + (form.constant << first))
        return _rounded(operand, first + shift, int(Rounding.TRN), atoms)
    lo, hi = atoms.range(form)
    span = round_int(lo, shift, mode), round_int(hi, shift, mode)
    if span[0] == span[1]:
        return Form((), span[0])
    rounded = Form(((atoms.atom((OpCode.ROUND, shift, int(mode), form), span), 1),), 0)
    if mode == Rounding.RND_CONV and shift <= MAX_BITS - 2:
        # As ties up, with the last bit cleared in a tie: where nothing is left below once the half is added.
        raised = Form(form.terms, form.constant + (1 << (shift - 1)))
        last = _wrapped(_rounded(raised, shift, int(Rounding.TRN), atoms), 1, 0, atoms)
        odd = _other(OpCode.SELECT, [_wrapped(raised, shift, 0, atoms), last, _ZERO], atoms)
        upper = _rounded(raised, shift + 1, int(Rounding.TRN), atoms)
        atoms.spell(odd, _combined(rounded, 1, upper, -2), (0, 1))
        # A last bit that is known, as where all sums are ties, is no choice and has no other spelling.
        return _combined(upper, 2, atoms.spelt(odd), 1)
    return rounded


def _no_tie(form: Form, shift: int) -> bool:
    """Whether the constant has bits below those of all terms, and below the half, so that no sum is a tie."""
    joint = 0
    for _, coef in form.terms:
        joint |= coef
    unit = min(joint & -joint, 1 << (shift - 1)) if joint else 1 << (shift - 1)
    return form.constant % unit != 0


def _clamped(form: Form, low: int, high: int, atoms: Atoms) -> Form:
    lo, hi = atoms.range(form)
    if low <= lo and hi <= high:
        return form
    clamp = atoms.clamp_of(form)
    if clamp is not None:
        inner, inner_low, inner_high = clamp
        return _clamped(inner, min(max(inner_low, low), high), min(max(inner_high, low), high), atoms)
    # A bound that is never met is the range's own, so that equal clamps are spelt alike.
    low, high = max(low, min(lo, high)), min(high, max(hi, low))
    if low == high:
        return Form((), low)
    # A factor of two that all share stands outside.
    joint = low | high | form.constant
    for _, coef in form.terms:
        joint |= coef
    unit = joint & -joint
    form = Form(tuple((atom, coef // unit) for atom, coef in form.terms), form.constant // unit)
    low, high, lo, hi = low // unit, high // unit, lo // unit, hi // unit
    atom = atoms.atom((OpCode.CLAMP, low, high, form), (min(max(lo, low), high), min(max(hi, low), high)))
    atoms.clamps[atom] = low, high, form
    return Form(((atom, unit),), 0)


def _wrapped(form: Form, bits: int, signed: int, atoms: Atoms) -> Form:
    if all(coef % 2 == 0 for _, coef in form.terms) and form.constant % 2 == 0:
        # Low bits that are always 0 stay outside.
        if bits == 1:
            return _ZERO
        half = Form(tuple((atom, coef // 2) for atom, coef in form.terms), form.constant // 2)
        return _combined(_wrapped(half, bits - 1, signed, atoms), 2, _ZERO, 1)
    lo, hi = atoms.range(form)
    first = -(1 << (bits - 1)) if signed else 0
    if first <= lo and hi < first + (1 << bits):
        return form
    if form.constant == 0 and (inside := atoms.inside(OpCode.WRAP, form)) and inside[0] >= bits:
        # The wider wrap changes no bit that the narrower one keeps.
        return _wrapped(inside[2], bits, signed, atoms)
    span = range_of(OpCode.WRAP, [(lo, hi)], bits, signed)
    return Form(((atoms.atom((OpCode.WRAP, bits, signed, form), span), 1),), 0)


def _compared(code: OpCode, difference: Form, atoms: Atoms) -> Form:
    """Whether a difference is below 0, or 0: of related operands it may be decided where their ranges are not."""
    lo, hi = atoms.range(difference)
    if code is OpCode.LESS and (hi < 0 or lo >= 0):
        return Form((), int(hi < 0))
    if code is OpCode.EQUAL and (lo == hi == 0 or lo > 0 or hi < 0):
        return Form((), int(lo == 0))
    # Σ·unit < bound is Σ < ceil(bound / unit): comparisons of a sum without a common factor.
    terms, unit = primitive(difference.terms)
    if unit < 0 and code is OpCode.LESS:
        terms, unit = tuple((atom, -coef) for atom, coef in terms), -unit
    if code is OpCode.EQUAL and difference.constant % unit:
        return _ZERO
    form = Form(terms, -(-difference.constant // unit) if code is OpCode.EQUAL else difference.constant // unit)
    return Form(((atoms.atom((code, form), (0, 1)), 1),), 0)


def _other(code: OpCode, args: list[Form], atoms: Atoms) -> Form:
    spans = [atoms.range(form) for form in args]
    if code is OpCode.SELECT:
        if spans[0] == (0, 0):
            return args[2]
        while all(coef % 2 == 0 for _, coef in args[0].terms) and args[0].constant % 2 == 0:
            args[0] = Form(tuple((atom, coef // 2) for atom, coef in args[0].terms), args[0].constant // 2)
        if spans[0][0] > 0 or spans[0][1] < 0 or args[1] == args[2]:
            return args[1]
    if code in (OpCode.LESS, OpCode.EQUAL):
        return _compared(code, _combined(args[0], 1, args[1], -1), atoms)
    if code in (OpCode.MIN, OpCode.MAX):
        first, second = (0, 1) if code is OpCode.MIN else (1, 0)
        if spans[first][1] <= spans[second][0] or args[0] == args[1]:
            return args[0]
        if spans[second][1] <= spans[first][0]:
            return args[1]
        for bound, form in ((args[0], args[1]), (args[1], args[0])):
            if not bound.terms:
                low, high = (bound.constant, atoms.range(form)[1]), (atoms.range(form)[0], bound.constant)
                return _clamped(form, *(low if code is OpCode.MAX else high), atoms)
    if code in (OpCode.MUL, OpCode.MIN, OpCode.MAX, OpCode.AND, OpCode.OR, OpCode.XOR):
        order = sorted(range(2), key=lambda k: (args[k].terms, args[k].constant))
        args, spans = [args[k] for k in order], [spans[k] for k in order]
    return atoms.spelt(Form(((atoms.atom((code, *args), range_of(code, spans, 0, 0)), 1),), 0))
