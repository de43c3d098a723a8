"""VHDL's spelling of expressions: a single bit is `std_logic`, a word is `unsigned`, whatever its sign.

What VHDL-93 and VHDL-2008 share is enough, so that tools which know the newer standard in part read it too. Every
operation stands in parentheses, since most of VHDL's operators have no order among each other; `outermost` takes off
the pair that a whole statement does not need. Where the context does not settle the type of a concatenation, it is
qualified.
"""

from __future__ import annotations

import re

from hardwire.backends._language import Language

_AGGREGATE = re.compile(r"\(\d+ downto 0 => ")
FUNCTIONS = {
    "any_one": """\
  function any_one(word : unsigned) return std_logic is
    variable found : std_logic := '0';
  begin
    for k in word'range loop
      found := found or word(k);
    end loop;
    return found;
  end function any_one;
""",
    "all_ones": """\
  function all_ones(word : unsigned) return std_logic is
    variable found : std_logic := '1';
  begin
    for k in word'range loop
      found := found and word(k);
    end loop;
    return found;
  end function all_ones;
""",
}
"""Functions of an architecture's own, by name."""

_BINARY = 8
"""Longer literals are hexadecimal, or binary in groups of four; runs of one bit are aggregates."""
_ZERO, _ONE = "'0'", "'1'"


class Vhdl(Language):
    """Spells expressions; some call `FUNCTIONS` of the architecture's own."""

    name = "VHDL"

    def literal(self, value: int, bits: int) -> str:
        value &= (1 << bits) - 1
        if bits == 1:
            return _ONE if value else _ZERO
        if bits > _BINARY and value in (0, (1 << bits) - 1):
            return self.repeat(_ONE if value else _ZERO, bits)
        if bits <= _BINARY:
            return f'"{value:0{bits}b}"'
        if bits % 4 == 0:
            return f'x"{value:0{bits // 4}x}"'
        return f'b"{value:0{bits + (bits - 1) // 4}_b}"'

    def concat(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else f"({' & '.join(parts)})"

    def bit(self, name: str, k: int) -> str:
        return f"{name}({k})"

    def part(self, name: str, high: int, low: int) -> str:
        return f"{name}({high} downto {low})"

    def port(self, name: str, offset: int, width: int) -> str:
        span = self.span(offset, width)
        return f"{name}{span}" if width == 1 else f"unsigned({name}{span})"

    def span(self, offset: int, width: int) -> str:
        """The bits of a part of a bus, in parentheses."""
        return f"({offset})" if width == 1 else f"({offset + width - 1} downto {offset})"

    def repeat(self, bit: str, count: int) -> str:
        return bit if count == 1 else f"({count - 1} downto 0 => {bit})"

    def group(self, text: str) -> str:
        return text

    # Operators on literals alone would be of no type, so those of single bits are worked out here.

    def invert(self, bit: str) -> str:
        return {_ZERO: _ONE, _ONE: _ZERO}.get(bit) or f"(not {bit})"

    def both(self, first: str, second: str) -> str:
        return self._binary("and", _ONE, _ZERO, first, second)

    def either(self, first: str, second: str) -> str:
        return self._binary("or", _ZERO, _ONE, first, second)

    def _binary(self, operator: str, neutral: str, decisive: str, first: str, second: str) -> str:
        if decisive in (first, second):
            return decisive
        if neutral in (first, second):
            return first if second == neutral else second
        return f"({first} {operator} {second})"

    def differ(self, first: str, second: str) -> str:
        for literal, other in ((first, second), (second, first)):
            if literal in (_ZERO, _ONE):
                return other if literal == _ZERO else self.invert(other)
        return f"({first} xor {second})"

    def any(self, text: str, bits: int) -> str:
        return text if bits == 1 else f"any_one({outermost(text)})"

    def all(self, text: str, bits: int) -> str:
        return text if bits == 1 else f"all_ones({outermost(text)})"

    def add(self, first: str, second: str, bits: int) -> str:
        return f"({first} + {second})" if bits > 1 else self.differ(first, second)

    def subtract(self, first: str, second: str, bits: int) -> str:
        return f"({first} - {second})" if bits > 1 else self.differ(first, second)

    def multiply(self, first: str, second: str, spans: tuple[int, int], signed: bool, bits: int) -> str:
        if spans == (1, 1) and bits == 1:
            return self.both(first, second)
        first, second = (qualified(text, span) for text, span in zip((first, second), spans, strict=True))
        product = f"signed({first}) * signed({second})" if signed else f"{first} * {second}"
        whole = sum(spans)
        if bits > whole and signed:
            return f"unsigned(resize({product}, {bits}))"
        if signed:
            product = f"unsigned({product})"
        if bits != whole:
            product = f"resize({product}, {bits})"
        return f"{product}(0)" if bits == 1 else product

    def choose(self, condition: str, then: str, otherwise: str) -> str:
        if condition in (_ZERO, _ONE):
            return then if condition == _ONE else otherwise
        if condition.startswith("(not "):
            test = f"{condition[5:-1]} = '0'"
        else:
            test = f"{condition} = '1'"
        return f"{outermost(then)} when {test} else {outermost(otherwise)}"

    def choose_below(self, above: str, condition: str, then: str, otherwise: str) -> str:
        return self.choose(condition, self.concat([above, then]), self.concat([above, otherwise]))

    def equal(self, first: str, second: str, bits: int) -> str:
        if bits == 1:
            return self.invert(self.differ(first, second))
        return f"'1' when {qualified(first, bits)} = {qualified(second, bits)} else '0'"

    def look_up(self, table: str, address: str, bits: int) -> str:
        return f"{table}(to_integer({qualified(address, bits)}))"


def qualified(text: str, bits: int) -> str:
    """Return a word, or a bit as a word of one, with the type said where the text alone does not."""
    if bits == 1:
        return f"unsigned'(0 => {text})"
    if text.startswith("("):
        return f"unsigned'{text}"
    return f"unsigned'({text})" if text[0] == '"' or text[1] == '"' else text


def outermost(text: str) -> str:
    """Return `text` without parentheses that enclose it as a whole, unless they are an aggregate's own."""
    if not text.startswith("(") or _AGGREGATE.match(text):
        return text
    depth = 0
    for k, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[1:-1] if k == len(text) - 1 else text
    return text
