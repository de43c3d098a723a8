"""The framework's own forward = emulator = simulated hardware = netlist, for small models of every frontend."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import conformance_suite as suite
import pytest
from conformance_case import Ready, RecordCase, cases, check, frontend_modules, ready

import hardwire as hw
from hardwire.errors import MissingToolError
from hardwire.proof.formal import prove
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.yosys import synthesise

FRONTENDS = list(frontend_modules())
EACH = [pytest.param(name, case, id=f"{name}-{case}") for name in FRONTENDS for case in cases(name)]


@pytest.mark.parametrize(("frontend", "name"), EACH)
def test_forward(frontend: str, name: str, tmp_path: Path, record_case: RecordCase) -> None:
    found = ready(cases(frontend)[name], tmp_path)
    record_case(frontend, found.case, "emulator", check(found))


@cache
def joint(frontend: str, folder: Path, language: str = "verilog") -> tuple[list[Ready], suite.Case]:
    """All cases of a frontend side by side in one design."""
    parts = []
    for k, case in enumerate(cases(frontend).values()):
        (place := folder / str(k)).mkdir(exist_ok=True)
        parts.append(ready(case, place))
    network = suite.together(frontend, [suite.Example(part.case.name, part.network) for part in parts])
    types = {f"{part.case.name}.{name}": kind for part in parts for name, kind in part.types.items()}
    return parts, suite.Case(network, vectors=80, language=language, exact=not network.quantised, input_type=types)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frontends")


@pytest.mark.slow
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_proof(frontend: str, place: Path, record_case: RecordCase) -> None:
    parts, side_by_side = joint(frontend, place)
    design = side_by_side.design
    proof = prove(design.program, design.circuit.kernel, design.circuit.stage)
    assert proof.proven, proof.failures
    for part in parts:
        record_case(frontend, part.case, "formal proof", 0.0)


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize(
    ("frontend", "language", "simulator"),
    [pytest.param(name, *route, id="-".join((name, *route))) for name in FRONTENDS for route in suite.routes()],
)
def test_simulated(
    frontend: str, language: str, simulator: str, place: Path, tmp_path: Path, record_case: RecordCase
) -> None:
    parts, side_by_side = joint(frontend, place, language)
    side_by_side.check(f"{language} in {simulator}", side_by_side.simulate(simulator, tmp_path))
    for part in parts:
        record_case(frontend, part.case, f"{language}, {simulator}", 0.0)


@pytest.mark.slow
@pytest.mark.tools
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_netlist(frontend: str, place: Path, tmp_path: Path, record_case: RecordCase) -> None:
    parts, side_by_side = joint(frontend, place)
    design: hw.Design = side_by_side.design
    source = tmp_path / f"{design.module}.v"
    source.write_text(design.files[next(name for name in design.files if name.endswith(source.name))])
    try:
        netlist = synthesise([source], design.module, family="ecp5", workdir=tmp_path, dsp=True)
    except MissingToolError as error:
        pytest.skip(str(error))
    inputs = suite.packed(design.circuit.inputs, side_by_side.codes)
    simulator = NetlistSimulator(netlist.json_path, design.module)
    simulation = simulator.run(inputs, latency=design.circuit.latency, gaps=0.25)
    side_by_side.check("the netlist", suite.unpacked(design.circuit.outputs, simulation.outputs))
    for part in parts:
        record_case(frontend, part.case, "netlist, ecp5", 0.0)
