"""The cocotb test bench that is written beside a design, with its vectors as hexadecimal text."""

from __future__ import annotations

import numpy as np

from hardwire.backends import Vectors
from hardwire.errors import DataError
from hardwire.fixed import Ints
from hardwire.schedule.circuit import Bus, Circuit

_TEST = '''"""Test bench of {name}: streams vectors back to back and with gaps, checks values and latency.

Run it with `python run.py`; it needs cocotb 2 and a simulator (Icarus Verilog, or SIM=verilator).
"""

import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

LATENCY = {latency}
INPUTS = {inputs}
OUTPUTS = {outputs}
HERE = Path(__file__).parent


def vectors(bus):
    """Words of a bus, one a vector, from `<bus>.hex`."""
    return [int(line, 16) for line in (HERE / (bus + ".hex")).read_text().split()]


async def stream(dut, gaps):
    """Send every vector, a fraction `gaps` of the cycles idle; compare each answer and the cycle in which it comes."""
    sent = list(zip(*(vectors(bus) for bus in INPUTS)))
    expected = list(zip(*(vectors(bus) for bus in OUTPUTS)))
    assert len(sent) == len(expected) > 0, "no vectors: write x.hex and y.hex first"
    draw = random.Random(1)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = 1
    dut.in_valid.value = 1
    for bus in INPUTS:
        getattr(dut, bus).value = 0
    for _ in range(LATENCY + 2):
        await FallingEdge(dut.clk)
    assert int(dut.out_valid.value) == 0, "out_valid is up during reset"
    dut.rst.value = 0
    due = {{}}
    cycle = index = answered = 0
    while answered < len(expected):
        busy = index < len(sent) and draw.random() >= gaps
        dut.in_valid.value = int(busy)
        if busy:
            for bus, word in zip(INPUTS, sent[index]):
                getattr(dut, bus).value = word
            due[cycle + LATENCY] = index
            index += 1
        await FallingEdge(dut.clk)
        cycle += 1
        assert int(dut.out_valid.value) == int(cycle in due), f"out_valid is wrong in cycle {{cycle}}"
        if cycle in due:
            wanted = expected[due.pop(cycle)]
            for bus, word in zip(OUTPUTS, wanted):
                found = int(getattr(dut, bus).value)
                assert found == word, f"vector {{answered}}: {{bus}} is {{found:x}}, expected {{word:x}}"
            answered += 1


@cocotb.test()
async def back_to_back(dut):
    """A new vector every cycle."""
    await stream(dut, 0.0)


@cocotb.test()
async def with_gaps(dut):
    """Idle cycles between vectors."""
    await stream(dut, 0.4)
'''

_RUN = '''"""Builds and runs the test bench of {name}: `python run.py`; set SIM=verilator for another simulator."""

import os
from pathlib import Path

from cocotb_tools.runner import get_results, get_runner

HERE = Path(__file__).parent.resolve()


def main():
    """Simulate; exits with 1 if a test failed."""
    runner = get_runner(os.environ.get("SIM", "icarus"))
    build = Path(os.environ.get("SIM_BUILD", HERE / "sim_build"))
    runner.build(
        sources=[HERE.parent / "{name}.v"],
        hdl_toplevel="{name}",
        build_dir=build,
        timescale=("1ns", "1ps"),
        always=True,
    )
    results = runner.test(hdl_toplevel="{name}", test_module="test_{name}", build_dir=build, test_dir=HERE)
    _, failed = get_results(results)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
'''


def bench_files(circuit: Circuit, name: str, vectors: Vectors | None) -> dict[str, str]:
    """File name → text of the test bench; with `vectors`, their words too."""
    inputs, outputs = [bus.name for bus in circuit.inputs], [bus.name for bus in circuit.outputs]
    names = {"name": name, "latency": circuit.latency, "inputs": inputs, "outputs": outputs}
    files = {f"tb/test_{name}.py": _TEST.format(**names), "tb/run.py": _RUN.format(**names)}
    if vectors is not None:
        files |= vector_files(circuit, vectors)
    return files


def vector_files(circuit: Circuit, vectors: Vectors) -> dict[str, str]:
    """`tb/<bus>.hex` of every bus: one word a line. Raises `DataError` for codes that do not fit their bus."""
    files = {}
    for buses, arrays in ((circuit.inputs, vectors[0]), (circuit.outputs, vectors[1])):
        for bus, codes in zip(buses, arrays, strict=True):
            files[f"tb/{bus.name}.hex"] = "".join(f"{word:x}\n" for word in words(bus, codes))
    return files


def words(bus: Bus, codes: Ints) -> list[int]:
    """Pack codes (N, elements) into one integer a vector. Raises `DataError` for a code outside its element's range."""
    if codes.ndim != 2 or codes.shape[1] != len(bus.elements):
        raise DataError(f"port {bus.port.name!r}: vectors of shape {codes.shape}, expected (N, {len(bus.elements)})")
    packed = [0] * len(codes)
    for k, element in enumerate(bus.elements):
        column = codes[:, k]
        if len(column) and (column.min() < element.lo or column.max() > element.hi):
            bad = column[np.argmax((column < element.lo) | (column > element.hi))]
            raise DataError(
                f"port {bus.port.name!r}: code {bad} of element {k} is outside [{element.lo}, {element.hi}]"
            )
        mask = (1 << element.width) - 1
        for n, code in enumerate(column.tolist()):
            packed[n] |= (code & mask) << element.offset
    return packed
