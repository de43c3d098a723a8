"""The C++ emulator's values against the interpreter and the JIT emulator, bit for bit."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cpp_libraries import emitted, library, side_by_side
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import hardwire as hw
from hardwire.backends import BackendError, Source, cpp_emulator
from hardwire.backends._cpp_plan import Budget
from hardwire.emulate import compile_program
from hardwire.errors import DataError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Program
from hardwire.ir.verify import verify_program
from hardwire.quantiser import Quantiser
from hardwire.targets import target


def shared(name: str) -> ModuleType:
    """A module of the emulator's tests."""
    path = Path(__file__).parents[1] / "emulate" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault(name, importlib.util.module_from_spec(spec))
    if not hasattr(module, "np"):
        spec.loader.exec_module(module)
    return module


programs = shared("emulator_programs")
ports = shared("test_emulator_ports")
EDGE = programs.EDGE

FEW = settings(
    deadline=None,
    max_examples=2,
    phases=[Phase.explicit, Phase.generate],  # Shrinking would compile hundreds of times.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
MANY = settings(FEW, max_examples=25)


def agree(program: Program, n: int, seed: int, *options: str) -> None:
    """Interpreter = C++ emulator, for n events."""
    verify_program(program)
    inputs = [programs.codes_for(*program.port_range(port), n, seed) for port in program.inputs]
    expected = interpreter.run(program, inputs)
    with tempfile.TemporaryDirectory() as folder:
        found = library(program, Path(folder), *options).codes(inputs)
    for port, want, got in zip(program.outputs, expected, found, strict=True):
        np.testing.assert_array_equal(got, want, err_msg=port.name)


def random_kernels(data: st.DataObject, n: int, seed: int) -> None:
    kinds = [*[programs.kernels()] * 12, *[programs.kernels(programs.LINEAR_RULES, 20)] * 4]
    agree(side_by_side([programs.flat_program(data.draw(kind)) for kind in kinds]), n, seed, "-O2")


def random_steps(data: st.DataObject, n: int, seed: int) -> None:
    agree(side_by_side([data.draw(programs.chains()) for _ in range(8)]), n, seed)


DRAWN = given(st.data(), st.integers(1, 70), st.integers(0, 1 << 30))
test_random_kernels = FEW(DRAWN(random_kernels))
test_random_steps = FEW(DRAWN(random_steps))
test_more_random_kernels = pytest.mark.slow(MANY(DRAWN(random_kernels)))
test_more_random_steps = pytest.mark.slow(MANY(DRAWN(random_steps)))


@pytest.fixture
def loops_over_weights(monkeypatch):
    """Every sum of several terms in a loop over weights, as those of large layers are."""
    monkeypatch.setattr(cpp_emulator, "Budget", lambda: Budget(-1))


@pytest.mark.slow
@FEW
@given(st.data(), st.integers(1, 70), st.integers(0, 1 << 30))
def test_random_sums_as_loops(data, n, seed):
    before, cpp_emulator.Budget = cpp_emulator.Budget, lambda: Budget(-1)
    try:
        kinds = [programs.kernels(programs.LINEAR_RULES, 30)] * 10
        agree(side_by_side([programs.flat_program(data.draw(kind)) for kind in kinds]), n, seed)
    finally:
        cpp_emulator.Budget = before


def test_rounding_at_every_shift_and_width():
    made = []
    ranges = [(-(1 << w), (1 << w) - 1) for w in (3, 14, 15, 16, 30, 31, 32, 61)] + [(0, 2 * EDGE - 1), (-EDGE, -5)]
    for mode in Rounding:
        b = KernelBuilder("k", [r[0] for r in ranges], [r[1] for r in ranges])
        shifts = (1, 2, 7, 15, 16, 17, 31, 33, 60, 61, 62, 63)
        made.append(programs.flat_program(b.build([b.round(v, s, mode) for v in range(len(ranges)) for s in shifts])))
    agree(side_by_side(made), 100, 1)


def test_wraps_at_every_width():
    ranges = [(-EDGE, EDGE - 1), (-40_000, 70_000), (-100, 100), (0, 2 * EDGE - 1)]
    b = KernelBuilder("k", [r[0] for r in ranges], [r[1] for r in ranges])
    bits = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 61, 62)
    agree(programs.flat_program(b.build([b.wrap(v, n, s) for v in range(4) for n in bits for s in (0, 1)])), 100, 2)


def test_operands_that_do_not_matter_are_no_unused_variables():
    b = KernelBuilder("k", [-EDGE, 0, 0], [EDGE - 1, 5, 5])
    agree(programs.flat_program(b.build([b.equal(1, 1), b.less(0, 0), b.round(2, 1, Rounding.TRN)])), 9, 1)


def layered(sizes: list[int], bits: int, zeros: float, wide: bool = False) -> Program:
    """Dense layers with rounding and a clamp behind each; `wide`: sums of over 32 bits."""
    rng = np.random.default_rng(len(sizes) * bits)
    b = KernelBuilder("mlp", [-(1 << (bits - 1))] * sizes[0], [(1 << (bits - 1)) - 1] * sizes[0])
    values = list(range(sizes[0]))
    for m in sizes[1:]:
        top = 1 << (bits - 2)
        matrix = rng.integers(-top, top, (len(values), m)) * (rng.random((len(values), m)) >= zeros)
        rows = [b.linear(values, matrix[:, j].tolist(), int(rng.integers(-99, 99))) for j in range(m)]
        if wide:
            rows = [b.linear([r, values[0]], [1, 1 << 40], 7) for r in rows]
        values = [b.round(b.clamp(r, -1 << (bits + 3), 1 << (bits + 3)), 5, Rounding.RND_CONV) for r in rows]
    for index in (b.clamp(v, -99, 99) for v in values[:3]):
        lo, hi = b.range(index)
        values.append(b.table(index, np.arange(lo, hi + 1) ** 2 - 70))
    return programs.flat_program(b.build(values))


def layers() -> Program:
    kinds = [([16, 37, 21, 5], 8, 0.0, False), ([16, 37, 5], 8, 0.75, False), ([9, 11, 5], 15, 0.3, False)]
    kinds += [([9, 11, 5], 8, 0.3, True), ([12, 30, 9], 24, 0.0, False), ([9, 9, 4], 27, 0.0, False)]
    return side_by_side([layered(*kind) for kind in kinds])


def test_dense_layers():
    agree(layers(), 77, 3, "-O2")


def test_dense_layers_as_loops(loops_over_weights):
    agree(layers(), 77, 3, "-O2")
    assert emitted(layers())["model_emulator.cpp"].count("dots<u32, ") > 5


def test_large_layers_are_small_code():
    """400 inputs, 200 neurons: 80,000 multiplications are tables and a loop."""
    rng = np.random.default_rng(4)
    b = KernelBuilder("large", [-128] * 400, [127] * 400)
    rows = [b.linear(range(400), rng.integers(-100, 100, 400).tolist(), j) for j in range(200)]
    program = programs.flat_program(b.build([b.round(row, 9, Rounding.RND) for row in rows]))
    text = emitted(program)["model_emulator.cpp"]
    assert len(text) < 600_000
    assert text.count(" * ") < 200
    agree(program, 40, 9)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 97])
def test_any_number_of_events(n, small):
    program, made = small
    codes = programs.codes_for(*program.port_range(program.inputs[0]), n, 5)
    np.testing.assert_array_equal(made.codes([codes])[0], interpreter.run(program, [codes])[0])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A layer with its library."""
    program = layered([6, 5, 3], 6, 0.0)
    return program, library(program, tmp_path_factory.mktemp("small"))


def test_no_events_and_null_pointers(small):
    program, made = small
    assert made.codes([np.zeros((0, 6), np.int64)])[0].shape == (0, len(program.outputs[0].index))
    assert made.table.run_codes(None, None, 0, None) == 0
    assert made.table.run_codes(None, None, 1, None) == 6
    assert made.table.message(6) == b"a null pointer instead of an array"
    assert made.table.message(99) == b"unknown status"


def test_a_code_out_of_range_is_named(small):
    codes = np.zeros((90, 6), np.int64)
    codes[77, 4] = 32
    assert small[1].refuses([codes], np.int64) == (1, 0, 77, 4)
    codes[77, 4] = -33
    assert small[1].refuses([codes], np.int64) == (1, 0, 77, 4)
    codes[77, 4] = -32
    small[1].codes([codes])


def quantised(quantiser_list: list[Quantiser], sizes: list[int], scale: Fraction = Fraction(1)) -> Program:
    """Input ports with these quantisers that are outputs too."""
    made = [ports.passing(q, n, scale) for q, n in zip(quantiser_list, sizes, strict=True)]
    return side_by_side(made)


def check_floats(program: Program, x: list[np.ndarray], *options: str) -> None:
    """C++ emulator = JIT emulator on float64 and float32 rows."""
    jit = compile_program(program)
    narrow = [np.clip(a, -3e38, 3e38).astype(np.float32) for a in x]
    with tempfile.TemporaryDirectory() as folder:
        made = library(program, Path(folder), *options)
        for want, got in zip(jit.predict(x), made.predict(x), strict=True):
            np.testing.assert_array_equal(got, want)
            np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
        for want, got in zip(jit.predict(narrow), made.predict(narrow, np.float32), strict=True):
            np.testing.assert_array_equal(got, want.astype(np.float32))


def random_quantisers(data: st.DataObject, n: int, rows: int, seed: int) -> None:
    drawn = [data.draw(ports.quantisers(n)) for _ in range(6)]
    check_floats(quantised(drawn, [n] * 6), [ports.values_for(q, n, rows, seed + k) for k, q in enumerate(drawn)])


REALS = given(st.data(), st.integers(1, 9), st.integers(1, 70), st.integers(0, 1 << 30))
test_inputs_are_quantised_exactly = FEW(REALS(random_quantisers))
test_more_inputs_are_quantised_exactly = pytest.mark.slow(MANY(REALS(random_quantisers)))


def test_every_rounding_and_overflow():
    """All pairs, near and far values, scales that are powers of two and that are none, minifloats too."""
    kinds = [
        Quantiser(np.float64(scale), np.int64(-32), np.int64(31), rounding, overflow)
        for rounding in Rounding
        for overflow, scale in zip(Overflow, (0.25, 0.1, 2.0, 0.5, 1.0), strict=True)
    ]
    kinds += [Quantiser.minifloat(0.3, 4, 3, 7, 240.0, rounding) for rounding in Rounding]
    x = [ports.values_for(q, 4, 64, k) for k, q in enumerate(kinds)]
    check_floats(quantised(kinds, [4] * len(kinds)), x)


def test_bad_values_are_named_as_predict_does(tmp_path):
    modes = list(Overflow)
    kinds = [Quantiser.of_type(FixedType(True, 6, 2), Rounding.RND_INF, overflow) for overflow in modes]
    program = quantised(kinds, [3] * len(modes))
    jit, made = compile_program(program), library(program, tmp_path)
    for k, overflow in enumerate(modes):
        for bad in (np.nan, np.inf, -np.inf):
            x = [np.zeros((50, 3)) for _ in modes]
            x[k][40, 1] = bad
            if np.isnan(bad) or overflow in (Overflow.WRAP, Overflow.WRAP_SM):
                with pytest.raises(DataError, match="row 40: element 1 is"):
                    jit.predict(x)
                assert made.refuses(x) == (2 if np.isnan(bad) else 3, k, 40, 1)
            else:
                for want, got in zip(jit.predict(x), made.predict(x), strict=True):
                    np.testing.assert_array_equal(got, want)


def test_a_port_without_a_quantiser_takes_what_is_on_its_grid(tmp_path):
    program = programs.flat_program(KernelBuilder("id", [-8, 0], [7, 9]).build([0, 1]))
    made = library(program, tmp_path)
    np.testing.assert_array_equal(made.predict([[[-8.0, 9.0], [1.0, 2.0]]])[0], [[-8, 9], [1, 2]])
    assert made.refuses([[[-8.0, 9.0], [1.5, 2.0]]]) == (4, 0, 1, 0)
    assert made.refuses([[[-8.0, 10.0]]]) == (1, 0, 0, 1)
    assert made.refuses([[[np.nan, 9.0]]]) == (2, 0, 0, 0)
    assert made.refuses([[[0.0, -np.inf]]]) == (3, 0, 0, 1)


def test_outputs_are_exact_or_rounded_once(tmp_path):
    """Scales that float64 holds, that it doesn't, and those for which products overflow or have few bits left."""
    scales = [Fraction(1), Fraction(1, 1 << 70), *ports.ODD, Fraction(1, 7 << 1030), Fraction(3, 1 << 1120)]
    scales += [Fraction(5**40, 3**50), Fraction(7**300, 3**200), Fraction(0.7) * Fraction(0.9) * Fraction(1.1)]
    made, codes = [], []
    for k, scale in enumerate(scales):
        for bits in (8, 53, 54, 62):
            kind = FixedType(True, bits, 0)
            made.append(ports.passing(Quantiser.of_type(kind), 1, scale))
            rng = np.random.default_rng(bits + k)
            drawn = rng.integers(kind.lo, kind.hi, 300, endpoint=True)
            found = np.concatenate([drawn, [kind.lo, kind.hi, 0, -1]])
            codes.append(((found >> (bits - 53)) if bits > 53 else found)[:, None])
    program = side_by_side(made)
    outputs = library(program, tmp_path).predict([c.astype(np.float64) for c in codes])
    for k, (code, got) in enumerate(zip(codes, outputs, strict=True)):
        scale = scales[k // 4]
        want = [float(Fraction(c) * scale) for c in code[:, 0].tolist()]
        np.testing.assert_array_equal(got[:, 0], want, err_msg=str(scale))


def test_ties_of_scaled_outputs(tmp_path):
    """Products that lie exactly between two float64, or a hair beside."""
    scales = [
        Fraction(2**53 + 1, 2),
        Fraction(2**53 + 1, 3),
        Fraction(2**60 + 2**7, 2**80 + 1),
        Fraction(1, 3 * 2**1073),
    ]
    program = side_by_side([ports.passing(Quantiser.of_type(FixedType(True, 12, 0)), 1, s) for s in scales])
    codes = np.arange(-2048, 2048)[:, None]
    outputs = library(program, tmp_path).predict([codes.astype(np.float64)] * 4)
    for scale, got in zip(scales, outputs, strict=True):
        want = [code * scale.numerator / scale.denominator for code in codes[:, 0].tolist()]
        np.testing.assert_array_equal(got[:, 0], want, err_msg=str(scale))


def test_convolution_and_tables_of_a_compiled_network(tmp_path):
    from hardwire.network.graph import NetworkBuilder

    rng = np.random.default_rng(1)
    b = NetworkBuilder("net")
    x = b.input("image", (8, 8, 2))
    q = Quantiser.of_type(FixedType(True, 6, 3), Rounding.RND, Overflow.SAT)
    x = b.add("quantise", "q", [x], {"quantiser": q})
    kernel = rng.integers(-7, 8, (3, 3, 2, 4)) / 8
    x = b.add(
        "conv",
        "conv 1/1",
        [x],
        {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1},
        {"kernel": kernel},
    )
    x = b.add("relu", "relu", [x])
    x = b.add("quantise", "int", [x], {"quantiser": Quantiser.of_type(FixedType(False, 6, 3), Rounding.TRN)})
    x = b.add("reshape", "flat", [x], {"shape": (144,)})
    x = b.add("dense", "template", [x], {}, {"kernel": rng.integers(-7, 8, (144, 3)) / 8, "bias": np.zeros(3)})
    design = hw.compile(b.build([x]), backend="emulator")
    made = library(design.program, tmp_path, "-O2")
    values = rng.normal(0, 2, (70, 8, 8, 2))
    np.testing.assert_array_equal(made.predict([values])[0], design.predict(values))
    text = emitted(design.program)["model_emulator.cpp"]
    assert "void conv_1_1(" in text
    assert "void layer_template(" in text, "a layer's name may be a word of C++"
    assert "p < 36" in text, "a convolution stays a loop over its positions"


def test_the_same_program_gives_the_same_bytes():
    assert emitted(layers()) == emitted(layers())


@pytest.mark.parametrize("name", ["int", "1st", "a b", "", "größe"])
def test_names_that_are_none(name):
    with pytest.raises(BackendError, match="cannot be used in C"):
        cpp_emulator.emit(Source(name, layered([3, 2], 4, 0.0), target("ecp5-85k"), 200.0))
