from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conformance_case import Case, RecordCase
from conformance_suite import Record

_LAYERS = pytest.StashKey[dict[tuple[str, str], str]]()
_CASES = pytest.StashKey[dict[tuple[str, str, str], float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-conformance", metavar="DIR", help="note what passed there, for tests/conformance/write_page.py"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_LAYERS] = {}
    config.stash[_CASES] = {}


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """`record(layer, engine, what)`: a cell of the table of layers."""
    outcomes = request.config.stash[_LAYERS]
    return lambda layer, engine, what: outcomes.update({(layer, engine): what})


@pytest.fixture
def record_case(request: pytest.FixtureRequest) -> RecordCase:
    """`record_case(frontend, case, engine, difference)`: a part of a cell of the table of formats."""
    passed = request.config.stash[_CASES]

    def note(frontend: str, case: Case, engine: str, worst: float) -> None:
        passed[frontend, case.name, engine] = worst

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = session.config.getoption("--record-conformance", None)
    layers, cases = session.config.stash[_LAYERS], session.config.stash[_CASES]
    if folder is None or not (layers or cases):
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    record = {
        "layers": [[*key, what] for key, what in layers.items()],
        "cases": [[*key, worst] for key, worst in cases.items()],
    }
    (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(record))
