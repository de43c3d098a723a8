"""Universal Binary JSON (ubjson.org, draft 12) as XGBoost writes it: containers, typed arrays, big-endian numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.frontends._archive import MAX_JSON_DEPTH, broken

_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_CONSTANTS: dict[bytes, Any] = {b"Z": None, b"T": True, b"F": False}


def parse_ubjson(data: bytes, label: str) -> Any:
    """Parse a document; typed arrays of numbers become numpy arrays, float32 ones keep their type.

    Raises `ModelError` naming the file for damage or excessive depth.
    """
    reader = _Reader(data, label)
    value = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise broken(label, f"{len(data) - reader.at} bytes follow the model")
    return value


class _Reader:
    """A position in the bytes of a document."""

    def __init__(self, data: bytes, label: str) -> None:
        self.data = data
        self.label = label
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > len(self.data) - self.at:
            raise broken(self.label, "it ends in the middle of the model")
        part = self.data[self.at : self.at + count]
        self.at += count
        return part

    def value(self, marker: bytes, depth: int) -> Any:
        """Return the value that a type marker begins."""
        if depth > MAX_JSON_DEPTH:
            raise ModelError(f"model {self.label}: nested deeper than {MAX_JSON_DEPTH} levels")
        if marker == b"{":
            return self._object(depth)
        if marker == b"[":
            return self._array(depth)
        if marker in (b"S", b"H"):
            return self._text()
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self._number(marker)

    def _number(self, marker: bytes) -> Any:
        if marker not in _NUMBERS:
            raise broken(self.label, f"{marker!r} at byte {self.at - 1} is no type of UBJSON")
        kind = np.dtype(_NUMBERS[marker])
        (number,) = np.frombuffer(self.take(kind.itemsize), kind)
        return number.item()

    def _length(self) -> int:
        length = self._number(self.take(1))
        if not isinstance(length, int) or length < 0:
            raise broken(self.label, f"a length of {length} at byte {self.at}")
        return length

    def _text(self) -> str:
        return self.take(self._length()).decode("utf-8", "replace")

    def _peek(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def _header(self) -> tuple[bytes | None, int | None]:
        """Type of all entries and their number, where the container says them."""
        kind = None
        if self._peek() == b"$":
            self.take(1)
            kind = self.take(1)
            if self._peek() != b"#":
                raise broken(self.label, f"a typed container without a length at byte {self.at}")
        if self._peek() == b"#":
            self.take(1)
            length = self._length()
            if kind not in _CONSTANTS and length > len(self.data) - self.at:
                raise broken(self.label, f"a container of {length} entries at byte {self.at}, more than the file holds")
            return kind, length
        return None, None

    def _array(self, depth: int) -> Any:
        kind, length = self._header()
        if kind in _NUMBERS and length is not None:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(length * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        if kind in _CONSTANTS:
            raise broken(self.label, "an array of constants")
        items: list[Any] = []
        while length is None or len(items) < length:
            marker = kind or self._marker()
            if length is None and marker == b"]":
                break
            items.append(self.value(marker, depth + 1))
        return items

    def _object(self, depth: int) -> dict[str, Any]:
        kind, length = self._header()
        if kind in _CONSTANTS:
            raise broken(self.label, "an object of constants")
        found: dict[str, Any] = {}
        while length is None or len(found) < length:
            if length is None and self._peek() == b"}":
                self.take(1)
                break
            key = self._text()
            if key in found:
                raise broken(self.label, f"{key!r} stands twice in one object")
            found[key] = self.value(kind or self._marker(), depth + 1)
        return found

    def _marker(self) -> bytes:
        """Return the next marker; `N` fills space."""
        marker = self.take(1)
        while marker == b"N":
            marker = self.take(1)
        return marker
