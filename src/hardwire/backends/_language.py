"""What the rules of every op need of a hardware language: one method a construct, each returns text.

The rules (`_expressions.py`, `_bits.py`) count bits exactly and never rely on a language's own extensions; a language
only spells what they say. Verilog's text has parentheses where a rule asks for them (`group`), VHDL's wherever two
operators meet, since the two order their operators differently.
"""

from __future__ import annotations

from abc import ABC, abstractmethod


class Language(ABC):
    """Spells expressions. A text of one bit is a single wire, one of more bits is an unsigned word."""

    name: str
    """For errors."""

    @abstractmethod
    def literal(self, value: int, bits: int) -> str:
        """The low `bits` bits of `value`."""

    @abstractmethod
    def concat(self, parts: list[str]) -> str:
        """The parts side by side, the highest bits first; the only part as it is."""

    @abstractmethod
    def bit(self, name: str, k: int) -> str:
        """Bit `k` of the word `name`."""

    @abstractmethod
    def part(self, name: str, high: int, low: int) -> str:
        """Bits `high … low` of the word `name`, more than one."""

    @abstractmethod
    def port(self, name: str, offset: int, width: int) -> str:
        """Bits `offset … offset + width - 1` of an input bus."""

    @abstractmethod
    def repeat(self, bit: str, count: int) -> str:
        """`count` copies of a bit."""

    @abstractmethod
    def group(self, text: str) -> str:
        """`text` as an operand of any operator."""

    @abstractmethod
    def invert(self, bit: str) -> str:
        """Not `bit`."""

    @abstractmethod
    def both(self, first: str, second: str) -> str:
        """And, bit by bit."""

    @abstractmethod
    def either(self, first: str, second: str) -> str:
        """Or, bit by bit."""

    @abstractmethod
    def differ(self, first: str, second: str) -> str:
        """Exclusive or, bit by bit."""

    @abstractmethod
    def any(self, text: str, bits: int) -> str:
        """Whether any of the bits is 1; can be an operand."""

    @abstractmethod
    def all(self, text: str, bits: int) -> str:
        """Whether all of the bits are 1; can be an operand."""

    @abstractmethod
    def add(self, first: str, second: str, bits: int) -> str:
        """Sum of two words of `bits` bits, modulo 2^bits."""

    @abstractmethod
    def subtract(self, first: str, second: str, bits: int) -> str:
        """Difference of two words of `bits` bits, modulo 2^bits."""

    @abstractmethod
    def multiply(self, first: str, second: str, spans: tuple[int, int], signed: bool, bits: int) -> str:
        """Product of two words of `spans` bits, both signed or both unsigned, as `bits` bits."""

    @abstractmethod
    def choose(self, condition: str, then: str, otherwise: str) -> str:
        """`then` where the bit `condition` is 1; no operand of anything but another choice's `otherwise`."""

    @abstractmethod
    def choose_below(self, above: str, condition: str, then: str, otherwise: str) -> str:
        """A choice for the low bits, with `above` on top of it in either case."""

    @abstractmethod
    def equal(self, first: str, second: str, bits: int) -> str:
        """Whether two words of `bits` bits are equal; no operand."""

    @abstractmethod
    def look_up(self, table: str, address: str, bits: int) -> str:
        """The entry of a table at an address of `bits` bits."""
