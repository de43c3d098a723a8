"""Random C++ programs over the stand-in integer types, with the documented meaning of each expression in Python.

The meaning is stated here once more, from the vendors' documents and not from the headers: a `Term` knows the width and
sign that its expression must have, and computes its value with Python's integers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Env = Sequence[int]


def wrapped(value: int, width: int, signed: bool) -> int:
    """The low `width` bits, read with or without a sign."""
    value &= (1 << width) - 1
    return value - (1 << width) if signed and value >> (width - 1) else value


@dataclass(frozen=True)
class Term:
    """A C++ expression over x0, x1, …; its documented width and sign; its value for values of the variables."""

    text: str
    width: int
    signed: bool
    value: Callable[[Env], int]


@dataclass(frozen=True)
class Family:
    """How a vendor's types are written, and where the two families differ."""

    name: str
    headers: tuple[str, ...]

    def type(self, width: int, signed: bool) -> str:
        if self.name == "ac":
            return f"ac_int<{width}, {str(signed).lower()}>"
        return f"ap_int<{width}>" if signed else f"ap_uint<{width}>"


AP = Family("ap", ("ap_int.h",))
AC = Family("ac", ("ac_int.h",))


def both(a: Term, b: Term) -> tuple[int, bool]:
    """Width and sign that hold the values of both operands."""
    signed = a.signed or b.signed
    return max(t.width + (signed and not t.signed) for t in (a, b)), signed


def c_quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def binary(op: str, a: Term, b: Term) -> Term:
    """An operator with its documented result type."""
    width, signed = both(a, b)
    text = f"({a.text} {op} {b.text})"
    if op == "+":
        return Term(text, width + 1, signed, lambda e: a.value(e) + b.value(e))
    if op == "-":
        return Term(text, width + 1, True, lambda e: a.value(e) - b.value(e))
    if op == "*":
        return Term(text, a.width + b.width, signed, lambda e: a.value(e) * b.value(e))
    if op == "/":
        return Term(text, a.width + b.signed, signed, lambda e: c_quotient(a.value(e), b.value(e)))
    if op == "%":
        width = min(a.width, b.width + (a.signed and not b.signed))

        def rest(e: Env) -> int:
            x, y = a.value(e), b.value(e)
            return x - y * c_quotient(x, y)

        return Term(text, width, a.signed, rest)
    bits = {"&": int.__and__, "|": int.__or__, "^": int.__xor__}[op]
    return Term(text, width, signed, lambda e: bits(a.value(e), b.value(e)))


def constant_shift(left: bool, a: Term, n: int) -> Term:
    """A shift by a C integer: the type of what is shifted; a negative distance shifts the other way."""

    def value(e: Env) -> int:
        by = n if left else -n
        moved = a.value(e) << by if by >= 0 else a.value(e) >> -by
        return wrapped(moved, a.width, a.signed)

    return Term(f"({a.text} {'<<' if left else '>>'} {n})", a.width, a.signed, value)


def variable_shift(left: bool, a: Term, b: Term) -> Term:
    def value(e: Env) -> int:
        by = b.value(e) if left else -b.value(e)
        by = max(-a.width - 1, min(a.width + 1, by))
        return wrapped(a.value(e) << by if by >= 0 else a.value(e) >> -by, a.width, a.signed)

    return Term(f"({a.text} {'<<' if left else '>>'} {b.text})", a.width, a.signed, value)


def cast(family: Family, a: Term, width: int, signed: bool) -> Term:
    return Term(f"{family.type(width, signed)}({a.text})", width, signed, lambda e: wrapped(a.value(e), width, signed))


def complement(family: Family, a: Term) -> Term:
    if family is AC:  # -x - 1, in a signed type that holds it
        return Term(f"(~{a.text})", a.width + (not a.signed), True, lambda e: ~a.value(e))
    return Term(f"(~{a.text})", a.width, a.signed, lambda e: wrapped(~a.value(e), a.width, a.signed))


def negative(a: Term) -> Term:
    return Term(f"(-{a.text})", a.width + 1, True, lambda e: -a.value(e))


def bits_of(family: Family, a: Term, high: int, low: int) -> Term:
    """A range of bits: unsigned for ap_int (of the whole's width), of the whole's sign for ac_int."""
    count = high - low + 1
    if family is AC:
        text, signed = f"{a.text}.slc<{count}>({low})", a.signed
        return Term(text, count, signed, lambda e: wrapped(a.value(e) >> low, count, signed))
    whole = f"{a.text}.range({high}, {low})"
    if high % 2:
        whole = f"{a.text}({high}, {low})"
    return Term(f"ap_uint<{count}>({whole})", count, False, lambda e: wrapped(a.value(e) >> low, count, False))


def bit_of(family: Family, a: Term, place: int) -> Term:
    one = family.type(1, False)
    return Term(f"{one}({a.text}[{place}])", 1, False, lambda e: (a.value(e) >> place) & 1)


def concatenation(a: Term, b: Term) -> Term:
    def value(e: Env) -> int:
        return wrapped(a.value(e), a.width, False) << b.width | wrapped(b.value(e), b.width, False)

    return Term(f"({a.text}, {b.text})", a.width + b.width, False, value)


def comparison(family: Family, op: str, a: Term, b: Term) -> Term:
    relation = {"==": int.__eq__, "!=": int.__ne__, "<": int.__lt__, ">": int.__gt__, "<=": int.__le__}
    holds = relation.get(op, int.__ge__)
    text = f"{family.type(1, False)}({a.text} {op} {b.text})"
    return Term(text, 1, False, lambda e: int(holds(a.value(e), b.value(e))))


def choice(family: Family, condition: Term, a: Term, b: Term) -> Term:
    """A choice between two values brought to one type."""
    width, signed = both(a, b)
    x, y = cast(family, a, width, signed), cast(family, b, width, signed)
    return Term(
        f"({condition.text} != 0 ? {x.text} : {y.text})",
        width,
        signed,
        lambda e: x.value(e) if condition.value(e) else y.value(e),
    )


C_TYPES = {
    "bool": (1, False),
    "signed char": (8, True),
    "unsigned char": (8, False),
    "short": (16, True),
    "int": (32, True),
    "unsigned": (32, False),
    "long": (64, True),
    "unsigned long long": (64, False),
}


def c_constant(rng: random.Random) -> Term:
    """A C integer; it counts as an integer of its own width."""
    name = rng.choice(list(C_TYPES))
    width, signed = C_TYPES[name]
    number = value_of(rng, width, signed)
    literal = f"({name})({number + 1 if number < 0 else number}{'LL' if signed else 'ULL'}{' - 1' * (number < 0)})"
    return Term(literal, width, signed, lambda e: number)


def value_of(rng: random.Random, width: int, signed: bool) -> int:
    """A value of a type, often one of its ends."""
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    ends = [low, high, 0, min(1, high), max(low, -1), low + (low < high), high // 2]
    if rng.random() < 0.4:
        return rng.choice(ends)
    if rng.random() < 0.3:
        return max(low, min(high, rng.randint(-9, 9)))
    return rng.randint(low, high)


def width_of(rng: random.Random, most: int) -> int:
    """A width, often one at which the words of the implementation end."""
    return min(most, rng.choice([rng.randint(1, 12), rng.randint(1, 64), rng.randint(1, most), 1, 32, 63, 64, 65, 128]))


_KINDS = [*"+-*+-*&|^/%~", "neg", "plus", "<<", ">>", "<<v", ">>v", "cast", "cast", "bits", "bit", "concat"]
_KINDS += ["compare", "choose", "C", "C"]


def random_term(rng: random.Random, family: Family, variables: Sequence[Term], depth: int, most: int) -> Term:
    """A random expression of results up to some 4 `most` bits."""
    if depth == 0 or rng.random() < 0.08:
        return rng.choice(variables)

    def sub(limit: int = most) -> Term:
        term = random_term(rng, family, variables, depth - 1, most)
        if term.width > limit:  # Keeps products from growing without end.
            return cast(family, term, limit, rng.random() < 0.5)
        return term

    kind = rng.choice(_KINDS)
    if kind in ("/", "%"):
        divisor = binary("|", sub(), Term(f"{family.type(1, False)}(1)", 1, False, lambda e: 1))
        return binary(kind, sub(), divisor)
    if len(kind) == 1 and kind in "+-*&|^":
        return binary(kind, sub(), sub())
    if kind == "C":
        op, constant = rng.choice("+-*&|^"), c_constant(rng)
        return binary(op, sub(), constant) if rng.random() < 0.5 else binary(op, constant, sub())
    if kind == "~":
        return complement(family, sub())
    if kind == "neg":
        return negative(sub())
    if kind == "plus":
        term = sub()
        return Term(f"(+{term.text})", term.width, term.signed, term.value)
    if kind in ("<<", ">>"):
        term = sub()
        return constant_shift(kind == "<<", term, rng.randint(-term.width - 2, term.width + 2))
    if kind in ("<<v", ">>v"):
        return variable_shift(kind == "<<v", sub(), cast(family, sub(), rng.randint(1, 9), rng.random() < 0.5))
    if kind == "cast":
        return cast(family, sub(), width_of(rng, most), rng.random() < 0.5)
    if kind in ("bits", "bit"):
        term = sub()
        low = rng.randrange(term.width)
        return (
            bit_of(family, term, low) if kind == "bit" else bits_of(family, term, rng.randrange(low, term.width), low)
        )
    if kind == "concat" and family is AP:
        return concatenation(sub(), sub())
    if kind == "compare":
        return comparison(family, rng.choice(["==", "!=", "<", ">", "<=", ">="]), sub(), sub())
    return choice(family, sub(), sub(), sub())


@dataclass(frozen=True)
class Statement:
    """A C++ statement that changes `y`; the value of y afterwards."""

    text: str
    value: Callable[[Env, int], int]


def assigned(op: str, y: Term, a: Term) -> Statement:
    """`y = a`, or `y op= a`, for a variable y."""
    if op == "=":
        return Statement(f"y = {a.text};", lambda e, now: wrapped(a.value(e), y.width, y.signed))

    def value(e: Env, now: int) -> int:
        left = Term("y", y.width, y.signed, lambda _: now)
        if op in ("<<", ">>"):
            return variable_shift(op == "<<", left, a).value(e)
        return wrapped(binary(op, left, a).value(e), y.width, y.signed)

    return Statement(f"y {op}= {a.text};", value)


def replaced(y: Term, text: str, high: int, low: int, a: Term, backwards: bool = False) -> Statement:
    """Bits `low` to `high` of y replaced by the low bits of `a`."""

    def value(e: Env, now: int) -> int:
        count = high - low + 1
        bits = wrapped(a.value(e), count, False)
        if backwards:
            bits = int(f"{bits:0{count}b}"[::-1], 2)
        mask = ((1 << count) - 1) << low
        return wrapped((now & ~mask) | bits << low, y.width, y.signed)

    return Statement(text, value)


def random_statement(rng: random.Random, family: Family, y: Term, variables: Sequence[Term], most: int) -> Statement:
    """A random change of the variable y."""
    term = random_term(rng, family, variables, 1, most)
    low = rng.randrange(y.width)
    high = rng.randrange(low, y.width)
    kind = rng.choice(
        ["=", "+", "-", "*", "&", "|", "^", "<<", ">>", "++", "--", "bit", "range", "range", "whole", "flip"]
    )
    if kind in ("<<", ">>"):
        return assigned(kind, y, cast(family, term, rng.randint(1, 8), rng.random() < 0.5))
    if kind in ("=", *"+-*&|^"):
        return assigned(kind, y, c_constant(rng) if rng.random() < 0.3 else term)
    if kind in ("++", "--"):
        step = 1 if kind == "++" else -1
        text = f"y{kind};" if rng.random() < 0.5 else f"{kind}y;"
        return Statement(text, lambda e, now: wrapped(now + step, y.width, y.signed))
    if kind == "bit":
        one = comparison(family, "<", term, rng.choice(variables))
        text = f"y[{low}] = {one.text};"
        if family is AP and rng.random() < 0.5:
            text = f"y.set_bit({low}, {one.text} == 1);"
        return replaced(y, text, low, low, one)
    if kind == "range" and family is AC:
        count = high - low + 1
        part = cast(family, term, count, rng.random() < 0.5)
        return replaced(y, f"y.set_slc({low}, {part.text});", high, low, part)
    if kind == "range":
        if rng.random() < 0.3:
            return replaced(y, f"y.range({low}, {high}) = {term.text};", high, low, term, backwards=True)
        return replaced(y, f"y{rng.choice(['.range', ''])}({high}, {low}) = {term.text};", high, low, term)
    if kind == "whole" and family is AP:
        return replaced(y, f"y.range() = {term.text};", y.width - 1, 0, term)
    if kind == "flip" and family is AP:
        return Statement(f"y.invert({low});", lambda e, now: wrapped(now ^ 1 << low, y.width, y.signed))

    def reverse(e: Env, now: int) -> int:
        return wrapped(int(f"{now & ((1 << y.width) - 1):0{y.width}b}"[::-1], 2), y.width, y.signed)

    return Statement("y.reverse();" if family is AP else "y = y.reverse();", reverse)


def facts(family: Family, y: Term) -> list[tuple[str, Callable[[int], str]]]:
    """What can be asked of a value: C++ expression, and what it prints."""
    w = y.width

    def bits(v: int) -> str:
        return f"{v & ((1 << w) - 1):0{w}b}"

    asked: list[tuple[str, Callable[[int], str]]] = [
        ("y.to_int64()", lambda v: str(wrapped(v, 64, True))),
        ("y.to_uint64()", lambda v: str(wrapped(v, 64, False))),
        ("y.to_int()", lambda v: str(wrapped(v, 32, True))),
        ("y.to_uint()", lambda v: str(wrapped(v, 32, False))),
        ("y.length()", lambda v: str(w)),
        ("y.and_reduce()", lambda v: str(int("0" not in bits(v)))),
        ("y.or_reduce()", lambda v: str(int(v != 0))),
        ("y.xor_reduce()", lambda v: str(bits(v).count("1") % 2)),
        ("!y", lambda v: str(int(v == 0))),
        ("precise(y.to_double())", lambda v: f"{float(v):.17g}"),
    ]
    if w <= 64:
        asked.append(("(static_cast<long long>(y))", lambda v: str(wrapped(v, 64, True))))
        asked.append(("(y ? 1 : 2)", lambda v: str(1 if v else 2)))
    if family is AC:

        def leading(v: int) -> str:
            lead = bits(v)[0] if y.signed else "0"
            return str(len(bits(v)) - len(bits(v).lstrip(lead)) - y.signed)

        asked.append(("y.leading_sign()", leading))
        asked.append(("y.to_string(AC_HEX)", lambda v: f"{wrapped(v, w, False):x}"))
        asked.append(("y.to_string(AC_DEC)", str))
    else:
        asked.append(("y.sign()", lambda v: str(int(v < 0))))
        asked.append(("y.to_string(16)", lambda v: f"{wrapped(v, w, False):x}"))
        asked.append(("y.to_string(10)", str))
        asked.append((f"{family.type(w, y.signed)}(y.to_string(2).c_str(), 2)", str))
    return asked


@dataclass(frozen=True)
class Checks:
    """A program, what it reads (one line of values an evaluation) and what it must print."""

    source: str
    values: str
    expected: list[str]


_PRELUDE = """\
#include <fstream>
#include <iostream>
template <template <int, bool> class F, int W, bool S>
void show(int number, const hw::Integer<F, W, S> &x) {
  std::cout << number << ' ' << W << (S ? " s " : " u ") << x << '\\n';
}
std::string precise(double x) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g", x);
  return text;
}
std::ifstream values;
"""


def program(family: Family, seed: int, *, functions: int, evaluations: int, depth: int, most: int) -> Checks:
    """A program of random expressions, each evaluated on several values of its variables."""
    rng = random.Random(seed)
    source = [f"#include <{name}>" for name in family.headers] + [_PRELUDE]
    values: list[str] = []
    expected: list[str] = []
    for number in range(functions):
        types = [(width_of(rng, most), rng.random() < 0.5) for _ in range(rng.randint(1, 4))]
        variables = [Term(f"x{i}", w, s, lambda e, i=i: e[i]) for i, (w, s) in enumerate(types)]
        term = random_term(rng, family, variables, depth, most)
        source.append(f"void f{number}() {{\n{_read(family, variables)}  show({number}, {term.text});\n}}")
        for _ in range(evaluations):
            row = [value_of(rng, w, s) for w, s in types]
            values.append(" ".join(map(str, row)))
            expected.append(f"{number} {term.width} {'su'[not term.signed]} {term.value(row)}")
    return _checks(source, functions, evaluations, values, expected)


def statements_program(family: Family, seed: int, *, functions: int, evaluations: int, most: int) -> Checks:
    """A program in which random statements change a variable; its value and facts about it are shown after each."""
    rng = random.Random(seed)
    source = [f"#include <{name}>" for name in family.headers] + [_PRELUDE]
    values: list[str] = []
    expected: list[str] = []
    for number in range(functions):
        types = [(width_of(rng, most), rng.random() < 0.5) for _ in range(3)]
        variables = [Term(f"x{i}", w, s, lambda e, i=i: e[i]) for i, (w, s) in enumerate(types)]
        y = Term("y", width_of(rng, most), rng.random() < 0.5, lambda e: 0)
        statements = [random_statement(rng, family, y, variables, most) for _ in range(6)]
        asked = facts(family, y)
        lines = [f"  {family.type(y.width, y.signed)} y = x0;"]
        for statement in statements:
            lines += [f"  {statement.text}", f"  show({number}, y);"]
        lines += [f"  std::cout << {' << chr << '.join(text for text, _ in asked)} << '\\n';".replace("chr", "' '")]
        source.append(f"void f{number}() {{\n{_read(family, variables)}" + "\n".join(lines) + "\n}")
        for _ in range(evaluations):
            row = [value_of(rng, w, s) for w, s in types]
            values.append(" ".join(map(str, row)))
            now = wrapped(row[0], y.width, y.signed)
            for statement in statements:
                now = statement.value(row, now)
                expected.append(f"{number} {y.width} {'su'[not y.signed]} {now}")
            expected.append(" ".join(answer(now) for _, answer in asked))
    return _checks(source, functions, evaluations, values, expected)


def _read(family: Family, variables: Sequence[Term]) -> str:
    declared = " ".join(f"{family.type(x.width, x.signed)} {x.text};" for x in variables)
    return f"  {declared}\n  values >> {' >> '.join(x.text for x in variables)};\n"


def _checks(source: list[str], functions: int, evaluations: int, values: list[str], expected: list[str]) -> Checks:
    calls = "\n".join(f"  for (int i = 0; i < {evaluations}; ++i) f{k}();" for k in range(functions))
    main = f"int main(int, char **argv) {{\n  values.open(argv[1]);\n{calls}\n}}\n"
    return Checks("\n".join([*source, main]), "\n".join(values) + "\n", expected)
