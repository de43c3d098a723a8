"""Simulates a written module with Icarus Verilog, cycle by cycle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hardwire.backends import Source
from hardwire.backends._bench import words
from hardwire.backends.verilog import emit
from hardwire.fixed import Ints
from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit

_BENCH = """\
module bench;
    reg [{top}:0] stimulus [0:{last}];
    reg clk, rst, in_valid;
    {declarations}
    wire out_valid;
    integer t, file;
    {name} dut (.clk(clk), .rst(rst), .in_valid(in_valid), .out_valid(out_valid), {ports});
    initial begin
        $readmemh("stimulus.hex", stimulus);
        file = $fopen("seen.txt", "w");
        clk = 0;
        for (t = 0; t <= {last}; t = t + 1) begin
            {{rst, in_valid, {inputs}}} = stimulus[t];
            #5 $fwrite(file, "%b {formats}\\n", out_valid, {outputs});
            clk = 1;
            #5 clk = 0;
        end
        $fclose(file);
    end
endmodule
"""


def icarus() -> str:
    program = shutil.which("iverilog")
    if program is None:
        pytest.skip("Icarus Verilog (iverilog) is not installed")
    return program


def check(circuit: Circuit, program: Program, inputs: list[Ints], outputs: list[Ints], folder: Path) -> None:
    """Stream vectors with bubbles; every answer must come `latency` cycles after its vector, and nothing else."""
    text = emit(Source.scheduled("dut", program, circuit))["dut.v"]
    (folder / "dut.v").write_text(text)
    rng = np.random.default_rng(len(text))
    sent = list(zip(*(words(bus, x) for bus, x in zip(circuit.inputs, inputs, strict=True)), strict=True))
    expected = list(zip(*(words(bus, y) for bus, y in zip(circuit.outputs, outputs, strict=True)), strict=True))
    widths = [bus.width for bus in circuit.inputs]
    plan = [-1] * (circuit.latency + 2)
    resets = len(plan)
    for k in range(len(sent)):
        # Half of the stream comes back to back.
        plan += [-1] * int(rng.integers(0, 3) if k > len(sent) // 2 else 0) + [k]
    plan += [-1] * (circuit.latency + 3)
    lines = []
    for t, k in enumerate(plan):
        junk = tuple(int.from_bytes(rng.bytes(w // 8 + 1), "little") & ((1 << w) - 1) for w in widths)
        word = int(t < resets) << 1 | int(k >= 0 or t < resets)
        for value, width in zip(junk if k < 0 else sent[k], widths, strict=True):
            word = word << width | value
        lines.append(f"{word:x}\n")
    (folder / "stimulus.hex").write_text("".join(lines))
    bench = _BENCH.format(
        top=sum(widths) + 1,
        last=len(plan) - 1,
        name="dut",
        declarations=" ".join(
            [f"reg [{b.width - 1}:0] {b.name};" for b in circuit.inputs]
            + [f"wire [{b.width - 1}:0] {b.name};" for b in circuit.outputs]
        ),
        ports=", ".join(f".{b.name}({b.name})" for b in (*circuit.inputs, *circuit.outputs)),
        inputs=", ".join(b.name for b in circuit.inputs),
        outputs=", ".join(b.name for b in circuit.outputs),
        formats=" ".join("%h" for _ in circuit.outputs),
    )
    (folder / "bench.v").write_text(bench)
    for command in ([icarus(), "-g2001", "-Wall", "-o", "sim", "bench.v", "dut.v"], ["./sim"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        complaints = [line for line in done.stderr.splitlines() if "dut.v" in line]
        assert not complaints, complaints[:3]
    seen = [line.split() for line in (folder / "seen.txt").read_text().splitlines()]
    assert len(seen) == len(plan)
    for t in range(circuit.latency, len(plan)):
        k = plan[t - circuit.latency]
        valid = k >= 0
        assert seen[t][0] == str(int(valid)), f"out_valid is {seen[t][0]} in cycle {t}"
        if valid:
            assert tuple(int(word, 16) for word in seen[t][1:]) == expected[k], f"vector {k}"
