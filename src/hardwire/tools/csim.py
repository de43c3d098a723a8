"""C simulation and lint of emitted C++: compiled with g++ or clang++, run over vectors, read by clang-tidy.

The emitted files hold a bench, which is called as `bench IN OUT`: it reads `IN/<port>.dat` for every input port and
writes `OUT/<port>.dat` for every output port, one vector a line, integer codes in decimal with blanks between them.
Stand-ins for vendors' headers lie in `csim/` of the files. Pragmas and attributes mean something to one vendor each, so
the warnings that a compiler does not know them are off everywhere.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from hardwire.errors import DataError, MissingToolError, ToolError, VerificationError
from hardwire.tools.bits import Ints
from hardwire.tools.find import Found, PythonPackage, Tool
from hardwire.tools.process import Progress, run

GXX = Tool(
    name="g++",
    purpose="C simulation and lint of C++",
    commands=("g++",),
    apt="g++",
    version_pattern=r"(\d+\.\d+\.\d+)",
)
CLANGXX = Tool(
    name="clang++",
    purpose="C simulation and lint of C++",
    commands=("clang++",),
    apt="clang",
    version_pattern=r"(\d+\.\d+\.\d+)",
)
CLANG_TIDY = Tool(
    name="clang-tidy",
    purpose="static analysis of C++",
    commands=("clang-tidy",),
    packages=(PythonPackage("clang_tidy", (), program="{package}/data/bin/clang-tidy"),),
    pip="clang-tidy",
    apt="clang-tidy",
    version_pattern=r"version (\d+\.\d+\.\d+)",
)
TOOLS = (GXX, CLANGXX, CLANG_TIDY)
COMPILERS = {tool.name: tool for tool in (GXX, CLANGXX)}

_INCLUDES = ("-I", ".", "-I", "csim")
_STANDARD = "-std=c++17"
_FOREIGN = {
    "g++": ("-Wno-unknown-pragmas", "-Wno-attributes"),
    "clang++": ("-Wno-unknown-pragmas", "-Wno-unknown-attributes"),
}
_WARNINGS = ("-Wall", "-Wextra")
_MESSAGE_LINES = 12
_RUN_FOLDER = "csim_run"

TIDY_CHECKS = ("bugprone-*", "performance-*", "clang-analyzer-*", "misc-*", "portability-*")
TIDY_EXCLUDED = {
    "bugprone-easily-swappable-parameters": "a function of a layer takes several values of the same width",
    "bugprone-signed-bitwise": "bit operations on two's complement codes are what the code is made of",
    "bugprone-implicit-widening-of-multiplication-result": "places in arrays are ints, far below 2^31",
    "misc-const-correctness": "a local that a synthesised loop fills is not declared where it gets its value",
    "misc-explicit-constructor": "the vendors' integer types convert implicitly, and the stand-ins do as they do",
    "misc-include-cleaner": "the vendors bring their types through umbrella headers",
    "misc-non-private-member-variables-in-classes": "a stream's beat is a structure of public members",
    "misc-use-internal-linkage": "a synthesised function is called by name, from the bench and by the vendor's tool",
    "misc-redundant-expression": "a network may subtract a value from itself, or compare it with itself",
    "performance-enum-size": "the vendors' enumerations have the size of an int",
}
"""Checks of those groups that are off, and why."""


@dataclass(frozen=True)
class Program:
    """A compiled bench."""

    path: Path
    tool: str
    """The compiler and its version."""
    seconds: float
    """How long the compilation took; 0 where the program of the same files was there already."""


@dataclass(frozen=True)
class CsimResult:
    """What a bench wrote: the codes of each output port, int64 (N, elements)."""

    outputs: dict[str, Ints]
    tool: str
    """The compiler and its version."""
    seconds: float
    """Wall-clock time of the run, without the compilation."""
    compile_seconds: float = 0.0
    """0 where the program of the same files was there already."""


@dataclass(frozen=True, order=True)
class Finding:
    """One warning or error of a compiler or of clang-tidy."""

    file: str
    line: int
    check: str
    """The warning's flag or the check's name; empty for an error without one."""
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" + (f" [{self.check}]" if self.check else "")


def find_compiler(name: str | None = None) -> Found:
    """`g++` or `clang++`; without a name the first of them that is installed. Raises `MissingToolError`."""
    if name is not None:
        if name not in COMPILERS:
            raise DataError(f"there is no C++ compiler {name!r} here", hint=f"one of {', '.join(COMPILERS)}")
        return COMPILERS[name].find()
    try:
        return GXX.find()
    except MissingToolError:
        try:
            return CLANGXX.find()
        except MissingToolError:
            pass
        raise


def run_codes(
    files: Mapping[str, str],
    inputs: Mapping[str, Ints],
    outputs: Mapping[str, int],
    *,
    workdir: Path,
    compiler: str | None = None,
    flags: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> CsimResult:
    """Write the files below `workdir`, compile every `*.cpp` of them to one program and run it over vectors.

    `inputs` are codes (N, elements) by port, `outputs` the number of elements by port; `compiler` is "g++" or
    "clang++", the first that is there by default; `flags` come after our own, so that `-O2` overrides the optimisation.
    `timeout` (seconds) holds for the compilation and the run each. A program that was compiled here from the same files
    is run again as it is.

    Raises `DataError` on wrong shapes, `MissingToolError`, `ToolError` with the start of the compiler's message, and
    `VerificationError` if the bench writes something else than a vector for each vector.
    """
    count = _count(inputs)
    program = compile_program(
        files, workdir=workdir, compiler=compiler, flags=flags, progress=progress, timeout=timeout
    )
    folder = workdir / _RUN_FOLDER
    _fresh(folder / "in")
    _fresh(folder / "out")
    for port, codes in inputs.items():
        lines = (" ".join(map(str, row)) + "\n" for row in np.asarray(codes).tolist())
        (folder / "in" / f"{port}.dat").write_text("".join(lines))
    if progress is not None:
        progress(f"C simulation of {count} vectors")
    done = run(
        [program.path, f"{_RUN_FOLDER}/in", f"{_RUN_FOLDER}/out"],
        cwd=workdir,
        log=folder / "run.log",
        progress=progress,
        timeout=timeout,
        tool="C simulation",
    )
    results = {port: _read(folder / "out" / f"{port}.dat", port, count, width) for port, width in outputs.items()}
    return CsimResult(results, program.tool, done.seconds, program.seconds)


def compile_program(
    files: Mapping[str, str],
    *,
    workdir: Path,
    compiler: str | None = None,
    flags: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> Program:
    """Write the files below `workdir` and compile every `*.cpp` of them to one program, unless it is there already.

    Raises `MissingToolError`, and `ToolError` with the start of the compiler's message.
    """
    found = find_compiler(compiler)
    sources = write_files(files, workdir)
    folder = workdir / _RUN_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    options = [_STANDARD, "-O1", "-w", "-pthread", *_INCLUDES, *flags]
    digest = hashlib.sha256(repr((found.command, found.version, options)).encode())
    for name in sorted(name for name in files if not name.endswith(".dat")):
        digest.update(f"\0{name}\0{files[name]}".encode())
    tool = f"{found.tool.name} {found.version}"
    stamp, bench = folder / "bench.from", folder / "bench"
    if bench.is_file() and stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return Program(bench.resolve(), tool, 0.0)
    stamp.unlink(missing_ok=True)
    if progress is not None:
        progress(f"{found.tool.name} compiles {', '.join(sources)}")
    log = folder / "compile.log"
    command = [*found.command, *options, *sources, "-o", f"{_RUN_FOLDER}/bench"]
    try:
        done = run(command, cwd=workdir, log=log, env=found.environment, timeout=timeout, tool=found.tool.name)
    except ToolError as error:
        raise _compile_error(error, found, log) from error
    stamp.write_text(digest.hexdigest())
    return Program(bench.resolve(), tool, done.seconds)


def write_files(files: Mapping[str, str], workdir: Path) -> list[str]:
    """Write emitted files below `workdir`; returns the C++ sources among them, sorted.

    Raises `DataError` if a name leads out of the folder, or if there is no C++ source.
    """
    for name, text in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or parts[0] == _RUN_FOLDER:
            raise DataError(f"an emitted file cannot be named {name!r}")
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
    sources = sorted(name for name in files if name.endswith(".cpp"))
    if not sources:
        raise DataError(f"no C++ source is among the files: {', '.join(sorted(files)) or 'there are none'}")
    return sources


def lint(files: Mapping[str, str], workdir: Path, *, compiler: str | None = None) -> list[Finding]:
    """What g++ or clang++ warns of with -Wall -Wextra, headers included; nothing where the files are clean."""
    found = find_compiler(compiler)
    sources = write_files(files, workdir)
    log = workdir / "lint.log"
    # g++ finds some faults only in what it optimises; clang++ finds all of its in the text.
    work = ("-fsyntax-only",) if found.tool is CLANGXX else ("-O1", "-S", "-o", "/dev/null")
    findings = set()
    for source in sources:
        command = [*found.command, _STANDARD, *work, *_WARNINGS, *_FOREIGN[found.tool.name], *_INCLUDES, source]
        findings |= _findings(command, workdir, log, found)
    return sorted(findings)


def tidy(files: Mapping[str, str], workdir: Path) -> list[Finding]:
    """What clang-tidy finds with `TIDY_CHECKS` less `TIDY_EXCLUDED`, in sources and headers (not those in `csim/`)."""
    found = CLANG_TIDY.find()
    sources = write_files(files, workdir)
    checks = ",".join(["-*", *TIDY_CHECKS, *(f"-{name}" for name in TIDY_EXCLUDED)])
    options = [f"--checks={checks}", "--header-filter=.*", "--quiet", "--config={}"]
    flags = ["--", _STANDARD, *_FOREIGN["clang++"], *_INCLUDES]
    command = [*found.command, *options, *sources, *flags]
    findings = _findings(command, workdir, workdir / "tidy.log", found)
    return sorted(finding for finding in findings if not finding.file.startswith("csim/"))


_DIAGNOSTIC = re.compile(r"^(?P<file>[^\s:][^:]*):(?P<line>\d+):\d+: (?:fatal )?(?:warning|error): (?P<text>.*)$")
_CHECK = re.compile(r"^(?P<text>.*) \[(?P<check>-?[\w.,+=*-]+)\]$")


def _findings(command: Sequence[str], workdir: Path, log: Path, found: Found) -> set[Finding]:
    lines: list[str] = []
    failure: ToolError | None = None
    try:
        run(command, cwd=workdir, log=log, env=found.environment, progress=lines.append, tool=found.tool.name)
    except ToolError as error:
        failure = error
    findings = set()
    here = str(workdir.resolve()) + "/"
    for line in lines:
        match = _DIAGNOSTIC.match(line)
        if match is None:
            continue
        text = _CHECK.match(match["text"])
        words, check = (text["text"], text["check"]) if text else (match["text"], "")
        findings.add(Finding(match["file"].removeprefix(here).removeprefix("./"), int(match["line"]), check, words))
    if failure is not None and not findings:
        raise failure
    return findings


def _count(inputs: Mapping[str, Ints]) -> int:
    shapes = {port: np.asarray(codes) for port, codes in inputs.items()}
    for port, codes in shapes.items():
        if codes.ndim != 2 or codes.dtype.kind not in "iu":
            raise DataError(f"input {port} needs integer codes (N, elements), not {codes.dtype} of shape {codes.shape}")
    counts = {port: codes.shape[0] for port, codes in shapes.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"the input ports need the same number of vectors, at least one port: {counts}")
    return next(iter(counts.values()))


def _compile_error(error: ToolError, found: Found, log: Path) -> ToolError:
    """The error with the start of the compiler's message instead of its end: the first error is the one to mend."""
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    first = next((i for i, line in enumerate(lines) if re.search(r"\berror:|undefined reference", line)), None)
    if first is None:
        return error
    match = _DIAGNOSTIC.match(lines[first])
    place = f" {match['file']}, line {match['line']}" if match else ""
    shown = "\n".join(f"  | {line}" for line in lines[first : first + _MESSAGE_LINES])
    return ToolError(f"{found.tool.name} does not compile{place or ' the files'} (log: {log})\n{shown}")


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _read(path: Path, port: str, count: int, elements: int) -> Ints:
    if not path.is_file():
        raise VerificationError(f"the C simulation wrote nothing for output {port} ({path.name})")
    rows = [line.split() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    wrong = next((row for row in rows if len(row) != elements), None)
    if len(rows) != count or wrong is not None:
        raise VerificationError(
            f"the C simulation wrote {len(rows)} vectors for output {port}"
            + (f", one of them with {len(wrong)} codes" if wrong is not None else "")
            + f": {count} vectors of {elements} were due"
        )
    try:
        return np.array(rows, dtype=np.int64).reshape(count, elements)
    except (ValueError, OverflowError) as error:
        raise VerificationError(f"the C simulation wrote something else than integers for output {port}") from error
