"""The cocotb test benches that are written beside a wrapper; they read the core's vectors, `tb/<bus>.hex`."""

from __future__ import annotations

from string import Template

_WORDS = '''
HERE = Path(__file__).parent
LAYOUT = json.loads((HERE.parent / "wrapper_ports.json").read_text())
LOW = LAYOUT["reset_active_low"]


def words(ports):
    """One tuple a vector: the words of the wrapper's ports, made of the core's `<bus>.hex` by the layout."""
    columns = []
    for port in ports:
        read = {}
        for field in port["fields"]:
            if field["bus"] not in read:
                lines = (HERE / (field["bus"] + ".hex")).read_text().split()
                read[field["bus"]] = [int(line, 16) for line in lines]
        count = len(next(iter(read.values())))
        column = []
        for n in range(count):
            word = 0
            for field in port["fields"]:
                code = read[field["bus"]][n] >> field["bus_offset"] & (1 << field["bus_width"]) - 1
                if field["signed"] and code >> max(0, field["bus_width"] - 1):
                    code -= 1 << field["bus_width"]
                word |= (code & (1 << field["width"]) - 1) << field["offset"]
            column.append(word)
        columns.append(column)
    vectors = list(zip(*columns))
    assert vectors, "no vectors: write x.hex and y.hex first"
    return vectors
'''

_AXIS = Template('''"""Test bench of $top: frames of vectors through two AXI4-Streams that stop at random.

Run it with `python run_$top.py`; it needs cocotb 2, cocotbext-axi and a simulator (Icarus Verilog, or SIM=verilator).
FRAMES=10000 sends so many frames instead of 200, SEED=2 draws others.
"""

import itertools
import json
import logging
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

FRAMES = int(os.environ.get("FRAMES", "200"))
SEED = int(os.environ.get("SEED", "1"))
$words

class Bench:
    """Source, sink, and a watch that notes when beats go over and that a waiting beat does not change."""

    def __init__(self, dut, tag):
        logging.getLogger("cocotb." + dut._name).setLevel(logging.WARNING)
        self.dut = dut
        self.draw = random.Random(f"{SEED} {tag}")
        cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn, False)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn, False)
        for stream in (self.source, self.sink):
            stream.log.setLevel(logging.ERROR)
        self.in_bytes, self.out_bytes = len(dut.s_axis_tdata) // 8, len(dut.m_axis_tdata) // 8
        self.in_beats = -(-LAYOUT["inputs"][0]["width"] // (8 * self.in_bytes))
        self.out_beats = -(-LAYOUT["outputs"][0]["width"] // (8 * self.out_bytes))
        self.tags = 1 << len(dut.s_axis_tuser)
        self.sent, self.answers = words(LAYOUT["inputs"]), words(LAYOUT["outputs"])
        self.in_cycles, self.out_cycles = [], []

    async def reset(self, cycles=6):
        """Reset, and start the watch anew."""
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, cycles)
        assert int(self.dut.m_axis_tvalid.value) == 0, "m_axis_tvalid is up during reset"
        assert int(self.dut.s_axis_tready.value) == 0, "s_axis_tready is up during reset"
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 6)

    async def watch(self):
        """Note the cycles of the beats on both sides; a beat that waits must stay as it is."""
        dut, waits, cycle = self.dut, None, 0
        while True:
            await RisingEdge(dut.aclk)
            cycle += 1
            if int(dut.s_axis_tvalid.value) and int(dut.s_axis_tready.value):
                self.in_cycles.append(cycle)
            valid = int(dut.m_axis_tvalid.value)
            assert valid or waits is None, "m_axis_tvalid fell before m_axis_tready came"
            if valid:
                beat = (dut.m_axis_tdata.value, dut.m_axis_tlast.value, dut.m_axis_tuser.value)
                assert waits is None or beat == waits, "a beat changed while it waited"
                waits = beat
                if int(dut.m_axis_tready.value):
                    self.out_cycles.append(cycle)
                    waits = None

    def frames(self, count, first=0):
        """Frames of one to four vectors with a tag each: what is sent and what must come back."""
        vectors = itertools.count(first)
        for _ in range(count):
            sent, tags, answer, answer_tags = bytearray(), [], bytearray(), []
            for _ in range(self.draw.randint(1, 4)):
                n, tag = next(vectors) % len(self.sent), self.draw.randrange(self.tags)
                beats = self.in_beats * self.in_bytes
                sent += self.sent[n][0].to_bytes(beats, "little")
                tags += [tag] * beats
                beats = self.out_beats * self.out_bytes
                answer += self.answers[n][0].to_bytes(beats, "little")
                answer_tags += [tag] * beats
            yield AxiStreamFrame(sent, tuser=tags), answer, answer_tags

    async def exchange(self, frames):
        """Send frames; every answer must come back, whole, in order and with its tags."""
        frames = list(frames)
        for frame, _, _ in frames:
            self.source.send_nowait(frame)
        for number, (_, answer, tags) in enumerate(frames):
            found = await self.sink.recv(compact=False)
            assert found.tdata == answer, f"frame {number}: {found.tdata.hex()}, expected {answer.hex()}"
            assert found.tuser == tags, f"frame {number}: TUSER {found.tuser}, expected {tags}"
            assert all(found.tkeep), f"frame {number}: TKEEP is not up"
        await ClockCycles(self.dut.aclk, 50)
        assert self.sink.empty(), "a frame came twice"

    def pauses(self, part):
        """Stop for `part` of the cycles, in runs of random length."""
        while True:
            run = self.draw.choice((1, 1, 2, 3, 20))
            yield from itertools.repeat(self.draw.random() < part, run)


@cocotb.test()
async def full_speed(dut):
    """Nobody stops: a vector every cycle (or as fast as its beats go), and exactly LATENCY cycles to its answer."""
    bench = Bench(dut, "full speed")
    await bench.reset()
    cocotb.start_soon(bench.watch())
    await bench.exchange(bench.frames(FRAMES))
    vectors = len(bench.out_cycles) // bench.out_beats
    assert len(bench.in_cycles) == vectors * bench.in_beats
    apart = max(bench.in_beats, bench.out_beats)
    answers = bench.out_cycles[:: bench.out_beats]
    assert answers[-1] - answers[0] == (vectors - 1) * apart, "the stream stopped on its own"
    latency = int(dut.LATENCY.value)
    assert answers[0] - bench.in_cycles[bench.in_beats - 1] == latency, "the latency is not LATENCY"
    if bench.in_beats >= bench.out_beats:
        assert all(b - a == latency for a, b in zip(bench.in_cycles[bench.in_beats - 1 :: bench.in_beats], answers))
    dut._log.warning("%d vectors in %d cycles", vectors, answers[-1] - answers[0] + 1)


@cocotb.test()
async def back_pressure(dut):
    """Both sides stop at random, each more than the other at times."""
    bench = Bench(dut, "back pressure")
    await bench.reset()
    cocotb.start_soon(bench.watch())
    settings = ((0.0, 0.5), (0.5, 0.0), (0.5, 0.5), (0.2, 0.8))
    for k, (source, sink) in enumerate(settings):
        bench.source.set_pause_generator(bench.pauses(source))
        bench.sink.set_pause_generator(bench.pauses(sink))
        await bench.exchange(bench.frames(FRAMES * (k + 1) // 4 - FRAMES * k // 4, 1000 * k))


@cocotb.test()
async def short_frames(dut):
    """Frames that end within a vector: the beats that it lacks count as zero, and the next frame is in step again."""
    bench = Bench(dut, "short frames")
    await bench.reset()
    size, beats = bench.in_bytes, bench.in_beats
    short = [n for n, (word,) in enumerate(bench.sent) if beats > 1 and not word >> 8 * size * (beats - 1)]
    frames = []
    for n in short[:100]:
        needed = max(1, -(-bench.sent[n][0].bit_length() // (8 * size)))
        sent = bench.sent[n][0].to_bytes(size * bench.draw.randint(needed, beats - 1), "little")
        answer = bench.answers[n][0].to_bytes(bench.out_beats * bench.out_bytes, "little")
        frames.append((AxiStreamFrame(sent, tuser=[1] * len(sent)), answer, [1] * len(answer)))
        frames += bench.frames(1, n)
    bench.sink.set_pause_generator(bench.pauses(0.3))
    await bench.exchange(frames)
    dut._log.warning("%d short frames", len(frames) // 2)


@cocotb.test()
async def reset_in_mid_stream(dut):
    """Reset at random times: what came before is a part of what was sent, and nothing of it comes after."""
    bench = Bench(dut, "reset")
    for _ in range(8):
        await bench.reset(bench.draw.randint(6, 9))
        watch = cocotb.start_soon(bench.watch())
        bench.source.set_pause_generator(bench.pauses(0.3))
        bench.sink.set_pause_generator(bench.pauses(0.3))
        await bench.exchange(bench.frames(max(2, FRAMES // 50), bench.draw.randrange(1000)))
        cut = list(bench.frames(40, bench.draw.randrange(1000)))
        for frame, _, _ in cut:
            bench.source.send_nowait(frame)
        await ClockCycles(dut.aclk, bench.draw.randint(1, 60))
        watch.cancel()
        bench.source.clear()
        dut.aresetn.value = 0
        await ClockCycles(dut.aclk, 1)
        for _, answer, tags in cut:
            if bench.sink.empty():
                break
            found = bench.sink.recv_nowait(compact=False)
            assert (found.tdata, found.tuser) == (answer, tags)
        assert bench.sink.empty()
        bench.sink.set_pause_generator(itertools.repeat(False, 1))
''')

_STREAM = Template('''"""Test bench of $top: vectors through two streams that stop at random.

Run it with `python run_$top.py`; it needs cocotb 2 and a simulator (Icarus Verilog, or SIM=verilator).
VECTORS=10000 sends so many vectors instead of 500, SEED=2 draws other stops.
"""

import json
import os
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge

VECTORS = int(os.environ.get("VECTORS", "500"))
SEED = int(os.environ.get("SEED", "1"))
$words

async def reset(dut, cycles=6):
    """Hold the reset for some cycles."""
    await FallingEdge(dut.clk)
    dut.rst.value = int(not LOW)
    dut.in_valid.value = 0
    dut.out_ready.value = 0
    await ClockCycles(dut.clk, cycles)
    assert int(dut.out_valid.value) == 0, "out_valid is up during reset"
    assert int(dut.in_ready.value) == 0, "in_ready is up during reset"
    await FallingEdge(dut.clk)
    dut.rst.value = int(LOW)
    await ClockCycles(dut.clk, 6)


async def stream(dut, draw, stop_in, stop_out, count, cut=None):
    """Send `count` vectors, or stop after `cut` cycles; every answer must be the next one; returns both cycles."""
    sent, expected = words(LAYOUT["inputs"]), words(LAYOUT["outputs"])
    inputs, outputs = ([port["port"] for port in LAYOUT[side]] for side in ("inputs", "outputs"))
    first = draw.randrange(len(sent))
    given, taken, waits, cycle = [], [], None, 0
    offered = False
    while len(taken) < count and cycle != cut:
        await FallingEdge(dut.clk)
        offered = len(given) < count and (offered or draw.random() >= stop_in)
        dut.in_valid.value = int(offered)
        for port, word in zip(inputs, sent[(first + len(given)) % len(sent)]):
            getattr(dut, port).value = word if offered else draw.getrandbits(len(getattr(dut, port)))
        dut.out_ready.value = int(draw.random() >= stop_out)
        await RisingEdge(dut.clk)
        cycle += 1
        if offered and int(dut.in_ready.value):
            given.append(cycle)
            offered = False
        valid = int(dut.out_valid.value)
        assert valid or waits is None, "out_valid fell before out_ready came"
        if valid:
            found = tuple(int(getattr(dut, port).value) for port in outputs)
            assert waits is None or found == waits, "an answer changed while it waited"
            waits = found
            if int(dut.out_ready.value):
                wanted = expected[(first + len(taken)) % len(sent)]
                assert found == wanted, f"vector {len(taken)}: {found}, expected {wanted}"
                taken.append(cycle)
                waits = None
    if cut is None:
        dut.in_valid.value = 0
        dut.out_ready.value = 1
        for _ in range(int(dut.LATENCY.value) + 3):
            await RisingEdge(dut.clk)
            await FallingEdge(dut.clk)
            assert int(dut.out_valid.value) == 0, "an answer came twice"
    return given, taken


@cocotb.test()
async def full_speed(dut):
    """Nobody stops: a vector every cycle, and exactly LATENCY cycles to its answer."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    await reset(dut)
    given, taken = await stream(dut, random.Random(SEED), 0.0, 0.0, VECTORS)
    assert given == list(range(given[0], given[0] + VECTORS)), "the stream stopped on its own"
    assert taken == [cycle + int(dut.LATENCY.value) for cycle in given], "the latency is not LATENCY"


@cocotb.test()
async def back_pressure(dut):
    """Both sides stop at random."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    await reset(dut)
    for k, (stop_in, stop_out) in enumerate(((0.0, 0.5), (0.5, 0.0), (0.5, 0.5), (0.1, 0.9))):
        await stream(dut, random.Random(f"{SEED} {k}"), stop_in, stop_out, VECTORS // 4)


@cocotb.test()
async def reset_in_mid_stream(dut):
    """Nothing of what was inside comes out after a reset."""
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    draw = random.Random(SEED)
    for _ in range(10):
        await reset(dut, draw.randint(6, 9))
        await stream(dut, draw, 0.2, 0.4, max(2, VECTORS // 50))
        await stream(dut, draw, 0.2, 0.4, VECTORS, cut=draw.randint(1, 60))
''')

_WIDE = Template('''"""Test bench of $top: vectors back to back and with gaps, values and latency checked.

Run it with `python run_$top.py`; it needs cocotb 2 and a simulator (Icarus Verilog, or SIM=verilator).
"""

import json
import random
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge
$words

async def stream(dut, gaps):
    """Send every vector, a fraction `gaps` of the cycles idle; compare each answer and the cycle in which it comes."""
    sent, expected = words(LAYOUT["inputs"]), words(LAYOUT["outputs"])
    latency = int(dut.LATENCY.value)
    draw = random.Random(1)
    cocotb.start_soon(Clock(dut.clk, 10, "ns").start())
    dut.rst.value = int(not LOW)
    dut.in_valid.value = 1
    dut.in_data.value = 0
    for _ in range(latency + 6):
        await FallingEdge(dut.clk)
    assert int(dut.out_valid.value) == 0, "out_valid is up during reset"
    dut.in_valid.value = 0
    dut.rst.value = int(LOW)
    for _ in range(latency + 6):
        await FallingEdge(dut.clk)
        assert int(dut.out_valid.value) == 0, "out_valid is up without a vector"
    due = {}
    cycle = index = answered = 0
    while answered < len(expected):
        busy = index < len(sent) and draw.random() >= gaps
        dut.in_valid.value = int(busy)
        dut.in_data.value = sent[index][0] if busy else draw.getrandbits(len(dut.in_data))
        if busy:
            due[cycle + latency] = index
            index += 1
        await FallingEdge(dut.clk)
        cycle += 1
        assert int(dut.out_valid.value) == int(cycle in due), f"out_valid is wrong in cycle {cycle}"
        if cycle in due:
            wanted, found = expected[due.pop(cycle)][0], int(dut.out_data.value)
            assert found == wanted, f"vector {answered}: out_data is {found:x}, expected {wanted:x}"
            answered += 1


@cocotb.test()
async def back_to_back(dut):
    """A new vector every cycle."""
    await stream(dut, 0.0)


@cocotb.test()
async def with_gaps(dut):
    """Idle cycles between vectors."""
    await stream(dut, 0.4)
''')

_RUN = Template('''"""Builds and runs the test bench of $top; set SIM=verilator for another simulator.

`python run_$top.py LATENCY=40` sets a parameter of the Verilog.
"""

import os
import sys
from pathlib import Path

from cocotb_tools.runner import get_results, get_runner

HERE = Path(__file__).parent.resolve()


def main():
    """Simulate; exits with 1 if a test failed."""
    runner = get_runner(os.environ.get("SIM", "icarus"))
    build = Path(os.environ.get("SIM_BUILD", HERE / "sim_build_$top"))
    parameters = {name: int(value) for name, _, value in (word.partition("=") for word in sys.argv[1:])}
    runner.build(
        sources=[HERE.parent / "$module.v", *sorted(HERE.parent.glob("$top*.v"))],
        hdl_toplevel="$top",
        parameters=parameters,
        build_dir=build,
        timescale=("1ns", "1ps"),
        always=True,
    )
    results = runner.test(hdl_toplevel="$top", test_module="test_$top", build_dir=build, test_dir=HERE)
    _, failed = get_results(results)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
''')


def axis_bench(top: str, module: str) -> dict[str, str]:
    """File name → text of the bench of an AXI4-Stream wrapper."""
    return _files(_AXIS, top, module)


def stream_bench(top: str, module: str) -> dict[str, str]:
    """File name → text of the bench of a valid/ready wrapper."""
    return _files(_STREAM, top, module)


def wide_bench(top: str, module: str) -> dict[str, str]:
    """File name → text of the bench of a wide-bus wrapper."""
    return _files(_WIDE, top, module)


def _files(test: Template, top: str, module: str) -> dict[str, str]:
    return {
        f"tb/test_{top}.py": test.substitute(top=top, words=_WORDS),
        f"tb/run_{top}.py": _RUN.substitute(top=top, module=module),
    }
