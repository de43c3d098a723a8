"""Kernel and Program: arrays underneath, a readable typed view on top.

A `Kernel` is a scalar SSA function. A `Program` is a list of `Step`s, each applying one kernel at many positions of
flat arrays (a dense layer at every row, a convolution's window at every pixel): repetition stays a loop until the
scheduler unrolls it. After `passes.unroll` a Program has one step at one position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import Ints, width_of
from hardwire.ir.ops import ARITY, OpCode
from hardwire.quantiser import Quantiser

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Op:
    """One value of a kernel, as a reader sees it."""

    id: int
    code: OpCode
    args: tuple[int, ...]
    coefs: tuple[int, ...]
    p: int
    q: int
    lo: int
    hi: int
    origin: str

    @property
    def width(self) -> int:
        """Bits of the value; 0 for the constant 0."""
        return width_of(self.lo, self.hi)

    @property
    def signed(self) -> bool:
        """Whether the range reaches below zero."""
        return self.lo < 0


@dataclass(frozen=True, eq=False)
class Kernel:
    """A scalar SSA function over integers.

    Arrays of length n (values): `op` uint8, operands `a`, `b`, `c` int32 (-1 where unused), immediates `p`, `q`
    int64, range `lo`, `hi` int64, `origin` int32 into `origins` (the model's layer names). LINEAR keeps its terms in
    `term_arg` int32 and `term_coef` int64, from `a` for `b` of them. `outputs` int32 are value ids. Values
    0 … n_inputs-1 are the inputs in order; every operand precedes its use.
    """

    name: str
    op: NDArray[np.uint8]
    a: Ids
    b: Ids
    c: Ids
    p: Ints
    q: Ints
    lo: Ints
    hi: Ints
    origin: Ids
    term_arg: Ids
    term_coef: Ints
    outputs: Ids
    n_inputs: int
    tables: tuple[Ints, ...] = ()
    origins: tuple[str, ...] = ("",)

    def __len__(self) -> int:
        return len(self.op)

    def __getitem__(self, i: int) -> Op:
        code = OpCode(int(self.op[i]))
        args: tuple[int, ...]
        coefs: tuple[int, ...] = ()
        if code is OpCode.LINEAR:
            terms = slice(int(self.a[i]), int(self.a[i]) + int(self.b[i]))
            args = tuple(self.term_arg[terms].tolist())
            coefs = tuple(self.term_coef[terms].tolist())
        else:
            args = (int(self.a[i]), int(self.b[i]), int(self.c[i]))[: ARITY[code]]
        origin = self.origins[int(self.origin[i])]
        return Op(i, code, args, coefs, int(self.p[i]), int(self.q[i]), int(self.lo[i]), int(self.hi[i]), origin)

    def __iter__(self) -> Iterator[Op]:
        return (self[i] for i in range(len(self)))

    @property
    def widths(self) -> NDArray[np.int64]:
        """Bits of every value, int64 (n,)."""
        return widths_of(self.lo, self.hi)

    def count(self, *codes: OpCode) -> int:
        """How many values have one of these opcodes."""
        return int(np.isin(self.op, [int(c) for c in codes]).sum())

    def with_(self, **changes: Any) -> Kernel:
        """Return a copy with some arrays replaced."""
        return replace(self, **changes)


def widths_of(lo: Ints, hi: Ints) -> NDArray[np.int64]:
    """Vectorised `fixed.width_of` over int64 arrays of any equal shape."""
    bits = np.zeros(lo.shape, np.int64)
    magnitude = np.maximum(hi, np.where(lo < 0, -lo - 1, 0))
    rest = magnitude.copy()
    for step in (32, 16, 8, 4, 2, 1):
        big = rest >= (np.int64(1) << step)
        bits += np.where(big, step, 0)
        rest = np.where(big, rest >> step, rest)
    bits += rest > 0
    return bits + (lo < 0)


@dataclass(frozen=True, eq=False)
class Array:
    """A flat store of `size` integers between steps; `value = integer × scale`.

    `lo`, `hi` int64 (size,) are proven. `scale` holds exact `Fraction`s, (size,) or (1,): `2^-frac` for fixed point.
    """

    name: str
    lo: Ints
    hi: Ints
    scale: NDArray[Any]

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.lo)


@dataclass(frozen=True, eq=False)
class Access:
    """Which elements of `array` one application of a kernel touches: `base[position] + offsets[k]`, both int32."""

    array: str
    base: Ids
    offsets: Ids

    def index(self) -> Ids:
        """All touched elements, int32 (positions, k)."""
        return self.base[:, None] + self.offsets[None, :]


@dataclass(frozen=True, eq=False)
class Step:
    """`kernel` applied at every position: its inputs gathered from `reads` in order, its outputs put into `write`."""

    name: str
    kernel: str
    reads: tuple[Access, ...]
    write: Access

    @property
    def positions(self) -> int:
        """How often the kernel is applied."""
        return len(self.write.base)


@dataclass(frozen=True, eq=False)
class Port:
    """A model input or output: elements `index` (flat, int32) of `array`, shaped `shape` without the batch axis.

    `quantiser` is an input's float-to-code rule; outputs have none.
    """

    name: str
    array: str
    index: Ids
    shape: tuple[int, ...]
    quantiser: Quantiser | None = None


@dataclass(frozen=True, eq=False)
class Tap:
    """Where a tensor of the Network stands: element `index` (flat, int32) of `array`, shaped `shape` without the batch
    axis, means `integer × scale + offset`.

    `scale` holds `Fraction`s, (elements,) or (1,); `offset` too, or is None for none.
    """

    name: str
    array: str
    index: Ids
    shape: tuple[int, ...]
    scale: NDArray[Any]
    offset: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Program:
    """A pure computation over integers: input arrays, steps in order, output ports.

    `taps` are the Network's tensors, for people who look for the layer where a difference starts; a flat Program, which
    no longer has arrays between layers, has none.
    """

    name: str
    arrays: dict[str, Array]
    kernels: dict[str, Kernel]
    steps: tuple[Step, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    taps: tuple[Tap, ...] = ()

    @property
    def flat(self) -> Kernel:
        """The single kernel of an unrolled Program; `ValueError` if it still has loops."""
        if len(self.steps) != 1 or self.steps[0].positions != 1:
            raise ValueError(f"program {self.name} is not unrolled")
        return self.kernels[self.steps[0].kernel]

    def port_range(self, port: Port) -> tuple[Ints, Ints]:
        """Lowest and highest code of each element of a port, int64 (elements,)."""
        array = self.arrays[port.array]
        return array.lo[port.index], array.hi[port.index]

    def port_scale(self, port: Port) -> NDArray[Any]:
        """Exact scale of each element of a port, `Fraction` (elements,)."""
        scale = self.arrays[port.array].scale
        return np.broadcast_to(scale, (self.arrays[port.array].size,))[port.index]


def fraction_bits(scale: Fraction) -> int | None:
    """Return `f` with `scale == 2^-f`, or None when the scale is no power of two."""
    if scale.numerator == 1 and scale.denominator & (scale.denominator - 1) == 0:
        return scale.denominator.bit_length() - 1
    if scale.denominator == 1 and scale.numerator & (scale.numerator - 1) == 0:
        return -(scale.numerator.bit_length() - 1)
    return None
