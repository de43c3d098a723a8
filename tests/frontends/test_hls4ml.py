"""hls4ml projects: every project of `hls4ml_projects/` computes what hls4ml's C simulation computed, bit for bit."""

from __future__ import annotations

import random
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import hardwire as hw
from hardwire import frontends
from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.frontends._hls4ml_cpp import Evaluator, Parser, Unit, preprocess, tokenise
from hardwire.frontends._hls4ml_generated import functions, windows
from hardwire.frontends._hls4ml_project import read_project
from hardwire.frontends._hls4ml_scope import Scope
from hardwire.ir import interpreter
from hardwire.ir.verify import verify_program
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers._lowering import lower
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.reference import forward

PROJECTS = Path(__file__).parent / "hls4ml_projects"
NAMES = sorted(path.stem for path in PROJECTS.glob("*.npz"))


def computed(folder, xs):
    """Outputs of the integers and of the float64 meaning, flat rows."""
    network = prepare(frontends.load(folder))
    program = lower(network, input_quantisers(network))
    verify_program(program)
    xs = [x.reshape(len(x), *port.shape) for x, port in zip(xs, program.inputs, strict=True)]
    codes = [port.quantiser.codes(x).reshape(len(x), -1) for x, port in zip(xs, program.inputs, strict=True)]
    values = interpreter.run(program, codes)
    fixed = [(y * program.port_scale(port)).astype(np.float64) for y, port in zip(values, program.outputs, strict=True)]
    return fixed, [y.reshape(len(y), -1) for y in forward(network, xs)]


def place(name):
    """Path of a project: a directory or an archive."""
    return PROJECTS / name if (PROJECTS / name).is_dir() else PROJECTS / f"{name}.tar.gz"


def stored(name):
    """Inputs and outputs of the C simulation."""
    vectors = np.load(PROJECTS / f"{name}.npz")
    xs = [vectors[f"x{i}"] for i in range(sum(key[0] == "x" for key in vectors.files))]
    ys = [vectors[f"y{i}"] for i in range(sum(key[0] == "y" for key in vectors.files))]
    return xs, [y.reshape(len(y), -1) for y in ys]


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_that_of_the_c_simulation(name):
    xs, expected = stored(name)
    fixed, floats = computed(place(name), xs)
    for output, (y, f, want) in enumerate(zip(fixed, floats, expected, strict=True)):
        np.testing.assert_array_equal(y, want, err_msg=f"output {output}")
        np.testing.assert_array_equal(f, want, err_msg=f"float meaning of output {output}")


def test_projects_stay_small():
    files = [path for path in PROJECTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 400_000
    assert not [path for path in files if "nnet_utils" in path.parts or "ap_types" in path.parts]


def test_compile_and_predict():
    xs, ys = stored("mlp")
    design = hw.compile(str(PROJECTS / "mlp"), backend="emulator")
    np.testing.assert_array_equal(design.predict(xs[0]), ys[0])
    assert design.report_data["source"]["format"] == "hls4ml"
    assert any(name.startswith("fc1") for name in design.program.kernels)


def test_firmware_archive_and_missing_configuration_are_the_same_model(tmp_path):
    xs, ys = stored("mlp")
    firmware = tmp_path / "firmware"
    shutil.copytree(PROJECTS / "mlp" / "firmware", firmware)
    archive = tmp_path / "mlp.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(PROJECTS / "mlp", arcname="some/where")
    for source in (firmware, tmp_path, archive):
        np.testing.assert_array_equal(computed(source, xs)[0][0], ys[0])
    hashes = {frontends.load(source).source["sha256"] for source in (firmware, tmp_path, archive)}
    assert len(hashes) == 1


def test_weights_come_from_headers_where_there_is_no_text(tmp_path):
    xs, ys = stored("mlp")
    shutil.copytree(PROJECTS / "mlp", tmp_path / "p")
    for path in (tmp_path / "p" / "firmware" / "weights").glob("*.txt"):
        path.unlink()
    for y, want in zip(computed(tmp_path / "p", xs)[0], ys, strict=True):
        np.testing.assert_array_equal(y, want)


def changed(tmp_path, file, old, new, name="mlp"):
    """Copy a project with a text replaced."""
    folder = tmp_path / "project"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PROJECTS / name, folder)
    path = folder / "firmware" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "error", "message"),
    [
        (
            "myproject.cpp",
            "nnet::relu<",
            "nnet::garnet<",
            UnsupportedError,
            r"layer 'fc1_relu'.*nnet::garnet.*not supp",
        ),
        ("myproject.cpp", "nnet::dense<input", "for (;;) nnet::dense<input", UnsupportedError, r"'for'"),
        ("myproject.cpp", "nnet::", "mine::", ModelError, r"no top function that calls nnet:: functions"),
        ("parameters.h", "struct config2 ", "struct config99 ", ModelError, r"'fc1'|config2"),
        ("parameters.h", "fc1_accum_t accum_t", "double accum_t", UnsupportedError, r"'fc1' \(dense\).*'accum_t'"),
        ("parameters.h", "product::mult", "product::mystery", UnsupportedError, r"'product' = 'mystery'"),
        ("parameters.h", "nnet::DenseLatency", "nnet::DenseWild", UnsupportedError, r"'fc1' \(dense\): strategy"),
        ("parameters.h", "static const unsigned n_in = 8;\n", "", UnsupportedError, r"'fc1' \(dense\).*'n_in' is miss"),
        ("parameters.h", "n_in = 8", "n_in = 7", HardwireError, r"weights, expected 7 × 6"),
        ("parameters.h", "n_in = 8;", "n_in = 8; static const unsigned twist = 3;", UnsupportedError, r"'twist' = 3"),
        ("defines.h", "ap_fixed<16,6> input_t", "ap_fixed<16,6,AP_ODD> input_t", UnsupportedError, r"'AP_ODD'"),
        ("defines.h", "ap_fixed<16,6> input_t", "ap_float<16,6> input_t", ModelError, r"."),
        ("defines.h", "ap_fixed<16,6> input_t", "input_t input_t", ModelError, r"."),
        ("defines.h", "ap_fixed<16,6> input_t", "ac_fixed<16,6,true> input_t", UnsupportedError, r"Vivado.* back end"),
        ("defines.h", "#endif", "", ModelError, r"defines.h: an #if without #endif"),
        ("weights/w2.txt", "0.5751327276, ", "", ModelError, r"weights 'w2' have 47 values, their array 48"),
        ("parameters.h", "implementation::stable", "implementation::novel", UnsupportedError, r"'implementation'"),
    ],
)
def test_errors_name_layer_and_member(tmp_path, file, old, new, error, message):
    with pytest.raises(error, match=message):
        computed(changed(tmp_path, file, old, new), stored("mlp")[0])


@pytest.mark.parametrize(
    ("file", "text", "release"),
    [
        ("nnet_merge.h", "res[i] = (data1[i] + data2[i]) / (res_T) 2; // old", (1, 1)),
        ("nnet_pooling.h", "template<int W, int I, int N> ap_fixed<W, I> avg(ap_fixed<W, I> (&x)[N]);", (0, 8)),
        ("nnet_batchnorm.h", "res[i] = (datareg > threshold[norm_index]);", (0, 7)),
        ("nnet_mult.h", "return (ap_int<8>)(x - CONFIG_T::n_in / 2) * 2;", (1, 1)),
        ("nnet_mult.h", "// (x - CONFIG_T::n_in / 2) * 2", (1, 3)),
        ("nnet_dense.h", "(x - CONFIG_T::n_in / 2) * 2", (1, 3)),
    ],
)
def test_the_release_is_seen_in_the_library(tmp_path, file, text, release):
    folder = changed(tmp_path, "parameters.h", "struct", "struct")
    (folder / "firmware" / "nnet_utils").mkdir()
    (folder / "firmware" / "nnet_utils" / file).write_text(text)
    assert Scope(read_project(folder), Unit(), {}).release() == release


def test_without_the_library_configs_tell_releases_up_to_0_8(tmp_path):
    folder = changed(tmp_path, "parameters.h", "using kernel = ", "using other = ")
    assert Scope(read_project(folder), Unit(), {}).release() == (0, 8)
    assert Scope(read_project(PROJECTS / "mlp"), Unit(), {}).release() == (1, 3)


# --- generated functions

GENERATED = """
template <typename inp_t, typename out_t>
void dense_da_2(inp_t model_inp[2], out_t model_out[3]) { // comment
    #pragma HLS INLINE
    ap_fixed<6,3> v0 = model_inp[0]; // 0.0
    ap_fixed<6,3> v1 = model_inp[1]; // 0.0
    ap_fixed<8,5> v2 = v0 - bit_shift<1>(v1); // 1.0
    ap_fixed<9,5> v3 = v2 + ap_ufixed<1,-1>(0.25);
    model_out[0] = ap_fixed<8,5>(-v2);
    model_out[1] = ap_fixed<9,5>(v3);
    model_out[2] = 0;
}
template<typename input_t, typename output_t>
void q(input_t *inp, output_t *out) { out[0] = ap_ufixed<3,2,AP_RND,AP_SAT>(inp[0]); out[1] = 0; }
template <typename inp_t, typename out_t> void loop(inp_t model_inp[1], out_t model_out[1]) { while (1); }
"""


def generated():
    unit = Unit()
    scope = Scope(read_project(PROJECTS / "mlp"), unit, {})
    return functions(GENERATED, lambda text: scope.type(tuple(tokenise(text, "t"))))


def test_generated_functions_are_read_as_steps():
    codes = generated()
    assert sorted(codes) == ["dense_da_2", "q"]
    steps = {step.target: step for step in codes["dense_da_2"].steps}
    assert steps["v2"].terms == ((1.0, "v0"), (-2.0, "v1"))
    assert (steps["v3"].terms, steps["v3"].constant) == (((1.0, "v2"),), 0.25)
    assert steps["out[0]"].terms == ((-1.0, "v2"),)
    assert codes["q"].steps[0].kind == Fixed(False, 3, 2, Rounding.RND, Overflow.SAT)
    assert codes["q"].steps[1].terms == ()


def test_windows_of_generated_buffers():
    text = """class fill_buffer_2 : public F { if (partition == 0) { buffer[0][0] = 0; buffer[0][1] = data[3]; }
    if (partition == 1) { buffer[0][0] = data[3]; buffer[0][1] = data[7]; } };"""
    assert windows(text) == {"fill_buffer_2": [[-1, 3], [3, 7]]}


def unpacked(tmp_path, name):
    """Unpack a stored project."""
    with tarfile.open(PROJECTS / f"{name}.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path


def test_generated_code_that_is_missing_or_loses_bits_is_named(tmp_path):
    folder = unpacked(tmp_path, "distributed")
    path = folder / "firmware" / "nnet_utils" / "nnet_code_gen.h"
    text = path.read_text()
    path.write_text(re.sub(r"ap_fixed<\d+,\d+> (v\d+) = (v\d+ [-+])", r"ap_fixed<3,2> \1 = \2", text))
    with pytest.raises(UnsupportedError, match=r"generated function dense_da_2 loses bits"):
        frontends.load(folder)
    path.unlink()
    with pytest.raises(UnsupportedError, match=r"dense_da_2 of hls4ml is not supported"):
        frontends.load(folder)


@pytest.mark.parametrize("trial", range(30))
def test_damaged_generated_code_ends_in_errors_of_ours(tmp_path, trial):
    folder = unpacked(tmp_path, "distributed_plane")
    path = folder / "firmware" / "nnet_utils" / "nnet_code_gen.h"
    text, rng = path.read_text(), random.Random(trial)
    at = rng.randrange(len(text))
    words = ["(", ")", "{", "}", ";", "v1", "[99]", "bit_shift<9999>(v1)", "1e999", "ap_fixed<9,9>", "-", "= 0;"]
    path.write_text(text[:at] if trial % 3 == 0 else text[:at] + rng.choice(words) + text[at + rng.randrange(4) :])
    try:
        network = prepare(frontends.load(folder))
        lower(network, input_quantisers(network))
    except HardwireError:
        pass


def test_weights_argument_is_refused():
    with pytest.raises(ModelError, match="has its own"):
        frontends.load(PROJECTS / "mlp", weights="other.h5")


def test_missing_weights_are_named(tmp_path):
    folder = changed(tmp_path, "parameters.h", "struct", "struct")
    for suffix in (".txt", ".h"):
        (folder / "firmware" / "weights" / f"b2{suffix}").unlink()
    with pytest.raises(ModelError, match=r"'b2'"):
        frontends.load(folder)


@pytest.mark.parametrize("file", ["defines.h", "parameters.h", "myproject.cpp", "weights/w2.h", "weights/w2.txt"])
def test_damaged_files_end_in_errors_of_ours(tmp_path, file):
    text = (PROJECTS / "mlp" / "firmware" / file).read_text()
    folder = changed(tmp_path, "parameters.h", "struct", "struct")
    rng = random.Random(file)
    words = [
        "(",
        ")",
        "{",
        "}",
        "<",
        ">",
        ";",
        "typedef",
        "=",
        "-1",
        "9999999999",
        "x",
        "\0",
        "#if",
        '"',
        "::",
        "ap_fixed",
    ]
    for trial in range(25):
        at = rng.randrange(len(text))
        damaged = text[:at] if trial % 3 == 0 else text[:at] + rng.choice(words) + text[at + rng.randrange(4) :]
        (folder / "firmware" / file).write_text(damaged)
        try:
            network = prepare(frontends.load(folder))
            lower(network, input_quantisers(network))
        except HardwireError:
            pass


def test_damaged_archive(tmp_path):
    archive = tmp_path / "p.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(PROJECTS / "mlp", arcname="p")
    data = archive.read_bytes()
    for cut in (10, len(data) // 3, len(data) - 20):
        archive.write_bytes(data[:cut])
        with pytest.raises(ModelError):
            frontends.load(archive)


# --- the C++ subset


def values(text, **names):
    return Evaluator(tuple(tokenise(text, "t")), lambda name: names.get(name), "t").value()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("DIV_ROUNDUP(7 * 3, 4) - 1", 5),
        ("(n == -1) ? 8 : n", 8),
        ("1 + 2 * 3 % 4", 3),
        ("-7 / 2", -3),
        ("MIN(3, n) + 0x10", 15),
        ("1e-3", 0.001),
        ("2u + 1", 3),
        ("a::b", "a::b"),
        ("!0 && 3 > 2", 1),
        ("nnet::ceillog2(5)", 3),
    ],
)
def test_constant_expressions(text, value):
    assert values(text, n=-1) == value


@pytest.mark.parametrize("text", ["1 +", "(1", "f(2)", "1 / 0", "? 2", "(" * 100 + "1", "- " * 100 + "1"])
def test_bad_expressions(text):
    with pytest.raises(ModelError):
        values(text)


def test_conditional_text_and_macros():
    lines = ["#ifndef A_H_", "#define A_H_", "#define N 4 // four", "#ifdef B", "x", "#elif defined(A_H_)", "y"]
    text, macros = preprocess("\n".join([*lines, "#else", "z", "#endif", "#endif"]), {}, "t")
    assert text.split() == ["y"]
    assert macros["N"] == "4"


def test_declarations():
    unit = Unit()
    source = """
    namespace a { using t = ap_fixed<8,3>; typedef nnet::array<t, 4*1> u; }
    struct c : base { static const unsigned n = 2; typedef t w; template<class x> using k = nnet::K<x>;
        static const t s; };
    const t c::s = 0.5;
    constexpr int v = 3;
    template <class T> void f(T x) { if (x) { g(x); } }
    enum e { one, two };
    """
    Parser(tokenise(source, "t"), unit, "t").file()
    assert "".join(unit.types["t"]) == "ap_fixed<8,3>"
    assert unit.structs["c"].values["n"] == ("2",)
    assert unit.values["c::s"] == ("0.5",)
    assert unit.values["v"] == ("3",)


def test_types_of_sums_and_products():
    a, b = Fixed(True, 8, 3), Fixed(False, 6, 2)
    assert a.times(b) == Fixed(True, 14, 5)
    assert a.plus(b) == Fixed(True, 9, 4)
    assert b.minus(b) == Fixed(True, 7, 3)
    assert Fixed(True, 10, 4).holds(a)
    assert not a.holds(Fixed(False, 8, 3))
    assert Fixed(True, 4, 4, Rounding.RND, Overflow.SAT)(np.array([7.5, -9.0])).tolist() == [7.0, -8.0]
