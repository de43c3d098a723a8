from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from hardwire.errors import DataError, MissingToolError, ToolError, VerificationError
from hardwire.tools import csim

pytestmark = pytest.mark.tools

BENCH = """\
#include <fstream>
#include <string>
#include "sum.h"
int main(int argc, char **argv) {
  if (argc != 3) return 2;
  const std::string in = argv[1], out = argv[2];
  std::ifstream x(in + "/x.dat"), k(in + "/k.dat");
  std::ofstream y(out + "/y.dat"), z(out + "/z.dat");
  long long a, b, c;
  while (x >> a >> b && k >> c) {
    y << sum(a, b) << "\\n";
    z << c << " " << -c << " " << a << "\\n";
  }
  return 0;
}
"""
FILES = {
    "tb/bench.cpp": BENCH,
    "sum.cpp": '#include "sum.h"\n#include "one.h"\n'
    "long long sum(long long a, long long b) { return a + b - ONE + 1; }\n",
    "sum.h": "#ifndef SUM_H\n#define SUM_H\nlong long sum(long long a, long long b);\n#endif\n",
    "csim/one.h": "#define ONE 1\n",
    "readme.txt": "not C++",
}
X = np.array([[1, 2], [-(2**61), 2**60], [2**61 - 1, 0]])
K = np.array([[5], [-6], [0]])


def has(name: str) -> bool:
    try:
        csim.find_compiler(name)
    except MissingToolError:
        return False
    return True


@pytest.fixture(params=["g++", "clang++"])
def compiler(request: pytest.FixtureRequest) -> str:
    if not has(request.param):
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def test_codes_go_through_the_bench(compiler: str, tmp_path: Path) -> None:
    lines: list[str] = []
    inputs, outputs = {"x": X, "k": K}, {"y": 1, "z": 3}
    result = csim.run_codes(FILES, inputs, outputs, workdir=tmp_path, compiler=compiler, progress=lines.append)
    assert np.array_equal(result.outputs["y"], X.sum(axis=1, keepdims=True))
    assert np.array_equal(result.outputs["z"], np.hstack([K, -K, X[:, :1]]))
    assert result.outputs["y"].dtype == np.int64
    assert result.tool.startswith(f"{compiler} ")
    assert result.compile_seconds > 0
    assert lines == [f"{compiler} compiles sum.cpp, tb/bench.cpp", "C simulation of 3 vectors"]
    again = csim.run_codes(FILES, {"x": X[:1], "k": K[:1]}, outputs, workdir=tmp_path, compiler=compiler)
    assert again.compile_seconds == 0
    assert np.array_equal(again.outputs["y"], [[3]])
    changed = {**FILES, "csim/one.h": "#define ONE 0\n"}
    other = csim.run_codes(changed, inputs, outputs, workdir=tmp_path, compiler=compiler)
    assert np.array_equal(other.outputs["y"], X.sum(axis=1, keepdims=True) + 1)


def test_no_vectors_are_an_answer_too(tmp_path: Path) -> None:
    inputs = {"x": X[:0], "k": K[:0]}
    result = csim.run_codes(FILES, inputs, {"y": 1, "z": 3}, workdir=tmp_path)
    assert result.outputs["z"].shape == (0, 3)


def test_a_compile_error_shows_its_start_and_the_file(compiler: str, tmp_path: Path) -> None:
    broken = {**FILES, "sum.cpp": '#include "sum.h"\nlong long sum(long long a, long long b) { return a + c + d; }\n'}
    with pytest.raises(ToolError) as caught:
        csim.run_codes(broken, {"x": X, "k": K}, {"y": 1, "z": 3}, workdir=tmp_path, compiler=compiler)
    first, second = str(caught.value).splitlines()[:2]
    assert first.startswith(f"{compiler} does not compile sum.cpp, line 2 (log: ")
    assert "error:" in second
    assert "c" in second
    missing = {name: text for name, text in FILES.items() if name != "sum.cpp"}
    with pytest.raises(ToolError, match=r"does not compile the files(.|\n)*undefined reference"):
        csim.run_codes(missing, {"x": X, "k": K}, {"y": 1, "z": 3}, workdir=tmp_path, compiler=compiler)


def test_a_failed_compilation_leaves_no_program_behind(tmp_path: Path) -> None:
    inputs, outputs = {"x": X, "k": K}, {"y": 1, "z": 3}
    csim.run_codes(FILES, inputs, outputs, workdir=tmp_path)
    broken = {**FILES, "sum.h": "nothing"}
    for _ in range(2):
        with pytest.raises(ToolError, match="does not compile"):
            csim.run_codes(broken, inputs, outputs, workdir=tmp_path)


def main(body: str) -> dict[str, str]:
    return {"bench.cpp": "#include <cstdio>\n#include <cstdlib>\nint main(int, char **argv) {" + body + "}\n"}


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("(void)argv;", VerificationError, "wrote nothing for output y"),
        ("(void)argv; return 3;", ToolError, "C simulation failed with exit status 3"),
        ('(void)argv; fprintf(stderr, "a division by zero\\n"); abort();', ToolError, r"signal 6(.|\n)*by zero"),
        (
            '(void)argv; fputs("1\\n", fopen("csim_run/out/y.dat", "w"));',
            VerificationError,
            "1 vectors .*with 1 codes: 3 vectors of 2 were",
        ),
        (
            '(void)argv; fputs("1 2\\nx 2\\n3 4\\n", fopen("csim_run/out/y.dat", "w"));',
            VerificationError,
            "else than int",
        ),
        (
            '(void)argv; fputs("1\\n2 3 4\\n5 6\\n", fopen("csim_run/out/y.dat", "w"));',
            VerificationError,
            "3 vectors .* with 1 codes: 3",
        ),
    ],
)
def test_a_bench_that_fails(body: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        csim.run_codes(main(body), {"x": X}, {"y": 2}, workdir=tmp_path)


def test_a_bench_that_hangs_is_stopped(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ToolError, match="C simulation was stopped after its time limit of 1 s"):
        csim.run_codes(
            main("(void)argv; for (volatile int i = 0;; i = 1) {}"), {"x": X}, {}, workdir=tmp_path, timeout=1
        )
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("name", ["/etc/x.cpp", "../x.cpp", "a/../../x.cpp", "csim_run/x.cpp", ""])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be named"):
        csim.write_files({name: "x"}, tmp_path)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no C\+\+ source is among the files: readme.txt"):
        csim.run_codes({"readme.txt": ""}, {"x": X}, {}, workdir=tmp_path)
    with pytest.raises(DataError, match=r"input x needs integer codes \(N, elements\), not float64"):
        csim.run_codes(FILES, {"x": X * 1.0}, {}, workdir=tmp_path)
    with pytest.raises(DataError, match="same number of vectors"):
        csim.run_codes(FILES, {"x": X, "k": K[:1]}, {}, workdir=tmp_path)
    with pytest.raises(DataError, match=r"no C\+\+ compiler 'icc' here\n  try: one of g\+\+, clang\+\+"):
        csim.run_codes(FILES, {"x": X, "k": K}, {}, workdir=tmp_path, compiler="icc")


def test_the_compiler_is_found_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (csim.GXX.variable, csim.CLANGXX.variable) == ("HARDWIRE_GXX", "HARDWIRE_CLANGXX")
    monkeypatch.setenv("HARDWIRE_GXX", "/nowhere/g++")
    with pytest.raises(MissingToolError, match="HARDWIRE_GXX"):
        csim.find_compiler("g++")
    monkeypatch.delenv("HARDWIRE_GXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match=r"g\+\+ .* is not installed\n  try: apt-get install g\+\+, or set"):
        csim.find_compiler()


def test_lint_finds_what_the_compilers_warn_of(compiler: str, tmp_path: Path) -> None:
    faulty = {
        **FILES,
        "sum.cpp": '#include "sum.h"\n#pragma HLS inline\n'
        "[[intel::initiation_interval(1)]] static int unused_one(int a) { return a; }\n"
        "long long sum(long long a, long long) { unsigned n = 3; return a < 0 && n < a; }\n",
        "sum.h": "#pragma once\nlong long sum(long long a, long long b);\nstatic int unused_two() { return 1; }\n",
    }
    findings = csim.lint(faulty, tmp_path, compiler=compiler)
    assert {(finding.file, finding.line) for finding in findings} >= {("sum.cpp", 3), ("sum.h", 3)}
    assert {finding.check for finding in findings} == {"-Wunused-function"}
    assert str(findings[0]).startswith("sum.cpp:3: ")
    assert csim.lint(FILES, tmp_path, compiler=compiler) == []
    broken = csim.lint({"a.cpp": "int main() { return b; }\n"}, tmp_path, compiler=compiler)
    assert [(finding.file, finding.line) for finding in broken] == [("a.cpp", 1)]


@pytest.fixture
def tidy() -> None:
    try:
        csim.CLANG_TIDY.find()
    except MissingToolError as error:
        pytest.skip(str(error))


def test_clang_tidy_finds_faults_in_sources_and_headers(tidy: None, tmp_path: Path) -> None:
    faulty = {
        **FILES,
        "sum.cpp": '#include "sum.h"\n#include "one.h"\n'
        "long long sum(long long a, long long b) { int z = 0; return a < b ? twice(1) / z : b; }\n",
        "sum.h": "#pragma once\nlong long sum(long long a, long long b);\n"
        "inline int twice(int a) { if (a > 1) { return a; } else { return a; } }\n",
        "csim/one.h": "inline int once(int a) { if (a > 1) { return a; } else { return a; } }\n",
    }
    findings = {(finding.file, finding.check) for finding in csim.tidy(faulty, tmp_path)}
    assert ("sum.cpp", "clang-analyzer-core.DivideZero") in findings
    assert ("sum.h", "bugprone-branch-clone") in findings
    assert not any(file.startswith("csim/") for file, _ in findings)
    assert csim.tidy(FILES, tmp_path) == []


def test_every_exclusion_has_a_reason() -> None:
    assert all(len(reason.split()) > 3 for reason in csim.TIDY_EXCLUDED.values())
