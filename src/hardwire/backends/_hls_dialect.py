"""What differs between the flavours of HLS C++: names of types, and pragmas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dialect:
    """A flavour. Its methods return lines; `name` is a variable's.

    `parallel` says that a whole network is unrolled and takes a frame each clock cycle; otherwise layers are loops.
    """

    flavour: str
    """As `hardwire.backends._headers` calls it."""
    include: str
    """Header of its integers."""
    rom: str
    """How a constant array begins."""
    statics: bool = True
    """Whether functions may have static variables."""

    def type(self, bits: int, signed: bool) -> str:
        """The integer type of so many bits."""
        raise NotImplementedError

    def generic(self, bits: str) -> str:
        """The unsigned type of a number of bits that a template parameter says."""
        raise NotImplementedError

    def function(self) -> list[str]:
        """First lines of a layer's function."""
        return []

    def array(self, name: str, *, registers: bool) -> list[str]:
        """Lines behind the declaration of an array of values, in registers or in a memory."""
        return []

    def array_prefix(self, *, registers: bool) -> str:
        """What stands before the declaration of an array of values."""
        return ""

    def weights(self, name: str, dimensions: int, *, parallel: bool) -> list[str]:
        """Lines in a function that reads a constant array at indices that its loops fix."""
        return []

    def table(self, name: str) -> list[str]:
        """Lines in a function that looks up values in a constant array."""
        return []

    def unrolled(self) -> tuple[list[str], list[str]]:
        """Lines before a loop that becomes parallel hardware, and first lines inside."""
        return [], []

    def pipelined(self) -> tuple[list[str], list[str]]:
        """Lines before a loop that begins a new round each clock cycle, and first lines inside."""
        return [], []
