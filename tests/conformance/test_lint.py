"""What every back end writes of every layer reads clean: Verilator, GHDL, g++, clang++ and clang-tidy find nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import conformance_suite as suite
import pytest

from hardwire.backends import backends
from hardwire.errors import MissingToolError
from hardwire.layers import known_layers
from hardwire.tools import csim, ghdl, verilator
from hardwire.wrappers import wrapper, wrappers

pytestmark = pytest.mark.tools

Files = Mapping[str, str]
Linter = Callable[[Files, str, Path], list[object]]


def _hardware(files: Files, folder: Path, suffix: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        if name.endswith(suffix) and not name.startswith("tb/"):
            paths.append(folder / name)
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            paths[-1].write_text(text)
    return paths


def _verilator(files: Files, top: str, folder: Path) -> list[object]:
    return list(verilator.lint(_hardware(files, folder, ".v"), top, workdir=folder))


def _ghdl(files: Files, top: str, folder: Path) -> list[object]:
    return list(ghdl.lint(_hardware(files, folder, ".vhd"), top, workdir=folder))


def _gxx(files: Files, top: str, folder: Path) -> list[object]:
    return list(csim.lint(files, folder, compiler="g++"))


def _clangxx(files: Files, top: str, folder: Path) -> list[object]:
    return list(csim.lint(files, folder, compiler="clang++"))


def _tidy(files: Files, top: str, folder: Path) -> list[object]:
    return list(csim.tidy(files, folder))


BY_SUFFIX: dict[str, dict[str, Linter]] = {
    ".v": {"verilator -Wall": _verilator},
    ".vhd": {"ghdl": _ghdl},
    ".cpp": {"g++ -Wall -Wextra": _gxx, "clang++ -Wall -Wextra": _clangxx, "clang-tidy": _tidy},
}
LANGUAGES = {
    language: next(suffix for suffix in BY_SUFFIX for name in suite.tiny_files(language) if name.endswith(suffix))
    for language in backends()
}
ROUTES = [(language, linter) for language, suffix in LANGUAGES.items() for linter in BY_SUFFIX[suffix]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*known_layers(), suite.ALL])
@pytest.mark.parametrize(("language", "linter"), [pytest.param(*route, id="-".join(route)) for route in ROUTES])
def test_reads_clean(kind: str, language: str, linter: str, tmp_path: Path) -> None:
    assert lint(kind, language, linter, tmp_path) == []


@pytest.mark.parametrize(("language", "linter"), [pytest.param(*route, id="-".join(route)) for route in ROUTES])
def test_a_layer_reads_clean(language: str, linter: str, tmp_path: Path) -> None:
    """Softmax, which has the most kinds of ops; the others are slow together."""
    assert lint("softmax", language, linter, tmp_path) == []


@pytest.mark.parametrize("name", wrappers())
def test_wrapped_layers_read_clean(name: str, tmp_path: Path) -> None:
    design = suite.case("dense").design
    chosen = wrapper(name)
    files = {**design.files, **chosen.emit(design.circuit, design.module)}
    try:
        assert _verilator(files, chosen.top(design.module), tmp_path) == []
    except MissingToolError as error:
        pytest.skip(str(error))


def lint(kind: str, language: str, linter: str, folder: Path) -> list[object]:
    """Findings of a linter on a layer's examples side by side; skips where the linter is missing."""
    design = suite.case(kind, language).design
    folder.mkdir(exist_ok=True)
    try:
        return BY_SUFFIX[LANGUAGES[language]][linter](design.files, design.module, folder)
    except MissingToolError as error:
        pytest.skip(str(error))
