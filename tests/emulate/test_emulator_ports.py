"""The emulator's ports: real values in and out, bad input, the cache of object files."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from emulator_programs import flat_program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.emulate import compile_program
from hardwire.emulate._host import this_host
from hardwire.emulate._key import program_key
from hardwire.errors import DataError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Port, Program
from hardwire.quantiser import Quantiser

SLOW_START = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def passing(quantiser: Quantiser, n: int, scale: Fraction = Fraction(1)) -> Program:
    """A program that hands its input's codes on."""
    whole = quantiser.reshaped((n,))
    kernel = KernelBuilder("id", whole.lo - whole.zero, whole.hi - whole.zero).build(range(n))
    return flat_program(kernel, scale, quantiser)


@st.composite
def quantisers(draw: st.DrawFn, n: int) -> Quantiser:
    overflow = draw(st.sampled_from(list(Overflow)))
    rounding = draw(st.sampled_from(list(Rounding)))
    signed = True if overflow is Overflow.WRAP_SM else draw(st.booleans())
    size = draw(st.sampled_from([1, n]))
    few = st.integers(2, 12)
    bits = np.array(draw(st.lists(draw(st.sampled_from([few, few, st.integers(2, 61)])), min_size=size, max_size=size)))
    lo, hi = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0 * bits, (1 << bits) - 1)
    scale = np.exp2(-np.array(draw(st.lists(st.integers(-3, 20), min_size=size, max_size=size)), np.float64))
    if draw(st.booleans()):
        scale = scale * draw(st.sampled_from([0.1, 1.7, 3.0]))
    zero = np.array(draw(st.lists(st.sampled_from([0, 0, 3, -8]), min_size=size, max_size=size)))
    if bits.max() > 59:
        zero = 0 * zero
    if overflow in (Overflow.SAT_ZERO, Overflow.SAT_SYM):
        # Both saturate around zero, which must be among their codes.
        zero = np.clip(zero, lo, hi)
    return Quantiser(scale, lo, hi, rounding, overflow, zero, draw(st.booleans()))


def values_for(quantiser: Quantiser, n: int, rows: int, seed: int) -> np.ndarray:
    """Values on the grid, on ties, next to both, far outside, and zeros of both signs."""
    rng = np.random.default_rng(seed)
    q = quantiser.reshaped((n,))
    span = (q.hi - q.lo + 2).astype(np.float64)
    steps = rng.integers(-4, 5, (rows, n)) * span / 3 + rng.integers(-40, 40, (rows, n))
    steps = np.where(rng.random((rows, n)) < 0.6, rng.integers(-40, 40, (rows, n)), np.floor(steps))
    x = (steps + rng.choice([0.0, 0.5, 0.25, 0.75], (rows, n))) * q.scale
    x = np.where(rng.random((rows, n)) < 0.2, np.nextafter(x, rng.choice([-np.inf, np.inf], (rows, n))), x)
    special = np.array([0.0, -0.0, 1e300, -1e300, 2.0**62, -(2.0**63), 5e-324, 1e-310])
    return np.where(rng.random((rows, n)) < 0.1, rng.choice(special, (rows, n)), x)


@settings(SLOW_START, max_examples=25)
@given(st.data(), st.integers(1, 20), st.integers(0, 1 << 30))
def test_input_ports_quantise_exactly(data, n, seed):
    quantiser = data.draw(quantisers(n))
    x = values_for(quantiser, n, 67, seed)
    found = compile_program(passing(quantiser, n)).predict([x])[0]
    np.testing.assert_array_equal(found, quantiser.codes(x).astype(np.float64))


@settings(SLOW_START, max_examples=25)
@given(st.data(), st.integers(1, 70), st.integers(1, 150), st.integers(0, 1 << 30))
def test_values_that_need_no_exception(data, n, rows, seed):
    """Blocks of none but near values, and one value at the bound of what the short conversion may take."""
    quantiser = data.draw(quantisers(n))
    rng = np.random.default_rng(seed)
    q = quantiser.reshaped((n,))
    steps = rng.integers(-300, 300, (rows, n)) + rng.choice([0.0, 0.5, 0.25, 0.75], (rows, n))
    x = np.nextafter(steps * q.scale, rng.choice([-np.inf, 0.0, np.inf], (rows, n)))
    emulator = compile_program(passing(quantiser, n))
    np.testing.assert_array_equal(emulator.predict([x])[0], quantiser.codes(x).astype(np.float64))
    far = data.draw(st.sampled_from([2.0**50 + 0.5, 2.0**51 - 0.25, 2.0**51, 2.0**51 + 1, 2.0**52 + 3, -(2.0**51) - 3]))
    x[rng.integers(rows), rng.integers(n)] = far * q.scale.ravel()[0]
    np.testing.assert_array_equal(emulator.predict([x])[0], quantiser.codes(x).astype(np.float64))


@pytest.mark.parametrize("overflow", list(Overflow))
def test_infinities(overflow):
    quantiser = Quantiser.of_type(FixedType(True, 6, 2), Rounding.RND_INF, overflow)
    emulator = compile_program(passing(quantiser, 2))
    x = np.zeros((50, 2))
    x[40] = [np.inf, -np.inf]
    if overflow in (Overflow.WRAP, Overflow.WRAP_SM):
        with pytest.raises(DataError, match=rf"input 'x', row 40: element 0 is inf has no code under {overflow.name}"):
            emulator.predict([x])
    else:
        ends = {Overflow.SAT: [31, -32], Overflow.SAT_SYM: [31, -31], Overflow.SAT_ZERO: [0, 0]}[overflow]
        np.testing.assert_array_equal(emulator.predict([x])[0][40], ends)


def test_nan_names_the_input_and_the_row():
    emulator = compile_program(passing(Quantiser.of_type(FixedType(True, 8, 4)), 3))
    x = np.zeros((20_000, 3), np.float32)
    x[17_301, 2] = np.nan
    with pytest.raises(DataError, match="input 'x', row 17301: element 2 is nan"):
        emulator.predict([x], threads=2)


ODD = [Fraction(1, 3), Fraction(0.1), Fraction(1 << 65, 7), Fraction(0.3) ** 2]


@pytest.mark.parametrize("scale", [Fraction(1), Fraction(1, 1 << 70), *ODD])
@pytest.mark.parametrize("bits", [8, 53, 54, 62])
def test_outputs_are_exact_or_rounded_once(scale, bits):
    kind = FixedType(True, bits, 0)
    program = passing(Quantiser.of_type(kind), 1, scale)
    rng = np.random.default_rng(bits)
    codes = np.concatenate([rng.integers(kind.lo, kind.hi, 300, endpoint=True), [kind.lo, kind.hi, 0, -1]])
    kernel_only = compile_program(program)
    np.testing.assert_array_equal(kernel_only.run([codes[:, None]])[0][:, 0], codes)
    if bits > 53:
        codes = codes >> (bits - 53)  # What float64 inputs can say.
    want = [float(Fraction(code) * scale) for code in codes.tolist()]
    np.testing.assert_array_equal(kernel_only.predict([codes.astype(np.float64)[:, None]])[0][:, 0], want)


def test_shapes_dtypes_and_strides():
    quantiser = Quantiser.of_type(FixedType(True, 8, 4))
    kernel = KernelBuilder("id", [-128] * 6, [127] * 6).build(range(6))
    program = flat_program(kernel, Fraction(1, 16), quantiser)
    ports = (Port("x", "x", np.arange(6, dtype=np.int32), (2, 3), quantiser),)
    outputs = (Port("y", "y", np.array([5, 4, 3, 2, 1, 0], np.int32), (3, 2)),)
    emulator = compile_program(Program("shaped", program.arrays, program.kernels, program.steps, ports, outputs))
    x = np.random.default_rng(3).integers(-128, 127, (40, 3, 2)) / 16
    view = x.transpose(0, 2, 1)
    found = emulator.predict([view])[0]
    assert found.shape == (40, 3, 2)
    np.testing.assert_array_equal(found.reshape(40, 6), view.reshape(40, 6)[:, ::-1])
    np.testing.assert_array_equal(emulator.predict([view.astype(np.float32)])[0], found)
    assert emulator.predict([np.zeros((0, 2, 3))])[0].shape == (0, 3, 2)
    with pytest.raises(DataError, match=r"input 'x': expected the shape \(N, 2, 3\), found \(40, 3, 2\)"):
        emulator.predict([x])
    with pytest.raises(DataError, match="has 1 inputs"):
        emulator.predict([x, x])
    with pytest.raises(DataError, match="has 1 inputs"):
        emulator.predict(view)
    with pytest.raises(DataError, match="real numbers"):
        emulator.predict([view.astype(complex)])
    with pytest.raises(DataError, match="threads = 0"):
        emulator.predict([view], threads=0)
    with pytest.raises(DataError, match=r"codes are integers of shape \(N, 6\)"):
        emulator.run([np.zeros((4, 6))])
    codes = np.zeros((90, 6), np.int64)
    codes[77, 4] = 128
    with pytest.raises(DataError, match=r"input 'x', row 77: code 128 of element 4 is outside \[-128, 127\]"):
        emulator.run([codes])


def test_a_port_without_a_quantiser_takes_what_is_on_its_grid():
    emulator = compile_program(flat_program(KernelBuilder("id", [-8, 0], [7, 9]).build([0, 1])))
    np.testing.assert_array_equal(emulator.predict([[[-8.0, 9.0], [1.0, 2.0]]])[0], [[-8, 9], [1, 2]])
    with pytest.raises(DataError, match=r"row 1: 1\.5 is no multiple of 1"):
        emulator.predict([[[-8.0, 9.0], [1.5, 2.0]]])
    with pytest.raises(DataError, match="row 0: element 1 is outside"):
        emulator.predict([[[-8.0, 10.0]]])


def test_two_inputs_must_have_as_many_events():
    kernel = KernelBuilder("id", [0, 0], [7, 7]).build([0, 1])
    program = flat_program(kernel)
    one = np.array([[0], [1]], np.int32)
    ports = tuple(Port(f"x{k}", "x", one[k], (1,)) for k in range(2))
    program = Program("two", program.arrays, program.kernels, program.steps, ports, program.outputs)
    emulator = compile_program(program)
    np.testing.assert_array_equal(emulator.predict([[[1.0]], [[2.0]]])[0], [[1, 2]])
    with pytest.raises(DataError, match="different numbers of events: 'x0': 2, 'x1': 1"):
        emulator.predict([[[1.0], [1.0]], [[2.0]]])


def test_object_files_are_kept_and_damage_is_repaired(tmp_path, monkeypatch):
    monkeypatch.setenv("HARDWIRE_CACHE_DIR", str(tmp_path))
    program = passing(Quantiser.of_type(FixedType(True, 9, 4)), 5, Fraction(1, 16))
    x = np.random.default_rng(4).normal(0, 9, (99, 5))
    first = compile_program(program)
    want = first.predict([x])[0]
    assert not first.from_cache
    files = sorted((tmp_path / "emulate").iterdir())
    kept = [file.read_bytes() for file in files]
    assert len(files) == 4, "code of the values, of the turns and of the rows, and an entry that names them"
    assert compile_program(program).from_cache
    for file, data in zip(files, kept, strict=True):
        file.unlink()
        assert not compile_program(program).from_cache
        assert file.read_bytes() == data
    for damage in (lambda data: data[:100], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: b""):
        for file, data in zip(files, kept, strict=True):
            file.write_bytes(damage(data))
        again = compile_program(program)
        assert not again.from_cache
        np.testing.assert_array_equal(again.predict([x])[0], want)
        assert sorted((tmp_path / "emulate").iterdir()) == files
        assert [file.read_bytes() for file in files] == kept, "the same machine code every time"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARDWIRE_CACHE_DIR", str(tmp_path / "file"))
    program = passing(Quantiser.of_type(FixedType(True, 7, 4)), 2)
    np.testing.assert_array_equal(compile_program(program).predict([np.zeros((3, 2))])[0], np.zeros((3, 2)))


def changed(program: Program, part: str) -> Program:
    """The program with one thing different."""
    kernel = next(iter(program.kernels.values()))
    port, out = program.inputs[0], program.arrays["y"]
    match part:
        case "range":
            array = replace(program.arrays["x"], hi=program.arrays["x"].hi - 1)
            return replace(program, arrays={**program.arrays, "x": array})
        case "coefficient":
            terms = kernel.term_coef.copy()
            terms[-1] += 1
            return replace(program, kernels={kernel.name: replace(kernel, term_coef=terms)})
        case "table":
            return replace(program, kernels={kernel.name: replace(kernel, tables=(kernel.tables[0][::-1].copy(),))})
        case "rounding":
            quantiser = replace(port.quantiser, rounding=Rounding.CEIL)
            return replace(program, inputs=(replace(port, quantiser=quantiser),))
        case "scale":
            return replace(program, arrays={**program.arrays, "y": replace(out, scale=out.scale * Fraction(1, 2))})
        case "order":
            index = program.outputs[0].index[::-1].copy()
            return replace(program, outputs=(replace(program.outputs[0], index=index),))
    steps = tuple(replace(step, name="other") for step in program.steps)
    return replace(program, name="other", notes={"what": "ever"}, steps=steps)


def keyed() -> Program:
    b = KernelBuilder("k", [-8, -8], [7, 7])
    summed = b.linear([0, 1], [3, 5], 1)
    lo, hi = b.range(summed)
    kernel = b.build([b.table(summed, np.arange(lo, hi + 1) ** 2), b.linear([0, 1], [2, 7])])
    return flat_program(kernel, Fraction(1, 4), Quantiser.of_type(FixedType(True, 4, 0)))


@pytest.mark.parametrize("part", ["range", "coefficient", "table", "rounding", "scale", "order"])
def test_the_key_sees(part):
    assert program_key(changed(keyed(), part), this_host()) != program_key(keyed(), this_host())


def test_the_key_depends_on_the_machine_and_on_no_name():
    assert program_key(changed(keyed(), "name"), this_host()) == program_key(keyed(), this_host())
    assert program_key(keyed(), replace(this_host(), cpu="another")) != program_key(keyed(), this_host())
