"""Random Programs for the emulator's tests: kernels over all ops, looped steps, one-op programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from hardwire.errors import RangeError
from hardwire.fixed import Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step
from hardwire.quantiser import Quantiser

EDGE = 1 << 61


def scales(n: int, scale: Fraction = Fraction(1)) -> np.ndarray:
    out = np.empty(n, object)
    out[:] = [scale] * n
    return out


def flat_program(
    kernel: Kernel, out_scale: Fraction = Fraction(1), quantiser: Quantiser | None = None, name: str = "flat"
) -> Program:
    """One kernel applied once; the input port has `quantiser`."""
    k, m = kernel.n_inputs, len(kernel.outputs)
    lo, hi = kernel.lo[:k].copy(), kernel.hi[:k].copy()
    arrays = {
        "x": Array("x", lo, hi, scales(k)),
        "y": Array("y", kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], scales(m, out_scale)),
    }
    zero = np.zeros(1, np.int32)
    index_in, index_out = np.arange(k, dtype=np.int32), np.arange(m, dtype=np.int32)
    step = Step("step", kernel.name, (Access("x", zero, index_in),), Access("y", zero, index_out))
    ports = (Port("x", "x", index_in, (k,), quantiser),), (Port("y", "y", index_out, (m,)),)
    return Program(name, arrays, {kernel.name: kernel}, (step,), *ports)


def codes_for(lo: Ints, hi: Ints, n: int, seed: int) -> Ints:
    """Random codes in range, int64 (n, elements), with each element's ends and middle often among them."""
    rng = np.random.default_rng(seed)
    out = np.empty((n, len(lo)), np.int64)
    for e, (low, high) in enumerate(zip(lo.tolist(), hi.tolist(), strict=True)):
        out[:, e] = rng.integers(low, high, n, endpoint=True)
        special = [low, high, min(max(0, low), high), min(max(-1, low), high), max(low, high - 1), min(high, low + 1)]
        pick = rng.random(n) < 0.4
        out[pick, e] = rng.choice(np.array(special, np.int64), int(pick.sum()))
    return out


@st.composite
def ranges(draw: st.DrawFn, most: int = EDGE) -> tuple[int, int]:
    """A closed range of few or many bits, near zero or far from it."""
    bits = draw(st.integers(1, most.bit_length() - 1))
    span = draw(st.integers(0, (1 << bits) - 1))
    low = draw(st.one_of(st.just(0), st.just(-(1 << (bits - 1))), st.integers(-(1 << bits), (1 << bits) - 1)))
    low = max(-most, min(low, most - 1))
    return low, min(low + span, most - 1)


def _args(draw: st.DrawFn, values: Sequence[int], n: int) -> list[int]:
    return [draw(st.sampled_from(list(values))) for _ in range(n)]


def _narrow(draw: st.DrawFn, b: KernelBuilder, values: Sequence[int], bits: int) -> int:
    (a,) = _args(draw, values, 1)
    return b.wrap(a, draw(st.integers(1, bits)), draw(st.booleans()))


def _linear(draw: st.DrawFn, b: KernelBuilder, values: Sequence[int]) -> int:
    n = draw(st.integers(1, 9))
    bits = draw(st.sampled_from([3, 7, 8, 15, 16, 31]))
    args = [_narrow(draw, b, values, draw(st.sampled_from([4, 8, 16]))) for _ in range(n)]
    coefs = draw(st.lists(st.integers(-(1 << bits), 1 << bits), min_size=n, max_size=n))
    coefs = [coef << draw(st.sampled_from([0, 0, 0, 4])) for coef in coefs]
    return b.linear(args, coefs, draw(st.integers(-(1 << bits), 1 << bits)))


def _table(draw: st.DrawFn, b: KernelBuilder, values: Sequence[int]) -> int:
    a = _narrow(draw, b, values, 9)
    lo, hi = b.range(a)
    low, high = draw(ranges())
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    return b.table(a, rng.integers(low, high, hi - lo + 1, endpoint=True))


def _clamp(draw: st.DrawFn, b: KernelBuilder, values: Sequence[int]) -> int:
    (a,) = _args(draw, values, 1)
    lo, hi = b.range(a)
    bounds = sorted(draw(st.lists(st.integers(lo - 1, hi + 1), min_size=2, max_size=2)))
    return b.clamp(a, max(-EDGE, bounds[0]), min(EDGE, bounds[1]))


def _mul(draw: st.DrawFn, b: KernelBuilder, values: Sequence[int]) -> int:
    x, y = _args(draw, values, 2)
    return b.mul(b.wrap(x, 30, True), b.wrap(y, 30, True)) if draw(st.booleans()) else b.mul(x, y)


Rule = Callable[[st.DrawFn, KernelBuilder, Sequence[int]], int]

RULES: dict[str, Rule] = {
    "const": lambda draw, b, v: b.const(draw(st.integers(-EDGE, EDGE - 1))),
    "linear": _linear,
    "add": lambda draw, b, v: b.add(*_args(draw, v, 2), draw(st.integers(0, 12)), draw(st.integers(0, 12))),
    "sub": lambda draw, b, v: b.sub(*_args(draw, v, 2), draw(st.integers(0, 12)), draw(st.integers(0, 12))),
    "mul": _mul,
    "shl": lambda draw, b, v: b.shl(*_args(draw, v, 1), draw(st.integers(0, 40))),
    "round": lambda draw, b, v: b.round(
        *_args(draw, v, 1), draw(st.integers(0, 64)), draw(st.sampled_from(list(Rounding)))
    ),
    "wrap": lambda draw, b, v: _narrow(draw, b, v, 62 if draw(st.booleans()) else 12),
    "clamp": _clamp,
    "min": lambda draw, b, v: b.min(*_args(draw, v, 2)),
    "max": lambda draw, b, v: b.max(*_args(draw, v, 2)),
    "less": lambda draw, b, v: b.less(*_args(draw, v, 2)),
    "equal": lambda draw, b, v: b.equal(*_args(draw, v, 2)),
    "select": lambda draw, b, v: b.select(*_args(draw, v, 3)),
    "table": _table,
    "and": lambda draw, b, v: b.bit_and(*_args(draw, v, 2)),
    "or": lambda draw, b, v: b.bit_or(*_args(draw, v, 2)),
    "xor": lambda draw, b, v: b.bit_xor(*_args(draw, v, 2)),
}


def grow(draw: st.DrawFn, b: KernelBuilder, steps: int, rules: Sequence[str] = tuple(RULES)) -> list[int]:
    """Apply `steps` random rules; a value of over 62 bits is not made. Returns all values."""
    values = list(range(b.n_inputs))
    for _ in range(steps):
        try:
            values.append(RULES[draw(st.sampled_from(list(rules)))](draw, b, values))
        except RangeError:
            continue
    return values


LINEAR_RULES = ("linear", "add", "sub", "shl", "add", "sub", "clamp")
"""Mostly sums, which the emulator may read back as linear forms."""


@st.composite
def kernels(draw: st.DrawFn, rules: Sequence[str] = tuple(RULES), steps: int = 14) -> Kernel:
    """A kernel over these ops with random input ranges; outputs are random values, some twice."""
    inputs = draw(st.lists(ranges() if "mul" in rules else ranges(1 << 8), min_size=1, max_size=6))
    b = KernelBuilder("k", [r[0] for r in inputs], [r[1] for r in inputs])
    values = grow(draw, b, draw(st.integers(0, steps)), rules)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=len(values) + 2))
    return b.build(outputs)


@st.composite
def chains(draw: st.DrawFn) -> Program:
    """Several steps at several positions, with shared, overlapping and shuffled accesses, two inputs and outputs."""
    arrays: dict[str, Array] = {}
    for name in ("x0", "x1"):
        r = draw(st.lists(ranges(1 << draw(st.sampled_from([6, 9, 20, 40]))), min_size=3, max_size=7))
        arrays[name] = Array(name, np.array([v[0] for v in r]), np.array([v[1] for v in r]), scales(len(r)))
    inputs = tuple(
        Port(name, name, np.array(draw(st.permutations(range(arrays[name].size))), np.int32), (arrays[name].size,))
        for name in ("x0", "x1")
    )
    made, steps, built = ["x0", "x1"], [], {}
    for s in range(draw(st.integers(1, 7))):
        positions = draw(st.integers(1, 3))
        reads = []
        for name in draw(st.lists(st.sampled_from(made), min_size=1, max_size=2)):
            size = arrays[name].size
            k = draw(st.integers(1, 3))
            offsets = draw(st.lists(st.integers(0, size - 1), min_size=k, max_size=k))
            room = size - 1 - max(offsets)
            base = draw(st.lists(st.integers(0, room), min_size=positions, max_size=positions))
            if draw(st.booleans()) and size % positions == 0:
                k = size // positions  # Read what a step of as many positions wrote, element for element.
                offsets, base = list(range(k)), [k * p for p in range(positions)]
            reads.append(Access(name, np.array(base, np.int32), np.array(offsets, np.int32)))
        lows = np.concatenate([arrays[r.array].lo[r.index()].min(axis=0) for r in reads])
        highs = np.concatenate([arrays[r.array].hi[r.index()].max(axis=0) for r in reads])
        b = KernelBuilder(f"k{s}", lows, highs)
        values = grow(draw, b, draw(st.integers(1, 6)))
        outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
        built[b.name] = kernel = b.build(outputs)
        m = len(outputs)
        name = f"a{s}"
        arrays[name] = Array(
            name,
            np.tile(kernel.lo[kernel.outputs], positions),
            np.tile(kernel.hi[kernel.outputs], positions),
            scales(m * positions),
        )
        write = Access(name, np.arange(positions, dtype=np.int32) * m, np.arange(m, dtype=np.int32))
        steps.append(Step(f"s{s}", b.name, tuple(reads), write))
        made.append(name)
    names = [made[-1], draw(st.sampled_from(made))]
    outputs_ = []
    for i, name in enumerate(names):
        index = np.array(draw(st.permutations(range(arrays[name].size))), np.int32)
        outputs_.append(Port(f"y{i}", name, index, (len(index),)))
    return Program("chain", arrays, built, tuple(steps), inputs, tuple(outputs_))
