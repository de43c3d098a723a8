"""Each cell's model against a plain Python definition, through a netlist as Yosys writes it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.errors import DataError, UnsupportedError
from hardwire.tools.bits import pack, unpack
from hardwire.tools.netlist import NetlistSimulator

Bits = Sequence[int]


def netlist(inputs: int, outputs: Sequence[int | str], cells: Mapping[str, Any], clock: int = 2) -> dict[str, Any]:
    """A module whose input x has the nets 10, 11, … and whose output y has the nets that are given."""
    ports = {
        "clk": {"direction": "input", "bits": [clock]},
        "x": {"direction": "input", "bits": list(range(10, 10 + inputs))},
        "y": {"direction": "output", "bits": list(outputs)},
    }
    return {"modules": {"top": {"ports": ports, "cells": dict(cells)}}}


def cell(kind: str, connections: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    bits = {port: nets if isinstance(nets, list) else [nets] for port, nets in connections.items()}
    return {"type": kind, "parameters": dict(parameters or {}), "connections": bits}


def simulator(document: Mapping[str, Any]) -> NetlistSimulator:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "top.json"
        path.write_text(json.dumps(document))
        return NetlistSimulator(path, "top")


def trace(document: Mapping[str, Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bits of y (T, outputs) for bits of x (T, inputs)."""
    module = simulator(document)
    words = module.trace({"x": pack(x.astype(np.int64), [1] * x.shape[1])})["y"]
    return unpack(words, [1] * module.widths["y"], False)


def every(inputs: int) -> np.ndarray[Any, Any]:
    return np.array(list(itertools.product((0, 1), repeat=inputs)))[:, ::-1]


def lookup(table: int, bits: Bits) -> int:
    return (table >> sum(int(bit) << i for i, bit in enumerate(bits))) & 1


def check_gates(
    kind: str, ports: Sequence[str], outputs: Sequence[str], meaning: Callable[[Bits], Sequence[int]], **parameters: Any
) -> None:
    nets = {port: 10 + i for i, port in enumerate(ports)}
    sinks = {port: 100 + i for i, port in enumerate(outputs)}
    x = every(len(ports))
    y = trace(netlist(len(ports), list(sinks.values()), {"u": cell(kind, {**nets, **sinks}, parameters)}), x)
    np.testing.assert_array_equal(y, [list(meaning(row)) for row in x])


@given(st.integers(1, 6), st.data())
def test_xilinx_luts(size: int, data: st.DataObject) -> None:
    table = data.draw(st.integers(0, (1 << (1 << size)) - 1))
    init = format(table, f"0{1 << size}b")
    ports = [f"I{i}" for i in range(size)]
    check_gates(f"LUT{size}", ports, ["O"], lambda x: [lookup(table, x)], INIT=init)


@given(st.integers(0, 65535))
def test_trellis_lut4(table: int) -> None:
    check_gates("LUT4", "ABCD", "Z", lambda x: [lookup(table, x)], INIT=format(table, "016b"))


@given(st.integers(0, 65535), st.lists(st.sampled_from([10, 11, 12, "0", "1", "x"]), min_size=4, max_size=4))
def test_lut_inputs_that_are_constant_or_equal(table: int, nets: list[int | str]) -> None:
    """What is not known reads 0."""
    document = netlist(
        3, [100], {"u": cell("LUT4", dict(zip("ABCDZ", [*nets, 100], strict=True)), {"INIT": format(table, "016b")})}
    )
    x = every(3)
    expected = [[lookup(table, [row[n - 10] if isinstance(n, int) else int(n == "1") for n in nets])] for row in x]
    np.testing.assert_array_equal(trace(document, x), expected)


def test_multiplexers_inverters_buffers() -> None:
    check_gates("PFUMX", ["ALUT", "BLUT", "C0"], "Z", lambda x: [x[0] if x[2] else x[1]])
    check_gates("L6MUX21", ["D0", "D1", "SD"], "Z", lambda x: [x[1] if x[2] else x[0]])
    for kind in ("MUXF7", "MUXF8", "MUXF9"):
        check_gates(kind, ["I0", "I1", "S"], "O", lambda x: [x[1] if x[2] else x[0]])
    check_gates("INV", "A", "Z", lambda x: [1 - x[0]])
    check_gates("INV", "I", "O", lambda x: [1 - x[0]])
    for kind in ("IBUF", "OBUF", "BUFG"):
        check_gates(kind, "I", "O", lambda x: [x[0]])


def ccu2c(x: Bits, init0: int, init1: int, inject0: str, inject1: str) -> list[int]:
    """The published simulation model, line by line."""
    carry, halves = x[8], []
    for init, inject, pins in ((init0, inject0, x[0:4]), (init1, inject1, x[4:8])):
        lut4, lut2 = lookup(init, pins), lookup(init & 15, pins[:2])
        gated_carry, gated_lut2 = (0, 0) if inject == "YES" else (carry, lut2)
        halves.append(lut4 ^ gated_carry)
        carry = ((1 - lut4) & gated_lut2) | (lut4 & carry)
    return [*halves, carry]


@given(st.integers(0, 65535), st.integers(0, 65535), st.sampled_from(["YES", "NO"]), st.sampled_from(["YES", "NO"]))
@settings(max_examples=40)
def test_trellis_carry_cell(init0: int, init1: int, inject0: str, inject1: str) -> None:
    check_gates(
        "CCU2C",
        ["A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1", "CIN"],
        ["S0", "S1", "COUT"],
        lambda x: ccu2c(x, init0, init1, inject0, inject1),
        INIT0=format(init0, "016b"),
        INIT1=format(init1, "016b"),
        INJECT1_0=inject0,
        INJECT1_1=inject1,
    )


@pytest.mark.parametrize("bits", [4, 8])
@given(seed=st.integers(0, 999), constant=st.sampled_from([None, "0", "1"]))
@settings(max_examples=25)
def test_xilinx_carry_cells(bits: int, seed: int, constant: str | None) -> None:
    count = 2 * bits + 2
    x = np.random.default_rng(seed).integers(0, 2, (150, count))
    ins = {"S": list(range(10, 10 + bits)), "DI": list(range(10 + bits, 10 + 2 * bits)), "CI": 10 + 2 * bits}
    ins["CYINIT"] = 11 + 2 * bits
    if constant is not None:
        ins["CI"] = ins["CYINIT"] = constant
    outs = {"O": list(range(100, 100 + bits)), "CO": list(range(200, 200 + bits))}
    document = netlist(count, outs["O"] + outs["CO"], {"u": cell(f"CARRY{bits}", {**ins, **outs})})
    expected = []
    for row in x:
        carry = int(constant == "1") if constant is not None else row[-2] | row[-1]
        totals, carries = [], []
        for s, d in zip(row[:bits], row[bits : 2 * bits], strict=True):
            totals.append(s ^ carry)
            carry = carry if s else d
            carries.append(carry)
        expected.append(totals + carries)
    np.testing.assert_array_equal(trace(document, x), expected)


def registers(x: np.ndarray[Any, Any], initial: int, reset_to: int, reset_first: bool = True) -> list[list[int]]:
    """A flip-flop with data, enable and reset in the columns of x."""
    state, seen = initial, []
    for data, enable, reset in x:
        seen.append([state])
        if reset and (reset_first or enable):
            state = reset_to
        elif enable:
            state = int(data)
    return seen


@given(
    seed=st.integers(0, 999),
    cycles=st.sampled_from([1, 63, 64, 65, 300, 4096, 4097, 9000]),
    enabled=st.sampled_from([0.02, 0.5, 0.98]),
    mode=st.sampled_from(["CE", "INV", "1 ", "0 "]),
    regset=st.sampled_from(["SET", "RESET"]),
    lsrmux=st.sampled_from(["LSR", "INV"]),
)
@settings(max_examples=60)
def test_trellis_flip_flop(seed: int, cycles: int, enabled: float, mode: str, regset: str, lsrmux: str) -> None:
    rng = np.random.default_rng(seed)
    x = np.stack([rng.integers(0, 2, cycles), rng.random(cycles) < enabled, rng.random(cycles) < 0.01], 1).astype(int)
    parameters = {"CEMUX": mode, "REGSET": regset, "LSRMUX": lsrmux, "GSR": "DISABLED"}
    u = cell("TRELLIS_FF", {"CLK": 2, "DI": 10, "CE": 11, "LSR": 12, "Q": 100}, parameters)
    seen = trace(netlist(3, [100], {"u": u}), x)
    meant = x.copy()
    meant[:, 1] = {"CE": x[:, 1], "INV": 1 - x[:, 1], "1 ": 1, "0 ": 0}[mode]
    if lsrmux == "INV":
        meant[:, 2] = 1 - x[:, 2]
    value = int(regset == "SET")
    np.testing.assert_array_equal(seen, registers(meant, value, value))


@given(
    seed=st.integers(0, 999),
    cycles=st.sampled_from([64, 300, 5000]),
    kind=st.sampled_from(["FDRE", "FDSE"]),
    initial=st.integers(0, 1),
    inverted=st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
@settings(max_examples=40)
def test_xilinx_flip_flops(seed: int, cycles: int, kind: str, initial: int, inverted: tuple[int, int]) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (cycles, 3))
    reset = kind[2]
    parameters = {"INIT": str(initial), "IS_D_INVERTED": str(inverted[0]), f"IS_{reset}_INVERTED": str(inverted[1])}
    u = cell(kind, {"C": 2, "D": 10, "CE": 11, reset: 12, "Q": 100}, parameters)
    meant = x ^ np.array([inverted[0], 0, inverted[1]])
    expected = registers(meant, initial, int(kind == "FDSE"))
    np.testing.assert_array_equal(trace(netlist(3, [100], {"u": u}), x), expected)


@given(seed=st.integers(0, 999), length=st.integers(1, 16), content=st.integers(0, 65535), enable=st.booleans())
@settings(max_examples=40)
def test_xilinx_shift_register(seed: int, length: int, content: int, enable: bool) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (200, 2))
    address = {f"A{i}": str(((length - 1) >> i) & 1) for i in range(4)}
    pins = {"CLK": 2, "D": 10, "CE": 11 if enable else "1", "Q": 100, **address}
    seen = trace(netlist(2, [100], {"u": cell("SRL16E", pins, {"INIT": format(content, "016b")})}), x)
    stages, expected = [(content >> i) & 1 for i in range(16)], []
    for data, allowed in x:
        expected.append([stages[length - 1]])
        if allowed or not enable:
            stages = [int(data), *stages[:-1]]
    np.testing.assert_array_equal(seen, expected)


@given(st.integers(0, 999), st.booleans(), st.booleans())
@settings(max_examples=25)
def test_trellis_multiplier(seed: int, signed_a: bool, signed_b: bool) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (200, 36))
    x[:4] = [[0] * 36, [1] * 36, [0] * 17 + [1] + [0] * 17 + [1], [1] * 17 + [0] + [1] * 17 + [0]]
    pins: dict[str, Any] = {"SIGNEDA": str(int(signed_a)), "SIGNEDB": str(int(signed_b)), "SOURCEA": "0"}
    for i in range(18):
        pins |= {f"A{i}": 10 + i, f"B{i}": 28 + i}
    for i in range(36):
        pins[f"P{i}"] = 100 + i
    seen = trace(netlist(36, list(range(100, 136)), {"u": cell("MULT18X18D", pins)}), x)
    powers = 1 << np.arange(18)
    a, b = x[:, :18] @ powers, x[:, 18:] @ powers
    a = a - (x[:, 17] << 18) * signed_a
    b = b - (x[:, 35] << 18) * signed_b
    np.testing.assert_array_equal(seen, ((a * b)[:, None] >> np.arange(36)) & 1)


def ff(d: int | str, q: int, **pins: Any) -> dict[str, Any]:
    return cell("TRELLIS_FF", {"CLK": 2, "DI": d, "LSR": "0", "Q": q, **pins}, {"LSRMUX": "LSR"})


def test_rows_are_shared_without_mixing_nets_up() -> None:
    """A long chain of gates and registers, tapped everywhere, against a cycle-by-cycle evaluation."""
    rng = np.random.default_rng(7)
    cells: dict[str, Any] = {}
    tables, sources = [], []
    for i in range(300):
        low = max(0, i - 12)
        pick = [int(rng.integers(low, i + 4)) for _ in range(4)]
        sources.append(pick)
        tables.append(int(rng.integers(0, 65536)))
        nets = [10 + p if p < 4 else 1000 + p for p in pick]
        registered = i % 3 == 0
        out = 5000 + i if registered else 1004 + i
        cells[f"lut{i}"] = cell("LUT4", dict(zip("ABCDZ", [*nets, out], strict=True)), {"INIT": f"{tables[i]:016b}"})
        if registered:
            cells[f"ff{i}"] = ff(out, 1004 + i)
    names = list(cells)
    rng.shuffle(names)
    taps = list(range(1004, 1304, 7))
    x = rng.integers(0, 2, (5000, 4))
    seen = trace(netlist(4, taps, {name: cells[name] for name in names}), x)
    held = [0] * 300
    for t in range(x.shape[0]):
        value, after = [*x[t].tolist()], list(held)
        for i in range(300):
            answer = lookup(tables[i], [value[p] for p in sources[i]])
            value.append(held[i] if i % 3 == 0 else answer)
            after[i] = answer
        held = after
        assert seen[t].tolist() == [value[net - 1000] for net in taps], f"cycle {t}"


def test_what_cannot_be_simulated_is_named() -> None:
    def build(cells: Mapping[str, Any], outputs: Sequence[int | str] = (100,)) -> None:
        simulator(netlist(1, outputs, cells))

    inverted = cell("TRELLIS_FF", {"CLK": 2, "DI": 10, "Q": 100}, {"CLKMUX": "INV"})
    with pytest.raises(UnsupportedError, match=r"cell u \(TRELLIS_FF\): its clock is inverted"):
        build({"u": inverted})
    with pytest.raises(UnsupportedError, match="its reset is asynchronous"):
        build({"u": cell("TRELLIS_FF", {"CLK": 2, "DI": 10, "LSR": 10, "Q": 100}, {"SRMODE": "ASYNC"})})
    with pytest.raises(UnsupportedError, match="its reset is asynchronous"):
        build({"u": cell("FDCE", {"C": 2, "D": 10, "CE": "1", "CLR": 10, "Q": 100})})
    with pytest.raises(UnsupportedError, match="cell u is not clocked by the port 'clk'"):
        build({"u": cell("TRELLIS_FF", {"CLK": 10, "DI": 10, "Q": 100})})
    with pytest.raises(UnsupportedError, match=r"RAMB36E1\): this memory is not simulated; synthesise with bram=False"):
        build({"u": cell("RAMB36E1", {})})
    with pytest.raises(UnsupportedError, match=r"DP16KD\): port A is written to; only ROMs are simulated"):
        build({"u": cell("DP16KD", {"CLKA": 2, "WEA": 10, "CEA": "1"})})
    with pytest.raises(UnsupportedError, match="port B has an output register"):
        build({"u": cell("DP16KD", {"CLKB": 2, "CEA": "0"}, {"REGMODE_B": "OUTREG"})})
    with pytest.raises(UnsupportedError, match=r"DSP48E1\): its mode is 0x0"):
        build({"u": cell("DSP48E1", {})})
    with pytest.raises(UnsupportedError, match=r"DSP48E2\): its adder in front is used"):
        build({"u": cell("DSP48E2", {}, {"USE_DPORT": "TRUE"})})
    with pytest.raises(UnsupportedError, match=r"SB_MAC16\).*dsp=False"):
        build({"u": cell("SB_MAC16", {})})
    with pytest.raises(UnsupportedError, match=r"SB_DFFR\): its reset is asynchronous"):
        build({"u": cell("SB_DFFR", {"C": 2, "D": 10, "R": 10, "Q": 100})})
    with pytest.raises(UnsupportedError, match=r"ALU\): its mode is 6, neither a sum nor a difference"):
        build({"u": cell("ALU", {"I0": 10, "SUM": 100}, {"ALU_MODE": 6})})
    with pytest.raises(UnsupportedError, match=r"cell u \(EFX_LUT4\).*does not know this kind"):
        build({"u": cell("EFX_LUT4", {})})
    with pytest.raises(UnsupportedError, match="its register OUTPUT is used"):
        build({"u": cell("MULT18X18D", {"P0": 100}, {"REG_OUTPUT_CLK": "CLK0"})})
    with pytest.raises(UnsupportedError, match="its length is not a constant"):
        build({"u": cell("SRL16E", {"CLK": 2, "D": 10, "A0": 10, "CE": "1", "Q": 100})})
    with pytest.raises(UnsupportedError, match="feedback through registers"):
        build({"u": cell("LUT4", {"A": 100, "B": 10, "Z": 101}, {"INIT": "0110" * 4}), "v": ff(101, 100)})
    with pytest.raises(UnsupportedError, match="cell u reads net 77, which nothing drives"):
        build({"u": ff(77, 100)})
    buffers = {"u": cell("BUF", {"I": 100, "O": 101}), "v": cell("BUF", {"I": 101, "O": 100})}
    with pytest.raises(UnsupportedError, match=r"net 10[01] is driven by itself"):
        build(buffers)
    with pytest.raises(UnsupportedError, match=r"cell v \(BUF\): its output O drives net 100, as another cell does"):
        build({"u": cell("BUF", {"I": 10, "O": 100}), "v": cell("BUF", {"I": 10, "O": 100})})
    with pytest.raises(UnsupportedError, match="output 'y' has a bit that nothing drives"):
        build({}, [100])


def test_bad_netlists_are_named(tmp_path: Path) -> None:
    path = tmp_path / "n.json"
    with pytest.raises(DataError, match=r"n.json cannot be read: No such file"):
        NetlistSimulator(path, "top")
    path.write_text("{")
    with pytest.raises(DataError, match=r"n.json is no Yosys JSON netlist"):
        NetlistSimulator(path, "top")
    path.write_text(json.dumps(netlist(1, [10], {})))
    with pytest.raises(DataError, match="has no module 'other'"):
        NetlistSimulator(path, "other")
    with pytest.raises(DataError, match="has no output 'out_valid'"):
        NetlistSimulator(path, "top").run({"x": np.zeros((1, 1), np.uint64)}, latency=0)
    with pytest.raises(DataError, match="has an input 'x' that is given no vectors"):
        NetlistSimulator(path, "top").run({}, latency=0)
    with pytest.raises(DataError, match="has no input 'z'"):
        NetlistSimulator(path, "top").run(
            {"x": np.zeros((1, 1), np.uint64), "z": np.zeros((1, 1), np.uint64)}, latency=0
        )
