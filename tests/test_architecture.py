"""Import directions, and other rules of the house that a reader relies on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hardwire"

# package → packages of hardwire that it must not import.
FORBIDDEN = {
    "ir": {"layers", "frontends", "passes", "solver", "schedule", "targets", "backends", "emulate", "tools", "report"},
    "passes": {"layers", "frontends", "backends", "schedule", "tools", "emulate", "report", "network"},
    "solver": {"layers", "frontends", "passes", "backends", "schedule", "tools", "ir", "targets"},
    "layers": {"backends", "tools", "emulate", "schedule", "targets", "frontends", "report", "passes"},
    "frontends": {"backends", "tools", "emulate", "schedule", "targets", "report", "passes"},
    "network": {"backends", "tools", "emulate", "schedule", "targets", "report", "passes", "frontends"},
    "backends": {"layers", "frontends", "network", "emulate"},
    "emulate": {"layers", "frontends", "backends", "tools", "schedule"},
    "tools": {"layers", "frontends", "backends", "network", "passes", "emulate", "ir", "report"},
    "projects": {"layers", "frontends", "passes", "solver", "network", "emulate", "tools", "report", "proof"},
    "vendor_reports": {"layers", "frontends", "passes", "solver", "network", "ir", "schedule", "targets", "backends"},
    "proof": {"layers", "frontends", "backends", "tools", "emulate", "network"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hardwire"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("hardwire.")}
    return found


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_import_direction(package: str) -> None:
    for path in (SOURCE / package).rglob("*.py"):
        wrong = imports(path) & FORBIDDEN[package]
        assert not wrong, f"{path.relative_to(SOURCE)} imports {sorted(wrong)}"


def test_nothing_imports_the_command_line() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.name not in ("cli.py", "__main__.py"):
            assert "cli" not in imports(path), path


def test_only_tools_start_processes() -> None:
    for path in SOURCE.rglob("*.py"):
        if "tools" not in path.parts:
            modules = {
                alias.name
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            assert "subprocess" not in modules, path


def test_nothing_is_unpickled() -> None:
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not names & {"pickle", "marshal", "dill", "cloudpickle"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path
