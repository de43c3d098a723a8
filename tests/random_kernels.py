"""Hypothesis strategy: random kernels over the whole op set, through the builder."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hardwire.errors import RangeError
from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Kernel

_KINDS = (
    "linear",
    "add",
    "sub",
    "mul",
    "shl",
    "round",
    "wrap",
    "clamp",
    "min",
    "max",
    "less",
    "equal",
    "select",
    "table",
    "and",
    "or",
    "xor",
    "const",
)


@st.composite
def kernels(draw: st.DrawFn, max_ops: int = 25, kinds: tuple[str, ...] = _KINDS, max_bits: int = 12) -> Kernel:
    n_inputs = draw(st.integers(1, 5))
    bounds = st.integers(-(1 << max_bits), 1 << max_bits)
    pairs = [sorted((draw(bounds), draw(bounds))) for _ in range(n_inputs)]
    builder = KernelBuilder("random", [p[0] for p in pairs], [p[1] for p in pairs])
    values = list(range(n_inputs))
    for _ in range(draw(st.integers(1, max_ops))):
        kind = draw(st.sampled_from(kinds))
        a, b, c = (draw(st.sampled_from(values)) for _ in range(3))
        small = st.integers(0, 4)
        builder.origin = draw(st.sampled_from(["first", "second"]))
        try:
            if kind == "linear":
                args = draw(st.lists(st.sampled_from(values), min_size=1, max_size=6))
                coefs = [draw(st.integers(-40, 40)) for _ in args]
                new = builder.linear(args, coefs, draw(st.integers(-100, 100)))
            elif kind in ("add", "sub"):
                new = getattr(builder, kind)(a, b, draw(small), draw(small))
            elif kind == "shl":
                new = builder.shl(a, draw(small))
            elif kind == "round":
                new = builder.round(a, draw(st.integers(0, 70)), draw(st.sampled_from(Rounding)))
            elif kind == "wrap":
                new = builder.wrap(a, draw(st.integers(1, 20)), draw(st.booleans()))
            elif kind == "clamp":
                low, high = sorted((draw(st.integers(-200, 200)), draw(st.integers(-200, 200))))
                new = builder.clamp(a, low, high)
            elif kind == "select":
                new = builder.select(a, b, c)
            elif kind == "table":
                lo, hi = builder.range(a)
                if hi - lo > 4096:
                    continue
                seed = draw(st.integers(0, 1000))
                entries = np.random.default_rng(seed).integers(-500, 500, hi - lo + 1)
                new = builder.table(a, entries)
            elif kind == "const":
                new = builder.const(draw(bounds))
            else:
                new = getattr(builder, {"and": "bit_and", "or": "bit_or", "xor": "bit_xor"}.get(kind, kind))(a, b)
        except RangeError:
            continue
        values.append(new)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
    return builder.build(outputs)


def samples(kernel: Kernel, count: int = 200, seed: int = 0) -> np.ndarray:
    """Random inputs with the corners of the box among them, int64 (count, n_inputs)."""
    rng = np.random.default_rng(seed)
    n = kernel.n_inputs
    lo, hi = kernel.lo[:n], kernel.hi[:n]
    x = rng.integers(lo, hi, size=(count, n), endpoint=True)
    corner = rng.integers(0, 2, size=(count // 4, n))
    x[: len(corner)] = np.where(corner == 1, hi, lo)
    return x
