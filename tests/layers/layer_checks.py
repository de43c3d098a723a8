"""Shared by the layer tests: run a network's Program on every kind of input and hold it against its float meaning."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import trace, values_of
from hardwire.ir.verify import verify_program
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser


def run_both(network: Network, vectors: int = 40, seed: int = 0):
    """Lower, verify and run: real outputs of the Program and float outputs, for random codes and every range's edges.

    Also checks that every value of every kernel stays within its proven range.
    """
    program = lower(network, input_quantisers(network))
    verify_program(program)
    rng = np.random.default_rng(seed)
    codes = []
    for port in program.inputs:
        lo, hi = program.port_range(port)
        picks = [rng.integers(lo, hi + 1, (vectors, len(lo))), lo[None], hi[None], np.clip(0, lo, hi)[None]]
        edges = np.where(rng.random((vectors, len(lo))) < 0.5, lo, hi)
        codes.append(np.concatenate([*picks, edges]))
    store = trace(program, codes)
    for name, array in program.arrays.items():
        assert np.all(store[name] >= array.lo), name
        assert np.all(store[name] <= array.hi), name
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        nothing = np.zeros((len(codes[0]), step.positions, 0), np.int64)  # for steps that only make constants
        reads = np.concatenate([nothing, *(store[r.array][:, r.index()] for r in step.reads)], axis=2)
        values = values_of(kernel, reads.reshape(len(codes[0]) * step.positions, kernel.n_inputs))
        assert np.all(values >= kernel.lo[:, None]), step.name
        assert np.all(values <= kernel.hi[:, None]), step.name
    n = len(codes[0])
    fixed = [
        (store[port.array][:, port.index] * program.port_scale(port)).astype(np.float64).reshape(n, *port.shape)
        for port in program.outputs
    ]
    xs = []
    for port, code in zip(program.inputs, codes, strict=True):
        assert port.quantiser is not None
        xs.append(code.reshape(n, *port.shape) * np.broadcast_to(port.quantiser.scale, port.shape))
    return program, xs, fixed, forward(network, xs)


def check_exact(network: Network, *, tolerance: float = 0.0) -> None:
    """Assert that the Program computes the float meaning: bit for bit, or to a relative `tolerance`.

    A tolerance is for factors that are long in binary, where float64 itself rounds.
    """
    _, _, fixed, floats = run_both(network)
    for ours, theirs in zip(fixed, floats, strict=True):
        if tolerance:
            np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(ours, theirs)


def quantised(
    net: NetworkBuilder, name: str, shape: tuple[int, ...], kind: FixedType | str | Quantiser = "s6.3"
) -> str:
    """Add an input with its quantiser node."""
    if isinstance(kind, str):
        kind = FixedType.parse(kind)
    quantiser = Quantiser.of_type(kind) if isinstance(kind, FixedType) else kind
    return net.add("quantise", f"q_{name}", [net.input(name, shape)], {"quantiser": quantiser})


types = st.builds(FixedType, st.booleans(), st.integers(1, 8), st.integers(-2, 6))
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
quantisers = st.builds(
    Quantiser.of_type, types, st.sampled_from(Rounding), st.sampled_from([Overflow.SAT, Overflow.WRAP])
)
short_reals = st.integers(-64, 64).map(lambda v: v / 16)


@st.composite
def inputs(draw, shape=shapes):
    """Shape and quantiser of an input: one type, or one for each element."""
    chosen = draw(shape)
    if draw(st.booleans()):
        return chosen, Quantiser.of_type(draw(types))
    size = int(np.prod(chosen))
    arrays = [
        np.array(draw(st.lists(part, min_size=size, max_size=size))).reshape(chosen)
        for part in (st.booleans(), st.integers(0, 6), st.integers(-2, 5))
    ]
    return chosen, Quantiser.of_arrays(*arrays)
