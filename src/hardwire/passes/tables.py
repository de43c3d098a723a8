"""Sums of tables, made of fewer and smaller ones, before they are solved.

A neuron that adds functions of a few bits each (HGQ-LUT's layers, activations behind which products with constants
stand) is rewritten where the target's cost says that it saves LUTs:

- a rounding half-up in front of tables joins them: they look at the next lower bit themselves, and its adder goes;
- coefficients and signs go into the entries, powers of two stay shifts;
- two tables of few bits become one of both, and an adder goes;
- tables are moved up and down so that each needs no bit more than its entries differ by; the sum of the moves is 0, or
  takes the neuron's bias in;
- where an adder takes the table behind it in, tables are added along chains (`_chains`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from hardwire.fixed import MAX_BITS, Ints, Rounding, width_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._chains import chains
from hardwire.passes._operands import operands, renumbered, uses
from hardwire.solver import csd_weight

MOST_BASE_CODES = 128
"""Codes of one value from which the proof tells functions apart; more, and it is not looked into."""
MOST_POINTS = 1 << 14
"""Combinations of codes that the proof enumerates."""
_WIDEST_JOINT = 8
"""Address bits of a table made of two."""
_COLUMNS = ("op", "a", "b", "c", "p", "q", "lo", "hi", "origin")


class TableFabric(Protocol):
    """What a target says of tables; `targets.Target` is one."""

    @property
    def taken_in(self) -> int:
        """Address bits of tables that an adder takes in, beside its other operand; 0 for none."""
        ...

    def lookup_luts(self, entries: Ints) -> float:
        """LUTs of a table of 2^n entries, addressed by n bits."""
        ...

    def small_adder_luts(self, bits: int) -> float:
        """LUT sites of an adder of `bits` bits."""
        ...


@dataclass(frozen=True)
class _Term:
    """One summand: the table of `entries` (by the low bits of `source`, first those of code 0) times 2^`shift`."""

    sources: tuple[tuple[int, int], ...]
    """(value, low bits of it), lowest address bits first."""
    entries: Ints
    shift: int
    luts: float
    bases: frozenset[int]
    """What it is a function of (see `_Bases`); empty: do not join it."""

    @property
    def bits(self) -> int:
        return sum(bits for _, bits in self.sources)

    @property
    def top(self) -> int:
        return self.shift + (self.hi - self.lo).bit_length()

    @property
    def lo(self) -> int:
        return int(self.entries.min())

    @property
    def hi(self) -> int:
        return int(self.entries.max())


def combine_tables(kernel: Kernel, fabric: TableFabric, levels: int = 0) -> Kernel:
    """Return the kernel with its sums of tables rewritten where that is cheaper on `fabric`.

    `levels`: of adders that a sum of tables may take, or the least that it needs if that is more.
    """
    if not np.any(kernel.op == OpCode.TABLE):
        return kernel
    work = _Work(kernel, fabric, levels)
    work.absorb_roundings()
    for i in np.flatnonzero(kernel.op == OpCode.LINEAR).tolist():
        work.rewrite_sum(i)
    return work.kernel() if work.changed else kernel


class _Work:
    def __init__(self, kernel: Kernel, fabric: TableFabric, levels: int) -> None:
        self.source = kernel
        self.fabric = fabric
        self.levels = levels
        self.columns = {key: np.array(getattr(kernel, key)) for key in _COLUMNS}
        self.uses = uses(kernel)
        self.tables = list(kernel.tables)
        self.term_arg, self.term_coef = [np.array(kernel.term_arg)], [np.array(kernel.term_coef)]
        self.terms = len(kernel.term_arg)
        self.changed = False
        self.new: list[dict[str, int]] = []
        self.after: list[int] = []
        """Before which old value each new one stands."""
        self.bases = _Bases(kernel)
        self.rounded: dict[int, frozenset[int] | None] = {}
        """Bases of the tables that took a rounding in."""

    def add(self, before: int, op: OpCode, a: int, b: int, p: int, q: int, lo: int, hi: int) -> int:
        """Append a value; returns its id, from len(source) up."""
        origin = int(self.source.origin[before])
        self.new.append({"op": op, "a": a, "b": b, "c": -1, "p": p, "q": q, "lo": lo, "hi": hi, "origin": origin})
        self.after.append(before)
        return len(self.source) + len(self.new) - 1

    def absorb_roundings(self) -> None:
        """Roundings half-up that only tables read, wrapped or not, become floors of one bit more if that is cheaper."""
        k, cols = self.source, self.columns
        pointer, ids = operands(k)
        owner = np.repeat(np.arange(len(k)), np.diff(pointer))
        order = np.argsort(ids, kind="stable")
        starts = np.searchsorted(ids[order], np.arange(len(k) + 1))
        is_output = np.zeros(len(k), bool)
        is_output[k.outputs] = True

        def readers(v: int) -> list[int]:
            return [] if is_output[v] else owner[order[starts[v] : starts[v + 1]]].tolist()

        for r in np.flatnonzero((k.op == OpCode.ROUND) & (k.q == Rounding.RND) & (k.p > 0)).tolist():
            x, shift = int(k.a[r]), int(k.p[r])
            if shift > MAX_BITS - 2:
                continue
            low, high = int(k.lo[x]) >> (shift - 1), int(k.hi[x]) >> (shift - 1)
            if high - low >= MOST_BASE_CODES:
                continue
            tables: list[tuple[int, int]] = []
            fits = True
            behind = readers(r)
            for v in behind:
                if k.op[v] == OpCode.TABLE:
                    tables.append((v, -1))
                elif k.op[v] == OpCode.WRAP and (own := readers(v)) and all(k.op[w] == OpCode.TABLE for w in own):
                    tables += [(w, v) for w in own]
                else:
                    fits = False
            if not fits or not tables:
                continue
            width = int(k.hi[r]).bit_length() + 1 if k.lo[r] < 0 else int(k.hi[r]).bit_length()
            saved, changed = self.fabric.small_adder_luts(max(width, 1)), []
            for t, wrap in tables:
                bits = min((high - low).bit_length(), (int(k.p[wrap]) + 1) if wrap >= 0 else 62)
                codes = _codes(low, high, bits)
                rounded = (codes + 1) >> 1
                if wrap >= 0:
                    rounded = _wrapped(rounded, int(k.p[wrap]), bool(k.q[wrap]))
                a = int(k.a[t])
                entries = self.tables[int(k.p[t])][np.clip(rounded, k.lo[a], k.hi[a]) - int(k.q[t])]
                old = self._entries(t)
                saved += self.fabric.lookup_luts(old[1]) - self.fabric.lookup_luts(entries)
                changed.append((t, bits, entries))
            if saved <= 0:
                continue
            self.changed, floor = True, x
            if shift > 1:
                floor = self.add(r, OpCode.ROUND, x, -1, shift - 1, int(Rounding.TRN), low, high)
            for t, bits, entries in changed:
                index = self._low_bits(t, floor, low, high, bits)
                cols["a"][t], cols["q"][t] = index, 0
                cols["p"][t] = self._table(entries)
                self.rounded[t] = self.bases.of[r]

    def _low_bits(self, before: int, v: int, low: int, high: int, bits: int) -> int:
        """The unsigned value of the low `bits` of a value in [low, high]."""
        if low >= 0 and high < 1 << bits:
            return v
        return self.add(before, OpCode.WRAP, v, -1, bits, 0, 0, (1 << bits) - 1)

    def _table(self, entries: Ints) -> int:
        self.tables.append(entries)
        return len(self.tables) - 1

    def _range(self, v: int) -> tuple[int, int]:
        n = len(self.source)
        if v >= n:
            return self.new[v - n]["lo"], self.new[v - n]["hi"]
        return int(self.columns["lo"][v]), int(self.columns["hi"][v])

    def _entries(self, t: int) -> tuple[int, Ints]:
        """Address bits of a TABLE value and its entries by address, unreachable ones filled."""
        cols = self.columns
        low, high = self._range(int(cols["a"][t]))
        bits = max(1, (high - low).bit_length())
        return bits, self.tables[int(cols["p"][t])][_codes(low, high, bits) - int(cols["q"][t])]

    def rewrite_sum(self, i: int) -> None:
        """Rewrite LINEAR value i if tables that only it reads are among its terms."""
        k, cols = self.source, self.columns
        span = slice(int(k.a[i]), int(k.a[i]) + int(k.b[i]))
        args, coefs = k.term_arg[span].tolist(), k.term_coef[span].tolist()
        own = [n for n, v in enumerate(args) if k.op[v] == OpCode.TABLE and self.uses[v] == 1]
        if not own:
            return
        terms = [self._term(args[n], coefs[n]) for n in own]
        if any(term is None for term in terms):
            return
        self.changed = True
        others = [(args[n], coefs[n]) for n in range(len(args)) if n not in set(own)]
        joined = self._joined([term for term in terms if term is not None])
        moved, bias = _moved(joined, int(k.p[i]))
        loose = int(csd_weight(np.array([coef for _, coef in others], np.int64)).sum()) + (bias != 0)
        others += self._chained(i, moved, loose)
        self.term_arg.append(np.array([v for v, _ in others], np.int32))
        self.term_coef.append(np.array([coef for _, coef in others], np.int64))
        cols["a"][i], cols["b"][i], cols["p"][i] = self.terms, len(others), bias
        self.terms += len(others)

    def _term(self, t: int, coef: int) -> _Term | None:
        bits, entries = self._entries(t)
        largest = max(abs(int(entries.min())), abs(int(entries.max()))) * abs(coef)
        if largest >= 1 << (MAX_BITS - 2) or bits > 16:
            return None
        bases = self.rounded.get(t, self.bases.of[int(self.source.a[t])]) or frozenset[int]()
        return self._shifted(((int(self.columns["a"][t]), bits),), entries * coef, bases)

    def _shifted(self, sources: tuple[tuple[int, int], ...], entries: Ints, bases: frozenset[int]) -> _Term:
        base = int(np.bitwise_or.reduce(entries))
        shift = (base & -base).bit_length() - 1 if base else 0
        entries = entries >> shift
        return _Term(sources, entries, shift, self.fabric.lookup_luts(entries), bases)

    def _joined(self, terms: Sequence[_Term]) -> list[_Term]:
        """Join the pair that saves most, again and again."""
        terms = list(terms)
        every = list(terms)
        """All that ever were, so that each keeps its id."""
        known: dict[tuple[int, int], tuple[float, _Term]] = {}
        while True:
            best, pick = 0.0, None
            for m, x in enumerate(terms):
                for n in range(m):
                    y = terms[n]
                    if x.bits + y.bits > _WIDEST_JOINT or not x.bases or not y.bases or x.bases & y.bases:
                        continue
                    if self.bases.points(x.bases | y.bases) > MOST_POINTS:
                        continue
                    key = (id(y), id(x))
                    if key not in known:
                        known[key] = self._joint(y, x)
                    if known[key][0] > best + 1e-9:
                        best, pick = known[key][0], (n, m)
            if pick is None:
                return terms
            n, m = pick
            made = known[id(terms[n]), id(terms[m])][1]
            every.append(made)
            terms = [term for at, term in enumerate(terms) if at not in (n, m)] + [made]

    def _joint(self, x: _Term, y: _Term) -> tuple[float, _Term]:
        """(LUTs saved, table of both)."""
        low = min(x.shift, y.shift)
        sum_ = (x.entries << (x.shift - low))[None, :] + (y.entries << (y.shift - low))[:, None]
        joint = self._shifted((*x.sources, *y.sources), sum_.reshape(-1), x.bases | y.bases)
        joint = replace(joint, shift=joint.shift + low)
        top = width_of(int(sum_.min()), int(sum_.max()))
        bits = max(1, top - max(x.shift, y.shift) + low)
        return x.luts + y.luts + self.fabric.small_adder_luts(bits) - joint.luts, joint

    def _chained(self, before: int, terms: Sequence[_Term], others: int) -> list[tuple[int, int]]:
        """Write tables, and chains of adders over them where these take them in; returns (value, coefficient)s."""
        built = [self._built(before, term) for term in terms]
        largest = sum(max(-term.lo, term.hi) << term.shift for term in terms)
        if not self.fabric.taken_in or largest >= 1 << (MAX_BITS - 2):
            return [(value, 1 << term.shift) for value, term in zip(built, terms, strict=True)]
        taken_in = [term.bits <= self.fabric.taken_in for term in terms]
        found = []
        for first, *rest in chains([term.top for term in terms], taken_in, others, self.levels):
            total, lo, hi, shift = built[first], terms[first].lo, terms[first].hi, terms[first].shift
            for n in rest:
                term = terms[n]
                low = min(shift, term.shift)
                p, q = shift - low, term.shift - low
                lo, hi, shift = (lo << p) + (term.lo << q), (hi << p) + (term.hi << q), low
                total = self.add(before, OpCode.ADD, total, built[n], p, q, lo, hi)
            found.append((total, 1 << shift))
        return found

    def _built(self, before: int, term: _Term) -> int:
        """Write the values of a term before value `before`; returns the table's id."""
        if len(term.sources) == 1:
            ((v, bits),) = term.sources
            low, high = self._range(v)
            entries = term.entries[np.arange(low, high + 1) & ((1 << bits) - 1)]
            return self.add(
                before, OpCode.TABLE, v, -1, self._table(entries), low, int(entries.min()), int(entries.max())
            )
        index, width = -1, 0
        for v, bits in term.sources:
            low, high = self._range(v)
            part = self._low_bits(before, v, low, high, bits)
            top = (1 << bits) - 1
            if index < 0:
                index, width = part, bits
                continue
            span = (1 << width) - 1
            index = self.add(before, OpCode.ADD, index, part, 0, width, 0, (top << width) + span)
            width += bits
        low, high = self._range(index)
        return self.add(before, OpCode.TABLE, index, -1, self._table(term.entries), 0, term.lo, term.hi)

    def kernel(self) -> Kernel:
        """The rewritten kernel, every value before its readers; tables that are no longer read are still there."""
        k, n = self.source, len(self.source)
        place = np.concatenate([np.arange(n) + 0.5, np.array(self.after, np.float64)])
        order = np.argsort(place, kind="stable").astype(np.int32)
        new_id = np.empty(len(order), np.int32)
        new_id[order] = np.arange(len(order), dtype=np.int32)
        grown: dict[str, Any] = {
            key: np.concatenate([column, np.array([row[key] for row in self.new], column.dtype)])
            for key, column in self.columns.items()
        }
        terms = {"term_arg": np.concatenate(self.term_arg), "term_coef": np.concatenate(self.term_coef)}
        return renumbered(k.with_(**grown, **terms, tables=tuple(self.tables)), order, new_id)


def _codes(low: int, high: int, bits: int) -> Ints:
    """The code in [low, high] that each address of `bits` bits stands for; elsewhere one that differs in a high bit."""
    address = np.arange(1 << bits)
    mask = (1 << bits) - 1
    codes = low + ((address - low) & mask)
    over = codes > high
    for bit in range(bits - 1, -1, -1):
        near = low + (((address ^ (1 << bit)) - low) & mask)
        use = over & (near <= high)
        codes = np.where(use, near, codes)
        over &= ~use
    return np.where(over, low, codes)


def _wrapped(codes: Ints, bits: int, signed: bool) -> Ints:
    low = codes & ((1 << bits) - 1)
    return low - ((low >> (bits - 1)) << bits) if signed else low


class _Bases:
    """What each value of a kernel is a function of, as the proof will see it (`proof.functions`).

    Values of few codes that are no functions of few others are bases. A rounding of a value of many codes has a base
    between both, of no more than `MOST_BASE_CODES` codes, which stands here as that value.
    """

    def __init__(self, kernel: Kernel) -> None:
        pointer, ids = operands(kernel)
        bounds, args = pointer.tolist(), ids.tolist()
        self._least: dict[int, int] = {}
        self._most: dict[int, int] = {}
        self.of: list[frozenset[int] | None] = []
        """Bases of each value; empty where it is none and has none, None where the proof may see either."""
        lo, hi, op = kernel.lo.tolist(), kernel.hi.tolist(), kernel.op.tolist()
        for i in range(len(kernel)):
            behind = {self.of[v] for v in args[bounds[i] : bounds[i + 1]]}
            if None in behind:
                self.of.append(None)
                continue
            union = frozenset[int]().union(*(bases for bases in behind if bases))
            opaque = frozenset() in behind or i < kernel.n_inputs or self._product(union, self._least) > MOST_POINTS
            if not opaque:
                self.of.append(union if self.points(union) <= MOST_POINTS else None)
            elif lo[i] == hi[i] or hi[i] - lo[i] >= MOST_BASE_CODES:
                self.of.append(frozenset())
            else:
                rounded = op[i] == OpCode.ROUND
                self.of.append(self._base(args[bounds[i]] if rounded else i, hi[i] - lo[i] + 1, rounded))

    def _base(self, base: int, codes: int, rounded: bool) -> frozenset[int]:
        """Note a base of at least `codes` codes; of exactly them unless it is behind a rounding."""
        self._least[base] = min(self._least.get(base, codes), codes)
        self._most[base] = max(self._most.get(base, codes), MOST_BASE_CODES if rounded else codes)
        return frozenset({base})

    def points(self, bases: frozenset[int]) -> int:
        """Combinations of codes, at most."""
        return self._product(bases, self._most)

    def _product(self, bases: frozenset[int], codes: dict[int, int]) -> int:
        total = 1
        for base in bases:
            total *= codes[base]
            if total > MOST_POINTS:
                break
        return total


def _moved(terms: Sequence[_Term], bias: int) -> tuple[list[_Term], int]:
    """Move tables so that their entries take as few bits as they can, and the bias into them."""
    spans = [term.hi - term.lo for term in terms]
    least = [max(1, span.bit_length()) for span in spans]
    order = sorted(range(len(terms)), key=lambda n: (-terms[n].shift, spans[n] - (1 << least[n])))
    for extra in range(len(terms) + 1):
        # One table after the other may take a bit more, those of most bits first.
        wider = sorted(range(len(terms)), key=lambda n: (-least[n] - terms[n].shift, n))[:extra]
        widths = [bits + (n in wider) for n, bits in enumerate(least)]
        before = sum(width_of(term.lo, term.hi) for term in terms)
        if sum(widths) >= before + (6 if bias else 0):
            break
        for unsigned in (False, True):
            moves = _moves(terms, widths, order, bias, unsigned)
            if moves is not None:
                return [replace(term, entries=term.entries - move) for term, move in zip(terms, moves, strict=True)], 0
    return list(terms), bias


def _moves(
    terms: Sequence[_Term], widths: Sequence[int], order: Sequence[int], bias: int, unsigned: bool
) -> list[int] | None:
    """How far down each table goes so that its entries take its width, the moves and the bias summing to 0; or None."""
    ranges = []
    for term, bits in zip(terms, widths, strict=True):
        ways = [(term.hi - (1 << (bits - 1)) + 1, term.lo + (1 << (bits - 1))), (term.hi - (1 << bits) + 1, term.lo)]
        ranges.append(min(ways, key=lambda way: max(way[0], -way[1], 0)) if not unsigned else ways[1])
    moves = [min(max(0, low), high) for low, high in ranges]
    rest = bias + sum(move << term.shift for move, term in zip(moves, terms, strict=True))
    for n in order:
        low, high = ranges[n]
        unit = 1 << terms[n].shift
        step = min(max(moves[n] - rest // unit, low), high) - moves[n]
        if n != order[-1] and abs(rest + step * unit) > abs(rest):
            continue
        moves[n] += step
        rest += step * unit
    return moves if rest == 0 else None
