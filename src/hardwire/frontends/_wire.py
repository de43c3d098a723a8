"""Protocol-buffer messages read field by field, without their schemas: wire format of protobuf.dev/encoding.

Enough for the few messages that TensorFlow files need; the caller knows the field numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

from hardwire.frontends._archive import broken

_MAX_FIELDS = 4_000_000


class Message:
    """The fields of one message by number; `label` names the file in errors."""

    def __init__(self, data: bytes, label: str) -> None:
        self.label = label
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in _fields(data, label):
            self._fields.setdefault(number, []).append(value)

    def number(self, field: int, default: int = 0) -> int:
        """Return an integer field (unsigned, as it stands on the wire); its last value counts."""
        value = self._fields.get(field, [default])[-1]
        if not isinstance(value, int):
            raise broken(self.label, f"field {field} of a message is no number")
        return value

    def signed(self, field: int) -> int:
        """Return an `int64` field."""
        value = self.number(field)
        return value - (1 << 64) if value >> 63 else value

    def bytes_list(self, field: int) -> list[bytes]:
        """Return all values of a field of bytes."""
        values = self._fields.get(field, [])
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) != len(values):
            raise broken(self.label, f"field {field} of a message holds numbers instead of bytes")
        return found

    def text(self, field: int) -> str:
        """Return a string field, empty where it is missing."""
        values = self.bytes_list(field)
        return values[-1].decode("utf-8", "replace") if values else ""

    def texts(self, field: int) -> list[str]:
        """Return all values of a string field."""
        return [value.decode("utf-8", "replace") for value in self.bytes_list(field)]

    def message(self, field: int) -> Message | None:
        """Return a field that is a message, None where it is missing."""
        values = self.bytes_list(field)
        return Message(values[-1], self.label) if values else None

    def messages(self, field: int) -> list[Message]:
        """Return all values of a field of messages."""
        return [Message(value, self.label) for value in self.bytes_list(field)]


def varint(data: bytes, place: int, label: str) -> tuple[int, int]:
    """Read a variable-length integer; returns it and the place behind it."""
    value = shift = 0
    while shift < 70 and place < len(data):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & ((1 << 64) - 1), place
        shift += 7
    raise broken(label, f"a number at byte {place} has no end")


def _fields(data: bytes, label: str) -> Iterator[tuple[int, int | bytes]]:
    place = count = 0
    while place < len(data):
        tag, place = varint(data, place, label)
        number, form = tag >> 3, tag & 7
        value: int | bytes
        if form == 0:
            value, place = varint(data, place, label)
        elif form in (1, 2, 5):
            size = {1: 8, 5: 4}.get(form, 0)
            if form == 2:
                size, place = varint(data, place, label)
            value = data[place : place + size]
            place += size
            if place > len(data):
                raise broken(label, f"field {number} of a message reaches over its end")
            if form != 2:
                value = int.from_bytes(value, "little")
        else:
            raise broken(label, f"field {number} of a message has the unknown form {form}")
        count += 1
        if number == 0 or count > _MAX_FIELDS:
            raise broken(label, "a message holds impossible fields")
        yield number, value
