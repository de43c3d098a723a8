from __future__ import annotations

from pathlib import Path

import conformance_suite as suite
import pytest
from conformance_case import ROWS, Case, RecordCase
from conformance_suite import Record

from hardwire.layers import known_layers

PAGE = """# Conformance

Every layer's examples on every engine, written by `pytest tests/conformance --write-conformance` from that very run.
A number is how many examples were found equal, bit for bit, on the corners of their inputs' ranges and random vectors;
≈ marks a float meaning that is not exact, with the largest difference seen; – was not run.

{layers}

## Formats

Small models of every format against their framework's own forward, and the same models side by side on every engine.
A cell is the number of models found equal in every bit, on these engines: {engines}. Where a framework's float
arithmetic is not exact, ≈ gives the largest difference from it that the emulator showed (the engines among themselves
are equal).

{formats}
"""

Outcomes = dict[tuple[str, str], str]
_KEY = pytest.StashKey[Outcomes]()

_CASES = pytest.StashKey[dict[tuple[str, Case], dict[str, float]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-conformance", action="store_true", help="write docs/conformance.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = {}
    config.stash[_CASES] = {}


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(layer, engine, what)`: a cell of the table."""
    outcomes = request.config.stash[_KEY]
    return lambda layer, engine, what: outcomes.update({(layer, engine): what})


@pytest.fixture
def record_case(request: pytest.FixtureRequest) -> RecordCase:
    """`record_case(frontend, case, engine, difference)`: a part of a cell of the table of formats."""
    passed = request.config.stash[_CASES]
    return lambda frontend, case, engine, worst: passed.setdefault((frontend, case), {}).update({engine: worst})


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not session.config.getoption("--write-conformance", False):
        return
    outcomes, passed = session.config.stash[_KEY], session.config.stash[_CASES]
    if not outcomes or not passed:
        raise pytest.UsageError("--write-conformance needs the whole folder in one process: no -k, no -n")
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    text = PAGE.format(layers=_layers(outcomes), formats=_formats(passed), engines=", ".join(_engines(passed)))
    page.write_text(text)


def _layers(outcomes: Outcomes) -> str:
    engines = list(dict.fromkeys(engine for _, engine in outcomes))
    lines = ["| layer | examples | " + " | ".join(engines) + " |", "|---|---" + "|---" * len(engines) + "|"]
    for layer in [*known_layers(), suite.ALL]:
        cells = [outcomes.get((layer, engine), "–") for engine in engines]
        lines.append(f"| {layer} | {len(suite.examples(layer))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _engines(passed: dict[tuple[str, Case], dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(engine for engines in passed.values() for engine in engines))


def _formats(passed: dict[tuple[str, Case], dict[str, float]]) -> str:
    frontends = sorted({frontend for frontend, _ in passed})
    everything = set(_engines(passed))
    lines = ["| layer | " + " | ".join(frontends) + " |", "|---" * (len(frontends) + 1) + "|"]
    for row in ROWS:
        cells = []
        for frontend in frontends:
            found = [engines for (name, case), engines in passed.items() if (name, case.row) == (frontend, row)]
            worst = max((max(engines.values()) for engines in found), default=0.0)
            lacking = sorted({engine for engines in found for engine in everything - set(engines)})
            cell = str(len(found)) if found else "–"
            cell += f" ≈ {worst:.1g}" if worst else ""
            cells.append(cell + (f" (not: {', '.join(lacking)})" if lacking else ""))
        if set(cells) != {"–"}:
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
