"""Verilog's spelling of expressions."""

from __future__ import annotations

from hardwire.backends._language import Language


class Verilog(Language):
    """No expression depends on Verilog's own sign rules, except products, which name `$signed` on both sides."""

    name = "Verilog"

    def literal(self, value: int, bits: int) -> str:
        value &= (1 << bits) - 1
        return f"{bits}'d{value}" if value < 10 else f"{bits}'h{value:x}"

    def concat(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else "{" + ", ".join(parts) + "}"

    def bit(self, name: str, k: int) -> str:
        return f"{name}[{k}]"

    def part(self, name: str, high: int, low: int) -> str:
        return f"{name}[{high}:{low}]"

    def port(self, name: str, offset: int, width: int) -> str:
        return name + self.span(offset, width)

    def span(self, offset: int, width: int) -> str:
        """The bits of a part of a bus, in brackets."""
        return f"[{offset}]" if width == 1 else f"[{offset + width - 1}:{offset}]"

    def repeat(self, bit: str, count: int) -> str:
        return f"{{{count}{{{bit}}}}}"

    def group(self, text: str) -> str:
        return f"({text})"

    def invert(self, bit: str) -> str:
        return f"~{bit}"

    def both(self, first: str, second: str) -> str:
        return f"{first} & {second}"

    def either(self, first: str, second: str) -> str:
        return f"{first} | {second}"

    def differ(self, first: str, second: str) -> str:
        return f"{first} ^ {second}"

    def any(self, text: str, bits: int) -> str:
        return f"(|{text})"

    def all(self, text: str, bits: int) -> str:
        return f"(&{text})"

    def add(self, first: str, second: str, bits: int) -> str:
        return f"{first} + {second}"

    def subtract(self, first: str, second: str, bits: int) -> str:
        return f"{first} - {second}"

    def multiply(self, first: str, second: str, spans: tuple[int, int], signed: bool, bits: int) -> str:
        return f"$signed({first}) * $signed({second})" if signed else f"{first} * {second}"

    def choose(self, condition: str, then: str, otherwise: str) -> str:
        return f"{condition} ? {then} : {otherwise}"

    def choose_below(self, above: str, condition: str, then: str, otherwise: str) -> str:
        return self.concat([above, self.choose(condition, then, otherwise)])

    def equal(self, first: str, second: str, bits: int) -> str:
        return f"{first} == {second}"

    def look_up(self, table: str, address: str, bits: int) -> str:
        return f"{table}({address})"
