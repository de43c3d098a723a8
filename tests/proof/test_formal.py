from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import run_kernel, values_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.ir.relaxation import relaxed_ranges
from hardwire.layers._lowering import lower
from hardwire.network.graph import NetworkBuilder
from hardwire.passes.dce import dce
from hardwire.passes.pipelines import BEFORE_SOLVING, CLEANUP, flatten, relax, run_passes, simplify
from hardwire.passes.solve_linears import solve_linears
from hardwire.proof.formal import prove
from hardwire.proof.forms import Atoms, forms_of
from hardwire.quantiser import Quantiser
from hardwire.schedule import schedule
from hardwire.solver import AdderGraph, solve_cached
from random_kernels import kernels, samples


def solver(matrix: np.ndarray, lo: np.ndarray, hi: np.ndarray, depth: np.ndarray) -> AdderGraph:
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, effort=0)


def network(seed: int, rounding: Rounding = Rounding.RND, over: Overflow = Overflow.SAT) -> Program:
    """A 6-8-4 perceptron with ReLU, random weights; LINEAR values still there."""
    rng = np.random.default_rng(seed)
    net = NetworkBuilder("net")
    x = net.input("x", (6,))
    port = Quantiser.of_type(FixedType(True, 6, 3))
    x = net.add("quantise", "q", [x], {"quantiser": port})
    x = net.add("dense", "fc1", [x], {}, {"kernel": rng.integers(-15, 16, (6, 8)) / 16, "bias": np.zeros(8)})
    x = net.add("relu", "relu1", [x])
    x = net.add("quantise", "q1", [x], {"quantiser": Quantiser.of_type(FixedType(False, 6, 3), rounding, over)})
    kernel = rng.integers(-15, 16, (8, 4)) / 16
    x = net.add("dense", "fc2", [x], {}, {"kernel": kernel, "bias": rng.integers(-64, 64, 4) / 32})
    return simplify(lower(net.build([x]), {"x": port}))


@given(
    st.integers(0, 1000), st.sampled_from(Rounding), st.sampled_from([Overflow.SAT, Overflow.WRAP, Overflow.SAT_ZERO])
)
@settings(max_examples=20)
def test_compiled_networks_are_proven(seed: int, rounding: Rounding, over: Overflow) -> None:
    program = network(seed, rounding, over)
    circuit = schedule(flatten(program, solver), "ecp5-25k", clock_mhz=100.0)
    proof = prove(program, circuit.kernel, circuit.stage)
    assert proof.failures == ()
    assert proof.proven
    assert proof.neurons == proof.neurons_proven > 0
    assert proof.outputs_proven == proof.outputs == 4
    assert proof.values_without_overflow == len(circuit.kernel)
    assert proof.latency_balanced


@given(
    st.one_of(
        kernels(),
        kernels(kinds=("linear", "round", "clamp", "wrap", "min"), max_bits=6),
        kernels(kinds=("linear", "clamp", "round"), max_bits=4),
        kernels(kinds=("linear", "less", "equal", "const", "shl"), max_bits=4),
    )
)
@settings(max_examples=80, deadline=None)
def test_whatever_the_passes_do_to_a_kernel_is_proven(kernel: Kernel) -> None:
    """Every op, all roundings: forms of before and after are equal, and no range is narrower than the proof's."""
    kernel = dce(kernel)
    prepared = run_passes(relax(kernel), BEFORE_SOLVING)
    solved = solve_linears(prepared, np.zeros(len(prepared.origins), np.int32), solver)
    done = run_passes(solved, (*CLEANUP, *CLEANUP))
    inputs = list(zip(kernel.lo[: kernel.n_inputs].tolist(), kernel.hi[: kernel.n_inputs].tolist(), strict=True))
    atoms = Atoms(inputs)
    lo, hi = relaxed_ranges(kernel)
    before = forms_of(kernel.with_(lo=lo, hi=hi), atoms, learn=True)
    after = forms_of(done, atoms)
    x = samples(kernel)
    assert np.array_equal(run_kernel(done, x), run_kernel(kernel, x))
    assert [before[v] for v in kernel.outputs] == [after[v] for v in done.outputs]
    for source, forms in ((kernel, before), (done, after)):
        for form, values in zip(forms, values_of(source, x), strict=True):
            lo, hi = atoms.range(form)
            assert lo <= values.min()
            assert values.max() <= hi
    for op, form in zip(done, after, strict=True):
        lo, hi = atoms.range(form)
        assert op.lo <= lo
        assert hi <= op.hi


def _mutants(kernel: Kernel, stage: np.ndarray, seed: int) -> tuple[str, Kernel, np.ndarray]:
    """One random fault in the graph, of a kind that hardware or a compiler could make."""
    rng = np.random.default_rng(seed)
    adders = np.flatnonzero(np.isin(kernel.op, [OpCode.ADD, OpCode.SUB]))
    v = int(rng.choice(adders))
    columns = {key: np.array(getattr(kernel, key)) for key in ("op", "a", "b", "p", "q", "lo", "hi")}
    stage = np.array(stage)
    fault = ("shift", "sign", "operand", "width", "constant", "clamp", "output", "early")[seed % 8]
    if fault == "shift":
        columns["p" if rng.integers(2) else "q"][v] += 1
    elif fault == "sign":
        columns["op"][v] = OpCode.SUB if kernel.op[v] == OpCode.ADD else OpCode.ADD
    elif fault == "operand":
        columns["a"][v] = (columns["a"][v] + 1 + rng.integers(v - 1)) % v
    elif fault == "width":
        columns["hi"][v] = columns["hi"][v] - 1
    elif fault == "constant":
        consts = np.flatnonzero(kernel.op == OpCode.CONST)
        used = consts[np.isin(consts, np.concatenate([kernel.a[adders], kernel.b[adders]]))]
        k = int(rng.choice(used))
        for key in ("p", "lo", "hi"):
            columns[key][k] += 1
    elif fault == "clamp":
        clamps = np.flatnonzero(kernel.op == OpCode.CLAMP)
        columns["q"][int(rng.choice(clamps))] -= 1
    elif fault == "output":
        return fault, kernel.with_(outputs=kernel.outputs[::-1].copy()), stage
    else:
        late = np.flatnonzero((stage > 0) & np.isin(kernel.op, [OpCode.ADD, OpCode.SUB]))
        victim = int(rng.choice(late))
        operand = max(int(kernel.a[victim]), int(kernel.b[victim]), key=lambda o: stage[o])
        stage[victim] = stage[operand] - 1
    return fault, kernel.with_(**columns), stage


@pytest.mark.parametrize("seed", range(64))
def test_mutants_are_killed(seed: int) -> None:
    program = network(seed % 5, Rounding.RND_CONV if seed % 3 else Rounding.RND)
    circuit = schedule(flatten(program, solver), "ecp5-25k", clock_mhz=180.0)
    fault, mutant, stage = _mutants(circuit.kernel, circuit.stage, seed)
    proof = prove(program, mutant, stage)
    if not proof.proven:
        return
    # The only mutants that may live are those that still compute the same function within their ranges.
    n = mutant.n_inputs
    x = np.random.default_rng(0).integers(mutant.lo[:n], mutant.hi[:n], size=(4000, n), endpoint=True)
    assert fault in ("operand", "clamp", "sign")
    assert np.array_equal(run_kernel(mutant, x), run_kernel(circuit.kernel, x))


def test_nearly_all_mutants_are_killed_not_excused() -> None:
    killed = 0
    for seed in range(64):
        program = network(seed % 5)
        circuit = schedule(flatten(program, solver), "ecp5-25k", clock_mhz=180.0)
        _, mutant, stage = _mutants(circuit.kernel, circuit.stage, seed)
        killed += not prove(program, mutant, stage).proven
    assert killed >= 62


def test_a_failure_names_the_layer() -> None:
    program = network(1)
    circuit = schedule(flatten(program, solver), "ecp5-25k", clock_mhz=100.0)
    adder = int(np.flatnonzero(np.isin(circuit.kernel.op, [OpCode.ADD, OpCode.SUB]))[0])
    hi = np.array(circuit.kernel.hi)
    hi[adder] -= 1
    proof = prove(program, circuit.kernel.with_(hi=hi), circuit.stage)
    assert any("layer 'fc1'" in line and "does not hold that" in line for line in proof.failures)


def test_other_ports_are_no_proof() -> None:
    program = network(1)
    flat = flatten(program, solver).flat
    assume_false = prove(program, flat.with_(outputs=flat.outputs[:2]))
    assert assume_false.failures == ("the ports differ",)
    assert not assume_false.latency_balanced


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN, Rounding.RND_CONV])
def test_a_bit_below_all_weights_is_rounded_away_in_the_proof_as_in_the_graph(rounding: Rounding) -> None:
    """Inputs of different scales, so that the neuron is 4·a - 6·b + 10: its last bit is always zero."""
    net = NetworkBuilder("even")
    port = Quantiser.of_arrays(np.array([True, True]), np.array([4, 4]), np.array([0, -1]), Rounding.RND, Overflow.WRAP)
    x = net.add("quantise", "q", [net.input("x", (2,))], {"quantiser": port})
    x = net.add("dense", "fc", [x], {}, {"kernel": np.array([[4.0], [-3.0]]), "bias": np.array([10.0])})
    outer = Quantiser.of_type(FixedType(True, 4, -1), rounding, Overflow.WRAP)
    design = hw.compile(net.build([net.add("quantise", "q1", [x], {"quantiser": outer})]))
    assert prove(design.program, design.circuit.kernel, design.circuit.stage).failures == ()


def test_ties_to_even_of_one_bit_are_proven() -> None:
    """7x of one bit, rounded by 8 with ties to even: spelt otherwise only where the proof can follow."""
    net = NetworkBuilder("one")
    x = net.input("x", (1,))
    port = Quantiser.of_type(FixedType(False, 1, 0))
    x = net.add("quantise", "q", [x], {"quantiser": port})
    x = net.add("dense", "fc", [x], {}, {"kernel": np.array([[7.0]]), "bias": np.zeros(1)})
    wide = Quantiser.of_type(FixedType(False, 2, -3), Rounding.RND_CONV, Overflow.SAT)
    program = simplify(lower(net.build([net.add("quantise", "q1", [x], {"quantiser": wide})]), {"x": port}))
    flat = flatten(program, solver, proven=lambda looped, kernel: prove(looped, kernel).proven)
    assert prove(program, flat.flat).proven
