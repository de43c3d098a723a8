"""The C++ emulator as software: threads, sanitizers, loading from C and C++, CMake, the test bench."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from cpp_libraries import WARNINGS, emitted, library, put, run
from test_cpp_emulator import layered, programs

from hardwire import __version__
from hardwire.emulate import compile_program
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.ir.program import Program
from hardwire.quantiser import Quantiser

QUANTISER = Quantiser.of_type(FixedType(True, 6, 2), Rounding.RND, Overflow.SAT)

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


def tagger() -> Program:
    """Two layers, a table, an input with a quantiser."""
    made = layered([6, 5, 3], 6, 0.0)
    kernel = next(iter(made.kernels.values()))
    return programs.flat_program(kernel, programs.Fraction(1, 8), QUANTISER, "jet */ tagger\\")


def with_vectors(n: int = 100) -> dict[str, str]:
    program = tagger()
    codes = programs.codes_for(*program.port_range(program.inputs[0]), n, 1)
    return emitted(program, "tagger", ([codes], interpreter.run(program, [codes])))


HAMMER = """
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "tagger_emulator.hpp"

int main() {
  const hardwire::tagger::Emulator emulator;
  std::vector<double> x(6 * 1000);
  for (std::size_t k = 0; k < x.size(); ++k) x[k] = std::sin(static_cast<double>(k)) * 9;
  const std::vector<double> expected = emulator.predict(x);
  std::atomic<int> wrong(0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int k = 0; k < 20; ++k) {
        const std::size_t events = static_cast<std::size_t>(1 + (37 * k + 101 * t) % 1000);
        const std::vector<double> some(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(6 * events));
        const std::vector<double> y = emulator.predict(some);
        for (std::size_t i = 0; i < y.size(); ++i) wrong += y[i] != expected[i];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return wrong == 0 ? 0 : 1;
}
"""


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_threads_under_sanitizers(sanitizer, tmp_path):
    put({**with_vectors(), "hammer.cc": HAMMER}, tmp_path)
    options = [
        "g++",
        "-std=c++11",
        "-O1",
        "-g",
        f"-fsanitize={sanitizer}",
        "-fno-sanitize-recover=all",
        "-pthread",
        "-I.",
    ]
    run(*options, "-o", "hammer", "hammer.cc", "tagger_emulator.cpp", cwd=tmp_path)
    run(tmp_path / "hammer", cwd=tmp_path)
    if "address" in sanitizer:
        run(*options, "-o", "bench", "tb/tagger_bench.cpp", "tagger_emulator.cpp", cwd=tmp_path)
        assert "100 vectors, 0 mismatches" in run(tmp_path / "bench", cwd=tmp_path)


def test_wide_values_under_the_sanitizer(tmp_path):
    """Every op on values of up to 62 bits: nothing undefined."""
    ranges = [(-(1 << 61), (1 << 61) - 1), (-5, 300), (-(1 << 31), (1 << 31) - 1), (0, 1 << 40)]
    b = programs.KernelBuilder("k", [r[0] for r in ranges], [r[1] for r in ranges])
    halves = [b.round(v, 3, mode) for v in range(4) for mode in Rounding]
    products = [b.mul(1, 2), b.mul(1, b.wrap(0, 50, True)), b.mul(b.wrap(2, 30, True), b.wrap(3, 30, True))]
    sums = [b.sub(1, 2, 5, 20), b.linear([1, 2, 3], [-77, 1 << 20, -3], -9), b.shl(1, 50), b.add(halves[0], 3)]
    others = [
        b.less(0, 3),
        b.select(1, 0, 3),
        b.bit_xor(0, 3),
        b.bit_and(0, 2),
        b.clamp(0, -9, 1 << 50),
        b.wrap(0, 61, True),
    ]
    program = programs.flat_program(b.build([*halves, *products, *sums, *others]))
    codes = programs.codes_for(*program.port_range(program.inputs[0]), 300, 3)
    files = emitted(program, "wide", ([codes], interpreter.run(program, [codes])))
    put(files, tmp_path)
    options = ["-std=c++11", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all", "-I."]
    run("g++", *options, "-o", "bench", "tb/wide_bench.cpp", "wide_emulator.cpp", cwd=tmp_path)
    assert "300 vectors, 0 mismatches" in run(tmp_path / "bench", cwd=tmp_path)


LOADER = """
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "tagger_emulator.h"

int main(int argc, char** argv) {
  void* library = dlopen(argc == 2 ? argv[1] : "", RTLD_NOW);
  const hw_emulator* (*find)(void);
  void* symbol = library ? dlsym(library, "hardwire_emulator") : NULL;
  double x[HW_TAGGER_X] = {1.25, -3.5, 0.1, 99.0, -0.125, 7.75};
  const double* in[1] = {x};
  double y[HW_TAGGER_Y];
  double* out[1] = {y};
  hw_emulator_error where;
  size_t k;
  if (symbol == NULL) return 2;
  memcpy(&find, &symbol, sizeof symbol);
  if (find()->abi != HW_EMULATOR_ABI || find()->size != sizeof(hw_emulator)) return 3;
  if (find()->predict(in, out, 1, &where) != HW_OK) return 4;
  printf("%s %s %s\\n", find()->name, find()->generator, find()->program_sha256);
  for (k = 0; k < HW_TAGGER_Y; ++k) printf("%.17g ", y[k]);
  x[2] = 0.0 / x[0] / 0.0;
  if (find()->predict(in, out, 1, &where) != HW_NOT_A_NUMBER || where.element != 2) return 5;
  return 0;
}
"""


def test_a_c_program_loads_the_library(tmp_path):
    program = tagger()
    made = library(program, tmp_path, name="tagger")
    (tmp_path / "load.c").write_text(LOADER)
    run("gcc", "-std=c11", *WARNINGS, "-D_DEFAULT_SOURCE", "-I.", "-o", "load", "load.c", "-ldl", cwd=tmp_path)
    head, values = run(tmp_path / "load", tmp_path / "lib.so", cwd=tmp_path).splitlines()
    assert head.split()[:3] == ["tagger", "hardwire", __version__]
    assert head.split()[3] == made.table.program_sha256.decode()
    x = np.array([[1.25, -3.5, 0.1, 99.0, -0.125, 7.75]])
    want = compile_program(program).predict([x])[0][0]
    np.testing.assert_array_equal(np.array(values.split(), float), want)


def test_the_hash_tells_programs_apart():
    def digest(program: Program) -> str:
        return emitted(program)["model_emulator.h"].partition("program ")[2][:64]

    one, other = layered([6, 5, 3], 6, 0.0), layered([6, 5, 3], 7, 0.0)
    assert digest(one) == digest(layered([6, 5, 3], 6, 0.0))
    assert len({digest(one), digest(other), digest(tagger())}) == 3


CONSUMER = """
#include <iostream>
#include <tagger_emulator.hpp>
#include <hardwire/plugin.hpp>

int main(int argc, char** argv) {
  const hardwire::tagger::Emulator linked;
  const hardwire::Plugin loaded(argc == 2 ? argv[1] : "");
  const std::vector<double> x = {1.25, -3.5, 0.1, 99.0, -0.125, 7.75};
  if (linked.predict(x) != loaded->predict(x)) return 1;
  try {
    loaded->predict(std::vector<double>(7));
    return 2;
  } catch (const std::invalid_argument&) {
  }
  try {
    loaded->predict(std::vector<double>(12, 0.0 / (x[0] - 1.25)));
    return 3;
  } catch (const hardwire::BadInput& error) {
    std::cout << error.what();
    return error.where().row == 0 && error.where().status == HW_NOT_A_NUMBER ? 0 : 4;
  }
}
"""

CONSUMER_CMAKE = """
cmake_minimum_required(VERSION 3.13)
project(consumer LANGUAGES CXX)
find_package(tagger_emulator REQUIRED CONFIG)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE tagger_emulator::static ${CMAKE_DL_LIBS})
enable_testing()
add_test(NAME consumer COMMAND consumer $<TARGET_FILE:tagger_emulator::plugin>)
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_builds_tests_and_installs_for_others(tmp_path):
    put(with_vectors(), tmp_path / "source")
    flags = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"
    run("cmake", "-S", "source", "-B", "build", flags, cwd=tmp_path)
    run("cmake", "--build", "build", cwd=tmp_path)
    said = run("ctest", "--test-dir", "build", "--verbose", cwd=tmp_path)
    assert "100 vectors, 0 mismatches" in said
    assert f"tagger, hardwire {__version__}, program " in said
    assert "100% tests passed, 0 tests failed out of 2" in said
    run("cmake", "--install", "build", "--prefix", "there", cwd=tmp_path)
    put({"main.cpp": CONSUMER, "CMakeLists.txt": CONSUMER_CMAKE}, tmp_path / "consumer")
    run("cmake", "-S", "consumer", "-B", "other", f"-DCMAKE_PREFIX_PATH={tmp_path / 'there'}", cwd=tmp_path)
    run("cmake", "--build", "other", cwd=tmp_path)
    said = run("ctest", "--test-dir", "other", "--verbose", cwd=tmp_path)
    assert "tagger: a value is NaN, which has no fixed-point value (input 0, event 0, element 0)" in said


TWO = """
cmake_minimum_required(VERSION 3.13)
project(two LANGUAGES CXX)
add_subdirectory(one)
add_subdirectory(other)
add_executable(two main.cpp)
target_link_libraries(two PRIVATE one_emulator::static other_emulator::static)
"""

BOTH = """
#include <one_emulator.hpp>
#include <other_emulator.hpp>

int main() {
  const hardwire::one::Emulator one;
  const hardwire::other::Emulator other;
  const hardwire::Emulator* models[] = {&one, &other};
  for (const hardwire::Emulator* model : models) {
    if (model->predict(std::vector<double>(12, 1.0)).size() != 2 * model->about().outputs[0].elements) return 1;
  }
  return one.about().name == other.about().name ? 2 : 0;
}
"""


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_two_models_in_one_program(tmp_path):
    put(emitted(tagger(), "one"), tmp_path / "one")
    put(emitted(layered([6, 4], 5, 0.0), "other"), tmp_path / "other")
    put({"main.cpp": BOTH, "CMakeLists.txt": TWO}, tmp_path)
    run("cmake", "-S", ".", "-B", "build", cwd=tmp_path)
    run("cmake", "--build", "build", "--target", "two", cwd=tmp_path)
    run(tmp_path / "build" / "two", cwd=tmp_path)


def test_the_bench_notices_a_wrong_bit(tmp_path):
    files = with_vectors()
    lines = files["tb/y.dat"].splitlines()
    lines[41] = lines[41].replace(lines[41].split()[0], str(int(lines[41].split()[0]) ^ 1), 1)
    put({**files, "tb/y.dat": "\n".join(lines) + "\n"}, tmp_path)
    run("g++", "-std=c++11", "-I.", "-o", "bench", "tb/tagger_bench.cpp", "tagger_emulator.cpp", cwd=tmp_path)
    with pytest.raises(AssertionError, match=r"y, vector 41, element 0: .*expected") as said:
        run(tmp_path / "bench", cwd=tmp_path)
    assert "100 vectors, 1 mismatches" in str(said.value)
