"""`hardwire export` and `hardwire collect`, as their user sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command

from vendor_reports.report_texts import vivado_timing


@pytest.fixture
def build(here: Path, models: Path, command: Command) -> Path:
    assert command("compile", models / "quantised.onnx", "-o", "build", "--clock-mhz", "100").code == 0
    return here / "build"


def test_export_for_people(build: Path, here: Path, command: Command) -> None:
    ran = command("export", "build", "-o", "out", "--wrapper", "axi_stream", "--backend", "vhdl")
    assert ran.code == 0
    assert "  quantised.vhd\n" in ran.out
    assert "files (vhdl axi_stream), top quantised_axi" in ran.out
    assert ran.out.endswith("→ out\n")
    assert (here / "out" / "quantised.vhd").is_file()


def test_no_proof_without_a_circuit(here: Path, models: Path, command: Command) -> None:
    """Was not done and not said."""
    assert command("compile", models / "quantised.onnx", "-o", "hls", "--backend", "hls-vitis").code == 0
    command.fails("verify", "hls", "--formal", code=2, text="was compiled for hls-vitis, whose own tool schedules it")


def test_export_as_json(build: Path, here: Path, command: Command) -> None:
    ran = command("export", "build", "-o", "out", "--project", "vivado", "--part", "xcku040-ffva1156-2-e", "--json")
    assert ran.code == 0
    assert ran.json == json.loads((here / "out" / "export.json").read_text())
    assert ran.json["part"] == "xcku040-ffva1156-2-e"
    assert ran.json["project"] == "vivado"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--project", "ise"], "project 'ise' is unknown\n  try: one of "),
        (["--project", "vivado"], "--part"),
        (["--backend", "cobol"], "back end 'cobol' is unknown\n  try: one of "),
        (["--backend", "emulator"], "back end 'emulator' is unknown"),
        (["--wrapper", "foil"], "wrapper 'foil' is unknown\n  try: one of "),
        (["--wrapper", "axi_stream:speed=9"], "option 'speed' is unknown"),
    ],
)
def test_export_errors(options: list[str], text: str, build: Path, command: Command) -> None:
    command.fails("export", "build", "-o", "out", *options, code=2, text=text)


def test_export_keeps_off_other_folders(build: Path, here: Path, command: Command) -> None:
    (here / "out").mkdir()
    (here / "out" / "notes.txt").write_text("mine")
    command.fails("export", "build", "-o", "out", code=2, text="'out' exists and is no folder of `hardwire export`")
    command.fails("export", "build", "-o", "build", code=2, text="'build' exists and is no folder of")


def test_collect(build: Path, here: Path, command: Command) -> None:
    (here / "timing.rpt").write_text(vivado_timing({"clk": (10.0, 1.5)}))
    ran = command("collect", "build", "timing.rpt", "--json")
    assert ran.code == 0
    assert ran.json["timing"]["fmax_mhz"] == pytest.approx(1000 / 8.5)
    assert ran.json["contract"]["routed"]["met"] is True
    assert json.loads((build / "report.json").read_text()) == ran.json
    text = command("collect", "build", "timing.rpt").out
    assert "Fmax 117.6 MHz" in text
    assert "contract, routed" in text
    assert command("report", "build").code == 0  # HTML and terminal take a vendor's timing too.


def test_collect_notes_a_report_of_another_design(build: Path, here: Path, command: Command) -> None:
    (here / "timing.rpt").write_text(vivado_timing({"clk": (10.0, 1.5)}, design="trigger_board"))
    ran = command("collect", "build", "timing.rpt")
    assert ran.code == 0
    assert "note: the reports are of 'trigger_board', not of 'quantised' or a wrapper of it" in ran.err
    (here / "timing.rpt").write_text(vivado_timing({"clk": (10.0, 1.5)}, design="quantised_axis"))
    assert "note:" not in command("collect", "build", "timing.rpt").err


def test_collect_says_when_the_contract_is_missed(build: Path, here: Path, command: Command) -> None:
    (here / "timing.rpt").write_text(vivado_timing({"clk": (10.0, -2.5)}))
    ran = command("collect", "build", "timing.rpt")
    assert ran.code == 4
    assert "reached 80.0 MHz" in ran.err
    assert "the contract says at least 100 MHz" in ran.err


def test_collect_errors(build: Path, here: Path, command: Command) -> None:
    (here / "poem.rpt").write_text("Tiger, tiger, burning bright\n")
    command.fails("collect", "build", "poem.rpt", code=2, text="'poem.rpt' is no report that hardwire reads")
    command.fails("collect", "build", "none.rpt", code=2, text="none.rpt")
