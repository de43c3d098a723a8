from __future__ import annotations

import pytest

from hardwire.errors import MissingToolError
from hardwire.tools import csim


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="rewrite the golden texts of the back ends")


@pytest.fixture(params=["g++", "clang++"])
def compiler(request: pytest.FixtureRequest) -> str:
    """Each C++ compiler that is installed."""
    try:
        csim.find_compiler(request.param)
    except MissingToolError:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)
