"""The emulator against the interpreter, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.emulate._host import Host, portable, this_host
from hardwire.emulate.emulator import Emulator, compile_program
from hardwire.fixed import Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Program
from hardwire.ir.verify import verify_program

from emulator_programs import EDGE, chains, codes_for, flat_program, kernels

from hypothesis import Phase
SLOW_START = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], phases=[Phase.explicit, Phase.generate])
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


@settings(SLOW_START, max_examples=120)
@given(kernels(), st.sampled_from(hosts()), st.sampled_from([1, 31, 33, 300]), st.integers(0, 1 << 30))
def test_random_kernels(kernel, host, n, seed):
    agree(flat_program(kernel), n, seed, host)


@settings(SLOW_START, max_examples=60)
@given(chains(), st.sampled_from(hosts()), st.sampled_from([1, 65]), st.integers(0, 1 << 30))
def test_random_steps(program, host, n, seed):
    agree(program, n, seed, host)


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
