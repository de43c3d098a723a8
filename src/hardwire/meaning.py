"""A Program against its own Network's float meaning: equal, or by how much not and from which layer on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hardwire.fixed import Floats, Ints
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.network.graph import Network
from hardwire.network.reference import forward_all

_NOISE = 1e-12
"""Differences below this share of a tensor's largest value are float64's own rounding."""
_WORK = 100_000_000
"""Values that the interpreter computes at most; it decides how many rows are used."""


def meaning(network: Network, program: Program, codes: Sequence[Ints]) -> dict[str, Any]:
    """Hold a Program against its own Network's float64 meaning on input codes; the `meaning` part of a verification.

    Returns `vectors`, `equal` (vectors whose outputs agree), `largest_difference` at the outputs, and `layer`, the
    first layer that differs by more than float64 rounds (None for none), with its `layer_difference`.
    """
    rows = min(len(codes[0]), affordable_rows(program))
    codes = [code[:rows] for code in codes]
    fixed = tap_values(program, codes)
    floats = forward_all(network, [fixed[name] for name in network.inputs])
    first, here = None, 0.0
    for node in network.nodes:
        tensor = node.outputs[0]
        if tensor in fixed and (wrong := _beyond_noise(floats[tensor], fixed[tensor])).any():
            first, here = node.name, float(np.abs(floats[tensor] - fixed[tensor]).max())
            break
    wrong = np.zeros(rows, bool)
    largest = 0.0
    for name in network.outputs:
        wrong |= _beyond_noise(floats[name], fixed[name])
        largest = max(largest, float(np.abs(floats[name] - fixed[name]).max(initial=0.0)))
    equal = int(rows - wrong.sum())
    return {
        "vectors": rows,
        "equal": equal,
        "largest_difference": largest if equal < rows else 0.0,
        "layer": first,
        "layer_difference": here,
    }


def tap_values(program: Program, codes: Sequence[Ints]) -> dict[str, Floats]:
    """Every tensor that the Program still has, float64 (N, *shape), for input codes (N, elements) per port."""
    store = interpreter.trace(program, codes)
    found: dict[str, Floats] = {}
    for tap in program.taps:
        values = store[tap.array][:, tap.index].astype(np.float64) * tap.scale.astype(np.float64)
        if tap.offset is not None:
            values = values + tap.offset.astype(np.float64)
        found[tap.name] = values.reshape(len(values), *tap.shape)
    return found


def affordable_rows(program: Program) -> int:
    """Rows that the interpreter can take in seconds, 8 to 2,000."""
    values = sum(step.positions * (len(k := program.kernels[step.kernel]) + len(k.term_arg)) for step in program.steps)
    return int(np.clip(_WORK // max(values, 1), 8, 2000))


def _beyond_noise(floats: Floats, fixed: Floats) -> Any:
    """Rows (N,) with a difference that float64's rounding does not explain."""
    limit = _NOISE * max(1e-300, float(np.abs(floats).max(initial=0.0)))
    return np.any(np.abs(floats - fixed).reshape(len(floats), -1) > limit, axis=1)
