"""Random flat programs over every op, for the tests of the scheduler and of the back ends."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from hardwire.errors import RangeError
from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step


def program_of(
    kernel: Kernel, inputs: tuple[int, ...] | None = None, outputs: tuple[int, ...] | None = None
) -> Program:
    """A flat Program around a kernel; `inputs` and `outputs` split its values over several ports."""
    one = np.array([Fraction(1)], object)
    n, m = kernel.n_inputs, len(kernel.outputs)
    ids = np.arange(max(n, m, 1), dtype=np.int32)
    arrays = {
        "in": Array("in", kernel.lo[:n], kernel.hi[:n], one),
        "out": Array("out", kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], one),
    }
    zero = np.zeros(1, np.int32)
    step = Step("all", kernel.name, (Access("in", zero, ids[:n]),), Access("out", zero, ids[:m]))

    def ports(array: str, sizes: tuple[int, ...], letter: str) -> tuple[Port, ...]:
        ends = np.cumsum((0, *sizes))
        return tuple(Port(f"{letter}{k}", array, ids[ends[k] : ends[k + 1]], (size,)) for k, size in enumerate(sizes))

    return Program(
        kernel.name,
        arrays,
        {kernel.name: kernel},
        (step,),
        ports("in", inputs or (n,), "in"),
        ports("out", outputs or (m,), "out"),
    )


def random_kernel(seed: int, *, inputs: int = 5, ops: int = 30, outputs: int = 6, name: str = "k") -> Kernel:
    """A kernel of random ops on random ranges, widths from 1 to 62 bits; reads values that it made, wide ones too."""
    rng = np.random.default_rng(seed)
    lo, hi = [], []
    for _ in range(inputs):
        bits = int(rng.choice([1, 2, 3, 5, 8, 13, 21, 40, 61]))
        low = int(rng.choice([0, -(1 << (bits - 1)), -1, 3, -(1 << bits) + 5]))
        lo.append(low)
        hi.append(low + int(rng.integers(0, 1 << min(bits, 60))))
    builder = KernelBuilder(name, lo, hi, origin="in put")
    values = list(range(inputs))
    layers = ["fc1", "fc1.relu", "élan/2", "2nd", "", "fc1_v2"]
    while len(values) < inputs + ops:
        builder.origin = layers[(len(values) - inputs) * len(layers) // max(ops, 1)]
        try:
            values.append(_random_op(builder, values, rng))
        except RangeError:
            continue
    picked = [values[-1 - int(k)] for k in rng.integers(0, max(1, ops // 2), outputs)]
    return builder.build(picked)


def _random_op(builder: KernelBuilder, values: list[int], rng: np.random.Generator) -> int:
    def pick() -> int:
        # Mostly recent values, so that chains grow.
        back = int(min(rng.geometric(0.15), len(values)))
        return values[-back] if rng.random() < 0.7 else values[int(rng.integers(len(values)))]

    def constant() -> int:
        bits = int(rng.integers(0, 12))
        return builder.const(int(rng.integers(-(1 << bits), (1 << bits) + 1)))

    a, b = pick(), pick() if rng.random() < 0.85 else constant()
    if rng.random() < 0.1:
        a = constant()
    lo, hi = builder.range(a)
    kind = int(rng.integers(16))
    shifts = [int(s) for s in rng.choice([0, 0, 0, 1, 2, 3, 7, 20], 2)]
    if kind == 0:
        return builder.add(a, b, *shifts)
    if kind == 1:
        return builder.sub(a, b, *shifts)
    if kind == 2:
        return builder.mul(a, b) if not (_is_constant(builder, a) or _is_constant(builder, b)) else builder.add(a, b)
    if kind == 3:
        return builder.shl(a, int(rng.integers(0, 5)))
    if kind in (4, 5, 6):
        shift = int(rng.choice([1, 1, 2, 3, 5, 8, 20, 45, 63]))
        return builder.round(a, shift, Rounding(int(rng.integers(9))))
    if kind == 7:
        return builder.wrap(a, int(rng.choice([1, 2, 4, 8, 16, 33])), bool(rng.integers(2)))
    if kind in (8, 9):
        return builder.clamp(a, *_bounds(lo, hi, rng))
    if kind == 10:
        return builder.min(a, b) if rng.random() < 0.5 else builder.max(a, b)
    if kind == 11:
        return builder.less(a, b)
    if kind == 12:
        return builder.equal(a, b)
    if kind == 13:
        return builder.select(a, b, pick())
    if kind == 14:
        if hi - lo >= 300:
            a = builder.wrap(a, int(rng.integers(1, 7)), bool(rng.integers(2)))
            lo, hi = builder.range(a)
        top = 1 << int(rng.integers(1, 20))
        return builder.table(a, rng.integers(-top if rng.random() < 0.6 else 0, top, hi - lo + 1))
    return (builder.bit_and, builder.bit_or, builder.bit_xor)[int(rng.integers(3))](a, b)


def _bounds(lo: int, hi: int, rng: np.random.Generator) -> tuple[int, int]:
    k = 1 << int(rng.integers(0, 10))
    choices = [(0, hi), (0, k - 1), (-k, k - 1), (-k + 1, k - 1), (lo + (hi - lo) // 3, hi - (hi - lo) // 3)]
    choices += [(0, max(hi // 2, 0)), (-k - 3, -k), (-k, 0), (-k, -1), (min(1, k), k)]
    low, high = choices[int(rng.integers(len(choices)))]
    return (low, high) if low <= high else (high, low)


def _is_constant(builder: KernelBuilder, value: int) -> bool:
    lo, hi = builder.range(value)
    return lo == hi


def vectors_for(kernel: Kernel, count: int, seed: int = 0) -> Ints:
    """Codes (count, inputs): the corners of every range first, then uniform and small ones."""
    rng = np.random.default_rng(seed)
    lo, hi = kernel.lo[: kernel.n_inputs], kernel.hi[: kernel.n_inputs]
    codes = rng.integers(lo, hi, (count, kernel.n_inputs), endpoint=True)
    near = np.clip(rng.integers(-3, 4, codes.shape), lo, hi)
    codes = np.where(rng.random(codes.shape) < 0.2, near, codes)
    corners = rng.random(codes.shape)
    codes = np.where(corners < 0.12, lo, np.where(corners > 0.88, hi, codes))
    codes[0], codes[1 % count] = lo, hi
    return codes.astype(np.int64)
