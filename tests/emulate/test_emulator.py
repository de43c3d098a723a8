"""The emulator against the interpreter, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from emulator_programs import EDGE, LINEAR_RULES, chains, codes_for, flat_program, kernels, scales
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.emulate import _module
from hardwire.emulate._host import Host, portable, this_host
from hardwire.emulate._module import assemble
from hardwire.emulate._plan import Budget
from hardwire.emulate.emulator import Emulator, compile_program
from hardwire.fixed import Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Port, Program, Step
from hardwire.ir.verify import verify_program

SLOW_START = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
HOSTS = [this_host(), portable(this_host())]


def hosts() -> list[Host]:
    """This machine, this machine without dot products, and with the dot products of older ones."""
    found = list(HOSTS)
    if this_host().dot16 == "vnni":
        host = this_host()
        found.append(Host(host.triple, host.cpu, host.features, 32, False, "vnni"))
        found.append(Host(host.triple, host.cpu, host.features, 32, False, "bw"))
        found.append(Host(host.triple, host.cpu, host.features, 16, False, "avx2"))
    return found


def agree(program: Program, n: int, seed: int, host: Host) -> None:
    verify_program(program)
    inputs = [codes_for(*program.port_range(port), n, seed) for port in program.inputs]
    expected = interpreter.run(program, inputs)
    found = Emulator(program, host).run(inputs)
    for port, want, got in zip(program.outputs, expected, found, strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, want, err_msg=port.name)


@contextmanager
def no_straight_line() -> Iterator[None]:
    """Every dot product in a block, as those of large layers are."""
    _module.Budget = lambda: Budget(-1)
    try:
        yield
    finally:
        _module.Budget = Budget


KERNELS = given(kernels(), st.sampled_from(hosts()), st.sampled_from([1, 31, 33, 300]), st.integers(0, 1 << 30))
STEPS = given(chains(), st.sampled_from(hosts()), st.sampled_from([1, 65]), st.integers(0, 1 << 30))
SUMS = given(kernels(LINEAR_RULES, 40), st.sampled_from(hosts()), st.just(64), st.integers(0, 1 << 30))


def one_kernel(kernel, host, n, seed):
    agree(flat_program(kernel), n, seed, host)


def one_blocked_kernel(kernel, host, n, seed):
    with no_straight_line():
        agree(flat_program(kernel), n, seed, host)


def one_chain(program, host, n, seed):
    agree(program, n, seed, host)


test_random_kernels = settings(SLOW_START, max_examples=30)(KERNELS(one_kernel))
test_random_sums = settings(SLOW_START, max_examples=10)(SUMS(one_kernel))
test_random_sums_in_blocks = settings(SLOW_START, max_examples=10)(SUMS(one_blocked_kernel))
test_random_steps = settings(SLOW_START, max_examples=12)(STEPS(one_chain))
test_more_random_kernels = pytest.mark.slow(settings(SLOW_START, max_examples=400)(KERNELS(one_kernel)))
test_more_random_sums = pytest.mark.slow(settings(SLOW_START, max_examples=200)(SUMS(one_kernel)))
test_more_random_sums_in_blocks = pytest.mark.slow(settings(SLOW_START, max_examples=200)(SUMS(one_blocked_kernel)))
test_more_random_steps = pytest.mark.slow(settings(SLOW_START, max_examples=200)(STEPS(one_chain)))


def access(array: str, base: list[int], offsets: list[int]) -> Access:
    return Access(array, np.array(base, np.int32), np.array(offsets, np.int32))


def test_fused_steps_that_read_two_arrays():
    """Found by chance: a fused step with a known and a new array took the one for the other."""
    b = KernelBuilder("k0", [-16, -16], [-2, -3])
    first = b.build([b.clamp(0, -10, -7), 0, b.less(0, 1)])
    b = KernelBuilder("k1", [-10, -16, 0, -16, -16], [-7, -2, 1, -2, -2])
    second = b.build([2, b.add(0, 3), 1, 4])
    lo, hi = np.array([-16, -16, -16]), np.array([-3, -3, -3])
    arrays = {"x": Array("x", lo, hi, scales(3)), "w": Array("w", lo, hi, scales(3))}
    for name, kernel in (("a", first), ("y", second)):
        arrays[name] = Array(name, kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], scales(len(kernel.outputs)))
    steps = (
        Step("s0", "k0", (access("x", [0], [0, 1]),), access("a", [0], [0, 1, 2])),
        Step(
            "s1",
            "k1",
            (access("a", [0], [0, 1, 2]), access("w", [1], [1]), access("x", [0], [2])),
            access("y", [0], [0, 1, 2, 3]),
        ),
    )
    order = np.array([1, 0, 2], np.int32)
    inputs = tuple(Port(name, name, order, (3,)) for name in ("x", "w"))
    outputs = (Port("y", "y", np.arange(4, dtype=np.int32), (4,)),)
    agree(Program("two", arrays, {"k0": first, "k1": second}, steps, inputs, outputs), 40, 1, this_host())


@pytest.mark.parametrize("mode", list(Rounding))
def test_rounding_at_every_shift_and_width(mode):
    ranges = [(-(1 << w), (1 << w) - 1) for w in (3, 14, 15, 16, 30, 31, 32, 61)] + [(0, 2 * EDGE - 1), (-EDGE, -5)]
    b = KernelBuilder("k", [r[0] for r in ranges], [r[1] for r in ranges])
    outputs = [b.round(v, s, mode) for v in range(len(ranges)) for s in (1, 2, 7, 15, 16, 17, 31, 33, 60, 61, 62, 63)]
    agree(flat_program(b.build(outputs)), 200, 1, this_host())


def layered(host: Host, sizes: list[int], bits: int, zeros: float, signed: bool, wide: bool = False) -> None:
    rng = np.random.default_rng(len(sizes) * bits)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (3, (1 << bits) + 2)
    b = KernelBuilder("mlp", [low] * sizes[0], [high] * sizes[0])
    values = list(range(sizes[0]))
    for m in sizes[1:]:
        top = 1 << (bits - 2)
        matrix = rng.integers(-top, top, (len(values), m)) * (rng.random((len(values), m)) >= zeros)
        rows = [b.linear(values, matrix[:, j].tolist(), int(rng.integers(-99, 99))) for j in range(m)]
        if wide:
            rows = [b.linear([r, values[0]], [1, 1 << 40], 7) for r in rows]
        values = [b.round(b.clamp(r, -1 << (bits + 3), 1 << (bits + 3)), 5, Rounding.RND_CONV) for r in rows]
    agree(flat_program(b.build(values)), 77, 3, host)


@pytest.mark.parametrize("host", hosts(), ids=lambda h: f"{h.lanes}-{h.dot8}-{h.dot16}")
def test_dense_layers(host):
    layered(host, [16, 37, 21, 5], 8, 0.0, True)
    layered(host, [16, 37, 21, 5], 8, 0.75, False)
    layered(host, [9, 11, 5], 15, 0.3, True)
    layered(host, [9, 11, 5], 8, 0.3, True, wide=True)


@pytest.mark.parametrize("host", hosts(), ids=lambda h: f"{h.lanes}-{h.dot8}-{h.dot16}")
def test_dense_layers_in_blocks(host):
    with no_straight_line():
        test_dense_layers(host)


def test_large_layers_are_loops_over_tables():
    """400 inputs, 200 neurons: 80,000 multiplications are no straight-line code."""
    rng = np.random.default_rng(4)
    b = KernelBuilder("large", [-128] * 400, [127] * 400)
    rows = [b.linear(range(400), rng.integers(-100, 100, 400).tolist(), j) for j in range(200)]
    program = flat_program(b.build([b.round(row, 9, Rounding.RND) for row in rows]))
    text = assemble(program, this_host()).kernels
    if this_host().dot16:
        assert text.count("@llvm.x86") < 100
    agree(program, 70, 9, this_host())


def adders(n: int) -> KernelBuilder:
    """A long chain of two-operand sums that stay narrow."""
    rng = np.random.default_rng(n)
    b = KernelBuilder("adders", [-128] * 16, [127] * 16)
    values = list(range(16))
    for _ in range(n):
        x, y = (values[-1 - int(k)] for k in rng.integers(0, 16, 2))
        total = b.add(x, y, int(rng.integers(0, 2))) if rng.random() < 0.5 else b.sub(x, y, 0, int(rng.integers(0, 3)))
        values.append(b.wrap(total, 12, True))
    return b


def test_thousands_of_values():
    b = adders(3000)
    n = len(b.build([0]))
    agree(flat_program(b.build(list(range(n - 40, n)))), 100, 4, this_host())


@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 255, 256, 257, 1000])
def test_any_number_of_events(n):
    b = adders(50)
    agree(flat_program(b.build([0, 60, 70])), n, 5, this_host())


def test_many_threads_give_the_same():
    b = adders(80)
    program = flat_program(b.build(list(range(90, 100))))
    emulator = compile_program(program)
    codes = codes_for(*program.port_range(program.inputs[0]), 50_001, 6)
    one = emulator.run([codes], threads=1)[0]
    np.testing.assert_array_equal(one, interpreter.run(program, [codes])[0])
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(emulator.run([codes], threads=threads)[0], one)


def test_convolution_stays_a_loop():
    """A window of three at 30 positions, two channels, then a sum over neighbours: overlapping reads."""
    rng = np.random.default_rng(8)
    b = KernelBuilder("conv", [-128] * 6, [127] * 6)
    conv = b.build([b.clamp(b.linear(range(6), rng.integers(-9, 9, 6).tolist(), j), 0, 255) for j in range(4)])
    b = KernelBuilder("pool", [0] * 8, [255] * 8)
    pool = b.build([b.max(j, 4 + j) for j in range(4)])
    arrays = {
        "x": Array("x", np.full(64, -128), np.full(64, 127), scales(64)),
        "c": Array("c", np.zeros(120, np.int64), np.full(120, 255), scales(120)),
        "y": Array("y", np.zeros(60, np.int64), np.full(60, 255), scales(60)),
    }
    steps = (
        Step("conv", "conv", (access("x", [2 * p for p in range(30)], list(range(6))),),
             access("c", [4 * p for p in range(30)], [0, 1, 2, 3])),
        Step("pool", "pool", (access("c", [8 * p for p in range(15)], list(range(8))),),
             access("y", [4 * p for p in range(15)], [0, 1, 2, 3])),
    )  # fmt: skip
    ports = [(Port(n, n, np.arange(k, dtype=np.int32), (k,)),) for n, k in (("x", 64), ("y", 60))]
    program = Program("conv", arrays, {"conv": conv, "pool": pool}, steps, *ports)
    for host in hosts():
        agree(program, 70, 9, host)
    text = assemble(program, this_host()).kernels
    assert text.count("define internal void @job") == 2, "one function per step, whatever the positions"


def test_an_adder_graph_becomes_dot_products():
    rng = np.random.default_rng(2)
    b = KernelBuilder("graph", [-128] * 12, [127] * 12)
    outputs = []
    for _ in range(8):
        total = b.const(int(rng.integers(-50, 50)))
        for v in range(12):
            one = b.sub(v, v, int(rng.integers(1, 5)), 0)
            total = b.add(total, one, 0, 1) if rng.random() < 0.5 else b.sub(total, one)
        outputs.append(b.clamp(total, 0, 4000))
    program = flat_program(b.build(outputs))
    if this_host().dot8:
        assert "vpdpbusd" in assemble(program, this_host()).kernels
    for host in hosts():
        agree(program, 50, 2, host)


def test_the_same_program_gives_the_same_code():
    program = flat_program(adders(300).build([100, 200]))
    again = flat_program(adders(300).build([100, 200]))
    assert assemble(program, this_host()) == assemble(again, this_host())
