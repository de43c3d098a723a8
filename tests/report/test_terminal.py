from __future__ import annotations

import copy
import io

import pytest
from rich.console import Console

from hardwire.report.terminal import report_table, verification_table
from report.report_samples import LEAST, compiled, full, small_network


@pytest.fixture(scope="module")
def everything():
    with pytest.MonkeyPatch.context() as patch:
        return full(compiled(patch, small_network()))


def shown(what, width=110):
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(what)
    return text.getvalue()


def test_the_least_report():
    text = shown(report_table(LEAST))
    assert "least for ecp5-85k" in text
    assert "3 cycles, 20.0 ns at 150.0 MHz" in text


def test_everything(everything):
    text = shown(report_table(everything))
    for words in (
        "196 LUT, 1,561 CARRY, 674 FF, 0 DSP, 0 BRAM",
        "Fmax 93.4 MHz, latency 53.5 ns (seed 2, best of 2)",
        "met: 53.5 ns, 93.4 MHz (asked: at most 100 ns)",
        "emulator = netlist",
        "8 of 8 neurons",
    ):
        assert words in text, words


def test_layers_are_shown_where_there_is_room(everything):
    assert "(ports)" in shown(report_table(everything), 110)
    assert "(ports)" not in shown(report_table(everything), 80)


def test_names_are_no_markup(everything):
    report = copy.deepcopy(everything)
    report["name"] = report["layers"][1]["layer"] = report["calibration"]["types"][0]["name"] = "[red]x[/blue]"
    report["verification"]["emulator_rtl"]["tool"] = "[/]tool"
    text = shown(report_table(report), 120)
    assert text.count("[red]x[/blue]") == 3
    assert "[/]tool" in text


def test_what_was_not_run_is_said():
    text = shown(verification_table({"emulator_rtl": {"vectors": 0, "mismatches": None, "why": "no simulator"}}))
    assert "not run" in text
    assert "no simulator" in text


def test_no_place_and_route(everything):
    report = {**everything, "timing": {"fmax_mhz": None, "critical_path": [], "note": "not placed and routed"}}
    assert "not placed and routed" in shown(report_table(report))
