"""Random netlists over thousands of cycles, against integers whose bit t is a net at cycle t; sections on threads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hardwire.errors import DataError, UnsupportedError, VerificationError
from hardwire.tools import _netlist_kernel as kernel
from hardwire.tools.bits import from_planes, pack, to_planes, unpack
from hardwire.tools.netlist import NetlistSimulator

INPUTS = 4


def cell(kind: str, connections: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    bits = {port: nets if isinstance(nets, list) else [nets] for port, nets in connections.items()}
    return {"type": kind, "parameters": parameters, "connections": bits}


@st.composite
def netlists(draw: st.DrawFn) -> dict[str, Any]:
    """Xilinx LUTs, carry chains that are fed by XOR gates or by others, multiplexers and flip-flops, in any order."""
    cells: dict[str, Any] = {}
    nets: list[Any] = ["0", "1", *range(10, 10 + INPUTS)]
    fresh = iter(range(100, 100_000))

    def net() -> Any:
        return draw(st.sampled_from(nets[-12:] + nets[:6]))

    for k in range(draw(st.integers(1, 24))):
        kind = draw(st.sampled_from(["LUT", "XOR", "CARRY", "MUXF7", "FDRE", "FDRE", "FDCE enabled"]))
        out = next(fresh)
        if kind in ("LUT", "XOR"):
            size = 2 if kind == "XOR" else draw(st.integers(1, 5))
            table = draw(st.sampled_from([0b0110, 0b1001]) if kind == "XOR" else st.integers(0, (1 << (1 << size)) - 1))
            pins = {f"I{i}": net() for i in range(size)}
            cells[f"c{k}"] = cell(f"LUT{size}", {**pins, "O": out}, INIT=format(table, f"0{1 << size}b"))
            nets.append(out)
        elif kind == "CARRY":
            adds = [draw(st.sampled_from(["xor", "any", "same", "inverted"])) for _ in range(4)]
            propagate, generate = [], []
            for i, how in enumerate(adds):
                a, b = net(), net()
                gate = net()
                if how != "any":
                    gate = next(fresh)
                    table = draw(st.sampled_from(["0110", "1001"]))
                    cells[f"c{k}.x{i}"] = cell("LUT2", {"I0": a, "I1": b, "O": gate}, INIT=table)
                chosen = draw(st.sampled_from([a, b])) if how in ("xor", "same") else net()
                if how == "inverted":
                    chosen = next(fresh)
                    source = draw(st.sampled_from([a, b]))
                    cells[f"c{k}.n{i}"] = cell("LUT1", {"I0": source, "O": chosen}, INIT="01")
                propagate.append(gate)
                generate.append(chosen)
            totals, carries = [[next(fresh) for _ in range(4)] for _ in range(2)]
            pins = {"CI": net(), "CYINIT": "0", "S": propagate, "DI": generate, "O": totals, "CO": carries}
            cells[f"c{k}"] = cell("CARRY4", pins)
            nets += [*totals, *carries]
        elif kind == "MUXF7":
            cells[f"c{k}"] = cell("MUXF7", {"S": net(), "I0": net(), "I1": net(), "O": out})
            nets.append(out)
        else:
            enable = net() if kind == "FDCE enabled" else "1"
            reset = draw(st.sampled_from(["0", *nets[-3:]]))
            initial = draw(st.sampled_from("01"))
            cells[f"c{k}"] = cell("FDRE", {"C": 2, "D": net(), "R": reset, "CE": enable, "Q": out}, INIT=initial)
            nets.append(out)
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "x": {"direction": "input", "bits": list(range(10, 10 + INPUTS))},
        "y": {"direction": "output", "bits": nets[2 + INPUTS :]},
    }
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


def histories(document: dict[str, Any], x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Bits of y (T, outputs): every net is one integer of T bits."""
    cycles = len(x)
    whole = (1 << cycles) - 1
    known: dict[Any, int] = {"0": 0, "1": whole}
    for i in range(INPUTS):
        known[10 + i] = int("".join(map(str, x[::-1, i].tolist())) or "0", 2)

    def lookup(table: str, pins: list[int]) -> int:
        out = 0
        for address in range(1 << len(pins)):
            if table[-1 - address] == "1":
                term = whole
                for i, pin in enumerate(pins):
                    term &= pin if address >> i & 1 else whole ^ pin
                out |= term
        return out

    module = document["modules"]["top"]
    for one in module["cells"].values():
        pins = {port: [known[bit] for bit in bits] for port, bits in one["connections"].items() if bits[0] in known}
        wires = one["connections"]
        if one["type"].startswith("LUT"):
            size = int(one["type"][3:])
            known[wires["O"][0]] = lookup(one["parameters"]["INIT"], [pins[f"I{i}"][0] for i in range(size)])
        elif one["type"] == "CARRY4":
            carry = pins["CI"][0]
            for i, (s, d) in enumerate(zip(pins["S"], pins["DI"], strict=True)):
                known[wires["O"][i]] = s ^ carry
                carry = known[wires["CO"][i]] = s & carry | d & (whole ^ s)
        elif one["type"] == "MUXF7":
            s = pins["S"][0]
            known[wires["O"][0]] = s & pins["I1"][0] | pins["I0"][0] & (whole ^ s)
        else:
            state, out = int(one["parameters"]["INIT"]), 0
            d, r, e = pins["D"][0], pins["R"][0], pins["CE"][0]
            text = [format(value, f"0{cycles}b")[::-1] for value in (d, r, e)]
            held = []
            for data, reset, enable in zip(*text, strict=True):
                held.append(str(state))
                state = 0 if reset == "1" else int(data) if enable == "1" else state
            out = int("".join(reversed(held)), 2)
            known[wires["Q"][0]] = out
    columns = [[int(c) for c in format(known[net], f"0{cycles}b")[::-1]] for net in module["ports"]["y"]["bits"]]
    return np.array(columns, np.int64).T


def load(document: dict[str, Any], folder: Path) -> NetlistSimulator:
    path = folder / "top.json"
    path.write_text(json.dumps(document))
    return NetlistSimulator(path, "top")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(netlists(), st.sampled_from([1, 63, 64, 65, 511, 513, 4096, 4097, 9000]), st.integers(0, 2**32))
def test_random_netlists(tmp_path: Path, document: dict[str, Any], cycles: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, 2, (cycles, INPUTS))
    simulator = load(document, tmp_path)
    words = simulator.trace({"x": pack(x, [1] * INPUTS)})["y"]
    np.testing.assert_array_equal(unpack(words, [1] * simulator.widths["y"], False), histories(document, x))


def adder(table: str, generate: Any, extra: dict[str, Any]) -> dict[str, Any]:
    cells = {
        **extra,
        "x": cell("LUT2", {"I0": 10, "I1": 11, "O": 20}, INIT=table),
        "c": cell("CARRY4", {"CI": 12, "CYINIT": "0", "S": [20], "DI": [generate], "O": [30], "CO": [31]}),
    }
    ports = {
        "x": {"direction": "input", "bits": [10, 11, 12, 13]},
        "y": {"direction": "output", "bits": [30, 31]},
    }
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


@pytest.mark.parametrize("table", ["0110", "1001", "1000"])
@pytest.mark.parametrize("generate", [10, 11, 13, 21])
@pytest.mark.parametrize("inverted", [10, 11, 13])
def test_an_adder_and_its_gate_are_one_operation(table: str, generate: int, inverted: int, tmp_path: Path) -> None:
    document = adder(table, generate, {"n": cell("LUT1", {"I0": inverted, "O": 21}, INIT="01")})
    simulator = load(document, tmp_path)
    fused = (generate in (10, 11) and table != "1000") or (generate == 21 and inverted != 13 and table == "1001")
    assert (simulator.operations == 1) == fused
    x = np.array([[k >> i & 1 for i in range(INPUTS)] for k in range(16)])
    y = unpack(simulator.trace({"x": pack(x, [1] * INPUTS)})["y"], [1, 1], False)
    np.testing.assert_array_equal(y, histories(document, x))


def pipeline(stages: int, enabled: bool = False) -> dict[str, Any]:
    """y = ~x of `stages` cycles ago; valid bits that a reset clears."""
    cells: dict[str, Any] = {}
    data, valid = list(range(10, 74)), [5]
    for stage in range(stages):
        fresh = [1000 + 100 * stage + i for i in range(65)]
        for i, (d, q) in enumerate(zip([*data, *valid], fresh, strict=True)):
            reset = 3 if i == 64 else "0"
            enable = 4 if enabled and i == 64 and stage == 0 else "1"
            cells[f"f{stage}.{i}"] = cell("FDRE", {"C": 2, "D": d, "R": reset, "CE": enable, "Q": q}, INIT="0")
        data, valid = fresh[:64], fresh[64:]
    cells |= {f"n{i}": cell("LUT1", {"I0": d, "O": 900_000 + i}, INIT="01") for i, d in enumerate(data)}
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "rst": {"direction": "input", "bits": [3]},
        "in_valid": {"direction": "input", "bits": [5]},
        "x": {"direction": "input", "bits": list(range(10, 74))},
        "y": {"direction": "output", "bits": [900_000 + i for i in range(64)]},
        "out_valid": {"direction": "output", "bits": valid},
    }
    if enabled:
        ports["on"] = {"direction": "input", "bits": [4]}
    return {"modules": {"top": {"ports": ports, "cells": cells}}}


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 90_000), st.integers(1, 5), st.sampled_from([0.0, 0.3]), st.booleans())
@example(3, 65_536, 4, 0.0, True)
def test_threads_answer_as_one(tmp_path: Path, stages: int, count: int, threads: int, gaps: float, reset: bool) -> None:
    simulator = load(pipeline(stages), tmp_path)
    x = np.random.default_rng(count).integers(0, 2**64, (count, 1), np.uint64)
    after = count // 2 if reset else None
    found = simulator.run({"x": x}, latency=stages, gaps=gaps, reset_after=after, threads=threads)
    np.testing.assert_array_equal(found.outputs["y"], ~x)


def test_a_wrong_latency_is_found_on_threads(tmp_path: Path) -> None:
    simulator = load(pipeline(5), tmp_path)
    with pytest.raises(VerificationError, match="latency 5, not 4"):
        simulator.run({"x": np.zeros((60_000, 1), np.uint64)}, latency=4, threads=3)
    with pytest.raises(DataError, match="threads = 0"):
        simulator.run({"x": np.zeros((6, 1), np.uint64)}, latency=5, threads=0)


def test_a_register_that_holds_runs_on_one_thread(tmp_path: Path) -> None:
    simulator = load(pipeline(3, enabled=True), tmp_path)
    inputs = {"x": np.arange(50_000, dtype=np.uint64).reshape(-1, 1), "on": np.ones((50_000, 1), np.uint64)}
    # What is not a vector is junk, and a junk enable holds a valid bit back: the check sees it.
    with pytest.raises(VerificationError):
        simulator.run(inputs, latency=3, gaps=0.5, threads=4)


def test_feedback_is_refused_by_name(tmp_path: Path) -> None:
    document = pipeline(1)
    cells = document["modules"]["top"]["cells"]
    cells["loop"] = cell("LUT2", {"I0": 10, "I1": 900_000, "O": 7}, INIT="0110")
    cells["f0.0"]["connections"]["D"] = [7]
    with pytest.raises(UnsupportedError, match=r"(loop|f0\.0|n0) depends on itself"):
        load(document, tmp_path)


@given(st.integers(0, 700), st.integers(0, 2**32))
def test_a_single_bit_has_planes_of_its_own(count: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2, (count, 1)).astype(np.uint64)
    planes = to_planes(words, 1)
    assert planes.shape == (1, -(-count // 64))
    wide = to_planes(words, 2)
    np.testing.assert_array_equal(planes, wide[:1])
    np.testing.assert_array_equal(from_planes(planes, count), words)


def test_every_kind_has_a_number_of_its_own() -> None:
    kinds = ("NOT", "LUT2", "LUT3", "LUT4", "MUX", "CARRY", "FF", "FFE", "MULT", "ROM", "ADD")
    assert len({getattr(kernel, kind) for kind in kinds}) == len(kinds)
