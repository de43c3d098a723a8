"""Exact canonical forms: every value as an integer linear form over atoms.

An atom is an input or the result of one non-linear op applied to forms. Two values with the same form are the same
function of the inputs: the linear part is compared coefficient by coefficient, and atoms are equal only if their op,
immediates and operand forms are. Ranges are derived here from nothing but the input ranges and the forms, so they are
a second opinion on the compiler's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.fixed import MAX_BITS, Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Op
from hardwire.ir.ranges import Range, range_of, round_int

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
        self._tables: dict[bytes, int] = {}

    def atom(self, key: tuple[object, ...], span: Range) -> int:
        """Id of the atom described by `key`; the range follows from the key, so the first one given stands."""
        if key not in self._ids:
            self._ids[key] = len(self.ranges)
            self.ranges.append(span)
        return self._ids[key]

    def clamp_of(self, form: Form) -> tuple[Form, int, int] | None:
        """Operand and bounds of the clamp that a form is, up to a positive factor and a constant; or None."""
        if len(form.terms) != 1 or form.terms[0][0] not in self.clamps or form.terms[0][1] < 0:
            return None
        ((atom, coef),) = form.terms
        low, high, inner = self.clamps[atom]
        low, high = coef * low + form.constant, coef * high + form.constant
        return _combined(inner, coef, Form((), form.constant), 1), low, high

    def table(self, entries: bytes) -> int:
        """Id of a table's content."""
        return self._tables.setdefault(entries, len(self._tables))

    def range(self, form: Form) -> Range:
        """Exact range of a form over the box of its atoms' ranges."""
        lo = hi = form.constant
        for atom, coef in form.terms:
            low, high = self.ranges[atom]
            lo += coef * (low if coef > 0 else high)
            hi += coef * (high if coef > 0 else low)
        return lo, hi


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


def forms_of(kernel: Kernel, atoms: Atoms) -> list[Form]:
    """Canonical form of every value of a flat kernel."""
    forms: list[Form] = []
    tables = [atoms.table(table.tobytes()) for table in kernel.tables]
    for op in kernel:
        form = _form(op, forms, atoms, kernel, tables)
        if form.terms:
            lo, hi = atoms.range(form)
            if lo == hi:
                form = Form((), lo)
        forms.append(form)
    return forms


def _form(op: Op, forms: list[Form], atoms: Atoms, kernel: Kernel, tables: list[int]) -> Form:
    args = [forms[arg] for arg in op.args]
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
        case OpCode.ROUND:
            return _rounded(args[0], op.p, op.q, atoms)
        case OpCode.CLAMP:
            return _clamped(args[0], op.p, op.q, atoms)
        case OpCode.WRAP:
            lo, hi = atoms.range(args[0])
            first = -(1 << (op.p - 1)) if op.q else 0
            if first <= lo and hi < first + (1 << op.p):
                return args[0]
    return _other(op, args, atoms, kernel, tables)


_BY_SIGN = {Rounding.TRN_ZERO: Rounding.TRN, Rounding.RND_INF: Rounding.RND, Rounding.RND_ZERO: Rounding.RND_MIN_INF}
_BY_SIGN[Rounding.AWAY] = Rounding.CEIL
_TO_NEAREST = (Rounding.RND_ZERO, Rounding.RND_INF, Rounding.RND_MIN_INF, Rounding.RND_CONV)


def _rounded(form: Form, shift: int, mode: int, atoms: Atoms) -> Form:
    if atoms.range(form)[0] >= 0:
        mode = _BY_SIGN.get(Rounding(mode), Rounding(mode))
    if mode in _TO_NEAREST and 0 < shift <= MAX_BITS - 2 and _no_tie(form, shift):
        mode = Rounding.RND
    if mode == Rounding.RND and 0 < shift <= MAX_BITS - 2:
        # Half up is floor with the half added: one spelling for both.
        form, mode = Form(form.terms, form.constant + (1 << (shift - 1))), Rounding.TRN
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
    lo, hi = atoms.range(form)
    span = round_int(lo, shift, mode), round_int(hi, shift, mode)
    return Form(((atoms.atom((OpCode.ROUND, shift, int(mode), form), span), 1),), 0)


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


def _other(op: Op, args: list[Form], atoms: Atoms, kernel: Kernel, tables: list[int]) -> Form:
    spans = [atoms.range(form) for form in args]
    if op.code is OpCode.SELECT:
        if spans[0] == (0, 0):
            return args[2]
        if spans[0][0] > 0 or spans[0][1] < 0 or args[1] == args[2]:
            return args[1]
    if op.code in (OpCode.LESS, OpCode.EQUAL):
        # Of equal or related operands the difference may be decided where their ranges are not.
        lo, hi = atoms.range(_combined(args[0], 1, args[1], -1))
        if op.code is OpCode.LESS and (hi < 0 or lo >= 0):
            return Form((), int(hi < 0))
        if op.code is OpCode.EQUAL and (lo == hi == 0 or lo > 0 or hi < 0):
            return Form((), int(lo == 0))
    if op.code in (OpCode.MIN, OpCode.MAX):
        first, second = (0, 1) if op.code is OpCode.MIN else (1, 0)
        if spans[first][1] <= spans[second][0] or args[0] == args[1]:
            return args[0]
        if spans[second][1] <= spans[first][0]:
            return args[1]
    if op.code in (OpCode.MUL, OpCode.MIN, OpCode.MAX, OpCode.EQUAL, OpCode.AND, OpCode.OR, OpCode.XOR):
        order = sorted(range(2), key=lambda k: (args[k].terms, args[k].constant))
        args, spans = [args[k] for k in order], [spans[k] for k in order]
    entries: list[int] = []
    immediates: tuple[int, ...] = (op.p, op.q)
    if op.code is OpCode.TABLE:
        entries = kernel.tables[op.p].tolist()
        immediates = (tables[op.p], op.q)
        # A circuit under proof may read its table outside, which the proof reports; the range must not fail on it.
        first, last = op.q, op.q + len(entries) - 1
        spans = [(min(max(low, first), last), min(max(high, first), last)) for low, high in spans]
    span = range_of(op.code, spans, op.p, op.q, table=entries)
    return Form(((atoms.atom((op.code, *immediates, *args), span), 1),), 0)
