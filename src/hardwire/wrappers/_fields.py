"""Where the elements of the core's buses lie in the wide words of a wrapper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hardwire.schedule.circuit import Bus, Element
from hardwire.wrappers._options import WrapperError


@dataclass(frozen=True)
class Field:
    """Bits `offset … offset + width - 1` of a word; an element that is narrower is extended by its sign or by zeros."""

    bus: str
    index: int
    """Number of the element on its bus."""
    element: Element
    offset: int
    width: int


@dataclass(frozen=True)
class Word:
    """All elements of all buses of one side, the first element of the first bus in the lowest bits."""

    buses: tuple[Bus, ...]
    fields: tuple[Field, ...]
    width: int
    """Bits in all, at least 1."""

    @property
    def bytes(self) -> int:
        """The bytes that hold the word."""
        return (self.width + 7) // 8

    def describe(self, port: str) -> dict[str, Any]:
        """The word in `wrapper_ports.json`."""
        fields = [
            {
                "bus": field.bus,
                "element": field.index,
                "offset": field.offset,
                "width": field.width,
                "signed": field.element.signed,
                "bus_offset": field.element.offset,
                "bus_width": field.element.width,
            }
            for field in self.fields
        ]
        return {"port": port, "width": self.width, "fields": fields}


def word_of(buses: Sequence[Bus], field: str) -> Word:
    """Lay the elements out; `field` is the room that each takes.

    `packed`: its own bits; `bytes`: whole bytes; `array`: 8, 16, 32 or 64 bits, the least that holds every element, so
    that the word is a C array of `int8_t` and so on; a number: so many bits; `14/12/11/_27`: those of a structure's
    members in turn, 27 bits left free behind every third. An input element that has one value takes no bits when
    packed, and keeps its place otherwise.
    Raises `WrapperError` for an element that is wider than its field, or a bus that is no row of whole structures.
    """
    widest = max((e.width for bus in buses for e in bus.elements), default=1)
    room = _rooms(field, widest)
    fields: list[Field] = []
    offset = 0
    for bus in buses:
        if len(bus.elements) % len(room):
            raise WrapperError(
                f"port {bus.port.name!r}: {len(bus.elements)} elements are no row of structures {field} of {len(room)}",
                hint="as many numbers as a structure has elements",
            )
        for k, element in enumerate(bus.elements):
            before, width, behind = room[k % len(room)]
            if field == "packed":
                width = element.width
            elif field == "bytes":
                width = 8 * max(1, -(-element.width // 8))
            if width < element.width:
                raise WrapperError(
                    f"port {bus.port.name!r}: element {k} has {element.width} bits and does not fit a field of {width}",
                    hint=f"fields of {widest} bits or more, `bytes`, `array` or `packed`",
                )
            fields.append(Field(bus.name, k, element, offset + before, width))
            offset += before + width + behind
    return Word(tuple(buses), tuple(fields), max(1, offset))


def _rooms(field: str, widest: int) -> list[tuple[int, int, int]]:
    """Free bits before, bits, and free bits behind an element, for the elements of a structure."""
    if field == "array":
        return [(0, next(width for width in (8, 16, 32, 64) if width >= widest), 0)]
    if not field[0].isdigit() and field[0] != "_":
        return [(0, 0, 0)]  # Each element has its own.
    rooms: list[tuple[int, int, int]] = []
    free = 0
    for part in field.split("/"):
        if not part.startswith("_"):
            rooms.append((free, int(part), 0))
            free = 0
        elif rooms:
            before, width, behind = rooms[-1]
            rooms[-1] = (before, width, behind + int(part[1:]))
        else:
            free += int(part[1:])
    return rooms


def bus_words(buses: Sequence[Bus]) -> list[Word]:
    """A word a bus, as the core has them."""
    return [word_of([bus], "packed") for bus in buses]


def unpack(word: Word, name: str) -> list[str]:
    """Verilog that assigns every bus of the core from the word's wire `name`."""
    lines = []
    for bus in word.buses:
        runs: list[tuple[int, int, int, int]] = []  # offset in the word, bits, first and last element
        for field in word.fields:
            if field.bus != bus.name or not field.element.width:
                continue
            if runs and runs[-1][0] + runs[-1][1] == field.offset:
                offset, bits, first, _ = runs[-1]
                runs[-1] = (offset, bits + field.element.width, first, field.index)
            else:
                runs.append((field.offset, field.element.width, field.index, field.index))
        pieces = [(span(name, offset, bits), first, last) for offset, bits, first, last in runs]
        lines += _assign(bus.name, pieces or [("1'b0", -1, -1)])
    return lines


def pack(word: Word, name: str) -> list[str]:
    """Verilog that assigns the word's wire `name` from the buses of the core."""
    pieces: list[tuple[str, int, int]] = []
    run: tuple[str, int, int, int, int] | None = None  # bus, offset on it, bits, first and last element
    end = 0
    for field in word.fields:
        element = field.element
        if run is not None and (run[0], run[1] + run[2], end) == (field.bus, element.offset, field.offset):
            run = (run[0], run[1], run[2] + element.width, run[3], field.index)
        else:
            if run is not None:
                pieces.append((span(*run[:3]), *run[3:]))
            if field.offset > end:
                pieces.append((f"{field.offset - end}'d0", -1, -1))
            run = (field.bus, element.offset, element.width, field.index, field.index)
        extension = field.width - element.width
        if extension:
            sign = span(field.bus, element.offset + element.width - 1, 1) if element.signed else "1'b0"
            pieces.append((f"{{{extension}{{{sign}}}}}, {span(*run[:3])}", *run[3:]))
            run = None
        end = field.offset + field.width
    if run is not None:
        pieces.append((span(*run[:3]), *run[3:]))
    if word.width > end:
        pieces.append((f"{word.width - end}'d0", -1, -1))
    return _assign(name, pieces)


def _assign(name: str, pieces: list[tuple[str, int, int]]) -> list[str]:
    if len(pieces) == 1 and "," not in pieces[0][0]:
        return [f"assign {name} = {pieces[0][0]};"]
    lines = [f"assign {name} = {{"]
    for k, (text, first, last) in enumerate(reversed(pieces)):
        which = f"element {first}" if first == last else f"elements {first} to {last}"
        which = which if first >= 0 else "nothing"
        lines.append(f"    {text}{',' if k < len(pieces) - 1 else ''}  // {which}")
    return [*lines, "};"]


def span(name: str, offset: int, width: int) -> str:
    """A part select."""
    return f"{name}[{offset}]" if width == 1 else f"{name}[{offset + width - 1}:{offset}]"
