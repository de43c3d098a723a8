"""Reads the C++ that hls4ml writes: typedefs, constants, config structs, weight arrays and one top function.

Nothing is executed: text becomes tokens, tokens become declarations, and constant expressions are evaluated by the
small evaluator below. What lies outside of the subset is skipped where nothing needs it, or an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hardwire.errors import ModelError, UnsupportedError

Tokens = tuple[str, ...]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)[uUlLfF]*)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<op>::|->|<<|&&|\|\||==|!=|<=|>=|\+\+|--|[-+*/%<>=!?:;,.(){}\[\]&|~^\#]))""",
    re.X,
)
_MAX_TOKENS = 40_000_000
MAX_DEPTH = 60
"""Deepest nesting of brackets and of names that stand for names."""


def without_comments(text: str) -> str:
    """Return C++ text with comments blanked out (line breaks stay); quoted text has no comments in these files."""
    return _COMMENT.sub(lambda match: "\n" * match.group().count("\n") or " ", text)


def preprocess(text: str, defined: Mapping[str, str], label: str) -> tuple[str, dict[str, str]]:
    """Resolve `#if…` blocks by the macros that are `defined`, drop other directives, and collect object-like macros.

    Returns the text that is left and all macros.
    """
    macros = dict(defined)
    kept: list[str] = []
    stack: list[tuple[bool, bool, bool]] = []  # (kept before, this branch is kept, some branch was)
    active = True
    for line in without_comments(text).replace("\\\n", " ").split("\n"):
        words = line.strip()
        if not words.startswith("#"):
            kept.append(line if active else "")
            continue
        kept.append("")
        name, _, rest = words[1:].strip().partition(" ")
        rest = rest.strip()
        if name in ("ifdef", "ifndef", "if"):
            holds = (rest in macros) == (name == "ifdef") if name != "if" else _condition(rest, macros)
            stack.append((active, holds, holds))
            active = active and holds
        elif name in ("else", "elif"):
            if not stack:
                raise ModelError(f"{label}: #{name} without #if")
            before, _, any_kept = stack.pop()
            holds = not any_kept and (name == "else" or _condition(rest, macros))
            stack.append((before, holds, any_kept or holds))
            active = before and holds
        elif name == "endif":
            if not stack:
                raise ModelError(f"{label}: #endif without #if")
            active = stack.pop()[0]
        elif name == "define" and active:
            match = re.match(r"([A-Za-z_]\w*)(?!\()(?:\s+(.*))?$", rest)
            if match is not None:
                macros[match[1]] = (match[2] or "").strip()
    if stack:
        raise ModelError(f"{label}: an #if without #endif: the file is truncated")
    return "\n".join(kept), macros


def _condition(text: str, macros: Mapping[str, str]) -> bool:
    """`defined X`, `X` and their negations; anything else is false (no such line matters in these files)."""
    match = re.fullmatch(r"(!?)\s*(?:defined)?\s*\(?\s*([A-Za-z_]\w*)\s*\)?", text)
    return match is not None and (match[2] in macros) != bool(match[1])


def tokenise(text: str, label: str) -> list[str]:
    """Split preprocessed text into tokens; raises `ModelError` for characters that C++ does not have."""
    tokens: list[str] = []
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            line = text.count("\n", 0, place) + 1
            raise ModelError(f"{label}, line {line}: {text[place : place + 20].strip()!r} is not understood")
        tokens.append(match.group().strip())
        place = match.end()
        if len(tokens) > _MAX_TOKENS:
            raise ModelError(f"{label}: more than {_MAX_TOKENS} words")
    return tokens


@dataclass
class Struct:
    """A config struct: its base, its members' tokens (types and values by name), and which names are types."""

    name: str
    base: Tokens = ()
    types: dict[str, Tokens] = field(default_factory=dict)
    values: dict[str, Tokens] = field(default_factory=dict)


@dataclass(frozen=True)
class Variable:
    """A declared variable or parameter: its type's tokens and its array length's, None for no array."""

    name: str
    type: Tokens
    length: Tokens | None
    value: Tokens | None = None


@dataclass(frozen=True)
class Call:
    """`function<template…>(arguments…)`."""

    function: str
    template: tuple[Tokens, ...]
    arguments: tuple[Tokens, ...]


@dataclass
class Function:
    """A function's parameters and, where it has a body, what it declares and calls, in order."""

    name: str
    parameters: list[Variable] = field(default_factory=list)
    body: list[Variable | Call] | None = None


@dataclass
class Unit:
    """Everything that the files of a project declare."""

    types: dict[str, Tokens] = field(default_factory=dict)
    structs: dict[str, Struct] = field(default_factory=dict)
    values: dict[str, Tokens] = field(default_factory=dict)
    arrays: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)


_QUALIFIERS = frozenset(
    ("static", "const", "constexpr", "inline", "extern", "volatile", "register", "typename", "struct", "hls_register")
)
_OPEN = {"(": ")", "[": "]", "{": "}"}


class Parser:
    """Walks the tokens of one file and adds what it declares to a `Unit`."""

    def __init__(self, tokens: Sequence[str], unit: Unit, label: str) -> None:
        self.tokens = tokens
        self.unit = unit
        self.label = label
        self.at = 0

    def error(self, why: str) -> ModelError:
        """Build the error that shows where reading stopped."""
        near = " ".join(self.tokens[max(0, self.at - 6) : self.at + 6])
        return ModelError(f"{self.label}: {why}, near {near[:160]!r}")

    def file(self) -> None:
        """Read declarations up to the end of the file."""
        while self.at < len(self.tokens):
            self.declaration()

    def peek(self, ahead: int = 0) -> str:
        """Return a token without taking it, empty at the end."""
        place = self.at + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        """Take the next token, which must be `wanted` if that is given."""
        token = self.peek()
        if not token or (wanted is not None and token != wanted):
            raise self.error(f"expected {wanted!r}, found {token!r}" if token else "the file ends too early")
        self.at += 1
        return token

    def until(self, *ends: str) -> Tokens:
        """Take tokens up to one of `ends` outside of brackets, which is not taken."""
        start = self.at
        stack: list[str] = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if not stack and token in ends:
                return tuple(self.tokens[start : self.at])
            if token in _OPEN:
                stack.append(_OPEN[token])
                if len(stack) > MAX_DEPTH:
                    raise self.error("brackets nested too deep")
            elif token in (")", "]", "}") and (not stack or stack.pop() != token):
                raise self.error(f"{token!r} without its partner")
            self.at += 1
        raise self.error("the file ends too early")

    def skip_block(self) -> None:
        """Take a bracketed block."""
        close = _OPEN[self.take()]
        self.until(close)
        self.take(close)

    def angled(self) -> tuple[Tokens, ...]:
        """Take `<a, b, …>`."""
        self.take("<")
        parts: list[Tokens] = []
        part: list[str] = []
        depth = 0
        while True:
            token = self.take()
            if token in ("(", "[", "{", "<"):
                depth += 1
            elif token in (")", "]", "}") or (token == ">" and depth):
                depth -= 1
            elif token == ">" or (token == "," and depth == 0):
                parts.append(tuple(part))
                part = []
                if token == ">":
                    return tuple(parts) if parts != [()] else ()
                continue
            if depth > MAX_DEPTH:
                raise self.error("brackets nested too deep")
            part.append(token)

    def type_name(self) -> Tokens:
        """Take a type: qualifiers are dropped, `a::b<c>` kept, `&`, `&&` and `*` dropped behind it."""
        while self.peek() in _QUALIFIERS:
            self.take()
        out: list[str] = []
        if self.peek() in ("unsigned", "signed", "long", "short"):
            while self.peek() in ("unsigned", "signed", "long", "short", "int", "char"):
                out.append(self.take())
        else:
            out.append(self._name())
            while True:
                if self.peek() == "<":
                    start = self.at
                    self.angled()
                    out.extend(self.tokens[start : self.at])
                elif self.peek() == "::":
                    out.extend((self.take(), self._name()))
                else:
                    break
        while self.peek() in ("const", "&", "&&", "*"):
            self.take()
        return tuple(out)

    def _name(self) -> str:
        token = self.take()
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            self.at -= 1
            raise self.error(f"expected a name, found {token!r}")
        return token

    def declaration(self) -> None:
        """Read one declaration at namespace level."""
        token = self.peek()
        if token == ";":
            self.take()
        elif token == "namespace":
            self.take()
            while self.peek() not in ("{", ""):
                self.take()
            self.take("{")
            while self.peek() != "}":
                if not self.peek():
                    raise self.error("the file ends too early")
                self.declaration()
            self.take("}")
        elif token == "extern" and self.peek(1).startswith('"'):
            self.take(), self.take()
            if self.peek() == "{":
                self.take()
                while self.peek() != "}":
                    self.declaration()
                self.take("}")
        elif token == "using" and self.peek(1) == "namespace":
            self.until(";")
        elif token in ("typedef", "using"):
            self._alias(self.unit.types, self.unit)
        elif token == "template":
            self._template(None)
        elif token in ("struct", "class"):
            self._struct()
        elif token == "enum":
            self.until(";")
        else:
            self._variable_or_function()

    def _alias(self, types: dict[str, Tokens], unit: Unit | None) -> None:
        """Read `typedef T name;`, `using name = T;` or `typedef struct name { … } name;`."""
        if self.take() == "using":
            name = self._name()
            if self.peek() != "=":  # `using a::b;`
                self.until(";")
                self.take(";")
                return
            self.take("=")
            types[name] = self.type_name()
        elif self.peek() == "struct" and unit is not None and "{" in (self.peek(1), self.peek(2)):
            struct = self._struct(ended=False)
            name = self._name()
            unit.structs[name] = struct
        else:
            kind = self.type_name()
            name = self._name()
            if self.peek() == "[":
                self.skip_block()
            types[name] = kind
        self.until(";")
        self.take(";")

    def _template(self, struct: Struct | None) -> None:
        """Read `template <…> using name = T;` inside of a struct, or skip a template."""
        self.take("template")
        self.angled()
        if self.peek() == "using" and struct is not None:
            self._alias(struct.types, None)
            return
        while self.peek() not in (";", "{"):
            self.take()
        if self.peek() == "{":
            self.skip_block()
        if self.peek() == ";":
            self.take(";")

    def _struct(self, *, ended: bool = True) -> Struct:
        self.take()
        struct = Struct(self._name() if self.peek() != "{" else "")
        if self.peek() == "final":
            self.take()
        if self.peek() == ":":
            self.take(":")
            while self.peek() in ("public", "private", "protected"):
                self.take()
            struct.base = self.type_name()
        if self.peek() == ";":
            self.take()
            return struct
        self.take("{")
        while self.peek() != "}":
            self._member(struct)
        self.take("}")
        if struct.name:
            self.unit.structs[struct.name] = struct
        if ended:
            self.until(";")
            self.take(";")
        return struct

    def _member(self, struct: Struct) -> None:
        token = self.peek()
        if not token:
            raise self.error("the file ends too early")
        if token == ";":
            self.take()
        elif token in ("public", "private", "protected") and self.peek(1) == ":":
            self.take(), self.take()
        elif token in ("typedef", "using"):
            self._alias(struct.types, None)
        elif token == "template":
            self._template(struct)
        elif token == "enum":
            self.until(";")
        else:
            kind = self.type_name()
            name = self._name()
            if self.peek() == "(":  # a member function: nothing that a config needs
                self.skip_block()
                while self.peek() not in (";", "{"):
                    self.take()
                if self.peek() == "{":
                    self.skip_block()
                return
            if self.peek() == "[":
                self.skip_block()
            if self.peek() in ("=", "{"):
                if self.peek() == "=":
                    self.take("=")
                struct.values[name] = self.until(";")
            else:
                struct.types.setdefault(name, kind)  # a member of a plain struct, such as a compressed weight
            self.take(";")

    def _variable_or_function(self) -> None:
        kind = self.type_name()
        if self.peek() == "(":  # a macro call, or something that no config needs
            self.skip_block()
            self._rest()
            return
        name = self._name()
        while self.peek() == "::":  # `const T config3::slope = 0.5;`
            self.take()
            name = f"{name}::{self._name()}"
        if self.peek() == "(":
            function = Function(name, self._parameters())
            while self.peek() not in (";", "{", ""):
                self.take()
            if self.peek() == "{":
                function.body = self._body()
            else:
                self.take(";")
            if function.body is not None or name not in self.unit.functions:
                self.unit.functions[name] = function
            return
        variable = self._variable(kind, name)
        self.take(";")
        if variable.length is not None:
            self.unit.arrays[name] = variable
        elif variable.value is not None:
            self.unit.values[name] = variable.value
            self.unit.arrays.setdefault(name, variable)

    def _rest(self) -> None:
        while self.peek() not in (";", "{", ""):
            self.take()
        if self.peek() == "{":
            self.skip_block()
        if self.peek() == ";":
            self.take(";")

    def _variable(self, kind: Tokens, name: str) -> Variable:
        """Read what follows a variable's name, up to its end (not taken)."""
        length: list[str] | None = None
        while self.peek() == "[":
            self.take("[")
            part = self.until("]")
            self.take("]")
            length = [*part] if length is None else ["(", *length, ")", "*", "(", *part, ")"]
        value: Tokens | None = None
        if self.peek() == "=":
            self.take("=")
            value = self.until(";", ",")
        elif self.peek() in ("(", "{"):
            start = self.at
            self.skip_block()
            value = tuple(self.tokens[start + 1 : self.at - 1])
        return Variable(name, kind, None if length is None else tuple(length), value)

    def _parameters(self) -> list[Variable]:
        self.take("(")
        out: list[Variable] = []
        while self.peek() != ")":
            kind = self.type_name()
            if self.peek() in (",", ")"):
                name = ""
            else:
                name = self._name()
            out.append(self._variable(kind, name))
            if self.peek() == ",":
                self.take(",")
        self.take(")")
        return out

    def _body(self) -> list[Variable | Call]:
        """Read a function's body: variables, references and calls; anything else is refused by name."""
        self.take("{")
        out: list[Variable | Call] = []
        while self.peek() != "}":
            token = self.peek()
            if not token:
                raise self.error("the file ends too early")
            if token == ";":
                self.take()
            elif token == "if":
                self.take()
                self.skip_block()
                out.extend(self._body() if self.peek() == "{" else self._statement())
            elif token == "{":
                out.extend(self._body())
            else:
                out.extend(self._statement())
        self.take("}")
        return out

    def _statement(self) -> list[Variable | Call]:
        if self.peek() in ("return", "using"):
            self.until(";")
            self.take(";")
            return []
        if self.peek() in ("for", "while", "do", "switch", "try"):
            raise UnsupportedError(f"{self.label}: the top function has a {self.peek()!r}, which hls4ml never writes")
        kind = self.type_name()
        if self.peek() == "(":
            call = self._call(kind)
            self.take(";")
            return [call]
        if self.peek() == "=":  # an assignment, such as `loaded_weights = true;`
            self.until(";")
            self.take(";")
            return []
        out: list[Variable | Call] = []
        while True:
            out.append(self._variable(kind, self._name()))
            if self.peek() != ",":
                break
            self.take(",")
        self.take(";")
        return out

    def _call(self, name: Tokens) -> Call:
        """Read the arguments of a call whose name (template included) was taken."""
        template: tuple[Tokens, ...] = ()
        if "<" in name:
            inner = Parser(name[name.index("<") :], self.unit, self.label)
            template = inner.angled()
            if inner.at != len(inner.tokens):
                raise self.error(f"a call of {''.join(name)!r}")
            name = name[: name.index("<")]
        self.take("(")
        arguments: list[Tokens] = []
        while self.peek() != ")":
            arguments.append(self.until(",", ")"))
            if self.peek() == ",":
                self.take(",")
        self.take(")")
        return Call("".join(name), template, tuple(arguments))


Lookup = Callable[[str], "int | float | str | None"]
"""What a name stands for, or None."""

_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"))


class Evaluator:
    """Evaluates a constant expression of integers, floats, booleans and names; other names stay text."""

    def __init__(self, tokens: Tokens, lookup: Lookup, label: str) -> None:
        self.tokens = tokens
        self.lookup = lookup
        self.label = label
        self.at = 0
        self.depth = 0

    def value(self) -> int | float | str:
        """Return the value; raises `ModelError` for what is no expression."""
        try:
            out = self._ternary()
        except (ZeroDivisionError, OverflowError, TypeError, ValueError):
            raise self._error() from None
        if self.at != len(self.tokens):
            raise self._error()
        return out

    def _error(self) -> ModelError:
        return ModelError(f"{self.label}: the expression {' '.join(self.tokens)[:120]!r} is not understood")

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def _take(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._error()
        self.at += 1

    def _ternary(self) -> int | float | str:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error()
        condition = self._binary(0)
        if self._peek() == "?":
            self._take("?")
            yes = self._ternary()
            self._take(":")
            no = self._ternary()
            condition = yes if condition else no
        self.depth -= 1
        return condition

    def _binary(self, level: int) -> int | float | str:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _LEVELS[level]:
            operator = self._peek()
            self.at += 1
            left = _operate(operator, left, self._binary(level + 1))
        return left

    def _unary(self) -> int | float | str:
        token = self._peek()
        if token in ("-", "+", "!"):
            self.at += 1
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise self._error()
            value = _number(self._unary())
            self.depth -= 1
            return -value if token == "-" else int(not value) if token == "!" else value
        if token == "(":
            self._take("(")
            value_ = self._ternary()
            self._take(")")
            return value_
        if not token or not re.match(r"[\w.]", token):
            raise self._error()
        self.at += 1
        if token[0].isdigit() or token[0] == ".":
            return literal(token)
        name = token
        while self._peek() == "::":
            self._take("::")
            name = f"{name}::{self._peek()}"
            self.at += 1
        if self._peek() == "(":
            return self._function(name)
        found = self.lookup(name)
        return name if found is None else found

    def _function(self, name: str) -> int | float | str:
        self._take("(")
        arguments = []
        while self._peek() != ")":
            arguments.append(_number(self._ternary()))
            if self._peek() == ",":
                self._take(",")
            elif self._peek() != ")":
                raise self._error()
        self._take(")")
        short = name.rpartition("::")[2]
        if short in _FUNCTIONS:
            return _FUNCTIONS[short](*arguments)
        raise ModelError(f"{self.label}: the function {name!r} in a constant is not understood")


def literal(token: str) -> int | float:
    """Return the value of a number's token."""
    if token[:2] in ("0x", "0X"):
        return int(token.rstrip("uUlL"), 16)
    plain = token.rstrip("uUlLfF")
    return float(plain) if any(mark in plain for mark in ".eE") else int(plain)


def _number(value: int | float | str) -> int | float:
    if isinstance(value, str):
        raise TypeError(value)
    return value


def _operate(operator: str, left: int | float | str, right: int | float | str) -> int | float:
    if operator in ("==", "!="):
        return int((left == right) == (operator == "=="))
    a, b = _number(left), _number(right)
    if operator == "/" and isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    meanings: dict[str, Callable[[], int | float]] = {
        "||": lambda: int(bool(a) or bool(b)),
        "&&": lambda: int(bool(a) and bool(b)),
        "<": lambda: int(a < b),
        ">": lambda: int(a > b),
        "<=": lambda: int(a <= b),
        ">=": lambda: int(a >= b),
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "/": lambda: a / b,
        "%": lambda: a % b,
    }
    return meanings[operator]()


_FUNCTIONS: dict[str, Callable[..., int | float]] = {
    "DIV_ROUNDUP": lambda n, d: (n + d - 1) // d,
    "MIN": min,
    "MAX": max,
    "ceillog2": lambda n: max(0, int(n) - 1).bit_length(),
    "floorlog2": lambda n: int(n).bit_length() - 1,
    "pow2": lambda n: 1 << min(int(n), 62),
}
