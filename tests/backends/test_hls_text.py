"""What HLS C++ looks like: names, loops, widths, pragmas, arrays, projects; whether compilers find fault with it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flat_programs import program_of
from hls_programs import FLAVOURS, check, joined, looped, written
from test_hls_values import dense, image

from hardwire.backends import BackendError, Source, _hls_network, backend
from hardwire.backends._hls_index import Index, affine, nest, runs
from hardwire.errors import DataError, MissingToolError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import known_layers
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser
from hardwire.targets import target
from hardwire.tools import csim

flavours = pytest.mark.parametrize("flavour", FLAVOURS)


def example(kind: str, name: str) -> Network:
    return next(one.network for one in known_layers()[kind].examples() if one.name == name)


def tagger(widths: tuple[int, ...] = (16, 64, 32, 32, 5)) -> Network:
    """A dense network of random 6-bit weights, ReLU and 8-bit activations."""
    rng = np.random.default_rng(1)
    net = NetworkBuilder("tagger")
    entry = Quantiser.of_type(FixedType.parse("s8.4"), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "entry", [net.input("jets", (widths[0],))], {"quantiser": entry})
    for n, (k, m) in enumerate(zip(widths, widths[1:], strict=False), 1):
        params = {"kernel": rng.integers(-31, 32, (k, m)) / 32, "bias": rng.integers(-99, 99, m) / 64}
        x = net.add("dense", f"fc{n}", [x], {}, params)
        if n + 1 < len(widths):
            x = net.add("relu", f"fc{n}_relu", [x], {})
            act = Quantiser.of_type(FixedType.parse("u8.4"), Rounding.RND, Overflow.SAT)
            x = net.add("quantise", f"fc{n}_type", [x], {"quantiser": act})
    return net.build([x])


def body(text: str, function: str) -> str:
    """Text of one function."""
    found = re.search(rf"^static void {function}\(.*?^}}$", text, re.M | re.S)
    assert found, function
    return found[0]


def test_a_dense_layer_is_a_loop_over_a_constant_array() -> None:
    files = written(looped(dense(40, 12)), "hls-vitis")
    layers = files["net_layers.h"]
    assert body(layers, "layer_one") == (
        "static void layer_one(const ap_int<7> x[40], ap_int<17> layer_one_out[12]) {\n"
        "#pragma HLS INLINE\n"
        "#pragma HLS ARRAY_PARTITION variable=layer_one_weights complete dim=0\n"
        "#pragma HLS ARRAY_PARTITION variable=layer_one_bias complete dim=0\n"
        "    for (int i = 0; i < 12; ++i) {\n"
        "#pragma HLS UNROLL\n"
        "        ap_int<17> total = layer_one_bias[i];\n"
        "        for (int j = 0; j < 40; ++j) {\n"
        "#pragma HLS UNROLL\n"
        "            total += ap_int<6>(layer_one_weights[i][j]) * x[j];\n"
        "        }\n"
        "        layer_one_out[i] = total;\n"
        "    }\n"
        "}"
    )
    assert re.search(r"static const int8_t layer_one_weights\[12\]\[40\] = \{\n    \{-?\d+, ", files["net_constants.h"])
    assert "// layer one.\n// Reads 40 of x (s7.3)." in layers


def test_small_and_sparse_matrices_are_constants_of_their_own_width() -> None:
    small = written(looped(dense(3, 2)), "hls-vitis")
    assert "_weights" not in small["net_layers.h"]
    assert "    layer_one_out[1] = 9 * x[0] - 15 * x[1] - 29 * x[2] + 688;\n" in small["net_layers.h"]
    sparse = written(looped(dense(40, 12, 0.8)), "hls-vitis")["net_layers.h"]
    widths = set(re.findall(r"layer_one_out\[\d+\] = ap_int<(\d+)>", sparse))
    assert len(widths) > 1, "rows keep the widths that their ranges prove"
    assert "int8_t" in written(looped(dense(3, 2)), "hls-vitis", weights="rom")["net_constants.h"]


def test_rounding_and_saturation_are_calls_in_a_loop() -> None:
    layers = written(looped(dense(40, 12)), "hls-vitis")["net_layers.h"]
    assert "        y[i] = clamp<ap_uint<6>>(round_half_even<ap_int<12>, 5>(layer_one_out[i]), 0, 63);\n" in layers


def test_a_convolution_is_a_loop_over_positions_with_a_window() -> None:
    layers = written(looped(image()), "hls-vitis")["net_layers.h"]
    text = body(layers, "edges_3")
    assert "for (int i = 0; i < 7; ++i) {" in text
    assert "for (int j = 0; j < 6; ++j) {" in text
    assert "ap_uint<4> window[18];" in text
    assert len(layers.splitlines()) < 150, "a loop, whatever the number of positions"


def test_a_large_network_keeps_its_layers_as_loops() -> None:
    files = written(looped(dense(200, 200)), "hls-vitis")
    text = body(files["net_layers.h"], "layer_one")
    assert text.count("#pragma HLS PIPELINE II=1") == 1
    assert "#pragma HLS ARRAY_RESHAPE variable=layer_one_weights complete dim=2" in text
    assert "INTERFACE ap_memory port=x" in files["net.cpp"]


def test_loops_within_a_pipelined_one_are_unrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hls_network, "PARALLEL_OPERATIONS", 0)
    text = body(written(looped(image()), "hls-vitis", weights="rom")["net_layers.h"], "edges_3")
    assert "#pragma HLS ARRAY_PARTITION variable=edges_3_weights complete dim=0" in text
    assert text.count("#pragma HLS PIPELINE II=1") == 1


def test_steps_of_a_recurrent_layer_become_a_loop() -> None:
    layers = written(looped(example("lstm", "sequence")), "hls-vitis")["net_layers.h"]
    assert "// lstm, 3 times in turn." in layers
    assert "for (int i = 0; i < 3; ++i) {" in body(layers, "lstm_2")


def test_tables_that_are_parts_of_each_other_are_one() -> None:
    text = written(looped(example("lstm", "sequence")), "hls-vitis")["net_constants.h"]
    assert len(re.findall(r"lstm_2_table\w*\[", text)) == 3, "sigmoid, tanh of the gate, tanh of the state"


def test_ports_of_vitis() -> None:
    files = written(looped(tagger()), "hls-vitis", name="tagger")
    header, source = files["tagger.h"], files["tagger.cpp"]
    assert "typedef ap_fixed<8, 4, AP_RND, AP_SAT> tagger_x_t;" in header
    assert "// x: jets, 16; s8.4\n//    made from real numbers as s8.4 RND SAT" in header
    assert "void tagger(const tagger_x_t x[16], tagger_y_t y[5]);" in header
    assert "void tagger_axis(hls::stream<tagger_x_beat> &x, hls::stream<tagger_y_beat> &y);" in header
    for line in (
        "#ifdef TAGGER_AP_NONE\n#pragma HLS INTERFACE ap_none port=x\n",
        "#else\n#pragma HLS INTERFACE ap_vld port=x\n",
        "#pragma HLS INTERFACE axis port=x\n",
        "#pragma HLS AGGREGATE variable=x compact=bit\n",
    ):
        assert line in source, line
    assert source.count("#pragma HLS PIPELINE II=1\n") == 2
    script = files["build_hls.tcl"]
    assert "part xcvu13p-flga2577-2-e" in script
    assert "period 5.000" in script


def test_elements_of_different_types_are_codes_with_their_scales() -> None:
    kinds = Quantiser.of_arrays(np.array([True, False, True, True]), 5, np.array([1, 2, 3, 3]), Rounding.RND)
    net = NetworkBuilder("mixed")
    x = net.add("quantise", "entry", [net.input("x", (4,))], {"quantiser": kinds})
    header = written(looped(net.build([net.add("relu", "relu", [x], {})])), "hls-vitis")["net.h"]
    assert "typedef ap_int<6> net_x_t;" in header
    assert "//    0: 1/2\n//    1: 1/4\n//    2 to 3: 1/8\n" in header


@flavours
def test_the_same_input_gives_the_same_bytes(flavour: str) -> None:
    program = looped(example("softmax", "vector"))
    assert written(program, flavour) == written(program, flavour)


@flavours
@pytest.mark.parametrize("name", ["", "1st", "a b", "é", "class", "a;b", "std"])
def test_bad_names(flavour: str, name: str) -> None:
    with pytest.raises(BackendError, match=r"cannot be used in C\+\+"):
        written(looped(example("relu", "vector")), flavour, name=name)


@flavours
def test_vectors_of_a_wrong_shape_are_an_error(flavour: str) -> None:
    program = looped(example("relu", "vector"))
    wrong = ([np.zeros((3, 99), np.int64)], [np.zeros((3, 99), np.int64)])
    source = Source("net", program, target("xcup-vu13p"), 200.0, vectors=wrong)
    with pytest.raises(DataError, match="vectors of shape"):
        backend(flavour).emit(source)


@pytest.mark.tools
@flavours
def test_hostile_layer_names(flavour: str, tmp_path: Path) -> None:
    """Names that clash once made legal, that are key words, that would end a comment, that look like ports."""
    one = looped(dense(2, 2))
    program = joined([one] * 13)
    hostile = ["x", "y0", "main", "*/ int", "a\\", "a\nb", "int", "net", "std", "fc.1", "fc_1", "clamp", "x" * 99]
    renamed = {}
    for number, name in enumerate(hostile):
        renamed.update({step.name: name for step in program.steps if step.name.startswith(f"p{number}.")})
    steps = tuple(replace(step, name=renamed[step.name]) for step in program.steps)
    check(replace(program, steps=steps), flavour, tmp_path, vectors=20)


@pytest.mark.tools
@flavours
def test_the_bench_compares_with_its_vectors(flavour: str, tmp_path: Path) -> None:
    """The Makefile's way: without arguments, exit status 1 if a vector differs."""
    files = written(looped(example("relu", "vector")), flavour)
    built = csim.compile_program(files, workdir=tmp_path, flags=("-O0",))
    assert csim.run is not None
    lines: list[str] = []
    csim.run([built.path], cwd=tmp_path, progress=lines.append, tool="bench")
    assert lines == ["8 vectors, 0 codes differ"]
    vectors = tmp_path / "tb" / "y.dat"
    rows = [[int(word) for word in line.split()] for line in vectors.read_text().splitlines()]
    rows[3][0] += 1
    vectors.write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(csim.ToolError):
        csim.run([built.path], cwd=tmp_path, progress=lines.append, tool="bench")
    assert any(line.startswith(f"net: vector 3: y[0] is {rows[3][0] - 1}, expected {rows[3][0]}") for line in lines)


@pytest.mark.tools
@flavours
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_compilers_do_not_warn(flavour: str, compiler: str, tmp_path: Path) -> None:
    program = joined([looped(network) for network in (dense(40, 12), image(), example("softmax", "vector"))])
    try:
        assert csim.lint(written(program, flavour), tmp_path, compiler=compiler) == []
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.tools
@flavours
def test_inputs_that_nothing_reads(flavour: str, tmp_path: Path) -> None:
    """A whole port and a single element; constant outputs."""
    builder = KernelBuilder("k", [-4, -4, 0], [3, 3, 0])
    program = program_of(builder.build([builder.const(5), builder.clamp(0, 0, 3), builder.const(-3)]), inputs=(1, 2))
    files = check(program, flavour, tmp_path / "values", vectors=20)
    try:
        assert csim.lint(files, tmp_path / "lint", compiler="g++") == []
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.tools
@pytest.mark.slow
@flavours
def test_clang_tidy_finds_nothing(flavour: str, tmp_path: Path) -> None:
    kinds = [example("softmax", "vector"), example("lstm", "sequence"), example("quantise", "RND_CONV_SAT_ZERO")]
    program = joined([looped(network) for network in (dense(40, 12), image(), *kinds)])
    try:
        assert csim.tidy(written(program, flavour), tmp_path) == []
    except MissingToolError as error:
        pytest.skip(str(error))


def test_index_text() -> None:
    assert str(Index.of("i").scaled(4) + Index.of("j") + 2) == "4 * i + j + 2"
    assert str(Index.of("i").scaled(-1) + 7) == "-1 * i + 7"
    assert str(Index(3)) == "3"
    assert str(Index.of("i").scaled(0) + 5) == "5"


def test_loops_are_found_in_positions() -> None:
    rows = np.array([[28 * i + j, 4 * (26 * i + j)] for i in range(5) for j in range(26)])
    found = nest(rows)
    assert found.table is None
    assert [(level.count, level.steps) for level in found.levels] == [(5, (28, 104)), (26, (1, 4))]
    assert nest(np.array([[0], [1], [5]])).table is not None
    assert affine([3, 5, 7]) == (2, 3)
    assert affine([3, 5, 8]) is None
    assert runs([(0, 4), (1, 5), (2, 6), (9, 0)]) == [(3, 0, 1, 4, 1), (1, 9, 0, 0, 0)]
