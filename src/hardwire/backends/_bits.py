"""Expressions for bits of a value: every extension is written out, so that all tools agree on it."""

from __future__ import annotations

import numpy as np

from hardwire.backends._language import Language
from hardwire.backends._names import signal_names
from hardwire.ir.ops import OpCode
from hardwire.schedule.circuit import Circuit, joined
from hardwire.targets._facts import fixed_above, trailing_zeros


class Bits:
    """Names and bits of a circuit's values, as plain Python lists for speed."""

    def __init__(self, circuit: Circuit, language: Language) -> None:
        kernel = circuit.kernel
        self.language = language
        self.names = signal_names(circuit)
        self.width: list[int] = kernel.widths.tolist()
        self.lo: list[int] = kernel.lo.tolist()
        self.hi: list[int] = kernel.hi.tolist()
        self.stage: list[int] = circuit.stage.tolist()
        self.root: list[int] = circuit.root.tolist()
        self.zeros: list[int] = trailing_zeros(kernel).tolist()
        self.fixed: list[int] = fixed_above(kernel).tolist()
        """The bit from which on the whole range shares its bits; a huge one where the sign varies."""
        self.joined: dict[int, tuple[int, int, int]] = {
            int(v): (int(kernel.a[v]), int(kernel.widths[kernel.a[v]]), int(kernel.lo[kernel.b[v]] << kernel.q[v]))
            for v in np.flatnonzero(joined(kernel))
        }
        """Views with a constant above them: the value below, its width, the constant."""
        self.base: list[int] = list(range(len(kernel)))
        """The value that a view shifts: a root, or a joined value, whose constant is shifted with it."""
        self.shift = [0] * len(kernel)
        """How far `base` is shifted."""
        shifts = np.flatnonzero((kernel.op == OpCode.SHL) & (kernel.lo != kernel.hi))
        for v, a, p in zip(shifts.tolist(), kernel.a[shifts].tolist(), kernel.p[shifts].tolist(), strict=True):
            self.base[v], self.shift[v] = self.base[a], self.shift[a] + p

    def signed(self, v: int) -> bool:
        """Whether value `v` is two's complement."""
        return self.lo[v] < 0

    def name(self, v: int, stage: int) -> str:
        """Name of value `v` (a root, not constant) as it is available in `stage`."""
        late = stage - self.stage[v]
        return f"{self.names[v]}_r{late}" if late else self.names[v]

    def of(self, v: int, stage: int, low: int, count: int) -> str:
        """Bits `low … low + count - 1` of value `v` in `stage`, its sign (or zeros) continued without end."""
        language = self.language
        if self.lo[v] == self.hi[v]:
            return language.literal(self.lo[v] >> low, count)
        shift, v = self.shift[v], self.base[v]
        if shift:
            if low >= shift:
                return self.of(v, stage, low - shift, count)
            if low + count <= shift:
                return language.literal(0, count)
            return language.concat([self.of(v, stage, 0, low + count - shift), language.literal(0, shift - low)])
        if v in self.joined:
            value, width, constant = self.joined[v]
            below = max(0, min(count, width - low))
            parts = [language.literal(constant >> (low + below), count - below)] if count > below else []
            return language.concat([*parts, self.of(value, stage, low, below)] if below else parts)
        fixed = self.fixed[v]
        if low + count > fixed:
            # Bits that the whole range shares.
            below = max(0, fixed - low)
            known = language.literal(self.lo[v] >> (low + below), count - below)
            return language.concat([known, self.of(v, stage, low, below)]) if below else known
        name, width = self.name(v, stage), self.width[v]
        top = width - 1
        above = low + count - width
        parts = []
        if above > 0:
            extended = min(above, count)
            if self.lo[v] >= 0:
                parts.append(language.literal(0, extended))
            else:
                sign = name if width == 1 else language.bit(name, top)
                parts.append(sign if extended == 1 else language.repeat(sign, extended))
        if low < width:
            high = min(low + count, width) - 1
            if low == 0 and high == top:
                parts.append(name)
            elif low == high:
                parts.append(language.bit(name, low))
            else:
                parts.append(language.part(name, high, low))
        return language.concat(parts)

    def sign(self, v: int, stage: int) -> str:
        """The sign bit; a literal 0 for a value that is never negative."""
        return self.of(v, stage, self.width[v], 1)

    def any(self, v: int, stage: int, low: int, count: int) -> str:
        """Whether any of these bits is 1, as one bit."""
        bits = self.of(v, stage, low, count)
        return bits if count == 1 else self.language.any(bits, count)

    def extended(self, v: int, stage: int, signed: bool) -> str:
        """The whole value, with a leading 0 if it must be read as signed and isn't."""
        return self.of(v, stage, 0, self.span(v, signed))

    def span(self, v: int, signed: bool) -> int:
        """Bits of `extended`."""
        return max(1, self.width[v] + (signed and self.lo[v] >= 0))
