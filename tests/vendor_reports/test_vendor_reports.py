"""Reports of vendors' tools become parts of report.json: values, versions, truncation, contradictions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import report_texts as texts
from hypothesis import given
from hypothesis import strategies as st

from hardwire import vendor_reports
from hardwire.vendor_reports import VendorReportError, collect, read, reader, readers


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def parsed(tool: str, text: str) -> dict:
    module = reader(tool)
    assert module.accepts(Path("some.rpt"), text[:8192])
    assert [name for name in readers() if reader(name).accepts(Path("x"), text[:8192])] == [tool]
    return module.parse(text)


# Vivado


def test_vivado_ultrascale():
    part = parsed("vivado", texts.vivado_utilisation())["synthesis"]
    assert part == {
        "lut": 15973,
        "ff": 14846,
        "carry": 536,
        "dsp": 144,
        "bram": 2.5,
        "uram": 3,
        "available": {"lut": 216960, "ff": 433920, "dsp": 1824, "bram": 480},
        "stage": "routed",
        "design": "net",
        "part": "xcku5p-ffvb676-2-e",
        "tool": "Vivado 2023.2",
    }


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ("Synthesized", "synthesised"),
        ("Fully Placed", "placed"),
        ("Routed", "routed"),
        ("Fully Routed", "routed"),
        ("Physopt postRoute", "routed"),
    ],
)
def test_vivado_seven_series_before_2022(state: str, stage: str):
    text = texts.vivado_utilisation(
        "Slice", star="*", bram=0.5, carry=61, state=state, prohibited=False, version="2018.1", device="7a100tcsg324-1"
    )
    part = parsed("vivado", text)["synthesis"]
    assert (part["lut"], part["ff"], part["carry"], part["bram"]) == (15973, 14846, 61, 0.5)
    assert (part["stage"], part["part"], part["tool"]) == (stage, "7a100tcsg324-1", "Vivado 2018.1")
    assert "uram" not in part


def test_vivado_timing():
    part = parsed("vivado", texts.vivado_timing({"clk": (2.5, 0.285)}))["timing"]
    assert (part["clock"], part["clock_mhz"], part["wns_ns"]) == ("clk", 400.0, 0.285)
    assert part["fmax_mhz"] == pytest.approx(1000 / 2.215, abs=1e-3)
    assert part["path"] == {"from": "core/fc1_0_r1_reg[0]/C", "to": "core/fc1_7_r1_reg[28]/D"}
    steps = [(step["kind"], step["ns"], step["net"] or step["cell"]) for step in part["critical_path"]]
    assert steps == [
        ("clk-to-q", 0.096, "core.fc1_0_r1_reg[0]"),
        ("routing", 0.380, "core.fc1_0_r1[0]"),
        ("logic", 0.082, "core.fc1_3[2]_i_1"),
        ("routing", 0.480, "core.fc1_3[2]"),
        ("logic", 0.087, "core.fc1_7_carry"),
        ("setup", 0.044, "core.fc1_7_r1_reg[28]"),
    ]
    # Clock to output, cells and nets make the report's own data path delay.
    assert sum(step["ns"] for step in part["critical_path"][:-1]) == pytest.approx(1.125)


def test_vivado_a_path_from_a_pin_is_none_between_registers():
    text = texts.vivado_timing({"clk": (5.0, -0.147)})
    text = text.replace(
        "Max Delay Paths  \n" + "-" * 86 + "  \n", "Max Delay Paths\n" + "-" * 86 + "\n" + texts.PIN_PATH
    )
    part = parsed("vivado", text)["timing"]
    assert part["path"] == {"from": "stb", "to": "shift_reg[114]/D"}
    assert (part["critical_path"], part["wns_ns"]) == ([], -0.147)


def test_vivado_several_clocks_and_negative_slack():
    part = parsed(
        "vivado", texts.vivado_timing({"slow_clock": (10.0, 3.0), "clk": (2.5, -0.250), "idle": (5.0, None)})
    )["timing"]
    assert (part["clock"], part["wns_ns"], part["fmax_mhz"]) == ("clk", -0.25, pytest.approx(363.636, abs=1e-3))
    assert part["clocks"]["slow_clock"] == {
        "clock_mhz": 100.0,
        "wns_ns": 3.0,
        "fmax_mhz": pytest.approx(142.857, abs=1e-3),
    }
    assert part["clocks"]["idle"] == {"clock_mhz": 200.0, "wns_ns": None, "fmax_mhz": None}
    assert part["critical_path"][0]["cell"] == "core.fc1_0_r1_reg[0]"


@pytest.mark.parametrize("clocks", [{}, {"clk": (2.5, None)}])
def test_vivado_unconstrained(clocks: dict):
    part = parsed("vivado", texts.vivado_timing(clocks))["timing"]
    assert part["fmax_mhz"] is None
    assert part["note"] == "no path between registers is constrained by a clock"
    assert part["critical_path"] == []


@given(
    period=st.floats(0.5, 50).map(lambda x: round(x, 3)),
    part=st.floats(-2, 0.99),
    lut=st.integers(0, 10**7),
    halves=st.integers(0, 5000),
)
def test_vivado_any_numbers(period: float, part: float, lut: int, halves: int):
    slack = round(period * part, 3)
    timing = parsed("vivado", texts.vivado_timing({"clk": (period, slack)}))["timing"]
    assert timing["wns_ns"] == slack
    assert timing["fmax_mhz"] == pytest.approx(1000 / (period - slack), rel=1e-3, abs=1e-3)
    use = parsed("vivado", texts.vivado_utilisation(lut=lut, bram=halves / 2 if halves % 2 else halves // 2))[
        "synthesis"
    ]
    assert (use["lut"], use["bram"]) == (lut, halves / 2)


def test_vivado_other_reports():
    assert not reader("vivado").accepts(Path("power.rpt"), texts.vivado_head("report_power"))
    head = texts.vivado_head("report_utilization") + "\n" + texts.drawn(["Instance", "Module"], [["net", "(top)"]])
    with pytest.raises(VendorReportError, match="not -hierarchical"):
        parsed("vivado", head)


# Vitis HLS


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        (texts.csynth_xml(), "Vitis HLS 2023.2"),
        (texts.csynth_xml("2019.2", dsp="DSP48E"), "Vivado HLS 2019.2"),
        (texts.csynth_report(), "Vitis HLS 2023.2"),
        (texts.csynth_report("Vivado", "2018.3", absolute=False, dsp="DSP48E"), "Vivado HLS 2018.3"),
    ],
)
def test_vitis_hls(text: str, tool: str):
    part = parsed("vitis_hls", text)["hls"]
    assert part == {
        "clock_mhz": 250.0,
        "fmax_mhz": 400.0,
        "latency_cycles": 9,
        "latency": {"min": 7, "max": 9},
        "initiation_interval": 2,
        "interval": {"min": 1, "max": 2},
        "estimate": {"lut": 1024, "ff": 512, "dsp": 4, "bram": 2, "uram": 0},
        "design": "net",
        "part": "xcku5p-ffvb676-2-e",
        "tool": tool,
    }


def test_vitis_hls_unknown_latency():
    assert parsed("vitis_hls", texts.csynth_xml(latency="undef"))["hls"]["latency_cycles"] is None
    text = texts.csynth_report().replace("|        9|", "|        ?|")
    assert parsed("vitis_hls", text)["hls"]["latency"] == {"min": 7, "max": None}


def test_vitis_hls_cosimulation(write):
    part = parsed("vitis_hls", texts.COSIM)["hls"]
    assert part == {"cosimulation": {"verilog": {"status": "Pass", "latency": {"min": 9, "max": 10}}}}
    both = collect([write("csynth.xml", texts.csynth_xml()), write("net_cosim.rpt", texts.COSIM)])["hls"]
    assert both["latency_cycles"] == 9
    assert both["cosimulation"]["verilog"]["status"] == "Pass"
    assert both["file"] == "csynth.xml, net_cosim.rpt"


def test_vitis_hls_fields_that_are_missing():
    text = texts.csynth_xml().replace("<LUT>1024</LUT>", "", 1)
    with pytest.raises(VendorReportError, match=r"field 'AreaEstimates/Resources/LUT' is not told"):
        parsed("vitis_hls", text)
    text = texts.csynth_xml().replace("4.00<", "four<")
    with pytest.raises(VendorReportError, match=r"field 'UserAssignments/TargetClockPeriod' is 'four', no number"):
        parsed("vitis_hls", text)


def test_xml_with_entities_is_refused():
    text = '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "b">]>' + texts.csynth_xml().split("?>")[1]
    with pytest.raises(VendorReportError, match="declares a document type"):
        parsed("vitis_hls", text)


# Quartus


def test_quartus_fit_summary():
    part = parsed("quartus", texts.fit_summary())["synthesis"]
    assert part == {
        "alm": 54959,
        "ff": 83568,
        "bram": 496,
        "dsp": 10,
        "available": {"alm": 251680, "bram": 2131, "dsp": 1687},
        "stage": "routed",
        "design": "net",
        "part": "10AX027H4F34E3SG",
        "tool": "Quartus 23.1std.1",
    }
    part = parsed("quartus", texts.fit_summary(elements=True, ff="1,581"))["synthesis"]
    assert (part["logic_elements"], part["lut"], part["ff"], part["dsp"]) == (9333, 9331, 1581, 46)


def test_quartus_fit_and_map_reports():
    part = parsed("quartus", texts.quartus_usage("Fitter"))["synthesis"]
    assert (part["alm"], part["lut"], part["ff"], part["bram"], part["dsp"]) == (54959, 61002, 83568, 496, 10)
    assert part["stage"] == "routed"
    part = parsed("quartus", texts.quartus_usage("Analysis & Synthesis"))["synthesis"]
    assert (part["lut"], part["ff"], part["dsp"], part["stage"]) == (60900, 83000, 10, "synthesised")


def test_quartus_logic_elements_of_a_fit_report():
    part = parsed("quartus", texts.quartus_cyclone4_usage())["synthesis"]
    assert (part["logic_elements"], part["lut"], part["ff"], part["bram"], part["dsp"]) == (1632, 1584, 650, 2, 0)
    assert part["available"] == {"logic_elements": 22320, "ff": 23018, "bram": 66, "dsp": 132}


def test_quartus_failed_run():
    with pytest.raises(VendorReportError, match=r"line 1: the run did not succeed: 'Failed - Thu"):
        parsed("quartus", texts.fit_summary("Failed - Thu Apr  3 12:11:15 2025"))


def test_quartus_timing_takes_the_slowest_model():
    text = texts.sta_report(
        {"clk": 5.0, "pll|other": 20.0},
        {
            "Slow 1100mV 85C": {"clk": "210.5 MHz", "pll|other": "70.0 MHz"},
            "Slow 1100mV 0C": {"clk": "198.02 MHz", "pll|other": "1.2 GHz"},
        },
        {"Slow 1100mV 85C": {"clk": 0.249, "pll|other": 5.7}, "Slow 1100mV 0C": {"clk": -0.050}, "Fast": {"clk": 2.0}},
    )
    part = parsed("quartus", text)["timing"]
    assert (part["clock"], part["fmax_mhz"], part["wns_ns"], part["clock_mhz"]) == ("clk", 198.02, -0.05, 200.0)
    assert part["clocks"]["pll|other"] == {"clock_mhz": 50.0, "wns_ns": 5.7, "fmax_mhz": 70.0}
    assert "path" not in part
    listed = texts.sta_report({"clk": 5.0}, {}, {"Slow": {"clk": 0.2}, "Fast": {"clk": -0.1}}, paths=True)
    assert parsed("quartus", listed)["timing"]["path"] == {"from": "from_F", "to": "to_F"}
    older = text.replace("Timing Analyzer", "TimeQuest Timing Analyzer").replace("Quartus Prime", "Quartus II 64-Bit")
    assert parsed("quartus", older)["timing"]["fmax_mhz"] == 198.02


def test_quartus_unconstrained():
    text = (
        texts.sta_report({"clk": 5.0}, {}, {})
        + "------------------\n; Slow Model Setup Summary ;\nNo paths to report.\n"
    )
    part = parsed("quartus", text)["timing"]
    assert part["fmax_mhz"] is None
    assert part["clocks"]["clk"]["wns_ns"] is None


def test_quartus_other_reports():
    for text in (
        texts.quartus_head("Assembler"),
        texts.quartus_head("Flow"),
        "Analysis & Synthesis Status : Successful",
    ):
        assert not reader("quartus").accepts(Path("net.asm.rpt"), text)


# Libero


@pytest.mark.parametrize("text", [texts.libero_resources(), texts.libero_resources_xml()])
def test_libero_resources(text: str):
    part = parsed("libero", text)["synthesis"]
    assert (part["lut"], part["ff"], part["dsp"], part["bram"], part["usram"]) == (18912, 11233, 12, 16, 60)
    assert part["available"]["lut"] == 192408


def test_libero_smartfusion2_names():
    rows = [["4LUT", 5, 100, 5], ["DFF", 6, 100, 6], ["RAM64x18", 1, 34, 2], ["RAM1K18", 2, 31, 6], ["MACC", 3, 34, 8]]
    part = parsed("libero", texts.libero_resources(rows))["synthesis"]
    assert (part["lut"], part["ff"], part["dsp"], part["bram"], part["usram"]) == (5, 6, 3, 2, 1)


def test_libero_timing():
    text = texts.smarttime_xml(
        [
            ["clk", "5.000", "200.000", "0.750", "slow_lv_ht"],
            ["clk", "5.000", "200.000", "-0.263", "slow_lv_lt"],
            ["other", "20.000", "50.000", "N/A", ""],
        ]
    )
    part = parsed("libero", text)["timing"]
    assert (part["clock"], part["wns_ns"], part["tool"]) == ("clk", -0.263, "Libero SoC 2023.2.0.8")
    assert part["fmax_mhz"] == pytest.approx(1000 / 5.263, abs=1e-3)
    assert part["clocks"]["other"] == {"clock_mhz": 50.0, "wns_ns": None, "fmax_mhz": None}


def test_libero_timing_text():
    part = parsed("libero", texts.SMARTTIME_TEXT)["timing"]
    assert (part["clock_mhz"], part["wns_ns"], part["fmax_mhz"]) == (200.0, -0.25, 190.476)
    text = texts.SMARTTIME_TEXT.split("END SUMMARY")[0]
    with pytest.raises(VendorReportError, match="'END SUMMARY'"):
        parsed("libero", text)


def test_libero_unconstrained():
    assert parsed("libero", texts.smarttime_xml([["clk", "N/A", "N/A", "N/A", ""]]))["timing"]["fmax_mhz"] is None


# All


SAMPLES = {
    "utilization.rpt": texts.vivado_utilisation(),
    "timing.rpt": texts.vivado_timing({"clk": (2.5, 0.25)}),
    "csynth.xml": texts.csynth_xml(),
    "net_csynth.rpt": texts.csynth_report(),
    "net_cosim.rpt": texts.COSIM,
    "net.fit.summary": texts.fit_summary(),
    "net.fit.rpt": texts.quartus_usage(),
    "net.sta.rpt": texts.sta_report({"clk": 5.0}, {"Slow": {"clk": "210 MHz"}}, {"Slow": {"clk": 0.2}}),
    "net_pins_compile_netlist_resources.rpt": texts.libero_resources(),
    "net_pins_compile_netlist_resources.xml": texts.libero_resources_xml(),
    "net_pins_max_timing_multi_corner.xml": texts.smarttime_xml([["clk", "5", "200", "0.5", "slow"]]),
    "net_pins_max.txt": texts.SMARTTIME_TEXT,
}


def attempt(path: Path) -> tuple[dict, str | None]:
    try:
        return read(path), None
    except VendorReportError as error:
        return {}, str(error)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_truncation_is_an_error_or_keeps_the_values(name: str, write):
    """Cut at any line: an error that names the file and a line, a field or a row; or nothing that was told is lost."""
    text = SAMPLES[name]
    whole = read(write(name, text))
    lines = text.splitlines(keepends=True)
    failed = 0
    for end in range(len(lines)):
        path = write(name, "".join(lines[:end]))
        found, error = attempt(path)
        if error is not None:
            failed += 1
            assert name in error
        for part, fields in found.items():
            for field, value in fields.items():
                # What stands behind the cut may be left out, never changed.
                if field not in ("available", "clocks", "critical_path", "path") and value is not None:
                    assert value == whole[part][field], (end, field)
    assert failed > len(lines) // 3


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_cut_within_a_line_is_survived(name: str, write):
    text = SAMPLES[name]
    for end in range(0, len(text), 37):
        _, error = attempt(write(name, text[:end]))
        assert error is None or name in error


def test_a_row_that_is_cut_names_its_line(write):
    text = texts.vivado_utilisation()
    line = text[: text.index("| CLB LUTs")].count("\n") + 1
    path = write("cut.rpt", text.replace("15973", " many"))
    with pytest.raises(VendorReportError, match=rf"cut\.rpt': line {line}: CLB LUTs is 'many', no number"):
        read(path)


def test_no_report(write, tmp_path: Path):
    with pytest.raises(
        VendorReportError, match=r"notes\.txt' is no report that hardwire reads\n  try: one of .*Quartus'"
    ):
        read(write("notes.txt", "nothing"))
    with pytest.raises(VendorReportError, match=r"none\.rpt' cannot be read: No such file"):
        read(tmp_path / "none.rpt")
    with pytest.raises(VendorReportError, match=r"no reports were given"):
        collect([])
    (tmp_path / "empty").mkdir()
    with pytest.raises(VendorReportError, match=r"empty' holds no report"):
        collect([tmp_path / "empty"])
    with pytest.raises(VendorReportError, match=r"no reports of 'ise' are read\n  try: of libero, quartus, vi"):
        reader("ise")


def test_quartus_text_that_is_no_utf8(tmp_path: Path):
    path = tmp_path / "net.fit.summary"
    path.write_bytes(texts.fit_summary().replace("Standard", "Stand\xe4rd").encode("latin-1"))
    assert read(path)["synthesis"]["ff"] == 83568


def test_collect_merges_a_run(write, tmp_path: Path):
    write("out/utilization.rpt", SAMPLES["utilization.rpt"])
    write("out/timing_summary.rpt", SAMPLES["timing.rpt"])
    write("out/utilization_synthesis.rpt", texts.vivado_utilisation(lut=17000, state="Synthesized"))
    write("out/build.log", "Tool Version")
    found = collect([tmp_path / "out"])
    assert sorted(found) == ["synthesis", "timing"]
    # The later stage counts, and nothing of the earlier one is left.
    assert (found["synthesis"]["lut"], found["synthesis"]["file"]) == (15973, "utilization.rpt")
    assert (found["timing"]["file"], found["timing"]["constraint_mhz"]) == ("timing_summary.rpt", 400.0)
    assert vendor_reports.layers_on_path(found["timing"], ["fc1", "fc", "", "fc1/relu"]) == ["fc1"]
    assert found == collect([tmp_path / "out", tmp_path / "out" / "timing_summary.rpt"])
    assert json.loads(json.dumps(found)) == found


def test_a_folder_of_a_run_has_reports_of_parts(write, tmp_path: Path):
    write("hls/report/csynth.xml", texts.csynth_xml())
    write("hls/report/net_csynth.xml", texts.csynth_xml())
    write("hls/report/fc1_csynth.xml", texts.csynth_xml(latency="3").replace(">net<", ">fc1<"))
    write("hls/report/fc1_csynth.rpt", texts.csynth_report().replace("'net'", "'fc1'"))
    found = collect([tmp_path / "hls"])
    assert (found["hls"]["latency_cycles"], found["hls"]["file"]) == (9, "csynth.xml")
    write(
        "libero/net_pins_max_timing_multi_corner.xml", texts.smarttime_xml([["clk", "5", "200", "-0.5", "slow_lv_lt"]])
    )
    write("libero/net_pins_max_timing_slow_lv_ht.xml", texts.smarttime_xml([["clk", "5", "200", "0.5", "slow_lv_ht"]]))
    write("libero/net_pins_compile_netlist_resources.rpt", SAMPLES["net_pins_compile_netlist_resources.rpt"])
    write("libero/net_pins_compile_netlist_resources.xml", SAMPLES["net_pins_compile_netlist_resources.xml"])
    found = collect([tmp_path / "libero"])
    assert (found["timing"]["wns_ns"], found["synthesis"]["lut"]) == (-0.5, 18912)
    for name in ("net.fit.summary", "net.fit.rpt", "net.sta.rpt"):
        write(f"quartus/{name}", SAMPLES[name])
    write("quartus/net.map.rpt", texts.quartus_usage("Analysis & Synthesis"))
    write("quartus/net.flow.rpt", texts.quartus_head("Flow"))
    write("quartus/net.map.summary", "Analysis & Synthesis Status : Successful\n")
    found = collect([tmp_path / "quartus"])
    assert (found["synthesis"]["lut"], found["synthesis"]["file"]) == (61002, "net.fit.rpt, net.fit.summary")


def test_collect_fills_in_what_a_later_report_leaves_out(write):
    found = collect(
        [
            write("net.fit.summary", SAMPLES["net.fit.summary"]),
            write("net.map.rpt", texts.quartus_usage("Analysis & Synthesis")),
            write("net.sta.rpt", SAMPLES["net.sta.rpt"]),
        ]
    )
    assert (found["synthesis"]["lut"], found["synthesis"]["ff"]) == (60900, 83568)
    assert found["synthesis"]["file"] == "net.fit.summary, net.map.rpt"
    assert found["timing"]["fmax_mhz"] == 210
    # The fitter's own report has the count.
    found = collect(
        [write("net.fit.summary", SAMPLES["net.fit.summary"]), write("net.fit.rpt", SAMPLES["net.fit.rpt"])]
    )
    assert (found["synthesis"]["lut"], found["synthesis"]["alm"]) == (61002, 54959)


def test_reports_that_contradict_each_other(write):
    first = write("a.rpt", texts.vivado_utilisation())
    with pytest.raises(
        VendorReportError, match=r"synthesis\.lut is 15973 in 'a\.rpt' and 9 in 'b\.rpt'\n  try: collect"
    ):
        collect([first, write("b.rpt", texts.vivado_utilisation(lut=9))])
    with pytest.raises(VendorReportError, match=r"'a\.rpt' is of design 'net', 'b\.rpt' of 'nets'"):
        collect([first, write("b.rpt", texts.vivado_timing({"clk": (2.5, 0.25)}, design="nets"))])
    with pytest.raises(
        VendorReportError, match=r"'a\.rpt' is of part 'xcku5p-ffvb676-2-e', 'b\.rpt' of 'xczu9eg-ffvb1156'"
    ):
        collect([first, write("b.rpt", texts.vivado_timing({"clk": (2.5, 0.25)}, device="xczu9eg-ffvb1156"))])
    # One part, written in two ways.
    timing = texts.vivado_timing({"clk": (2.5, 0.25)}, device="7z020-clg400")
    use = texts.vivado_utilisation("Slice", device="xc7z020clg400-1")
    assert sorted(collect([write("b.rpt", timing), write("a.rpt", use)])) == ["synthesis", "timing"]


def test_every_reader_is_told_of():
    for name in readers():
        assert reader(name).READS
        assert name in Path(str(reader(name).__file__)).stem
    assert vendor_reports.STAGES == ("synthesised", "placed", "routed")
