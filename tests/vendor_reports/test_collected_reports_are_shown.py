"""What was collected is shown in the terminal and on the page as the open tools' own results are."""

from __future__ import annotations

import copy
import io
from pathlib import Path

import pytest
import report_texts as texts
from rich.console import Console

from hardwire.report.html import render_html
from hardwire.report.schema import contract_after_route
from hardwire.report.terminal import report_table
from hardwire.vendor_reports import collect
from report.report_samples import compiled, small_network

RUNS = {
    "vivado": {"a.rpt": texts.vivado_utilisation(), "b.rpt": texts.vivado_timing({"clk": (2.5, -0.25)})},
    "unconstrained": {"a.rpt": texts.vivado_utilisation(), "b.rpt": texts.vivado_timing({})},
    "hls": {"csynth.xml": texts.csynth_xml(), "net_cosim.rpt": texts.COSIM},
    "quartus": {
        "net.fit.summary": texts.fit_summary(),
        "net.sta.rpt": texts.sta_report({"clk": 5.0}, {"Slow": {"clk": "210 MHz"}}, {"Slow": {"clk": 0.2}}),
    },
    "libero": {
        "net.rpt": texts.libero_resources(),
        "net.xml": texts.smarttime_xml([["clk", "5", "200", "0.5", "slow"]]),
    },
}


@pytest.fixture(scope="module")
def plain():
    with pytest.MonkeyPatch.context() as patch:
        return compiled(patch, small_network())


@pytest.mark.parametrize("run", sorted(RUNS))
def test_collected_reports_are_shown(run: str, plain, tmp_path: Path):
    for name, text in RUNS[run].items():
        (tmp_path / name).write_text(text)
    report = {**copy.deepcopy(plain), **collect([tmp_path])}
    contract_after_route(report)
    text = io.StringIO()
    Console(file=text, width=110, color_system=None).print(report_table(report))
    page = render_html(report)
    if run == "vivado":
        assert "Fmax 363.6 MHz" in text.getvalue()
        assert "(Vivado 2023.2)" in text.getvalue()
        assert "15,973 LUT, 536 CARRY" in text.getvalue()
        assert "400.0 MHz needed" in page
    if run == "quartus":
        assert "54,959 ALM, 83,568 FF" in text.getvalue()
        assert "Quartus 23.1std.1" in page
    if run == "hls":
        assert "9 cycles, interval 2, 400.0 MHz, 1,024 LUT, 512 FF, 4 DSP, 2 BRAM, verilog Pass" in text.getvalue()
    if run == "unconstrained":
        assert "no path between registers is constrained" in text.getvalue()
