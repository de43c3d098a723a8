"""Layers that read the same values are solved together; each keeps its name on what it alone needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import run
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.layers._lowering import lower
from hardwire.network.graph import NetworkBuilder
from hardwire.passes.pipelines import flatten, simplify
from hardwire.quantiser import Quantiser
from hardwire.solver import AdderGraph, solve_cached

Ints = NDArray[np.int64]
INPUT = Quantiser.of_type(FixedType(True, 6, 0), Rounding.TRN, Overflow.WRAP)


def branches(*kernels: Ints, positions: int = 0) -> Program:
    """Dense layers side by side over one input, (inputs,) or (positions, inputs)."""
    shape = (kernels[0].shape[0],)
    b = NetworkBuilder("branches")
    x = b.input("x", (positions, *shape) if positions else shape)
    return lower(
        b.build(
            [
                b.add("dense", f"branch{i}", [x], {}, {"kernel": w.astype(float), "bias": np.zeros(w.shape[1])})
                for i, w in enumerate(kernels)
            ]
        ),
        {"x": INPUT},
    )


def solved(program: Program) -> tuple[Program, list[tuple[int, ...]]]:
    shapes = []

    def solve(matrix: Ints, lo: Ints, hi: Ints, depth: Ints) -> AdderGraph:
        shapes.append(matrix.shape)
        return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, depth_limit=0)

    return flatten(simplify(program), solve), shapes


def adders(program: Program) -> int:
    return int(np.isin(program.flat.op, (OpCode.ADD, OpCode.SUB)).sum())


def weights(seed: int, n: int = 8, m: int = 6) -> Ints:
    return np.random.default_rng(seed).integers(-31, 32, size=(n, m)) | 1


@pytest.mark.parametrize("positions", [0, 3])
def test_branches_are_one_problem(positions: int) -> None:
    kernels = [weights(0), weights(1), weights(2)]
    program = branches(*kernels, positions=positions)
    flat, shapes = solved(program)
    assert shapes == [(8, 18)]  # positions, being alike, are solved once
    apart = sum(adders(solved(branches(w, positions=positions))[0]) for w in kernels)
    assert adders(flat) < 0.95 * apart
    codes = np.random.default_rng(3).integers(-32, 32, size=(20, 8 * max(positions, 1)))
    for one, other in zip(run(flat, [codes]), run(program, [codes]), strict=True):
        assert np.array_equal(one, other)


def test_an_adder_is_named_for_the_first_layer_that_needs_it() -> None:
    flat, _ = solved(branches(weights(0), weights(1)))
    k = flat.flat
    names = [k.origins[k.origin[i]] for i in range(len(k))]
    users: list[set[str]] = [set() for _ in names]
    for column, output in enumerate(k.outputs.tolist()):
        users[output].add(f"branch{column // 6}")
    for i in range(len(k) - 1, k.n_inputs - 1, -1):
        for operand in (k.a[i], k.b[i]):
            if operand >= 0:
                users[operand] |= users[i]
    for i in range(k.n_inputs, len(k)):
        assert names[i] == min(users[i])
    assert {"branch0", "branch1"} <= set(names)


def mostly_zero(seed: int) -> Ints:
    w = weights(seed)
    w[3:] = 0
    return w


DIFFERENT: dict[str, Callable[[], Ints]] = {
    "other inputs": lambda: mostly_zero(1),
    "much shallower": lambda: np.eye(8, 6, dtype=np.int64) + 2 * np.eye(8, 6, 1, dtype=np.int64),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_branches_that_would_not_gain_stay_apart(name: str) -> None:
    _, shapes = solved(branches(weights(0), DIFFERENT[name]()))
    assert len(shapes) >= 2
    assert shapes[0] == (8, 6)
