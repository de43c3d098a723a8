"""The C simulation of every flavour of HLS C++ = the interpreter, over drawn programs and all ops."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of, random_kernel
from hls_programs import FLAVOURS, check, joined, looped
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from drawn_models import networks
from hardwire.backends import _hls_network, backend
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.layers.conv import conv_attrs
from hardwire.layers.pooling import pool_attrs
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser

pytestmark = pytest.mark.tools

QUICK_SEEDS = (3, 5, 8, 21)

flavours = pytest.mark.parametrize("flavour", FLAVOURS)


def random_programs(seeds: tuple[int, ...]) -> list[Program]:
    return [program_of(random_kernel(seed, ops=24, name=f"k{seed}")) for seed in seeds]


def every_op() -> Program:
    """Each op alone, on values of several widths, wide ones too; every rounding mode at several shifts."""
    builder = KernelBuilder("ops", [-40, 0, -(1 << 40), 0, -1], [87, 200, 1 << 40, 1, 0])
    a, b, wide, bit, sign = range(5)
    values = [
        builder.linear([a, b], [3, -5], 7),
        builder.linear([a, b, wide, bit, sign, a], [5_000_000_000, -1, 65_537, 0x7FFFFFFF, -7, 9], -(1 << 40)),
        builder.add(a, b, 2, 1),
        builder.sub(bit, wide, 3, 0),
        builder.mul(a, sign),
        builder.mul(wide, bit),
        builder.shl(wide, 9),
        builder.wrap(wide, 7, True),
        builder.wrap(a, 3, False),
        builder.clamp(b, 17, 90),
        builder.clamp(a, 0, 87),
        builder.clamp(wide, -(1 << 35), 1 << 34),
        builder.min(a, wide),
        builder.max(b, sign),
        builder.less(a, b),
        builder.equal(a, b),
        builder.select(b, wide, a),
        builder.table(a, np.random.default_rng(1).integers(-(1 << 40), 1 << 40, 128)),
        builder.bit_and(a, wide),
        builder.bit_or(b, sign),
        builder.bit_xor(wide, b),
        builder.const(-(1 << 50)),
        b,
    ]
    for mode in Rounding:
        values += [builder.round(x, shift, mode) for x in (a, b, wide, sign) for shift in (1, 4, 8, 45, 62)]
    return program_of(builder.build(values))


def test_the_programs_have_every_op() -> None:
    found: Counter[OpCode] = Counter()
    for program in [every_op(), *random_programs(QUICK_SEEDS)]:
        for kernel in program.kernels.values():
            found.update(op.code for op in kernel)
    assert set(found) == set(OpCode)


@flavours
def test_every_op(flavour: str, tmp_path: Path) -> None:
    check(joined([every_op(), *random_programs(QUICK_SEEDS)]), flavour, tmp_path, vectors=300)


@pytest.mark.slow
@flavours
@pytest.mark.parametrize("first", [100, 110, 120])
def test_random_programs(flavour: str, first: int, tmp_path: Path) -> None:
    check(joined(random_programs(tuple(range(first, first + 10)))), flavour, tmp_path, vectors=300)


@flavours
@pytest.mark.parametrize("examples", [pytest.param(1, id="few"), pytest.param(6, id="many", marks=pytest.mark.slow)])
def test_drawn_networks(flavour: str, examples: int, tmp_path: Path) -> None:
    @settings(
        max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        derandomize=True,
    )  # fmt: skip
    @given(st.lists(networks(), min_size=5, max_size=5))
    def holds(drawn: list[Network]) -> None:
        check(joined([looped(network) for network in drawn]), flavour, tmp_path)

    holds()


def dense(k: int, m: int, zeros: float = 0.0, positions: int = 1, seed: int = 0) -> Network:
    """A dense layer of `k` inputs and `m` outputs with a share of zeros, ReLU and a quantiser behind it."""
    rng = np.random.default_rng(seed)
    net = NetworkBuilder("dense")
    entry = Quantiser.of_type(FixedType.parse("s7.3"), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "entry", [net.input("x", (positions, k))], {"quantiser": entry})
    kernel = rng.integers(-31, 32, (k, m)) * (rng.random((k, m)) >= zeros) / 16
    x = net.add("dense", "layer one", [x], {}, {"kernel": kernel, "bias": rng.integers(-50, 50, m) / 8})
    x = net.add("relu", "layer one/relu", [x], {})
    exit_ = Quantiser.of_type(FixedType.parse("u6.2"), Rounding.RND_CONV, Overflow.SAT)
    return net.build([net.add("quantise", "exit", [x], {"quantiser": exit_})])


def image() -> Network:
    """A padded convolution, and pooling."""
    rng = np.random.default_rng(7)
    net = NetworkBuilder("image")
    entry = Quantiser.of_type(FixedType.parse("u4.4"), Rounding.TRN, Overflow.SAT)
    x = net.add("quantise", "entry", [net.input("x", (7, 6, 2))], {"quantiser": entry})
    attrs = conv_attrs(2, padding=((1, 1), (1, 1)))
    x = net.add("conv", "edges", [x], attrs, {"kernel": rng.integers(-7, 8, (3, 3, 2, 4)) / 4, "bias": np.ones(4)})
    return net.build([net.add("max_pool", "pool", [x], pool_attrs((2, 2)))])


def several() -> Program:
    shapes = [dense(9, 5), dense(40, 6), dense(40, 12, 0.9), dense(3, 4, 0.3, positions=6), image()]
    return joined([looped(network) for network in shapes])


@flavours
@pytest.mark.parametrize("weights", ["constants", "rom"])
def test_matrices_as_constants_and_as_arrays(flavour: str, weights: str, tmp_path: Path) -> None:
    layers = check(several(), flavour, tmp_path, weights=weights)["net_layers.h"]
    assert ("_weights[" in layers) == (weights == "rom")
    assert ("_columns[" in layers) == (weights == "rom"), "most weights of one layer are zero"


@flavours
def test_layers_as_loops(flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large networks are written: not unrolled, static arrays, streams of elements."""
    monkeypatch.setattr(_hls_network, "PARALLEL_OPERATIONS", 0)
    monkeypatch.setattr(_hls_network, "STACK_ELEMENTS", 0)
    module = backend(flavour)
    if hasattr(module, "WIDEST_BEAT"):
        monkeypatch.setattr(module, "WIDEST_BEAT", 60)
    check(several(), flavour, tmp_path, weights="rom")
