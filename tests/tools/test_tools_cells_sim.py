"""Each cell's model against the simulation model that Yosys ships for it, evaluated by Icarus: random cells."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardwire.tools import icarus
from hardwire.tools.bits import pack, unpack
from hardwire.tools.netlist import NetlistSimulator
from hardwire.tools.process import run

pytestmark = pytest.mark.tools

INPUTS, CYCLES = 24, 400

Rng = np.random.Generator
Kind = tuple[str, dict[str, int], dict[str, int], dict[str, Any]]
"""Cell, its input ports and their widths, its output ports, its parameters; a pin that is given as 'PORT=0' is tied."""


def bits(rng: Rng, width: int) -> str:
    return "".join(rng.choice(["0", "1"], width))


def ice40(rng: Rng) -> list[Kind]:
    found: list[Kind] = [
        ("SB_LUT4", {"I0": 1, "I1": 1, "I2": 1, "I3": 1}, {"O": 1}, {"LUT_INIT": bits(rng, 16)}),
        ("SB_CARRY", {"I0": 1, "I1": 1, "CI": 1}, {"CO": 1}, {}),
    ]
    for enable in ("", "E"):
        for reset in ("", "SR", "SS", "R=0", "S=0"):
            pins = {"C": 0, "D": 1, **({"E": 1} if enable else {})}
            if reset:
                pins[reset if "=" in reset else reset[-1]] = 1
            found.append((f"SB_DFF{enable}{reset.split('=')[0]}", pins, {"Q": 1}, {}))
    return found


def gowin(rng: Rng) -> list[Kind]:
    found: list[Kind] = [
        (f"LUT{n}", {f"I{i}": 1 for i in range(n)}, {"F": 1}, {"INIT": bits(rng, 1 << n)}) for n in range(1, 5)
    ]
    found += [(f"MUX2{size}", {"I0": 1, "I1": 1, "S0": 1}, {"O": 1}, {}) for size in ("", "_LUT5", "_LUT8")]
    for mode in range(3):
        found.append(
            ("ALU", {"I0": 1, "I1": 1, "I3": 1, "CIN": 1}, {"SUM": 1, "COUT": 1}, {"ALU_MODE": f"{mode:032b}"})
        )
    for reset in ("", "R RESET", "S SET", "C CLEAR=0", "P PRESET=0"):
        for enable in ("", "E"):
            letter, _, pin = reset.partition(" ")
            pins = {"CLK": 0, "D": 1, **({"CE": 1} if enable else {}), **({pin: 1} if pin else {})}
            found.append((f"DFF{letter}{enable}", pins, {"Q": 1}, {}))
    return found


def xilinx(rng: Rng) -> list[Kind]:
    found: list[Kind] = [
        (f"LUT{n}", {f"I{i}": 1 for i in range(n)}, {"O": 1}, {"INIT": bits(rng, 1 << n)}) for n in range(1, 7)
    ]
    found += [(kind, {"I0": 1, "I1": 1, "S": 1}, {"O": 1}, {}) for kind in ("MUXF7", "MUXF8")]
    found.append(("CARRY4", {"CI": 1, "CYINIT=0": 1, "DI": 4, "S": 4}, {"O": 4, "CO": 4}, {}))
    found.append(("INV", {"I": 1}, {"O": 1}, {}))
    for kind, reset in (("FDRE", "R"), ("FDSE", "S"), ("FDCE", "CLR=0"), ("FDPE", "PRE=0")):
        parameters = {"INIT": bits(rng, 1)}
        if "=" not in reset:
            parameters |= {"IS_D_INVERTED": bits(rng, 1), f"IS_{reset}_INVERTED": bits(rng, 1)}
        found.append((kind, {"C": 0, "CE": 1, "D": 1, reset: 1}, {"Q": 1}, parameters))
    address = {f"A{i}={rng.integers(0, 2)}": 1 for i in range(4)}
    found.append(("SRL16E", {"CLK": 0, "CE": 1, "D": 1, **address}, {"Q": 1}, {"INIT": bits(rng, 16)}))
    return [*found, dsp48(rng)]


def dsp48(rng: Rng) -> Kind:
    names = {"AREG": 3, "BREG": 3, "CREG": 2, "MREG": 2, "PREG": 2}
    registers = {name: int(rng.integers(0, most)) for name, most in names.items()}
    unused = dict.fromkeys(("ADREG", "ALUMODEREG", "CARRYINREG", "CARRYINSELREG", "DREG", "INMODEREG", "OPMODEREG"), 0)
    chains = {"ACASCREG": registers["AREG"], "BCASCREG": registers["BREG"]}
    parameters: dict[str, Any] = {name: f"{value:032b}" for name, value in (registers | unused | chains).items()}
    parameters |= {"USE_DPORT": "FALSE", "USE_MULT": "MULTIPLY"}
    mode = rng.choice(["0000101", "0010101", "0110101", "1010101"])
    pins = {"CLK": 0, "A": 30, "B": 18, "C": 48, "PCIN": 48, f"OPMODE={mode}": 7}
    pins |= {"ALUMODE=0000": 4, "INMODE=00000": 5, "CARRYIN=0": 1, "CARRYINSEL=000": 3}
    pins |= dict.fromkeys(("CEA1", "CEA2", "CEB1", "CEB2", "CEC", "CEM", "CEP"), 1)
    pins |= dict.fromkeys(("RSTA", "RSTB", "RSTC", "RSTM", "RSTP"), 1)
    return "DSP48E1", pins, {"P": 48, "PCOUT": 48}, parameters


def ecp5(rng: Rng) -> list[Kind]:
    found: list[Kind] = [
        ("LUT4", {"A": 1, "B": 1, "C": 1, "D": 1}, {"Z": 1}, {"INIT": bits(rng, 16)}),
        ("PFUMX", {"ALUT": 1, "BLUT": 1, "C0": 1}, {"Z": 1}, {}),
        ("L6MUX21", {"D0": 1, "D1": 1, "SD": 1}, {"Z": 1}, {}),
    ]
    pins = {"CIN": 1, **{f"{letter}{half}": 1 for half in "01" for letter in "ABCD"}}
    inits = {"INIT0": bits(rng, 16), "INIT1": bits(rng, 16)}
    for inject in ("YES", "NO"):
        parameters = {**inits, "INJECT1_0": inject, "INJECT1_1": inject}
        found.append(("CCU2C", pins, {"S0": 1, "S1": 1, "COUT": 1}, parameters))
    for value in ("SET", "RESET"):
        parameters = {"REGSET": value, "CEMUX": "CE", "GSR": "DISABLED", "LSRMUX": "LSR", "SRMODE": "LSR_OVER_CE"}
        found.append(("TRELLIS_FF", {"CLK": 0, "DI": 1, "CE": 1, "LSR": 1}, {"Q": 1}, parameters))
    return found


FABRICS = {
    "ice40": (ice40, ["ice40/cells_sim.v"]),
    "gowin": (gowin, ["gowin/cells_sim.v"]),
    "xilinx": (xilinx, ["xilinx/cells_sim.v"]),
    "ecp5": (ecp5, ["lattice/common_sim.vh", "lattice/ccu2c_sim.vh"]),
}


def library(name: str) -> Path:
    spec = importlib.util.find_spec("pyosys")
    if spec is None or spec.origin is None:
        pytest.skip("the simulation models come with the Python package pyosys")
    return Path(spec.origin).parent / "share" / name


def brought(name: str, folder: Path) -> str:
    """The file as Icarus of any age reads it: before 12 it takes no `$error` outside of a procedure."""
    text = library(name).read_text()
    (folder / f"models_{Path(name).name}").write_text("\n".join(k for k in text.split("\n") if "$error(" not in k))
    return f"models_{Path(name).name}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fabric", FABRICS)
def test_cells_mean_what_their_simulation_models_say(fabric: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    kinds, models = FABRICS[fabric]
    cells, instances, outputs = {}, [], 0
    for number, (kind, ins, outs, parameters) in enumerate([k for _ in range(3) for k in kinds(rng)]):
        connections: dict[str, list[int | str]] = {}
        words = []
        for name, width in ins.items():
            port, _, tied = name.partition("=")
            if width == 0:
                connections[port], text = [2], "clk"
            else:
                nets = list(reversed(tied)) if tied else [f"x{i}" for i in rng.integers(0, INPUTS, width)]
                connections[port] = [n if n in "01" else 10 + int(n[1:]) for n in nets]
                text = ", ".join(f"1'b{n}" if n in "01" else f"x[{n[1:]}]" for n in reversed(nets))
            words.append(f".{port}({{{text}}})")
        for port, width in outs.items():
            connections[port] = [1000 + outputs + i for i in range(width)]
            words.append(f".{port}(y[{outputs + width - 1}:{outputs}])")
            outputs += width
        given = [f".{n}({len(v)}'b{v})" if set(v) <= {"0", "1"} else f'.{n}("{v}")' for n, v in parameters.items()]
        instances.append(f"  {kind} #({', '.join(given)}) u{number} ({', '.join(words)});")
        cells[f"u{number}"] = {"type": kind, "parameters": parameters, "connections": connections}
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "x": {"direction": "input", "bits": list(range(10, 10 + INPUTS))},
        "y": {"direction": "output", "bits": list(range(1000, 1000 + outputs))},
    }
    (tmp_path / "top.json").write_text(json.dumps({"modules": {"top": {"ports": ports, "cells": cells}}}))
    x = rng.integers(0, 2, (CYCLES, INPUTS))
    got = NetlistSimulator(tmp_path / "top.json", "top").trace({"x": pack(x, [1] * INPUTS)})["y"]

    (tmp_path / "x.txt").write_text("\n".join("".join(map(str, row[::-1])) for row in x) + "\n")
    (tmp_path / "bench.v").write_text(
        f"module bench; reg clk = 0; reg [{INPUTS - 1}:0] x; wire [{outputs - 1}:0] y;\n"
        f"  reg [{INPUTS - 1}:0] rows [0:{CYCLES - 1}]; integer t;\n" + "\n".join(instances) + "\n"
        f'  initial begin $readmemb("x.txt", rows); x = rows[0]; #5;\n'
        f"    for (t = 0; t < {CYCLES}; t = t + 1)\n"
        '      begin x = rows[t]; #5 $display("%b", y); clk = 1; #5 clk = 0; end\n'
        "  end\nendmodule\n"
    )
    found = icarus.TOOL.find()
    options = ["-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-DNO_INCLUDES", "-s", "bench", "-o", "bench.vvp"]
    files = [brought(name, tmp_path) for name in models]
    run([*found.command, *options, "bench.v", *files], cwd=tmp_path, env=found.environment)
    seen: list[str] = []
    run(["vvp", "-n", "bench.vvp"], cwd=tmp_path, progress=seen.append)
    expected = np.array([list(row[::-1]) for row in seen if set(row) <= set("01xz")])
    assert expected.shape == (CYCLES, outputs)
    ours = unpack(got, [1] * outputs, False).astype(str)
    known = np.isin(expected, ["0", "1"])
    assert known.mean() > 0.95
    wrong = np.flatnonzero(((expected != ours) & known).any(axis=0))
    blamed = [
        c["type"] for c in cells.values() for b in c["connections"].values() if {1000 + int(k) for k in wrong} & {*b}
    ]
    assert not len(wrong), sorted(set(blamed))
