"""Shared by the regressions: a network through the whole compiler, every representation held against every other."""

from __future__ import annotations

from typing import Any

import numpy as np

import hardwire as hw
from hardwire.design import Design
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.network.graph import Network
from hardwire.network.reference import forward
from hardwire.proof.formal import prove
from hardwire.quantiser import Quantiser
from hardwire.stimulus import edge_codes, random_codes


def of(kind: str, rounding: Rounding = Rounding.RND, overflow: Overflow = Overflow.SAT) -> dict[str, Any]:
    """Attributes of a quantise node of one type."""
    return {"quantiser": Quantiser.of_type(FixedType.parse(kind), rounding, overflow)}


def weights(fan_in: int, fan_out: int, seed: int = 0) -> dict[str, Any]:
    """Parameters of a dense node on a grid of quarters, none of them alike by accident."""
    rng = np.random.default_rng(seed)
    return {"kernel": rng.integers(-7, 8, (fan_in, fan_out)) / 4.0, "bias": rng.integers(-7, 8, fan_out) / 4.0}


def compiled(network: Network, **options: Any) -> Design:
    """Compile, and assert: float meaning = Program = flat Program = emulator = predict, and the circuit is proven."""
    design = hw.compile(network, **options)
    edges, others = edge_codes(design.program), random_codes(design.program, 500)
    codes = [np.concatenate(parts) for parts in zip(edges, others, strict=True)]
    program, flat = interpreter.run(design.program, codes), interpreter.run(design.flat, codes)
    emulated = design.emulator.run(codes)
    inputs = [_real(design.program, port, code) for port, code in zip(design.program.inputs, codes, strict=True)]
    wanted = forward(network, inputs)
    predicted = design.predict(tuple(inputs))
    predicted = predicted if isinstance(predicted, tuple) else (predicted,)
    for k, port in enumerate(design.program.outputs):
        np.testing.assert_array_equal(_real(design.program, port, program[k]), wanted[k])
        np.testing.assert_array_equal(flat[k], program[k])
        np.testing.assert_array_equal(emulated[k], program[k])
        np.testing.assert_array_equal(predicted[k], wanted[k])
    proof = prove(design.program, design.circuit.kernel, design.circuit.stage.astype(np.int64))
    assert proof.proven, proof.failures
    assert proof.latency_balanced
    return design


def _real(program: Any, port: Any, codes: Any) -> Any:
    scale = np.array([float(s) for s in program.port_scale(port)])
    return (codes * scale).reshape(-1, *port.shape)
