"""Steps whose kernel has no inputs: constants that fill a border, through every reader of a Program."""

from __future__ import annotations

import numpy as np
import pytest

from hardwire.emulate import compile_program
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import run
from hardwire.ir.storage import load_program, save_program
from hardwire.ir.text import format_program
from hardwire.ir.verify import verify_program
from hardwire.layers._lowering import lower
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.passes.pipelines import simplify
from hardwire.passes.unroll import unroll
from hardwire.quantiser import Quantiser


@pytest.fixture
def padded():
    """A padded input, and a step that reads both its inside and its border."""
    net = NetworkBuilder("padded")
    quantiser = Quantiser.of_type(FixedType.parse("s5.2"), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "q", [net.input("x", (3, 2))], {"quantiser": quantiser})
    x = net.add("pad", "p", [x], {"padding": ((1, 2), (0, 0)), "mode": "constant", "value": 0.75})
    y = net.add("dense", "d", [x], {}, {"kernel": np.array([[1.0, -2.0, 0.5], [0.25, 3.0, 1.0]])})
    network = net.build([y, x])
    program = lower(network, input_quantisers(network))
    assert any(not step.reads for step in program.steps)
    return program


def _codes():
    return np.random.default_rng(0).integers(-16, 16, (50, 6))


def test_every_reader_agrees(padded, tmp_path):
    """Verifier, interpreter, passes, unrolling, storage, text and emulator take them."""
    verify_program(padded)
    expected = run(padded, [_codes()])
    inside = expected[1].reshape(50, 6, 2)
    assert np.all(inside[:, [0, 4, 5]] == 3)
    np.testing.assert_array_equal(inside[:, 1:4].reshape(50, 6), _codes())
    assert "p.2()" in format_program(padded)
    save_program(padded, tmp_path / "program.npz")
    for other in (
        simplify(padded),
        unroll(padded),
        unroll(simplify(padded)),
        load_program(tmp_path / "program.npz")[0],
    ):
        verify_program(other)
        for a, b in zip(run(other, [_codes()]), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(compile_program(other).run([_codes()]), expected, strict=True):
            np.testing.assert_array_equal(a, b)
