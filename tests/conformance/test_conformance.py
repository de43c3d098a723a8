"""Float meaning = interpreter = emulator = simulated hardware = synthesised netlist, for every layer there is."""

from __future__ import annotations

from pathlib import Path

import conformance_suite as suite
import numpy as np
import pytest
from conformance_suite import Record

from hardwire.backends import backends
from hardwire.errors import MissingToolError
from hardwire.ir.program import fraction_bits
from hardwire.layers import known_layers, layer_of
from hardwire.network.reference import forward
from hardwire.proof.formal import prove
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.yosys import synthesise
from hardwire.writing import written

LAYERS = list(known_layers())
QUICK = {"icarus", "ghdl"}
"""Simulators that start at once; the others build a program first and get all layers in one run here."""
EXAMPLES = [
    pytest.param(kind, k, id=f"{kind}-{example.name}")
    for kind in LAYERS
    for k, example in enumerate(suite.examples(kind))
]


@pytest.mark.parametrize("kind", [*LAYERS, suite.ALL])
def test_float_meaning(kind: str, record: Record) -> None:
    case = suite.case(kind)
    worst = 0.0
    program = case.design.program
    meaning = forward(case.network, case.inputs)
    for port, found, wanted in zip(program.outputs, case.reals, meaning, strict=True):
        assert found.shape == wanted.shape, port.name
        producer = case.network.producer(port.name)
        if producer is not None and not layer_of(producer).exact:
            error = float(np.abs(found - wanted).max())
            assert error <= 0.1 * float(np.ptp(wanted)), port.name
            worst = max(worst, error)
            continue
        fracs = [fraction_bits(scale) for scale in program.port_scale(port)]
        short = all(frac is not None and frac <= 24 for frac in fracs)  # Else float64 itself rounds.
        tolerance = 0.0 if short else 1e-12
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=port.name)
    record(kind, "float meaning", f"≈ {worst:.2g}" if worst else str(len(suite.examples(kind))))


@pytest.mark.parametrize("kind", [*LAYERS, suite.ALL])
def test_emulator(kind: str, record: Record) -> None:
    case = suite.case(kind)
    case.check("the emulator", case.design.emulator.run(case.codes))
    given = tuple(case.inputs) if len(case.inputs) > 1 else case.inputs[0]
    found = case.design.predict(given)
    for ours, theirs in zip(found if isinstance(found, tuple) else (found,), case.reals, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    record(kind, "emulator", str(len(suite.examples(kind))))


@pytest.mark.parametrize("kind", [*LAYERS, suite.ALL])
def test_proof(kind: str, record: Record) -> None:
    design = suite.case(kind).design
    proof = prove(design.program, design.circuit.kernel, design.circuit.stage)
    assert proof.proven, proof.failures
    record(kind, "formal proof", str(len(suite.examples(kind))))


@pytest.mark.tools
@pytest.mark.parametrize(
    ("kind", "language", "simulator"),
    [
        pytest.param(
            kind, *route, marks=[pytest.mark.slow] if route[1] not in QUICK and kind != suite.ALL else [],
            id="-".join((kind, *route)),
        )
        for kind in [*LAYERS, suite.ALL]
        for route in suite.routes()
    ],
)  # fmt: skip
def test_simulated(kind: str, language: str, simulator: str, tmp_path: Path, record: Record) -> None:
    case = suite.case(kind, language)
    case.check(f"{language} in {simulator}", case.simulate(simulator, tmp_path))
    record(kind, f"{language}, {simulator}", str(len(suite.examples(kind))))


@pytest.mark.tools
@pytest.mark.parametrize("kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in LAYERS), suite.ALL])
def test_netlist(kind: str, tmp_path: Path, record: Record) -> None:
    case = suite.case(kind)
    circuit = case.design.circuit
    source = tmp_path / f"{case.design.module}.v"
    source.write_text(case.design.files[next(name for name in case.design.files if name.endswith(source.name))])
    try:
        netlist = synthesise([source], case.design.module, family="ecp5", workdir=tmp_path, dsp=True)
    except MissingToolError as error:
        pytest.skip(str(error))
    simulation = NetlistSimulator(netlist.json_path, case.design.module).run(
        suite.packed(circuit.inputs, case.codes), latency=circuit.latency, gaps=0.25
    )
    case.check("the netlist", suite.unpacked(circuit.outputs, simulation.outputs))
    record(kind, "netlist, ecp5", str(len(suite.examples(kind))))


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(("kind", "k"), EXAMPLES)
def test_each_example_alone(kind: str, k: int, tmp_path: Path) -> None:
    """A module of its own: other pipelines and ports than side by side."""
    case = suite.Case(suite.examples(kind)[k].network, vectors=100)
    case.check("the emulator", case.design.emulator.run(case.codes))
    case.check("Icarus", case.simulate("icarus", tmp_path))


@pytest.mark.parametrize("language", backends())
def test_a_back_end_writes_the_same_text_twice(language: str) -> None:
    design = suite.case(suite.ALL, language).design
    clock = design.report_data["clock_mhz"]
    again = written(design.module, design.program, design.hardware, design.target, clock, language)
    assert dict(again) == dict(design.files)
    assert all(text.endswith("\n") for text in again.values())


@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_has_examples_of_its_own(kind: str) -> None:
    parts = suite.examples(kind)
    assert parts
    assert len({part.name for part in parts}) == len(parts)
    for part in parts:
        assert any(node.kind == kind for node in part.network.nodes), part.name


def test_a_wrong_engine_is_noticed() -> None:
    """The suite itself can fail: one wrong bit of one answer names its example."""
    case = suite.case("relu")
    wrong = [answers.copy() for answers in case.answers]
    wrong[0][17, 0] ^= 1
    with pytest.raises(AssertionError, match=r"a liar differs in \['vector\.\S+: 1 of 200 vectors'\]"):
        case.check("a liar", wrong)
