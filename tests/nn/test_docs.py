"""The page of training layers says what is so: its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import hardwire.train
from hardwire import nn

_PAGE = (Path(__file__).parents[2] / "docs" / "nn.md").read_text()
_EXAMPLES = re.findall(r"```python\n(.*?)```", _PAGE, re.S)


@pytest.mark.parametrize("number", range(len(_EXAMPLES)))
def test_examples_run(number):
    torch.manual_seed(number)
    exec(compile(_EXAMPLES[number], f"docs/nn.md example {number}", "exec"), {"__name__": "example"})


def test_every_layer_is_on_the_page():
    assert len(_EXAMPLES) == 3
    for name in nn.__all__:
        if isinstance(getattr(nn, name), type) and name not in ("Layer", "Norm", "Scheme"):
            assert f"`{name}" in _PAGE, name
    assert hardwire.train.quantize.__name__ in _PAGE
