"""C++ expressions of the ops, and the small functions that they call.

Every expression has the type that the proven range needs. Operands may be wider than needed; an assignment keeps the
low bits, which is exact because the value fits.
"""

from __future__ import annotations

from hardwire.backends._hls_dialect import Dialect
from hardwire.fixed import Rounding

ROUND = {
    Rounding.TRN: "round_down",
    Rounding.TRN_ZERO: "round_to_zero",
    Rounding.RND: "round_half_up",
    Rounding.RND_ZERO: "round_half_to_zero",
    Rounding.RND_INF: "round_half_away",
    Rounding.RND_MIN_INF: "round_half_down",
    Rounding.RND_CONV: "round_half_even",
    Rounding.CEIL: "round_up",
    Rounding.AWAY: "round_away",
}
"""Function of each rounding mode."""

_WORDS = {
    "round_down": "toward minus infinity",
    "round_to_zero": "toward zero",
    "round_half_up": "to the nearest, ties toward plus infinity",
    "round_half_to_zero": "to the nearest, ties toward zero",
    "round_half_away": "to the nearest, ties away from zero",
    "round_half_down": "to the nearest, ties toward minus infinity",
    "round_half_even": "to the nearest, ties to even",
    "round_up": "toward plus infinity",
    "round_away": "away from zero",
}
_UP = {
    "round_to_zero": "rest != 0 && x < 0",
    "round_half_up": "rest >= half",
    "round_half_to_zero": "rest > half || (rest == half && x < 0)",
    "round_half_away": "rest > half || (rest == half && x >= 0)",
    "round_half_down": "rest > half",
    "round_half_even": "rest > half || (rest == half && odd != 0)",
    "round_up": "rest != 0",
    "round_away": "rest != 0 && x >= 0",
}
"""Whether a rounding goes up from the quotient below; `rest` are the bits that are dropped."""

_CHOICES = {
    "at_least": ("max(x, least)", "x, const LEAST &least", "typename LEAST", "x < least ? OUT(least) : OUT(x)"),
    "at_most": ("min(x, most)", "x, const MOST &most", "typename MOST", "x > most ? OUT(most) : OUT(x)"),
    "clamp": (
        "min(max(x, least), most)",
        "x, const LEAST &least, const MOST &most",
        "typename LEAST, typename MOST",
        "x < least ? OUT(least) : x > most ? OUT(most) : OUT(x)",
    ),
    "smaller": ("min(x, y)", "x, const OTHER &y", "typename OTHER", "x < y ? OUT(x) : OUT(y)"),
    "larger": ("max(x, y)", "x, const OTHER &y", "typename OTHER", "x > y ? OUT(x) : OUT(y)"),
}
"""What it is, further parameters, their types, the result."""


def helpers(used: set[str], dialect: Dialect) -> list[str]:
    """Lines that define the functions of this module that are used, in a fixed order."""
    lines: list[str] = []
    for name, (what, parameters, types, result) in _CHOICES.items():
        if name in used:
            lines += [
                "",
                f"// {what}",
                f"template <typename OUT, typename IN, {types}>",
                f"inline OUT {name}(const IN &{parameters}) {{",
                *dialect.function(),
                f"    return {result};",
                "}",
            ]
    if "relu" in used:
        lines += [
            "",
            "// max(x, 0)",
            "template <typename OUT, typename IN>",
            "inline OUT relu(const IN &x) {",
            *dialect.function(),
            "    return x < 0 ? OUT(0) : OUT(x);",
            "}",
        ]
    for name, words in _WORDS.items():
        if name in used:
            lines += ["", f"// x / 2^SHIFT, rounded {words}", *_rounding(name, dialect)]
    return lines


def _rounding(name: str, dialect: Dialect) -> list[str]:
    head = [
        "template <typename OUT, int SHIFT, typename IN>",
        f"inline OUT {name}(const IN &x) {{",
        *dialect.function(),
    ]
    if name == "round_down":
        return [*head, "    return OUT(x >> SHIFT);", "}"]
    up = _UP[name]
    lines = [*head, f"    const {dialect.generic('SHIFT')} rest = x;"]
    if "half" in up:
        lines.append("    const long long half = 1LL << (SHIFT - 1);")
    if "odd" in up:
        lines.append(f"    const {dialect.type(1, False)} odd = x >> SHIFT;")
    lines.append(f"    const {dialect.type(1, False)} up = {up};")
    return [*lines, "    return OUT((x >> SHIFT) + up);", "}"]
