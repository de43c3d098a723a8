"""Icarus Verilog: an interpreter of Verilog, event by event; slow, and independent of Verilator."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hardwire.errors import DataError
from hardwire.tools.bits import Words
from hardwire.tools.find import Tool
from hardwire.tools.process import Progress, run
from hardwire.tools.streams import SimulationResult, cycle_words, hex_lines, hex_words, schedule, split_ports

TOOL = Tool(
    name="iverilog",
    purpose="simulation of Verilog, event by event",
    commands=("iverilog",),
    apt="iverilog",
    version_arguments=("-V",),
    version_pattern=r"Icarus Verilog version (\d+\.\d+)",
)
RUNTIME = Tool(
    name="vvp",
    purpose="runs what iverilog compiles",
    commands=("vvp",),
    apt="iverilog",
    version_arguments=("-V",),
    version_pattern=r"version (\d+\.\d+)",
)
TOOLS = (RUNTIME,)
SUFFIXES = (".v",)
"""Files that `simulate` takes."""
VECTORS = 2000
"""Vectors that it gets where nobody says how many: it is about three thousand times slower than Verilator."""

_BENCH = """\
`timescale 1ns / 1ps
module hardwire_bench;
  reg clk, rst, in_valid;
  wire out_valid;
{declarations}
  reg [2:0] control [0:{last}];
{memories}
  {top} dut (.clk(clk), .rst(rst), .in_valid(in_valid), .out_valid(out_valid){connections});
  integer cycle, valid_file{files};
  initial begin
    $readmemh("control", control);
{opens}
    valid_file = $fopen("valid", "w");
    clk = 0;
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      in_valid = control[cycle][0];
      rst = control[cycle][1];
{drives}
      #4;
      $fwrite(valid_file, "%b", out_valid);
      if (control[cycle][2]) begin
{samples}
      end
      if (cycle % 4096 == 4095) $display("%0d of {cycles} cycles", cycle + 1);
      #1 clk = 1;
      #5 clk = 0;
    end
    $finish;
  end
endmodule
"""


def simulate(
    verilog: Sequence[Path],
    top: str,
    inputs: Mapping[str, Words],
    widths: Mapping[str, int],
    latency: int,
    *,
    workdir: Path,
    gaps: float = 0.0,
    reset_after: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> SimulationResult:
    """Stream vectors through the module `top`, one a cycle; the same interface as `verilator.simulate`.

    Raises `VerificationError` unless `out_valid` comes exactly `latency` cycles after `in_valid` and never otherwise,
    and if an answer has unknown bits.
    """
    input_widths, output_widths, count = split_ports(inputs, widths)
    compiler, runtime = TOOL.find(), RUNTIME.find()
    sources = []
    for path in verilog:
        if not path.is_file():
            raise DataError(f"there is no Verilog file {path}")
        sources.append(path.resolve())
    workdir.mkdir(parents=True, exist_ok=True)
    plan = schedule(count, latency, gaps=gaps, reset_after=reset_after, seed=seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stream-", dir=workdir) as scratch:
        folder = Path(scratch)
        (folder / "bench.v").write_text(_bench(top, input_widths, output_widths, plan.cycles))
        (folder / "control").write_text("\n".join(str(value) for value in plan.control.tolist()) + "\n")
        for name, width in input_widths.items():
            (folder / f"in-{name}").write_text(hex_lines(cycle_words(inputs[name], width, plan, seed), width))
        run(
            [*compiler.command, "-g2005", "-o", "bench.vvp", "-s", "hardwire_bench", "bench.v", *sources],
            cwd=folder,
            log=workdir / "iverilog.log",
            env=compiler.environment,
            tool="iverilog",
        )
        built = time.monotonic()
        run(
            [*runtime.command, "-n", "bench.vvp"],
            cwd=folder,
            log=workdir / "vvp.log",
            env=runtime.environment,
            progress=None if progress is None else lambda line: progress(f"iverilog: {line}"),
            timeout=timeout,
            tool="vvp",
        )
        plan.check_text((folder / "valid").read_text())
        outputs = {n: hex_words((folder / f"out-{n}").read_text(), n, w, count) for n, w in output_widths.items()}
    return SimulationResult(
        outputs, plan.cycles, built - begin, time.monotonic() - built, f"iverilog {compiler.version}"
    )


def _bench(top: str, inputs: Mapping[str, int], outputs: Mapping[str, int], cycles: int) -> str:
    lines: dict[str, list[str]] = {k: [] for k in ("declarations", "memories", "opens", "drives", "samples")}
    for name, width in inputs.items():
        lines["declarations"].append(f"  reg [{width - 1}:0] {name};")
        lines["memories"].append(f"  reg [{width - 1}:0] memory_{name} [0:{cycles - 1}];")
        lines["opens"].append(f'    $readmemh("in-{name}", memory_{name});')
        lines["drives"].append(f"      {name} = memory_{name}[cycle];")
    for name, width in outputs.items():
        lines["declarations"].append(f"  wire [{width - 1}:0] {name};")
        lines["opens"].append(f'    file_{name} = $fopen("out-{name}", "w");')
        lines["samples"].append(f'        $fdisplay(file_{name}, "%h", {name});')
    return _BENCH.format(
        top=top,
        cycles=cycles,
        last=cycles - 1,
        connections="".join(f", .{name}({name})" for name in (*inputs, *outputs)),
        files="".join(f", file_{name}" for name in outputs),
        **{key: "\n".join(value) for key, value in lines.items()},
    )
