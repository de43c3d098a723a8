from __future__ import annotations

from pathlib import Path

import conformance_suite as suite
import pytest
from conformance_suite import Record

from hardwire.layers import known_layers

PAGE = """# Conformance

Every layer's examples on every engine, written by `pytest tests/conformance --write-conformance` from that very run.
A number is how many examples were found equal, bit for bit, on the corners of their inputs' ranges and random vectors;
≈ marks a float meaning that is not exact, with the largest difference seen; – was not run.

{table}
"""

Outcomes = dict[tuple[str, str], str]
_KEY = pytest.StashKey[Outcomes]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-conformance", action="store_true", help="write docs/conformance.md from this run")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_KEY] = {}


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(layer, engine, what)`: a cell of the table."""
    outcomes = request.config.stash[_KEY]
    return lambda layer, engine, what: outcomes.update({(layer, engine): what})


def pytest_sessionfinish(session: pytest.Session) -> None:
    outcomes = session.config.stash.get(_KEY, {})
    if not session.config.getoption("--write-conformance", False) or not outcomes:
        return
    engines = list(dict.fromkeys(engine for _, engine in outcomes))
    lines = ["| layer | examples | " + " | ".join(engines) + " |", "|---|---" + "|---" * len(engines) + "|"]
    for layer in [*known_layers(), suite.ALL]:
        cells = [outcomes.get((layer, engine), "–") for engine in engines]
        lines.append(f"| {layer} | {len(suite.examples(layer))} | " + " | ".join(cells) + " |")
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    page.write_text(PAGE.format(table="\n".join(lines)))
