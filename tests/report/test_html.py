from __future__ import annotations

import copy
import re
from html.parser import HTMLParser

import matplotlib
import pytest

from hardwire.report.html import ReportWriteError, render_html, write_html
from report.report_samples import LEAST, compiled, full, small_network

NASTY = [
    "<script>alert(1)</script>",
    "a\"b'c<&>",
    "</svg><img src=x onerror=alert(1)>",
    "$x^2$ $\\frac{",
    "{{ 7 * 7 }}{% raw %}",
    "line\nbreak\ttab",
    "nul\x00bell\x07",
    "名前 слой 🎉",
    "\ud800 surrogate",
    "%s %d {}",
    "[red]rich[/]",
    "n" * 400,
    "",
]

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that tags nest and collects what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for key, value in attrs:
            self.attributes.append((key, value or ""))
            if key == "id":
                self.ids.append(value)
            if key == "href":
                self.references.append(value)
            self.references.extend(f"#{found}" for found in re.findall(r"url\(#([^)]*)\)", value or ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def real():
    with pytest.MonkeyPatch.context() as patch:
        return compiled(patch, small_network())


@pytest.fixture(scope="module")
def everything(real):
    return full(real)


@pytest.fixture(scope="module")
def plain(everything):
    """Everything but the physics, whose plots take longest."""
    return {key: value for key, value in everything.items() if key != "physics"}


def sections(text: str) -> set[str]:
    return set(re.findall(r'<section id="(\w+)">', text))


def check_page(text: str) -> Page:
    """What every page keeps: well formed, self-contained, no script, ids unique and all references inside."""
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert all(reference.startswith("#") for reference in page.references)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "metadata"} & set(page.tags)
    assert not [key for key, _ in page.attributes if key.startswith("on") or key in ("src", "srcset", "xmlns")]
    assert not re.search(r"https?:|//\w|@import|data:\w+/|javascript:", text)
    assert page.tags.count("style") == 1
    return page


def test_the_least_report_renders():
    text = render_html(LEAST)
    page = check_page(text)
    assert sections(text) == set()
    assert "svg" not in page.tags
    assert "least" in page.text
    assert "20.0 ns" in page.text
    assert "3 cycles, predicted" in page.text


@pytest.mark.parametrize("part", ["clock_mhz", "target", "name"])
def test_a_required_field_is_missed(part):
    with pytest.raises(KeyError, match=part):
        render_html({key: value for key, value in LEAST.items() if key != part})


def test_a_compile_shows_its_parts_and_nothing_else(real):
    text = render_html(real)
    page = check_page(text)
    assert sections(text) == {"contract", "layers", "types", "resources", "provenance"}
    assert page.tags.count("svg") == 3
    assert "at most 100 ns" in page.text
    assert "contract met (predicted)" in page.text
    for row in real["network"]:
        assert row["name"] in page.text
    assert f"{real['program']['adders']:,} adders" in page.text


def test_everything_is_shown(everything):
    text = render_html(everything)
    page = check_page(text)
    assert sections(text) == {
        "accuracy", "contract", "layers", "types", "resources", "timing", "verification", "provenance",
    }  # fmt: skip
    # Two models with ROC and residuals, then bits, layers, contract, path, seeds.
    assert page.tags.count("svg") == 9
    for words in (
        "4,672", "5.6% of the device", "93.4 MHz", "53.5 ns", "0 mismatches", "26,512 comparisons",
        "8 of 8 neurons", "RTL text: 12,256 vectors, 0 mismatches", "output functions", "yosys 0.70",
        "nextpnr-ecp5 0.11.1", "75.50%", "place & route", "00" * 32,
    ):  # fmt: skip
        assert words in page.text, words


def test_same_report_same_bytes_whatever_matplotlib_is_set_to(everything):
    first = render_html(everything)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True, "lines.linewidth": 9}):
        assert render_html(copy.deepcopy(everything)) == first


def test_rendering_leaves_the_report_and_matplotlib_alone(plain):
    before, settings = copy.deepcopy(plain), dict(matplotlib.rcParams)
    render_html(plain)
    assert plain == before
    assert dict(matplotlib.rcParams) == settings


@pytest.mark.parametrize("turn", [0, 6])
def test_names_are_only_ever_text(everything, turn):
    report = copy.deepcopy(everything)
    names = iter(NASTY[turn:] + NASTY[:turn])
    used = []

    def nasty() -> str:
        used.append(next(names))
        return used[-1]

    report["name"] = nasty()
    report["layers"][1]["layer"] = nasty()
    report["network"][1]["name"] = nasty()
    report["calibration"]["types"][0].update(name=nasty(), type=nasty())
    report["timing"]["layers"][0] = report["timing"]["critical_path"][0]["cell"] = nasty()
    report["comparison"][0]["model"] = nasty()
    report["source"]["format"] = nasty()
    report["options"][nasty()] = "value"
    report["options"]["backend"] = nasty()
    report["verification"]["emulator_rtl"]["tool"] = nasty()
    report["files"][0] = nasty()
    nasty_class = report["physics"]["classes"][0] = nasty()
    model = report["physics"]["models"].pop("reference")
    for part in ("roc", "auc_float", "auc_fixed"):
        model[part] = {nasty_class if key == "g" else key: value for key, value in model[part].items()}
    report["physics"]["models"] = {nasty_class: model}
    page = check_page(render_html(report))
    assert sorted(used) == sorted(NASTY)
    # Each is told in full, only as text, white space aside.
    for name in NASTY:
        if name.isprintable():
            assert " ".join(name.split()) in page.text, name


def test_a_rung_not_run_and_a_failed_proof_are_said(plain):
    report = copy.deepcopy(plain)
    found = report["verification"]
    found["emulator_rtl"] = {"vectors": 0, "mismatches": None, "why": "no Verilator on this machine"}
    del found["netlist"]
    found["formal"].update(proven=False, neurons_proven=7, failures=["neuron 3 of 'last' differs"])
    page = check_page(render_html(report))
    assert "not run" in page.text
    assert "no Verilator on this machine" in page.text
    assert "RTL text: not simulated yet" in page.text
    assert "synthesised netlist: not simulated yet" in page.text
    assert "✗ not proven" in page.text
    assert "neuron 3 of 'last' differs" in page.text
    assert "output functions" not in page.text


def test_mismatches_and_a_missed_contract_are_said(plain):
    report = copy.deepcopy(plain)
    report["verification"]["netlist"]["mismatches"] = 1234
    report["contract"]["routed"] = {"fmax_mhz": 40.0, "latency_ns": 125.0, "met": False}
    page = check_page(render_html(report))
    assert "✗ 1,234 mismatches" in page.text
    assert "✗ contract missed" in page.text
    assert "125.0 ns, missed" in page.text


def test_a_design_for_high_level_synthesis():
    """Was said to be for emulation only, and what the vendor's tool foresees was left out."""
    foreseen = {
        "latency_cycles": 9,
        "initiation_interval": 2,
        "estimate": {"lut": 1024, "bram": 2},
        "tool": "Vitis HLS",
    }
    report = {"name": "a", "target": "b", "clock_mhz": 250.0, "options": {"backend": "hls-vitis"}, "hls": foreseen}
    page = check_page(render_html(report))
    assert "A neural network as C++, written by the back end hls-vitis" in page.text
    assert "HLS foresees 9 cycles, interval 2, 1,024 LUT, 2 BRAM." in page.text
    assert "emulation only" not in page.text


def test_half_block_memories(plain):
    report = copy.deepcopy(plain)
    report["synthesis"]["bram"] = 2.5
    assert '<td class="n">2.5</td>' in render_html(report)


def test_timing_without_place_and_route(plain):
    report = copy.deepcopy(plain)
    report["timing"] = {"fmax_mhz": None, "critical_path": [], "note": "no open place & route for this part"}
    del report["contract"]["routed"]
    page = check_page(render_html(report))
    assert "no open place & route for this part" in page.text
    assert "predicted" in page.text


def test_hundreds_of_layers_stay_a_page(real):
    report = copy.deepcopy(real)
    report["layers"] = [{**report["layers"][1], "layer": f"block_{i}", "ns": 1.0} for i in range(300)]
    report["calibration"]["types"] = [{**report["calibration"]["types"][0], "name": f"w{i}"} for i in range(300)]
    page = check_page(render_html(report))
    assert "block_299" in page.text
    assert "w299" in page.text


def test_a_design_of_nothing_but_zeros(everything):
    report = copy.deepcopy(everything)
    for row in report["calibration"]["types"]:
        row["bits"] = 0.0
    for row in report["layers"]:
        row.update(lut=0, ff=0, dsp=0, bram=0, ns=0.0)
    report["layers"][0]["dsp"] = 1
    del report["physics"]["models"]["reference"]
    for model in report["physics"]["models"].values():
        model["scatter"] = {"float": [0.0], "fixed": [0.0]}
        model["residuals"] = {"hist": [0], "edges": [-1.0, 1.0]}
    check_page(render_html(report))


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "report.html"
    assert write_html(LEAST, path) == path
    assert path.read_bytes() == render_html(LEAST).encode()
    assert path.stat().st_mode & 0o777 == 0o644
    with pytest.raises(KeyError):
        write_html({}, path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportWriteError, match=r"file/report\.html' cannot be written") as caught:
        write_html(LEAST, tmp_path / "file" / "report.html")
    assert "--html" in (caught.value.hint or "")

    def full_disk(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.replace", full_disk)
    with pytest.raises(ReportWriteError, match="No space left"):
        write_html(LEAST, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
