"""docs/conformance.md from what test runs recorded.

pytest tests/conformance -m "slow or not slow" -n 2 --record-conformance build/conformance
python tests/conformance/write_page.py build/conformance

Several runs (a process each, or parts of the suite) are merged, the newest last.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import conformance_suite as suite
from conformance_case import ROWS, cases, frontend_modules

from hardwire.layers import known_layers

PAGE = """# Conformance

Written by the tests themselves (`tests/conformance/write_page.py`): a cell is there because a test passed.

## Formats

Small models of every format against their framework's own forward. A cell is the number of models whose compiled
integers, run by the emulator, give the framework's answers in every bit; ≈ marks those where types were chosen by
calibration or the framework's own float is not exact, with the largest difference as a share of the outputs' span.

{formats}

All of them run side by side on the engines, which agree in every bit:

{engines}

## Layers

Every layer's examples on every engine, on the corners of their inputs' ranges and random vectors. – was not run; ≈ is
a float meaning that is not exact, with the largest difference seen.

{layers}
"""

Layers = dict[tuple[str, str], str]
Cases = dict[tuple[str, str], dict[str, float]]
"""By frontend and case: engines that it passed on, with the largest difference from the framework."""


def recorded(folder: Path) -> tuple[Layers, Cases]:
    """Merge the records of all runs in a folder."""
    layers: Layers = {}
    passed: Cases = {}
    for file in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
        record = json.loads(file.read_text())
        layers.update({(layer, engine): what for layer, engine, what in record["layers"]})
        for frontend, name, engine, worst in record["cases"]:
            passed.setdefault((frontend, name), {})[engine] = worst
    return layers, passed


def layer_table(outcomes: Layers) -> str:
    """A row a layer, a column an engine."""
    engines = list(dict.fromkeys(engine for _, engine in sorted(outcomes, key=lambda key: ORDER.index(key[1]))))
    lines = ["| layer | examples | " + " | ".join(engines) + " |", "|---|---" + "|---" * len(engines) + "|"]
    for layer in [*known_layers(), suite.ALL]:
        cells = [outcomes.get((layer, engine), "–") for engine in engines]
        lines.append(f"| {layer} | {len(suite.examples(layer))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_table(passed: Cases) -> str:
    """A row a layer, a column a frontend."""
    frontends = list(frontend_modules())
    lines = ["| layer | " + " | ".join(frontends) + " |", "|---" * (len(frontends) + 1) + "|"]
    for row in ROWS:
        cells = []
        for frontend in frontends:
            names = [name for name, case in cases(frontend).items() if case.row == row]
            found = [
                passed[frontend, name]["emulator"] for name in names if "emulator" in passed.get((frontend, name), {})
            ]
            worst = max(found, default=0.0)
            cells.append((f"{len(found)}" + (f" ≈ {worst:.1%}" if worst else "")) if found else "–")
        if set(cells) != {"–"}:
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def engine_table(passed: Cases) -> str:
    """A row a frontend, a column an engine: how many of its models passed there."""
    engines = [name for name in ORDER if any(name in found for found in passed.values())]
    lines = ["| format | models | " + " | ".join(engines) + " |", "|---|---" + "|---" * len(engines) + "|"]
    for frontend in frontend_modules():
        names = list(cases(frontend))
        counts = [sum(engine in passed.get((frontend, name), {}) for name in names) for engine in engines]
        lines.append(f"| {frontend} | {len(names)} | " + " | ".join(str(n) if n else "–" for n in counts) + " |")
    return "\n".join(lines)


ORDER = [
    "float meaning",
    "emulator",
    "formal proof",
    *(f"{language}, {simulator}" for language, simulator in suite.routes()),
    "netlist, ecp5",
]

if __name__ == "__main__":
    layers, passed = recorded(Path(sys.argv[1]))
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    page.write_text(PAGE.format(formats=format_table(passed), engines=engine_table(passed), layers=layer_table(layers)))
