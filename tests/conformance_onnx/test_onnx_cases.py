"""ONNX's own node cases: those in `passing.txt` must pass; none may end in anything but a result or a named error."""

from __future__ import annotations

import onnx
import pytest

from conformance_onnx.onnx_cases import PASSING, cases, outcome
from conformance_onnx.operators_page import PAGE, page

LISTED = PASSING.read_text(encoding="utf-8").split()
QUICK = LISTED[::4]


@pytest.mark.parametrize("name", QUICK)
def test_listed_cases_pass(name: str) -> None:
    assert outcome(name) == ""


@pytest.mark.slow
def test_all_listed_cases_pass_and_no_other_is_silently_wrong() -> None:
    found = {name: outcome(name) for name in cases()}
    assert [name for name in LISTED if found.get(name) != ""] == []
    # Casts to shorter floats are no rounding here: types come from quantisers or calibration.
    wrong = [name for name, why in found.items() if why.startswith("WRONG") and "_cast" not in name]
    assert wrong == []


def test_the_page_of_operators_is_as_the_code() -> None:
    found = PAGE.read_text(encoding="utf-8")
    if f"with onnx {onnx.__version__};" not in found:
        pytest.skip("the page was written with another version of onnx")
    assert found == page(), "run python tests/conformance_onnx/operators_page.py"
