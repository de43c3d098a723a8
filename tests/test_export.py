"""`Design.export` and `Design.collect`: the way to other tools and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hardwire as hw
from drawn_models import Grid, qonnx_file, random_model
from hardwire import backends
from hardwire.backends import BackendError
from hardwire.errors import HardwireError, ModelError
from hardwire.export import RECORD, ExportError
from hardwire.projects import ProjectError, projects
from hardwire.wrappers import WrapperError, wrappers
from vendor_reports.report_texts import vivado_timing

FROM_PROGRAM = [name for name in backends.backends() if backends.from_program(name)]
RTL = [name for name in backends.backends() if not backends.from_program(name)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grids = {"input_grid": Grid(True, 6, 3), "between": [("relu", Grid(False, 6, 2)), ("none", None)]}
    network = random_model([4, 5, 3], 1, weight_bits=4, bias=True, **grids)
    return qonnx_file(network, tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="module")
def design(model: Path) -> hw.Design:
    return hw.compile(model, clock_mhz=100)


def files_of(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_plain_export_is_the_builds_own_files(design: hw.Design, tmp_path: Path) -> None:
    record = design.export(tmp_path / "out")
    found = files_of(tmp_path / "out")
    assert json.loads(found.pop(RECORD)) == record
    assert found == dict(design.files)
    assert record["top"] == design.module
    assert (record["backend"], record["wrapper"], record["project"]) == ("verilog", None, None)
    assert record["files"] == sorted(design.files)


@pytest.mark.parametrize("language", backends.backends())
def test_every_language_comes_from_one_build(design: hw.Design, model: Path, language: str, tmp_path: Path) -> None:
    """What is exported in a language is what compiling for it writes."""
    design.export(tmp_path / "out", backend=language)
    found = files_of(tmp_path / "out")
    found.pop(RECORD)
    assert found == dict(hw.compile(model, clock_mhz=100, backend=language).files)


@pytest.mark.parametrize("language", FROM_PROGRAM)
def test_a_design_for_emulation_leaves_as_cpp(model: Path, language: str, tmp_path: Path) -> None:
    emulated = hw.compile(model, backend="emulator")
    emulated.export(tmp_path / "out", backend=language)
    assert any(name.endswith(".cpp") for name in files_of(tmp_path / "out"))


@pytest.mark.parametrize("language", RTL)
def test_what_was_never_scheduled_has_no_rtl(model: Path, language: str, tmp_path: Path) -> None:
    emulated = hw.compile(model, backend="emulator")
    with pytest.raises(HardwireError, match="compiled for emulation only") as error:
        emulated.export(tmp_path / "out", backend=language)
    assert "--backend verilog" in str(error.value)
    with pytest.raises(ExportError, match="compiled for emulation only, so there is nothing to hand over"):
        emulated.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", wrappers())
def test_wrapped(design: hw.Design, name: str, tmp_path: Path) -> None:
    record = design.export(tmp_path / "out", wrapper=name)
    found = files_of(tmp_path / "out")
    assert record["top"] != design.module
    assert any(f"module {record['top']}" in text for path, text in found.items() if path.endswith(".v"))
    assert f"{design.module}.v" in found
    assert record["wrapper"] == name
    # No constraint or test bench of the core is left: its ports are inside.
    assert f"tb/test_{design.module}.py" not in found


def test_a_wrapper_around_vhdl_brings_no_bench_that_cannot_run(design: hw.Design, tmp_path: Path) -> None:
    files = design.export(tmp_path / "out", backend="vhdl", wrapper="axi_stream")["files"]
    assert f"{design.module}.vhd" in files
    assert not [name for name in files if name.startswith("tb/")]


def fitting() -> list[tuple[str, str]]:
    """Every project with a back end that it takes and that is here: either may come first."""
    from hardwire.backends import backends
    from hardwire.projects import project

    return [(name, language) for name in projects() for language in project(name).BACKENDS if language in backends()]


@pytest.mark.parametrize(("project", "language"), fitting())
def test_projects(design: hw.Design, project: str, language: str, tmp_path: Path) -> None:
    choices: dict[str, Any] = {"project": project, "backend": language}
    if project in PARTS:
        # No usual part of this vendor's for the target: the error asks for one.
        with pytest.raises(ProjectError, match="--part"):
            design.export(tmp_path / "out", **choices)
        choices["part"] = PARTS[project]
    record = design.export(tmp_path / "out", **choices)
    found = files_of(tmp_path / "out")
    assert sorted(found) == sorted([RECORD, *record["files"]])
    assert set(sources(design, language)) < set(found), "the project added no file to the sources"
    assert str(tmp_path) not in "".join(found.values())


PARTS = {
    "vivado": "xc7a35ticsg324-1L",
    "vitis": "xc7a35ticsg324-1L",
    "quartus": "10CX220YF780E5G",
    "libero": "MPF300T-1FCG1152E",
    "radiant": "LIFCL-40-9BG400C",
    "gowin": "GW2A-LV18PG256C8/I7",
}


def sources(design: hw.Design, language: str) -> list[str]:
    return list(design.files) if language == design.backend else [f"{design.module}.vhd"] * (language == "vhdl")


@pytest.mark.parametrize(
    ("choices", "error", "text"),
    [
        ({"backend": "fortran"}, BackendError, "back end 'fortran' is unknown"),
        ({"wrapper": "paper"}, WrapperError, "wrapper 'paper' is unknown"),
        ({"project": "ise"}, ProjectError, "project 'ise' is unknown"),
        ({"part": "xc7"}, ExportError, "part 'xc7' is for a vendor's project, and none is asked for"),
        ({"project": "vitis"}, ProjectError, "takes no files of back end 'verilog'"),
        ({"backend": "hls-vitis", "wrapper": "axi_stream"}, ExportError, "back end 'hls-vitis' writes none"),
        ({"backend": "hls-vitis", "project": "quartus"}, ProjectError, "takes no files of back end 'hls-vitis'"),
    ],
)
def test_choices_that_do_not_fit(
    design: hw.Design, choices: dict[str, str], error: type[HardwireError], text: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=text):
        design.export(tmp_path / "out", **choices)
    assert list(tmp_path.iterdir()) == []


def test_an_export_replaces_an_export_and_nothing_else(design: hw.Design, tmp_path: Path) -> None:
    out = tmp_path / "out"
    design.export(out, wrapper="valid_ready")
    design.export(out)
    assert set(files_of(out)) == {RECORD, *design.files}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelError, match=r"exists and is no folder of `hardwire export`"):
        design.export(tmp_path / "mine")
    assert files_of(tmp_path / "mine") == {"thesis.tex": "years of work"}


def test_an_interrupt_leaves_the_old_export(design: hw.Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    design.export(out)
    before = files_of(out)
    monkeypatch.setattr("hardwire.export.json.dumps", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        design.export(out, wrapper="valid_ready")
    assert files_of(out) == before
    assert list(tmp_path.iterdir()) == [out]


def test_equal_exports_are_equal_bytes(design: hw.Design, tmp_path: Path) -> None:
    for name in ("one", "two"):
        design.export(tmp_path / name, wrapper="axi_stream", project="diamond")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize(("slack", "met"), [(2.0, True), (-2.5, False)])
def test_a_vendors_timing_is_held_against_the_contract(model: Path, slack: float, met: bool, tmp_path: Path) -> None:
    build = hw.compile(model, clock_mhz=100, target="xcup")
    home = build.save(tmp_path / "build")
    (tmp_path / "timing.rpt").write_text(vivado_timing({"clk": (10.0, slack)}))
    found = build.collect([tmp_path / "timing.rpt"])
    fmax = 1000.0 / (10.0 - slack)
    assert found["timing"]["fmax_mhz"] == pytest.approx(fmax)
    assert "Vivado" in found["timing"]["tool"]
    routed = found["contract"]["routed"]
    assert routed["met"] is met
    assert routed["latency_ns"] == pytest.approx(found["latency"]["cycles"] * 1000.0 / fmax)
    assert hw.load(home).report_data["contract"]["routed"] == routed


def test_a_file_that_is_no_report(design: hw.Design, tmp_path: Path) -> None:
    (tmp_path / "poem.rpt").write_text("Tiger, tiger, burning bright\n")
    before = json.dumps(design.report_data, default=str)
    with pytest.raises(HardwireError, match=r"poem\.rpt"):
        design.collect([tmp_path / "poem.rpt"])
    assert json.dumps(design.report_data, default=str) == before
