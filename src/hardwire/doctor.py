"""What is installed, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hardwire.tools.find import status

_EXTRAS = (
    ("onnx", "reading .onnx models", "pip install 'hardwire[onnx]'"),
    ("torch", "reading PyTorch models, training", "pip install 'hardwire[train]'"),
    ("pythia8mc", "simulating more jets", "pip install 'hardwire[physics]'"),
    ("cocotb", "running the test bench beside the Verilog", "pip install cocotb"),
)


def diagnose() -> list[dict[str, Any]]:
    """A row a tool and optional package: name, purpose, ok, found (version and where), hint."""
    rows: list[dict[str, Any]] = []
    for tool in status():
        found = f"{tool.version or ''} ({tool.origin})" if tool.ok else None
        rows.append(
            {"name": tool.name, "purpose": tool.purpose, "ok": tool.ok, "found": found, "hint": tool.problem or ""}
        )
    for module, purpose, hint in _EXTRAS:
        ok = importlib.util.find_spec(module) is not None
        try:
            found = version(module) if ok else None
        except PackageNotFoundError:
            found = "present"
        rows.append({"name": module, "purpose": purpose, "ok": ok, "found": found, "hint": hint})
    return rows
