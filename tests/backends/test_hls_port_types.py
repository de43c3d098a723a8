"""Port types of Vitis HLS: a real number assigned to one becomes the code that the model's quantiser gives."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hardwire.backends._headers import header_files
from hardwire.backends.hls_vitis import _AP_OVERFLOW, _AP_ROUNDING
from hardwire.fixed import FixedType
from hardwire.quantiser import Quantiser
from hardwire.tools import csim
from hardwire.tools.process import run

pytestmark = pytest.mark.tools

TYPES = ["s5.2", "u5.2", "s4.-2", "u3.7", "s2.0", "u1.1"]


def test_real_numbers_become_the_quantisers_codes(tmp_path: Path) -> None:
    values = np.concatenate([np.arange(-150, 151) / 16, [1e9, -1e9, 12345.5]])
    cases, expected = [], []
    for text, rounding, overflow in product(TYPES, _AP_ROUNDING, _AP_OVERFLOW):
        kind = FixedType.parse(text)
        name = "ap_fixed" if kind.signed else "ap_ufixed"
        modes = f"{_AP_ROUNDING[rounding]}, {_AP_OVERFLOW[overflow]}"
        cases.append(f"  check<{name}<{kind.bits}, {kind.bits - kind.frac}, {modes}>>();")
        expected += Quantiser.of_type(kind, rounding, overflow)(values).tolist()
    numbers = ", ".join(repr(v) for v in values.tolist())
    source = f"""\
#include <cstdio>
#include <ap_fixed.h>

static const double values[] = {{{numbers}}};

template <class T>
static void check() {{
  for (double value : values) {{
    const T x = value;
    T y;
    y.range() = x.range();
    std::printf("%.17g\\n", y.to_double());
  }}
}}

int main() {{
{chr(10).join(cases)}
}}
"""
    built = csim.compile_program({**header_files("vitis"), "main.cpp": source}, workdir=tmp_path, flags=("-O0",))
    lines: list[str] = []
    run([built.path], cwd=tmp_path, progress=lines.append, tool="program")
    wrong = [n for n, (line, value) in enumerate(zip(lines, expected, strict=True)) if float(line) != value]
    assert not wrong, [(cases[n // len(values)], values[n % len(values)], lines[n], expected[n]) for n in wrong[:5]]
