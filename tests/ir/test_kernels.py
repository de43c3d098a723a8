from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from hardwire.errors import InternalError, ModelError, RangeError
from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.interpreter import run_kernel, values_of
from hardwire.ir.ops import SPECS, OpCode
from hardwire.ir.program import Access, Array, Kernel, Port, Program, Step
from hardwire.ir.storage import load_program, save_program
from hardwire.ir.text import format_kernel, format_program, parse_kernel
from hardwire.ir.verify import verify_kernel, verify_program
from hardwire.layers._lowering import fractions
from random_kernels import kernels, samples


def as_program(kernel: Kernel) -> Program:
    """A kernel applied once to one input array."""
    from fractions import Fraction

    n, m = kernel.n_inputs, len(kernel.outputs)
    one = fractions([Fraction(1)])
    zero = np.zeros(1, np.int32)
    arrays = {
        "in": Array("in", kernel.lo[:n], kernel.hi[:n], one),
        "out": Array("out", kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], one),
    }
    index_in, index_out = np.arange(n, dtype=np.int32), np.arange(m, dtype=np.int32)
    step = Step("s", kernel.name, (Access("in", zero, index_in),), Access("out", zero, index_out))
    return Program(
        "p",
        arrays,
        {kernel.name: kernel},
        (step,),
        (Port("x", "in", index_in, (n,)),),
        (Port("y", "out", index_out, (m,)),),
    )


@given(kernels())
def test_every_value_stays_within_its_proven_range(kernel: Kernel) -> None:
    verify_kernel(kernel)
    values = values_of(kernel, samples(kernel))
    assert np.all(values >= kernel.lo[:, None])
    assert np.all(values <= kernel.hi[:, None])


@given(kernels())
def test_text_round_trip(kernel: Kernel) -> None:
    text = format_kernel(kernel)
    back = parse_kernel(text)
    assert format_kernel(back) == text
    x = samples(kernel, 20)
    assert np.array_equal(run_kernel(back, x), run_kernel(kernel, x))


def test_storage_round_trip_is_exact_and_deterministic(tmp_path: Path) -> None:
    @given(kernels())
    def check(kernel: Kernel) -> None:
        program = as_program(kernel)
        verify_program(program)
        first, second = tmp_path / "a.npz", tmp_path / "b.npz"
        save_program(program, first, {"stage": np.arange(3)})
        back, extra = load_program(first)
        assert format_program(back) == format_program(program)
        assert np.array_equal(extra["stage"], np.arange(3))
        save_program(back, second, extra)
        assert first.read_bytes() == second.read_bytes()

    check()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_damaged_program_is_one_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "program.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"program\.npz: not a saved Program"):
        load_program(path)


def test_every_op_has_a_spec() -> None:
    assert set(SPECS) == set(OpCode)


def test_meaning_of_each_op_by_hand() -> None:
    b = KernelBuilder("k", [-8, 0], [7, 3])
    x, y = 0, 1
    outputs = [
        b.linear([x, y], [3, -2], 5),
        b.add(x, y, 1, 2),
        b.sub(x, y, 0, 1),
        b.mul(x, y),
        b.shl(x, 3),
        b.round(x, 1, Rounding.RND_CONV),
        b.wrap(b.shl(x, 1), 3, True),
        b.clamp(x, -2, 5),
        b.min(x, y),
        b.max(x, y),
        b.less(x, y),
        b.equal(x, y),
        b.select(y, x, b.const(9)),
        b.table(y, np.array([10, 20, 30, 40])),
        b.bit_and(x, y),
        b.bit_or(x, y),
        b.bit_xor(x, y),
    ]
    got = run_kernel(b.build(outputs), np.array([[-5, 3], [6, 0]]))
    assert got.tolist() == [
        [-16, 2, -11, -15, -40, -2, -2, -2, -5, 3, 1, 0, -5, 40, 3, -5, -8],
        [23, 12, 6, 0, 48, 3, -4, 5, 0, 6, 0, 0, 9, 10, 0, 6, 6],
    ]


def test_a_value_over_62_bits_names_the_layer() -> None:
    b = KernelBuilder("conv7", [0], [1 << 60])
    with pytest.raises(RangeError, match=r"layer 'conv7': shl needs 65 bits .*\n  try: fewer fractional bits"):
        b.shl(0, 4)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda k: {"lo": np.where(np.arange(len(k)) == 2, k.hi + 1, k.lo)}, "has an empty range"),
        (lambda k: {"a": np.where(np.arange(len(k)) == 2, 2, k.a).astype(np.int32)}, "does not precede it"),
        (lambda k: {"p": np.where(np.arange(len(k)) == 2, -1, k.p)}, "negative shift"),
        (lambda k: {"outputs": np.array([99], np.int32)}, "output id out of range"),
        (lambda k: {"lo": k.lo + np.array([0, 0, 1 << 20]), "hi": k.hi + np.array([0, 0, 1 << 20])}, "claims"),
    ],
)
def test_the_verifier_names_the_pass_that_lied(change: object, why: str) -> None:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    kernel = b.build([b.add(0, 1)])
    broken = kernel.with_(**change(kernel))  # type: ignore[operator]
    with pytest.raises(InternalError, match=rf"after my_pass: .*{why}"):
        verify_kernel(broken, after="my_pass")


@pytest.mark.parametrize("text", ["", "kernel x", "kernel k (1 inputs, 1 outputs)\n  %0 = frob 1 : s1 [0, 1]\n"])
def test_unreadable_kernel_text_shows_the_line(text: str) -> None:
    with pytest.raises((ModelError, IndexError)):
        parse_kernel(text)
