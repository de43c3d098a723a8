"""A test harness around a synthesised module, so that place and route measures the module and not the package.

A network's buses are wider than most packages have pins. With pins directly on the ports, moreover, the logic before
the first register and after the last one lies on paths from and to pins, which belong to no clock: the reported Fmax
would leave them out, and the placer would pull the registers towards the pads. The harness puts registers at both ends,
as the logic around the module will in use, and reaches them through shift registers: seven pins in all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hardwire.errors import DataError
from hardwire.tools.fabrics import Recipe
from hardwire.tools.process import Progress
from hardwire.tools.streams import CONTROL_PORTS
from hardwire.tools.yosys import SynthesisResult, recipe_of, run_script

HARNESS = "hardwire_harness"

_VERILOG = """\
module {harness}(input clk, input rst, input in_valid, input scan_in, input capture,
  output reg out_valid, output scan_out);
  reg [{x_last}:0] scan_x, x;
  reg [{y_last}:0] y, scan_y;
  reg rst_q, in_valid_q;
  wire out_valid_w;
  wire [{y_last}:0] y_w;
  always @(posedge clk) begin
    scan_x <= {{scan_x, scan_in}};
    x <= scan_x;
    rst_q <= rst;
    in_valid_q <= in_valid;
    y <= y_w;
    out_valid <= out_valid_w;
    scan_y <= capture ? y : {{scan_y, scan_x[{x_last}]}};
  end
  assign scan_out = scan_y[{y_last}];
  {top} dut (.clk(clk), .rst(rst_q), .in_valid(in_valid_q), .out_valid(out_valid_w){connections});
endmodule
"""


def add_harness(
    netlist: SynthesisResult,
    inputs: Mapping[str, int],
    outputs: Mapping[str, int],
    *,
    family: str | Recipe = "ecp5",
    workdir: Path,
    progress: Progress | None = None,
) -> SynthesisResult:
    """Wrap a synthesised module; `inputs` and `outputs` give the bits of its buses.

    The module's own cells stay as they were synthesised. The harness adds, for W bits in and V bits out, about
    2 (W + V) flip-flops and V LUTs, which the result's counts include. Raises `DataError` if there is no bus.
    """
    for kind, widths in (("input", inputs), ("output", outputs)):
        if not widths or set(widths) & set(CONTROL_PORTS):
            raise DataError(f"a harness needs the module's {kind} buses and their widths, not {dict(widths)}")
    workdir.mkdir(parents=True, exist_ok=True)
    connections, recipe = [], recipe_of(family)
    for register, widths in (("x", inputs), ("y_w", outputs)):
        low = 0
        for name, width in widths.items():
            connections.append(f", .{name}({register}[{low + width - 1}:{low}])")
            low += width
    text = _VERILOG.format(
        harness=HARNESS,
        top=netlist.top,
        x_last=sum(inputs.values()) - 1,
        y_last=sum(outputs.values()) - 1,
        connections="".join(connections),
    )
    (workdir / f"{HARNESS}.v").write_text(text)
    # Open ends are no netlist that Yosys reads: the module goes in as it was before, the whole is finished again.
    (workdir / "module.json").write_bytes((netlist.raw_path or netlist.json_path).read_bytes())
    lines = [
        "read_json module.json",
        "delete =A:blackbox",  # The cells' declarations; the synthesis command brings its own.
        f"read_verilog {HARNESS}.v",
        f"hierarchy -top {HARNESS}",
        f"{recipe.synth_command} -noflatten -top {HARNESS}",
        "flatten",
        "opt_clean",
        *([recipe.pads] if recipe.pads else []),
    ]
    return run_script(lines, HARNESS, workdir=workdir, recipe=recipe, progress=progress)
