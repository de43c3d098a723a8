"""The stand-in `ap_fixed`: what it computes, against the documented meaning in exact fractions."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.fixed_programs import assignments, conversions, program
from backends.header_runs import SANITISED, compare, outputs
from hardwire.errors import ToolError

pytestmark = pytest.mark.tools


def test_expressions_have_the_documented_formats_and_values(compiler: str, tmp_path: Path) -> None:
    compare(program(1, functions=40, evaluations=60, depth=3, most=62), tmp_path, compiler)


def test_every_rounding_and_overflow_of_every_code(compiler: str, tmp_path: Path) -> None:
    compare(assignments(), tmp_path, compiler)


def test_numbers_become_fixed_point_and_back(compiler: str, tmp_path: Path) -> None:
    compare(conversions(2, functions=70, evaluations=60), tmp_path, compiler)


def test_nothing_undefined_happens(tmp_path: Path) -> None:
    compare(program(3, functions=12, evaluations=60, depth=3, most=62), tmp_path / "e", "g++", SANITISED)
    compare(conversions(4, functions=14, evaluations=60), tmp_path / "c", "g++", SANITISED)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 102))
def test_many_more_programs(seed: int, compiler: str, tmp_path: Path) -> None:
    compare(program(seed, functions=80, evaluations=100, depth=4, most=100), tmp_path / "e", compiler)
    compare(conversions(seed, functions=140, evaluations=100), tmp_path / "c", compiler, ("-O2",))


EXAMPLES = [
    # The examples of UG1399, "Quantization Modes" and "Overflow Modes".
    ("ap_fixed<3, 2, AP_RND, AP_SAT>", "1.25", "1.5"),
    ("ap_fixed<3, 2, AP_RND, AP_SAT>", "-1.25", "-1"),
    ("ap_fixed<3, 2, AP_RND_ZERO, AP_SAT>", "1.25", "1"),
    ("ap_fixed<3, 2, AP_RND_ZERO, AP_SAT>", "-1.25", "-1"),
    ("ap_fixed<3, 2, AP_RND_MIN_INF, AP_SAT>", "1.25", "1"),
    ("ap_fixed<3, 2, AP_RND_MIN_INF, AP_SAT>", "-1.25", "-1.5"),
    ("ap_fixed<3, 2, AP_RND_INF, AP_SAT>", "1.25", "1.5"),
    ("ap_fixed<3, 2, AP_RND_INF, AP_SAT>", "-1.25", "-1.5"),
    ("ap_fixed<3, 2, AP_RND_CONV, AP_SAT>", "0.75", "1"),
    ("ap_fixed<3, 2, AP_RND_CONV, AP_SAT>", "-1.25", "-1"),
    ("ap_fixed<3, 2, AP_TRN, AP_SAT>", "1.25", "1"),
    ("ap_fixed<3, 2, AP_TRN, AP_SAT>", "-1.25", "-1.5"),
    ("ap_fixed<3, 2, AP_TRN_ZERO, AP_SAT>", "1.25", "1"),
    ("ap_fixed<3, 2, AP_TRN_ZERO, AP_SAT>", "-1.25", "-1"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT>", "19.0", "7"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT>", "-19.0", "-8"),
    ("ap_ufixed<4, 4, AP_RND, AP_SAT>", "19.0", "15"),
    ("ap_ufixed<4, 4, AP_RND, AP_SAT>", "-19.0", "0"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT_ZERO>", "19.0", "0"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT_ZERO>", "-19.0", "0"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT_SYM>", "19.0", "7"),
    ("ap_fixed<4, 4, AP_RND, AP_SAT_SYM>", "-19.0", "-7"),
    ("ap_ufixed<4, 4, AP_RND, AP_SAT_SYM>", "19.0", "15"),
    ("ap_ufixed<4, 4, AP_RND, AP_SAT_SYM>", "-19.0", "0"),
    ("ap_fixed<4, 4, AP_RND, AP_WRAP>", "31.0", "-1"),
    ("ap_fixed<4, 4, AP_RND, AP_WRAP>", "-19.0", "-3"),
    ("ap_ufixed<4, 4, AP_RND, AP_WRAP>", "19.0", "3"),
    ("ap_ufixed<4, 4, AP_RND, AP_WRAP>", "-19.0", "13"),
    ("ap_fixed<2, 0>", "-0.5", "-0.5"),
    ("ap_ufixed<1, -1>", "0.25", "0.25"),
    ("ap_fixed<1, -7>", "1.0 / 256", "-0.00390625"),
]

ORDINARY = """\
#include <ap_fixed.h>
#include <iostream>
typedef ap_fixed<12, 5, AP_RND_CONV, AP_SAT> value;
int main() {
  value x = 3.14159, y = -2;
  const ap_ufixed<6, 3> z = 5.125f;
  x += z;
  y *= x;
  y -= 1;
  ++x;
  x--;
  value w = x > y ? value(x - y) : value(z);
  std::cout << x << ' ' << y << ' ' << z << ' ' << w << ' ' << (x > 3.5) << (0.5f < z) << (y == -16) << !w << '\\n';
  // The bits, as a code that comes from elsewhere.
  y.range() = 0x07f;
  y[11] = 1;
  x.range(3, 0) = 5;
  const ap_int<12> code = y.range();
  std::cout << y << ' ' << code << ' ' << x << ' ' << z.range(2, 1) << ' ' << z[0] << ' ' << x.length() << '\\n';
  // With integers on either side, and to integers.
  ap_int<4> n = -3;
  std::cout << z * n << ' ' << n + z << ' ' << 2 * z - 1 << ' ' << z.to_int() << ' ' << ap_int<6>(-z) << ' '
            << double(z) + 0.5 << ' ' << int(z) << ' ' << decltype(z * n)::iwidth << '\\n';
}
"""


def test_the_documented_examples(compiler: str, tmp_path: Path) -> None:
    shown = "".join(f"  std::cout << {type_}({number}) << '\\n';\n" for type_, number, _ in EXAMPLES)
    text = f"#include <ap_fixed.h>\n#include <iostream>\nint main() {{\n{shown}}}\n"
    assert outputs({"main.cpp": text}, tmp_path, compiler) == [result for *_, result in EXAMPLES]


def test_fixed_point_in_ordinary_code(compiler: str, tmp_path: Path) -> None:
    assert outputs({"main.cpp": ORDINARY}, tmp_path, compiler) == [
        "8.26562 -16 5.125 15.9922 1110",
        "-15.0078 -1921 8.28906 0 1 12",
        "-15.375 2.125 9.25 5 -5 5.625 5 7",
    ]


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        ("ap_fixed<8, 4, AP_RND, AP_WRAP_SM>", "AP_WRAP_SM is not in hardwire's header"),
        ("ap_fixed<8, 4, AP_RND, AP_WRAP, 2>", "saturation bits are not in hardwire's header"),
    ],
)
def test_what_is_not_there_is_said(type_: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=message):
        outputs({"main.cpp": f"#include <ap_fixed.h>\nint main() {{ {type_} x = 1; }}\n"}, tmp_path)
