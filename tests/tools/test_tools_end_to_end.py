"""Verilator = Icarus = synthesised netlist = numpy, bit by bit and cycle by cycle, with the real tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tool_designs import Design, adder_trees, multipliers, tables

from hardwire.errors import DataError, ToolError, UnsupportedError, VerificationError
from hardwire.targets import target
from hardwire.tools import gowin_pack, icarus, icepack, nextpnr, placers, verilator, yosys
from hardwire.tools.bits import Words, pack, unpack
from hardwire.tools.ecppack import pack_bitstream
from hardwire.tools.harness import add_harness
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.streams import SimulationResult

pytestmark = pytest.mark.tools

DESIGNS = {
    "adders": adder_trees(5, inputs=9, top="adders"),
    "tables": tables(3, bits=7, top="tables"),
    "products": multipliers(2, top="products"),
}
SIMULATORS = {"verilator": verilator.simulate, "icarus": icarus.simulate}
NETLISTS: dict[str, dict[str, object]] = {
    "ecp5": {},
    "ecp5-stock": {"keep_adders": False},
    "ecp5-luts": {"dsp": False},
    "ice40": {"family": "ice40-hx", "dsp": False},
    "gw1n": {"family": "gw1n", "dsp": False},
    "gw2a": {"family": "gw2a", "dsp": False},
    "xc7": {"family": "xc7", "dsp": False},
    "xcup": {"family": "xcup", "dsp": False},
}
SLOW = {"xcup": DESIGNS, "gw2a": DESIGNS, "xc7": ("tables", "products"), "gw1n": ("products",)}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARDWIRE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("designs")


@pytest.fixture(scope="module")
def synthesised(folder: Path) -> Callable[[str, str], yosys.SynthesisResult]:
    done: dict[tuple[str, str], yosys.SynthesisResult] = {}

    def get(design: str, how: str) -> yosys.SynthesisResult:
        if (design, how) not in done:
            options = dict(NETLISTS[how])
            done[design, how] = yosys.synthesise(
                DESIGNS[design].write(folder), design, workdir=folder / f"{design}-{how}", **options
            )
        return done[design, how]

    return get


def edges_and_random(design: Design, count: int) -> np.ndarray:
    values = design.random(count, seed=count)
    low = np.array([-(1 << (w - 1)) for w in design.x_widths])
    values[:4] = [low, -low - 1, np.where(np.arange(low.size) % 2, low, -low - 1), np.zeros_like(low)]
    return values


@pytest.mark.parametrize("name", SIMULATORS)
@pytest.mark.parametrize("design", DESIGNS)
def test_simulated_verilog_computes_the_meaning(name: str, design: str, folder: Path) -> None:
    d, simulate = DESIGNS[design], SIMULATORS[name]
    sources, work = d.write(folder), folder / f"{name}-{design}"
    x = edges_and_random(d, 300)
    for stream in ({}, {"gaps": 0.4, "reset_after": 37, "seed": 3}):
        result = simulate(sources, d.top, d.words(x), d.widths, d.latency, workdir=work, **stream)
        np.testing.assert_array_equal(d.integers(result.outputs), d.expected(x))
    for wrong in (d.latency - 1, d.latency + 1):
        with pytest.raises(VerificationError, match=f"latency {d.latency}, not {wrong}"):
            simulate(sources, d.top, d.words(x), d.widths, wrong, workdir=work)


@pytest.mark.parametrize(
    ("design", "how"),
    [
        # Some of these take some ten seconds each.
        pytest.param(d, how, marks=[pytest.mark.slow] if d in SLOW.get(how, ()) else [])
        for d in DESIGNS
        for how in NETLISTS
    ],
)
def test_a_netlist_computes_the_meaning(
    design: str, how: str, synthesised: Callable[[str, str], yosys.SynthesisResult]
) -> None:
    d, result = DESIGNS[design], synthesised(design, how)
    netlist = NetlistSimulator(result.json_path, d.top)
    x = edges_and_random(d, 20_000)
    for stream in ({}, {"gaps": 0.4, "reset_after": 5037, "seed": 3}):
        seen = netlist.run(d.words(x), latency=d.latency, **stream)
        np.testing.assert_array_equal(d.integers(seen.outputs), d.expected(x))
    for wrong in (d.latency - 1, d.latency + 1):
        with pytest.raises(VerificationError, match=f"latency {d.latency}, not {wrong}"):
            netlist.run(d.words(x), latency=wrong)


@pytest.mark.parametrize(
    ("bits", "width"), [(13, 2), (12, 4), (10, 8), (10, 18), (9, 30), pytest.param(14, 1, marks=pytest.mark.slow)]
)
def test_tables_in_block_memories(bits: int, width: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(bits)
    content = rng.integers(0, 1 << width, 1 << bits)
    cases = "\n".join(f"{bits}'d{a}: y <= {width}'d{value};" for a, value in enumerate(content))
    (tmp_path / "rom.v").write_text(
        f"module rom(input clk, input rst, input in_valid, input [{bits - 1}:0] x, output reg out_valid,\n"
        f"output reg [{width - 1}:0] y); always @(posedge clk) begin\n"
        f"out_valid <= in_valid & ~rst; case (x)\n{cases}\nendcase end endmodule\n"
    )
    result = yosys.synthesise([tmp_path / "rom.v"], "rom", workdir=tmp_path, bram=True)
    assert result.resources["bram"] == 1
    x = rng.permutation(1 << bits).astype(np.uint64).reshape(-1, 1)
    seen = NetlistSimulator(result.json_path, "rom").run({"x": x}, latency=1, gaps=0.2)
    np.testing.assert_array_equal(seen.outputs["y"][:, 0], content[x[:, 0].astype(np.int64)])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["xc7", "xcup"])
@pytest.mark.parametrize(("a", "b"), [(11, 9), (25, 18), (27, 18), (30, 20), (40, 11)])
def test_products_in_multiplier_blocks_of_amd(a: int, b: int, family: str, tmp_path: Path) -> None:
    """With their registers inside on 7 series; wide ones over several blocks, summed in the blocks or beside them."""
    d = multipliers(2, a=a, b=b, top="products")
    result = yosys.synthesise(d.write(tmp_path), d.top, family=family, workdir=tmp_path / "s")
    assert result.resources["dsp"] >= 2
    x = edges_and_random(d, 5000)
    seen = NetlistSimulator(result.json_path, d.top).run(d.words(x), latency=d.latency, gaps=0.3)
    np.testing.assert_array_equal(d.integers(seen.outputs), d.expected(x))


def test_resources_are_counted(synthesised: Callable[[str, str], yosys.SynthesisResult]) -> None:
    kept = synthesised("adders", "ecp5")
    assert kept.resources["carry"] >= 5 * 8 * 5  # 40 adders of at least 9 bits, two bits a cell.
    assert kept.resources["ff"] == kept.cells["TRELLIS_FF"]
    assert synthesised("products", "ecp5").resources["dsp"] == 2
    assert synthesised("products", "ecp5-luts").resources["dsp"] == 0
    assert synthesised("adders", "xc7").resources["carry"] >= 5 * 8 * 2


def test_every_changed_lut_is_noticed(synthesised: Callable[[str, str], yosys.SynthesisResult], tmp_path: Path) -> None:
    """A simulator that ignores a cell would agree with anything: invert LUTs and registers one by one."""
    d, result = DESIGNS["tables"], synthesised("tables", "ecp5")
    document = json.loads(result.json_path.read_text())
    cells = document["modules"]["tables"]["cells"]
    x = np.stack([np.arange(128)] * 3, axis=1)
    luts = [cell for cell in cells.values() if cell["type"] == "LUT4"]
    assert len(luts) > 100
    rng = np.random.default_rng(0)
    for cell in rng.choice(np.array(luts, object), 25, replace=False):
        init = cell["parameters"]["INIT"]
        # All of it: that no input reaches one entry alone is nothing wrong.
        cell["parameters"]["INIT"] = "".join("10"[int(bit)] for bit in init)
        path = tmp_path / "mutant.json"
        path.write_text(json.dumps(document))
        seen = NetlistSimulator(path, "tables").run(d.words(x), latency=d.latency)
        assert (d.integers(seen.outputs) != d.expected(x)).any()
        cell["parameters"]["INIT"] = init


WIDE = """
module wide(input clk, input rst, input in_valid, input [64:0] x0, input x1, input [32:0] x2,
  output out_valid, output reg [65:0] y0, output reg y1, output reg [63:0] y2);
  reg valid;
  always @(posedge clk) begin
    y0 <= {x1, x0};
    y1 <= x1 ^ x0[64];
    y2 <= {x0[31:0], x2[32:1]};
    valid <= in_valid & ~rst;
  end
  assign out_valid = valid;
endmodule
"""
WIDE_PORTS = {"x0": 65, "x1": 1, "x2": 33, "y0": 66, "y1": 1, "y2": 64}


def run_all(
    sources: list[Path], top: str, inputs: Mapping[str, Words], widths: Mapping[str, int], latency: int, work: Path
) -> dict[str, SimulationResult]:
    results = {
        name: simulate(sources, top, inputs, widths, latency, workdir=work / name, gaps=0.3)
        for name, simulate in SIMULATORS.items()
    }
    netlist = yosys.synthesise(sources, top, workdir=work / "yosys")
    results["netlist"] = NetlistSimulator(netlist.json_path, top).run(inputs, latency=latency, gaps=0.3)
    return results


def test_several_buses_of_odd_widths(tmp_path: Path) -> None:
    (tmp_path / "wide.v").write_text(WIDE)
    bits = np.random.default_rng(1).integers(0, 2, (200, 99))
    x0, x1, x2 = bits[:, :65], bits[:, 65:66], bits[:, 66:]
    inputs = {"x0": pack(x0, [1] * 65), "x1": pack(x1, [1]), "x2": pack(x2, [1] * 33)}
    expected = {
        "y0": np.concatenate([x0, x1], axis=1),
        "y1": x1 ^ x0[:, 64:],
        "y2": np.concatenate([x2[:, 1:], x0[:, :32]], axis=1),
    }
    for name, result in run_all([tmp_path / "wide.v"], "wide", inputs, WIDE_PORTS, 1, tmp_path).items():
        for bus, value in expected.items():
            seen = unpack(result.outputs[bus], [1] * WIDE_PORTS[bus], False)
            np.testing.assert_array_equal(seen, value, err_msg=f"{name} {bus}")


def test_a_module_without_registers(tmp_path: Path) -> None:
    (tmp_path / "gates.v").write_text(
        "module gates(input clk, input rst, input in_valid, input [3:0] x, output out_valid, output [3:0] y);\n"
        "assign out_valid = in_valid; assign y = x + 4'd5; endmodule\n"
    )
    x = np.arange(16, dtype=np.uint64).reshape(-1, 1)
    for result in run_all([tmp_path / "gates.v"], "gates", {"x": x}, {"x": 4, "y": 4}, 0, tmp_path).values():
        np.testing.assert_array_equal(result.outputs["y"], (x + np.uint64(5)) % np.uint64(16))


def test_answers_that_are_unknown_are_refused(tmp_path: Path) -> None:
    (tmp_path / "open.v").write_text(
        "module open(input clk, input rst, input in_valid, input [3:0] x, output out_valid, output [3:0] y);\n"
        "wire z; assign out_valid = in_valid; assign y = {z, x[2:0]}; endmodule\n"
    )
    x = {"x": np.zeros((3, 1), np.uint64)}
    with pytest.raises(VerificationError, match="output 'y' has unknown bits for vector 0"):
        icarus.simulate([tmp_path / "open.v"], "open", x, {"x": 4, "y": 4}, 0, workdir=tmp_path / "w")


def test_a_program_is_used_again_until_the_verilog_changes(tmp_path: Path) -> None:
    source = tmp_path / "wide.v"
    source.write_text(WIDE)
    ins = {name: width for name, width in WIDE_PORTS.items() if name[0] == "x"}
    outs = {name: width for name, width in WIDE_PORTS.items() if name[0] == "y"}
    first, _ = verilator.build([source], "wide", ins, outs, workdir=tmp_path)
    made = first.stat().st_mtime_ns
    again, _ = verilator.build([source], "wide", ins, outs, workdir=tmp_path)
    assert (again, again.stat().st_mtime_ns) == (first, made)
    source.write_text(WIDE.replace("^", "&"))
    other, _ = verilator.build([source], "wide", ins, outs, workdir=tmp_path)
    assert other != first
    assert not first.exists()


def test_lint_reports_warnings_and_errors(tmp_path: Path) -> None:
    source = tmp_path / "wide.v"
    source.write_text(WIDE)
    assert verilator.lint([source], "wide", workdir=tmp_path, allow=["UNUSEDSIGNAL"]) == []
    source.write_text(WIDE.replace("y1 <= x1", "y1 <= x0"))
    warnings = verilator.lint([source], "wide", workdir=tmp_path, allow=["UNUSEDSIGNAL"])
    assert [line.split(":")[0] for line in warnings] == ["%Warning-WIDTHEXPAND", "%Warning-WIDTHTRUNC"]
    assert all("wide.v:7:" in line for line in warnings)
    source.write_text(WIDE.replace("valid <=", "valid = <"))
    with pytest.raises(ToolError, match=r"verilator failed[\s\S]*syntax error"):
        verilator.lint([source], "wide", workdir=tmp_path)
    with pytest.raises(ToolError, match=r"yosys failed[\s\S]*ERROR: .*syntax error"):
        yosys.synthesise([source], "wide", workdir=tmp_path / "w")


def test_feedback_is_refused(tmp_path: Path) -> None:
    (tmp_path / "count.v").write_text(
        "module count(input clk, input rst, input in_valid, input [3:0] x, output out_valid, output reg [3:0] y);\n"
        "assign out_valid = in_valid; always @(posedge clk) y <= rst ? 4'd0 : y + x; endmodule\n"
    )
    result = yosys.synthesise([tmp_path / "count.v"], "count", workdir=tmp_path)
    with pytest.raises(UnsupportedError, match="feedback through registers"):
        NetlistSimulator(result.json_path, "count")


PLACED: dict[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "ice40-hx1k": ("ice40", icepack.pack_bitstream),
    "gowin-gw1nr9": ("gw1n", partial(gowin_pack.pack_bitstream, chip="GW1N-9C")),
}


@pytest.mark.parametrize("part", [pytest.param(p, marks=[pytest.mark.slow] if "gowin" in p else []) for p in PLACED])
def test_other_families_are_placed_as_their_targets_say(
    part: str, synthesised: Callable[[str, str], yosys.SynthesisResult], tmp_path: Path
) -> None:
    found, (how, pack_it) = target(part), PLACED[part]
    d, family = DESIGNS["tables"], found.synthesis["family"]
    buses = {"x": d.widths["x"]}, {"y": d.widths["y"]}
    harness = add_harness(synthesised("tables", how), *buses, family=family, workdir=tmp_path / "harness")
    lines: list[str] = []
    routed = placers.place_and_route(
        harness.json_path, found.place, freq_mhz=50, workdir=tmp_path / "route", progress=lines.append
    )
    assert 20 < routed.fmax_mhz < 500
    assert routed.constraint_mhz == 50
    assert any("placement iteration" in line for line in lines)
    assert any("routing" in line for line in lines)
    total = sum(step.delay_ns for step in routed.critical_path)
    assert total == pytest.approx(1000 / routed.fmax_mhz, rel=0.02)
    assert max(use.used for use in routed.utilisation.values()) >= harness.resources["ff"]
    assert pack_it(routed.config_path, tmp_path / "top.bit").stat().st_size > 10_000


def test_a_target_whose_placer_is_unknown(tmp_path: Path) -> None:
    for place in ({}, {"tool": "nextpnr_none"}, {"tool": "os.path"}):
        with pytest.raises(DataError, match="is the placer"):
            placers.place_and_route(tmp_path / "n.json", place, freq_mhz=1.0, workdir=tmp_path)


@pytest.mark.slow
def test_place_route_and_bitstream(
    folder: Path, synthesised: Callable[[str, str], yosys.SynthesisResult], tmp_path: Path
) -> None:
    d = DESIGNS["tables"]
    harness = add_harness(
        synthesised("tables", "ecp5"), {"x": d.widths["x"]}, {"y": d.widths["y"]}, workdir=tmp_path / "harness"
    )
    lines: list[str] = []
    routed = nextpnr.place_and_route(
        harness.json_path, device="25k", freq_mhz=200, workdir=tmp_path / "route", progress=lines.append
    )
    assert 50 < routed.fmax_mhz < 1000
    assert routed.constraint_mhz == 200
    assert any("placement iteration" in line for line in lines)
    assert any("routing" in line for line in lines)
    total = sum(step.delay_ns for step in routed.critical_path)
    assert total == pytest.approx(1000 / routed.fmax_mhz, rel=0.02)
    used = routed.utilisation["TRELLIS_FF"].used
    assert used == pytest.approx(harness.resources["ff"], abs=2)
    bitstream = pack_bitstream(routed.config_path, tmp_path / "top.bit")
    assert bitstream.stat().st_size > 10_000
