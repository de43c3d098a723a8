"""Sizes of Programs, machine code and netlists do not grow unseen: exact counts against `figures.json`."""

from __future__ import annotations

import json
from pathlib import Path

import measure
import pytest

HELD = json.loads(measure.HELD.read_text())


@pytest.mark.parametrize(
    "kind",
    [
        *(k for k in measure.KINDS if k not in measure.FAMILIES),
        *(pytest.param(f, marks=pytest.mark.tools) for f in measure.FAMILIES),
    ],
)
@pytest.mark.parametrize("name", measure.CASES)
def test_no_figure_rises(name: str, kind: str) -> None:
    if HELD["tools"][kind] != measure.tool_of(kind):
        pytest.skip(f"counted with {HELD['tools'][kind]}, here is {measure.tool_of(kind)}: {measure.UPDATE}")
    held, found = HELD["figures"][name][kind], measure.KINDS[kind](name)
    assert set(held) == set(found), f"other figures than those held; to hold these: {measure.UPDATE}"
    if measure.risen(held, found):
        pytest.fail(
            f"{name}, {kind}: {'; '.join(measure.changes(held, found))}. If the rise is worth it, hold the new "
            f"figures: {measure.UPDATE}",
            pytrace=False,
        )


def test_figures_are_of_these_cases() -> None:
    assert {name: set(kinds) for name, kinds in HELD["figures"].items()} == {
        name: set(measure.KINDS) for name in measure.CASES
    }
    assert Path(measure.HELD).name == "figures.json"


def test_a_rise_is_told_from_a_fall() -> None:
    held = {"lut": 100, "ff": 50}
    assert not measure.risen(held, {"lut": 99, "ff": 50})
    assert measure.risen(held, {"lut": 90, "ff": 51})
    assert measure.changes(held, {"lut": 90, "ff": 51}) == ["lut 100 → 90 (-10)", "ff 50 → 51 (+1)"]
    assert measure.changes(held, held) == []
