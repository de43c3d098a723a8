"""The VHDL test bench that is written beside a design, with its vectors as hexadecimal text."""

from __future__ import annotations

from hardwire.backends import Vectors
from hardwire.backends._bench import vector_files
from hardwire.schedule.circuit import Circuit

_BENCH = """\
-- Test bench of {name}: streams vectors back to back and with gaps, checks values and latency.
-- It reads <bus>.hex of every bus, a vector a line, in `folder`; `sh run.sh` runs it with GHDL.

library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;
use ieee.math_real.all;
use std.textio.all;

entity {name}_tb is
  generic (folder : string := ".");
end entity {name}_tb;

architecture test of {name}_tb is
  constant latency : positive := {latency};
  signal clk, rst, in_valid : std_logic := '1';
  signal out_valid : std_logic;
  signal done : boolean := false;
{signals}

  -- A hexadecimal number of at most as many bits as `word`.
  procedure read_word(file source : text; word : out std_logic_vector) is
    variable row : line;
    variable digit, low : natural := 0;
    variable padded : std_logic_vector(word'length + 3 downto 0) := (others => '0');
  begin
    readline(source, row);
    for k in row'high downto row'low loop
      case row(k) is
        when '0' to '9' => digit := character'pos(row(k)) - character'pos('0');
        when 'a' to 'f' => digit := character'pos(row(k)) - character'pos('a') + 10;
        when others => report "no hexadecimal number: " & row.all severity failure;
      end case;
      padded(low + 3 downto low) := std_logic_vector(to_unsigned(digit, 4));
      low := low + 4;
    end loop;
    word := padded(word'length - 1 downto 0);
    deallocate(row);
  end procedure read_word;
begin
  dut : entity work.{name}
    port map ({ports});

  clk <= not clk after 5 ns when not done;

  bench : process
{files}
{words}
    variable due : std_logic_vector(1 to latency);
    variable busy : std_logic;
    variable answered : natural;
    variable seed_1, seed_2 : positive := 1;
    variable draw : real;
  begin
    for pass in 1 to 2 loop
      rst <= '1';
      in_valid <= '1';
      for k in 1 to latency + 2 loop
        wait until falling_edge(clk);
      end loop;
      assert out_valid = '0' report "out_valid is up during reset" severity failure;
      rst <= '0';
{opens}
      due := (others => '0');
      answered := 0;
      loop
        uniform(seed_1, seed_2, draw);
        busy := '0';
        if not endfile({first}_file) and (pass = 1 or draw > 0.4) then
          busy := '1';
{drives}
        end if;
        in_valid <= busy;
        wait until falling_edge(clk);
        due := busy & due(1 to latency - 1);
        assert out_valid = due(latency)
          report "out_valid is wrong after " & integer'image(answered) & " answers" severity failure;
        if due(latency) = '1' then
{checks}
          answered := answered + 1;
        end if;
        exit when endfile({first}_file) and busy = '0' and due = (1 to latency => '0');
      end loop;
{closes}
      assert answered > 0 report "no vectors: write the .hex files first" severity failure;
      report "pass " & integer'image(pass) & ": " & integer'image(answered) & " vectors, all right";
    end loop;
    done <= true;
    wait;
  end process bench;
end architecture test;
"""

_CHECK = """\
          read_word({bus}_file, {bus}_word);
          assert {bus} = {bus}_word
            report "vector " & integer'image(answered) & ": {bus} is " & to_hstring({bus}) & ", expected "
              & to_hstring({bus}_word)
            severity failure;"""

_RUN = """\
#!/bin/sh
# Analyses and runs the test bench of {name}: `sh run.sh`; GHDL names another ghdl, WORK another scratch folder.
# numeric_std is silenced: until the first vector has passed, registers hold no numbers.
set -e
here=$(cd "$(dirname "$0")" && pwd)
ghdl=${{GHDL:-ghdl}}
mkdir -p "${{WORK:=$here/work}}"
cd "$WORK"
"$ghdl" -a --std=08 "$here/../{name}.vhd" "$here/{name}_tb.vhd"
"$ghdl" --elab-run --std=08 {name}_tb --ieee-asserts=disable "-gfolder=$here"
"""


def bench_files(circuit: Circuit, name: str, vectors: Vectors | None) -> dict[str, str]:
    """File name → text of the test bench; with `vectors`, their words too."""
    inputs, outputs = list(circuit.inputs), list(circuit.outputs)
    buses = [*inputs, *outputs]

    def lines(text: str, chosen: list[str], indent: int) -> str:
        return "\n".join(" " * indent + text.replace("BUS", bus) for bus in chosen)

    names, ins, outs = ([bus.name for bus in part] for part in (buses, inputs, outputs))
    bench = _BENCH.format(
        name=name,
        latency=circuit.latency,
        signals="\n".join(f"  signal {b.name} : std_logic_vector({b.width - 1} downto 0);" for b in buses),
        ports=", ".join(f"{p} => {p}" for p in ("clk", "rst", "in_valid", *ins, "out_valid", *outs)),
        files=lines("file BUS_file : text;", names, 4),
        words="\n".join(f"    variable {b.name}_word : std_logic_vector({b.width - 1} downto 0);" for b in buses),
        opens=lines('file_open(BUS_file, folder & "/BUS.hex", read_mode);', names, 6),
        first=ins[0],
        drives="\n".join(
            f"          read_word({bus}_file, {bus}_word);\n          {bus} <= {bus}_word;" for bus in ins
        ),
        checks="\n".join(_CHECK.format(bus=bus) for bus in outs),
        closes=lines("file_close(BUS_file);", names, 6),
    )
    files = {f"tb/{name}_tb.vhd": bench, "tb/run.sh": _RUN.format(name=name)}
    return files | (vector_files(circuit, vectors) if vectors is not None else {})
