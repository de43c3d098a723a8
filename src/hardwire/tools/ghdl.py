"""GHDL: an interpreter of VHDL, event by event, with a synthesiser that says whether a text can be hardware."""

from __future__ import annotations

import re
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
    name="ghdl",
    purpose="simulation, lint and synthesis check of VHDL",
    commands=("ghdl",),
    apt="ghdl",
    version_pattern=r"GHDL (\d+\.\d+)",
)
SUFFIXES = (".vhd", ".vhdl")
"""Files that `simulate` takes."""
VECTORS = 2000
"""Vectors that it gets where nobody says how many; about as slow as Icarus Verilog."""

_STANDARD = "--std=08"
_WARNINGS = ("-Wbinding", "-Wlibrary", "-Wdelayed-checks", "-Wbody", "-Wspecs", "-Wunused")
"""What GHDL can warn of in VHDL-2008, beside what it always does."""
_BENCH = """\
library ieee;
use ieee.std_logic_1164.all;
use std.textio.all;

entity hardwire_bench is
end entity hardwire_bench;

architecture test of hardwire_bench is
  signal clk, rst, in_valid : std_logic := '0';
  signal out_valid : std_logic;
{signals}
  type digits is array (character range '0' to 'f') of std_logic_vector(3 downto 0);
  constant nibble : digits := (
    '0' => x"0", '1' => x"1", '2' => x"2", '3' => x"3", '4' => x"4", '5' => x"5", '6' => x"6", '7' => x"7",
    '8' => x"8", '9' => x"9", 'a' => x"a", 'b' => x"b", 'c' => x"c", 'd' => x"d", 'e' => x"e", 'f' => x"f",
    others => "XXXX");

  procedure read_word(file source : text; signal word : out std_logic_vector) is
    variable row : line;
    variable bits : std_logic_vector((word'length + 3) / 4 * 4 - 1 downto 0);
    variable low : natural := bits'length;
  begin
    readline(source, row);
    for k in row'range loop
      low := low - 4;
      bits(low + 3 downto low) := nibble(row(k));
    end loop;
    word <= bits(word'length - 1 downto 0);
    deallocate(row);
  end procedure read_word;

  procedure write_word(file target : text; word : std_logic_vector) is
    variable row : line;
  begin
    row := new string'(to_hstring(word));
    writeline(target, row);
  end procedure write_word;
begin
  dut : entity work.{top}
    port map (clk => clk, rst => rst, in_valid => in_valid, out_valid => out_valid{connections});

  bench : process
    file control_file : text open read_mode is "control";
    file valid_file : text open write_mode is "valid";
{files}
    variable control, valid : line;
    variable bits : std_logic_vector(3 downto 0);
  begin
    readline(control_file, control);
    for cycle in control'range loop
      bits := nibble(control(cycle));
      in_valid <= bits(0);
      rst <= bits(1);
{drives}
      wait for 4 ns;
      write(valid, std_logic'image(out_valid)(2));
      if bits(2) = '1' then
{samples}
      end if;
      if cycle mod 1024 = 0 then
        report integer'image(cycle) & " of {cycles} cycles" severity note;
      end if;
      wait for 1 ns;
      clk <= '1';
      wait for 5 ns;
      clk <= '0';
    end loop;
    writeline(valid_file, valid);
    wait;
  end process bench;
end architecture test;
"""


def simulate(
    vhdl: Sequence[Path],
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
    """Stream vectors through the entity `top`, one a cycle; the same interface as `verilator.simulate`.

    Raises `VerificationError` unless `out_valid` comes exactly `latency` cycles after `in_valid` and never otherwise,
    and if an answer has unknown bits.
    """
    input_widths, output_widths, count = split_ports(inputs, widths)
    ghdl = TOOL.find()
    sources = [_existing(path) for path in vhdl]
    workdir.mkdir(parents=True, exist_ok=True)
    plan = schedule(count, latency, gaps=gaps, reset_after=reset_after, seed=seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="stream-", dir=workdir) as scratch:
        folder = Path(scratch)
        (folder / "bench.vhd").write_text(_bench(top, input_widths, output_widths, plan.cycles))
        (folder / "control").write_bytes((plan.control + ord("0")).tobytes() + b"\n")
        for name, width in input_widths.items():
            (folder / f"in-{name}").write_text(hex_lines(cycle_words(inputs[name], width, plan, seed), width))
        run(
            [*ghdl.command, "-a", _STANDARD, *sources, "bench.vhd"],
            cwd=folder,
            log=workdir / "ghdl-analysis.log",
            env=ghdl.environment,
            tool="ghdl",
        )
        built = time.monotonic()
        # Before the first vector has passed, registers hold no numbers: numeric_std would say so at each of them.
        run(
            [*ghdl.command, "--elab-run", _STANDARD, "hardwire_bench", "--ieee-asserts=disable"],
            cwd=folder,
            log=workdir / "ghdl.log",
            env=ghdl.environment,
            progress=None if progress is None else lambda line: progress(f"ghdl: {_plain(line)}"),
            timeout=timeout,
            tool="ghdl",
        )
        plan.check_text((folder / "valid").read_text().strip())
        outputs = {
            n: hex_words((folder / f"out-{n}").read_text().lower(), n, w, count) for n, w in output_widths.items()
        }
    return SimulationResult(outputs, plan.cycles, built - begin, time.monotonic() - built, f"ghdl {ghdl.version}")


def lint(vhdl: Sequence[Path], top: str, *, workdir: Path) -> list[str]:
    """Return what GHDL says against an entity, one line each: warnings of its analysis and of its synthesis.

    Raises `ToolError` if the VHDL is in error or cannot be synthesised.
    """
    return [line for line in _synthesised(vhdl, top, "none", workdir) if "warning" in line]


def to_verilog(vhdl: Sequence[Path], top: str, *, workdir: Path) -> Path:
    """Synthesise an entity to Verilog of single operators; returns `workdir/<top>.v`.

    Raises `ToolError` if the VHDL is in error or cannot be synthesised.
    """
    target = workdir / f"{top}.v"
    partial = workdir / f"{top}.v.partial"
    lines = _synthesised(vhdl, top, "verilog", workdir)
    first = next((k for k, line in enumerate(lines) if line.startswith("module ")), 0)
    # GHDL 2.0 leaves constants of more than 32 bits as VHDL has them, which Verilog takes for text.
    text = re.sub(r'"([01xzXZ]+)"', lambda found: f"{len(found[1])}'b{found[1]}", "\n".join(lines[first:]))
    partial.write_text(_named(text) + "\n")
    partial.replace(target)
    return target


def _named(netlist: str) -> str:
    """GHDL's Verilog with the entity's own names where it says `n17_o` for what drives a signal, and without places."""
    drivers = dict(re.findall(r"^  assign (\w+) = (n\d+_[oq]); // \(signal\)$", netlist, re.M))
    signal_of = {driver: signal for signal, driver in reversed(drivers.items())}
    own = {signal_of[driver]: driver for driver in signal_of}
    lines = []
    for line in netlist.splitlines():
        declared = re.fullmatch(r"  wire (?:\[\d+:\d+\] )?(\w+);", line)
        assigned = re.fullmatch(r"  assign (\w+) = (\w+); // \(signal\)", line)
        doubled = (declared and declared[1] in own) or (assigned and own.get(assigned[1]) == assigned[2])
        if doubled or re.fullmatch(r" */\* .*:\d+:\d+  \*/", line):
            continue
        lines.append(re.sub(r"\bn\d+_[oq]\b", lambda found: signal_of.get(found[0], found[0]), line))
    return "\n".join(lines)


def _synthesised(vhdl: Sequence[Path], top: str, form: str, workdir: Path) -> list[str]:
    """Lines that GHDL prints while it analyses and synthesises an entity, the result in the given form among them."""
    ghdl = TOOL.find()
    sources = [_existing(path) for path in vhdl]
    workdir.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="synthesis-", dir=workdir) as scratch:
        for step, command in (
            ("analysis", ["-a", _STANDARD, *_WARNINGS, *sources]),
            ("synthesis", ["--synth", _STANDARD, f"--out={form}", top]),
        ):
            run(
                [*ghdl.command, *command],
                cwd=Path(scratch),
                log=workdir / f"ghdl-{step}.log",
                env=ghdl.environment,
                progress=lines.append,
                tool="ghdl",
            )
    return lines


def _bench(top: str, inputs: Mapping[str, int], outputs: Mapping[str, int], cycles: int) -> str:
    lines: dict[str, list[str]] = {k: [] for k in ("signals", "files", "drives", "samples")}
    for name, width in (*inputs.items(), *outputs.items()):
        lines["signals"].append(f"  signal {name} : std_logic_vector({width - 1} downto 0);")
    for name in inputs:
        lines["files"].append(f'    file {name}_file : text open read_mode is "in-{name}";')
        lines["drives"].append(f"      read_word({name}_file, {name});")
    for name in outputs:
        lines["files"].append(f'    file {name}_file : text open write_mode is "out-{name}";')
        lines["samples"].append(f"        write_word({name}_file, {name});")
    return _BENCH.format(
        top=top,
        cycles=cycles,
        connections="".join(f", {name} => {name}" for name in (*inputs, *outputs)),
        **{key: "\n".join(value) for key, value in lines.items()},
    )


def _plain(line: str) -> str:
    """What a report says, without where and when."""
    return re.sub(r"^.*?\(report note\): ", "", line)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"there is no VHDL file {path}")
    return path.resolve()
