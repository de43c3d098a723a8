"""Random C++ programs over the stand-in `ap_fixed`, with the documented meaning of each in exact fractions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from backends.header_programs import Checks, Term, c_constant, value_of, wrapped

ROUNDINGS = ("AP_RND", "AP_RND_ZERO", "AP_RND_MIN_INF", "AP_RND_INF", "AP_RND_CONV", "AP_TRN", "AP_TRN_ZERO")
OVERFLOWS = ("AP_SAT", "AP_SAT_ZERO", "AP_SAT_SYM", "AP_WRAP")
_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Format:
    """W bits, I of them before the point; how an assignment rounds and what it does beyond the range."""

    width: int
    whole: int
    signed: bool
    rounding: str = "AP_TRN"
    overflow: str = "AP_WRAP"

    @property
    def text(self) -> str:
        name = "ap_fixed" if self.signed else "ap_ufixed"
        return f"{name}<{self.width}, {self.whole}, {self.rounding}, {self.overflow}>"

    @property
    def lsb(self) -> Fraction:
        return Fraction(2) ** (self.whole - self.width)

    def number(self, code: int) -> Fraction:
        return code * self.lsb

    def code(self, number: Fraction) -> int:
        """The bits that an assignment of `number` leaves."""
        code = rounded(number / self.lsb, self.rounding)
        low, high = (
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.signed else (0, (1 << self.width) - 1)
        )
        if self.overflow == "AP_SAT_SYM" and self.signed:
            low = -high
        if low <= code <= high:
            return code
        if self.overflow == "AP_WRAP":
            return wrapped(code, self.width, self.signed)
        return 0 if self.overflow == "AP_SAT_ZERO" else max(low, min(high, code))


def rounded(x: Fraction, mode: str) -> int:
    """To an integer, as the modes are documented."""
    if mode == "AP_TRN":
        return math.floor(x)
    if mode == "AP_TRN_ZERO":
        return math.trunc(x)
    if mode == "AP_RND_CONV":
        return round(x)
    if x % 1 != _HALF:
        return math.floor(x + _HALF)
    up = {"AP_RND": True, "AP_RND_MIN_INF": False, "AP_RND_INF": x > 0, "AP_RND_ZERO": x < 0}[mode]
    return math.ceil(x) if up else math.floor(x)


@dataclass(frozen=True)
class Number:
    """A C++ expression; its documented format; its code for codes of the variables."""

    text: str
    format: Format
    value: Callable[[Sequence[int]], int]

    def number(self, codes: Sequence[int]) -> Fraction:
        return self.format.number(self.value(codes))


def binary(op: str, a: Number, b: Number) -> Number:
    f, g = a.format, b.format
    signed = f.signed or g.signed
    text = f"({a.text} {op} {b.text})"
    if op == "*":
        result = Format(f.width + g.width, f.whole + g.whole, signed)
        return Number(text, result, lambda e: a.value(e) * b.value(e))
    fraction = max(f.width - f.whole, g.width - g.whole)
    whole = max(x.whole + (signed and not x.signed) for x in (f, g)) + (op in "+-")
    result = Format(whole + fraction, whole, signed or op == "-")
    operation = {"+": int.__add__, "-": int.__sub__, "&": int.__and__, "|": int.__or__, "^": int.__xor__}[op]

    def value(e: Sequence[int]) -> int:
        x, y = (
            int(operand.number(e) * 2**fraction if fraction >= 0 else operand.number(e) / 2**-fraction)
            for operand in (a, b)
        )
        return operation(x, y)

    return Number(text, result, value)


def assigned(a: Number, format: Format) -> Number:
    return Number(f"{format.text}({a.text})", format, lambda e: format.code(a.number(e)))


def shifted(a: Number, n: int) -> Number:
    """By n to the left; bits that leave the format are lost."""

    def value(e: Sequence[int]) -> int:
        code = a.value(e) << n if n >= 0 else a.value(e) >> -n
        return wrapped(code, a.format.width, a.format.signed)

    by = f"<< {n}" if n >= 0 else f">> {-n}"
    return Number(f"({a.text} {by})", a.format, value)


def negative(a: Number) -> Number:
    return Number(f"(-{a.text})", Format(a.format.width + 1, a.format.whole + 1, True), lambda e: -a.value(e))


def complement(a: Number) -> Number:
    return Number(f"(~{a.text})", a.format, lambda e: wrapped(~a.value(e), a.format.width, a.format.signed))


def comparison(op: str, a: Number, b: Number) -> Number:
    relation = {"==": Fraction.__eq__, "!=": Fraction.__ne__, "<": Fraction.__lt__, ">": Fraction.__gt__}
    relation |= {"<=": Fraction.__le__, ">=": Fraction.__ge__}
    holds = relation[op]
    result = Format(1, 1, False)
    text = f"{result.text}({a.text} {op} {b.text})"
    return Number(text, result, lambda e: int(holds(a.number(e), b.number(e))))


def constant(rng: random.Random) -> Number:
    """A C or an `ap_int` integer, which counts as a number without a fraction."""
    term: Term = c_constant(rng)
    if rng.random() < 0.5:
        width, signed = rng.randint(1, 20), rng.random() < 0.5
        number = value_of(rng, width, signed)
        name = "ap_int" if signed else "ap_uint"
        return Number(f"{name}<{width}>({number})", Format(width, width, signed), lambda e: number)
    return Number(term.text, Format(term.width, term.width, term.signed), lambda e: term.value(()))


def format_of(rng: random.Random, most: int) -> Format:
    width = min(most, rng.choice([rng.randint(1, 10), rng.randint(1, 30), rng.randint(1, most), 63, 64]))
    whole = rng.choice([rng.randint(-4, width + 4), width, rng.randint(0, width)])
    signed = rng.random() < 0.6
    return Format(width, whole, signed, rng.choice(ROUNDINGS), rng.choice(OVERFLOWS))


def random_number(rng: random.Random, variables: Sequence[Number], depth: int, most: int) -> Number:
    if depth == 0 or rng.random() < 0.05:
        return rng.choice(variables)
    sub = random_number(rng, variables, depth - 1, most)
    if sub.format.width > 2 * most or abs(sub.format.whole) > 3 * most:
        sub = assigned(sub, format_of(rng, most))
    kind = rng.choice([*"+-*+-*&|^", "shift", "neg", "~", "compare", "constant", *["assign"] * 6])
    if kind == "assign":
        return assigned(sub, format_of(rng, most))
    if kind == "shift":
        return shifted(sub, rng.randint(-sub.format.width - 1, sub.format.width + 1))
    if kind == "neg":
        return negative(sub)
    if kind == "~":
        return complement(sub)
    if kind == "constant":
        other, op = constant(rng), rng.choice("+-*&|^")
        return binary(op, sub, other) if rng.random() < 0.5 else binary(op, other, sub)
    second = random_number(rng, variables, depth - 1, most)
    if kind == "compare":
        return comparison(rng.choice(["==", "!=", "<", ">", "<=", ">="]), sub, second)
    return binary(kind, sub, second)


_PRELUDE = """\
#include <ap_fixed.h>
#include <fstream>
#include <iostream>
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O>
void show(int number, const ap_fixed_base<W, I, S, Q, O> &x) {
  std::cout << number << ' ' << W << ' ' << I << (S ? " s " : " u ") << x.range() << '\\n';
}
template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O>
void read(std::istream &values, ap_fixed_base<W, I, S, Q, O> &x) {
  ap_int_base<W, S> bits;
  values >> bits;
  x.range() = bits;
}
std::ifstream values;
"""


def _shown(number: int, format: Format, code: int) -> str:
    return f"{number} {format.width} {format.whole} {'su'[not format.signed]} {wrapped(code, format.width, False)}"


def program(seed: int, *, functions: int, evaluations: int, depth: int, most: int) -> Checks:
    """Random expressions, each evaluated on several values."""
    rng = random.Random(seed)
    source, values, expected = [_PRELUDE], [], []
    for number in range(functions):
        formats = [format_of(rng, most) for _ in range(rng.randint(1, 3))]
        variables = [Number(f"x{i}", f, lambda e, i=i: e[i]) for i, f in enumerate(formats)]
        result = random_number(rng, variables, depth, most)
        reads = " ".join(f"{f.text} x{i}; read(values, x{i});" for i, f in enumerate(formats))
        source.append(f"void f{number}() {{\n  {reads}\n  show({number}, {result.text});\n}}")
        for _ in range(evaluations):
            codes = [value_of(rng, f.width, f.signed) for f in formats]
            values.append(" ".join(map(str, codes)))
            expected.append(_shown(number, result.format, result.value(codes)))
    return _checks(source, functions, evaluations, values, expected)


def assignments() -> Checks:
    """Every code of small formats assigned to smaller ones, with every rounding and overflow."""
    source, values, expected = [_PRELUDE], [], []
    pairs = [
        (Format(7, 4, True), (5, 4)),
        (Format(7, 4, True), (3, 2)),
        (Format(6, 2, False), (4, 3)),
        (Format(6, 3, True), (1, 2)),
    ]
    number = 0
    for given, (width, whole) in pairs:
        for rounding in ROUNDINGS:
            for overflow in OVERFLOWS:
                for signed in (True, False):
                    to = Format(width, whole, signed, rounding, overflow)
                    low = -(1 << (given.width - 1)) if given.signed else 0
                    codes = range(low, low + (1 << given.width))
                    body = f"{given.text} x; x.range() = i; const {to.text} y = x; show({number}, y);"
                    source.append(f"void f{number}() {{\n  for (int i = {low}; i <= {codes[-1]}; ++i) {{ {body} }}\n}}")
                    expected += [_shown(number, to, to.code(given.number(code))) for code in codes]
                    number += 1
    return _checks(source, number, 1, values, expected)


def conversions(seed: int, *, functions: int, evaluations: int) -> Checks:
    """Numbers from doubles, many of them halfway between two neighbours, and to doubles and integers."""
    rng = random.Random(seed)
    source, values, expected = [_PRELUDE], [], []
    for number in range(functions):
        to = Format(*(format_of(rng, 50).__dict__ | {"rounding": ROUNDINGS[number % 7]}).values())
        asked = "y.to_double() << ' ' << y.to_int64() << ' ' << ap_int<12>(y) << ' ' << (y < x) << (x <= y) << (y == x)"
        source.append(
            f"void f{number}() {{\n  double x;\n  values >> x;\n  {to.text} y = x;\n  show({number}, y);\n"
            f"  std::cout.precision(17);\n  std::cout << {asked} << '\\n';\n}}"
        )
        for _ in range(evaluations):
            spread = rng.choice([-1, 0, 1, 2, 3, 8, 30])
            steps = Fraction(rng.randint(-(1 << (to.width + 2)), 1 << (to.width + 2)), 1 << max(spread, 0))
            number_in = float(steps * to.lsb * rng.choice([1, 1, Fraction(1, 1 << to.width), 1 << 40]))
            if rng.random() < 0.1:
                number_in = rng.choice([0.0, 1e-300, -1e-300, 1e300, -1e300, 5e-324, -0.0])
            values.append(repr(number_in))
            code = to.code(Fraction(number_in))
            expected.append(_shown(number, to, code))
            value = to.number(code)
            whole = wrapped(math.trunc(value), max(to.whole, 1), to.signed)
            facts = [f"{float(value):.17g}", wrapped(whole, 64, True), wrapped(whole, 12, True)]
            compared = (value < number_in, number_in <= value, value == number_in)
            expected.append(" ".join([*map(str, facts), "".join(str(int(c)) for c in compared)]))
    return _checks(source, functions, evaluations, values, expected)


def _checks(source: list[str], functions: int, evaluations: int, values: list[str], expected: list[str]) -> Checks:
    calls = "\n".join(f"  for (int i = 0; i < {evaluations}; ++i) f{k}();" for k in range(functions))
    main = f"int main(int, char **argv) {{\n  values.open(argv[1]);\n{calls}\n}}\n"
    return Checks("\n".join([*source, main]), "\n".join(values) + "\n", expected)
