"""GHDL as a simulator, as a lint and as a synthesiser, on a small entity and on broken ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardwire.errors import DataError, MissingToolError, ToolError, VerificationError
from hardwire.tools import ghdl, icarus, verilator
from hardwire.tools.bits import pack, unpack
from hardwire.tools.streams import SimulationResult

_ADDER = """\
library ieee;
use ieee.std_logic_1164.all;
use ieee.numeric_std.all;

entity adder is
  port (clk, rst, in_valid : in std_logic; a : in std_logic_vector(69 downto 0); b : in std_logic_vector(4 downto 0);
        out_valid : out std_logic; y : out std_logic_vector(70 downto 0); z : out std_logic_vector(0 downto 0));
end entity adder;

architecture rtl of adder is
  signal valid : std_logic_vector(1 downto 0);
  signal a_0, b_0 : unsigned(70 downto 0);
begin
  process (clk)
  begin
    if rising_edge(clk) then
      if rst = '1' then
        valid <= "00";
      else
        valid <= valid(0) & in_valid;
      end if;
      a_0 <= unsigned('0' & a);
      b_0 <= resize(unsigned(b), 71);
      y <= std_logic_vector(a_0 + b_0);
      z(0) <= b_0(0);
    end if;
  end process;
  out_valid <= valid(1);
end architecture rtl;
"""
WIDTHS = {"a": 70, "b": 5, "y": 71, "z": 1}
_A, _B = (40, 30), (5,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def vectors(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.integers(0, [1 << 40, 1 << 30], (count, 2)), rng.integers(0, 32, (count, 1))


def stream(folder: Path, text: str = _ADDER, latency: int = 2, count: int = 50, **options: object) -> SimulationResult:
    (folder / "adder.vhd").write_text(text)
    a, b = vectors(count)
    inputs = {"a": pack(a, _A), "b": pack(b, _B)}
    return ghdl.simulate([folder / "adder.vhd"], "adder", inputs, WIDTHS, latency, workdir=folder / "work", **options)


@pytest.mark.tools
@pytest.mark.parametrize("options", [{}, {"gaps": 0.5}, {"reset_after": 7}, {"gaps": 0.3, "reset_after": 50}])
def test_a_stream(folder: Path, options: dict[str, float]) -> None:
    result = stream(folder, **options)
    a, b = vectors(50)
    low = a[:, 0] + (a[:, 1] << 40 & (1 << 60) - 1) + b[:, 0]
    found = unpack(result.outputs["y"], (60, 11), False)
    np.testing.assert_array_equal(found[:, 0], low & (1 << 60) - 1)
    np.testing.assert_array_equal(found[:, 1], (a[:, 1] >> 20) + (low >> 60))
    np.testing.assert_array_equal(unpack(result.outputs["z"], (1,), False), b & 1)
    assert result.tool.startswith("ghdl ")
    assert result.cycles > 50
    assert sorted(path.name for path in (folder / "work").iterdir()) == ["ghdl-analysis.log", "ghdl.log"]


@pytest.mark.tools
def test_what_is_no_right_stream(folder: Path) -> None:
    with pytest.raises(VerificationError, match="latency 2, not 3"):
        stream(folder, latency=3)
    late = _ADDER.replace("out_valid <= valid(1)", "out_valid <= valid(0)")
    with pytest.raises(VerificationError, match="latency 1, not 2"):
        stream(folder, late)
    with pytest.raises(VerificationError, match="out_valid never came"):
        stream(folder, _ADDER.replace("valid(0) & in_valid", '"00"'))
    with pytest.raises(VerificationError, match="out_valid is unknown at cycle"):
        stream(folder, _ADDER.replace('valid <= "00"', 'valid <= "UU"'))
    with pytest.raises(VerificationError, match="output 'z' has unknown bits for vector 0"):
        stream(folder, _ADDER.replace("z(0) <= b_0(0)", "z(0) <= 'X'"))


@pytest.mark.tools
def test_errors_of_the_text(folder: Path) -> None:
    with pytest.raises(ToolError, match=r"ghdl failed with exit status 1(.|\n)*no declaration for \"c_0\""):
        stream(folder, _ADDER.replace("a_0 + b_0", "a_0 + c_0"))
    with pytest.raises(ToolError, match=r"ghdl failed(.|\n)*bound check failure"):
        stream(folder, _ADDER.replace("resize(unsigned(b), 71)", "resize(unsigned(b), 70)"))
    with pytest.raises(DataError, match=r"there is no VHDL file .*nothing\.vhd"):
        ghdl.lint([folder / "nothing.vhd"], "adder", workdir=folder)


@pytest.mark.tools
def test_progress_is_told(folder: Path) -> None:
    lines: list[str] = []
    stream(folder, count=2000, progress=lines.append)
    assert "ghdl: 1024 of 2008 cycles" in lines


@pytest.mark.tools
def test_lint(folder: Path) -> None:
    path = folder / "adder.vhd"
    path.write_text(_ADDER)
    assert ghdl.lint([path], "adder", workdir=folder / "lint") == []
    unused = "architecture rtl of adder is\n  function spare return std_logic is begin return '0'; end function spare;"
    path.write_text(_ADDER.replace("architecture rtl of adder is", unused))
    assert any("spare" in line and "-Wunused" in line for line in ghdl.lint([path], "adder", workdir=folder / "lint"))
    # It analyses, and is no hardware.
    clocked = "process\n  begin\n    wait for 1 ns;\n    if rising_edge(clk)"
    path.write_text(_ADDER.replace("process (clk)\n  begin\n    if rising_edge(clk)", clocked))
    with pytest.raises(ToolError, match="ghdl failed"):
        ghdl.lint([path], "adder", workdir=folder / "lint")


@pytest.mark.tools
def test_verilog_of_an_entity(folder: Path) -> None:
    path = folder / "adder.vhd"
    path.write_text(_ADDER.replace("a_0 + b_0", 'a_0 + b_0 + unsigned\'(x"0_ffff_ffff_ffff_ffff" & "000")'))
    made = ghdl.to_verilog([path], "adder", workdir=folder)
    text = made.read_text()
    assert made == folder / "adder.v"
    assert text.startswith("module adder")
    assert "71'b0000111111111" in text  # GHDL 2.0 itself writes a string.
    assert "reg [70:0] a_0;" in text  # … and calls it n30_q.
    assert str(folder) not in text
    a, b = vectors(30)
    inputs = {"a": pack(a, _A), "b": pack(b, _B)}
    first = icarus.simulate([made], "adder", inputs, WIDTHS, 2, workdir=folder / "icarus")
    second = ghdl.simulate([path], "adder", inputs, WIDTHS, 2, workdir=folder / "ghdl")
    for name, words in first.outputs.items():
        np.testing.assert_array_equal(words, second.outputs[name])


def test_the_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("HARDWIRE_GHDL", raising=False)
    with pytest.raises(
        MissingToolError, match=r"ghdl .*is not installed\n  try: apt-get install ghdl, or set HARDWIRE_GHDL"
    ):
        stream(folder)


def test_what_the_simulators_take() -> None:
    assert (ghdl.SUFFIXES, icarus.SUFFIXES, verilator.SUFFIXES) == ((".vhd", ".vhdl"), (".v",), (".v",))
