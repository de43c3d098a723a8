"""Declarations, constant tables and functions that the functions of a module share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardwire.emulate._layout import store_type
from hardwire.fixed import Ints


@dataclass
class Globals:
    """Declarations and constants that functions share; written once each, in a fixed order."""

    declared: dict[str, None] = field(default_factory=dict)
    tables: dict[tuple[int, bytes], str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)

    def declare(self, line: str) -> None:
        """Add a declaration."""
        self.declared.setdefault(line)

    def table(self, entries: Ints) -> tuple[str, int, bool]:
        """Name, bytes per entry and signedness of a constant table (padded so that wide reads stay inside)."""
        size, signed = store_type(int(entries.min()), int(entries.max()))
        packed = (entries & ((1 << (8 * size)) - 1) if size < 8 else entries).astype(f"<u{size}").tobytes()
        name = self.tables.setdefault((size, packed), f"@table{len(self.tables)}")
        return name, size, signed

    def numbers(self, values: Ints, size: int) -> str:
        """Name of a constant array of integers of `size` bytes each, modulo their bits."""
        packed = np.ascontiguousarray(values).ravel().astype(f"<i{size}").tobytes()
        return self.tables.setdefault((size, packed), f"@table{len(self.tables)}")

    def text(self) -> str:
        """Everything declared so far."""
        lines = list(self.declared)
        for (_, packed), name in self.tables.items():
            padded = packed + bytes(8)
            lines.append(f'{name} = internal constant [{len(padded)} x i8] c"{escaped(padded)}", align 64')
        return "\n".join(lines) + "\n" + "".join(self.functions.values())


def escaped(data: bytes) -> str:
    """Bytes as the text of an LLVM string constant."""
    return "\\" + data.hex("\\") if data else ""


def constants(name: str, values: Ints) -> str:
    """Line that defines a constant array of 64-bit integers; as a string, which LLVM reads much faster."""
    data = np.ascontiguousarray(values, "<i8").tobytes()
    return f'{name} = internal constant [{len(data)} x i8] c"{escaped(data)}", align 8\n'
