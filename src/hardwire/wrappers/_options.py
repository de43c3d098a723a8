"""What a user may choose for a wrapper when it is written; the Verilog's parameters may still change most of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hardwire.errors import HardwireError

RESETS = {
    "sync-high": (False, False),
    "sync-low": (False, True),
    "async-high": (True, False),
    "async-low": (True, True),
}
"""Name of a reset → (asynchronous, active low)."""

FIELDS = ("packed", "bytes", "array")
"""Kinds of fields that go by name."""

_STRUCTURE = r"_?[1-9][0-9]{0,4}(/_?[1-9][0-9]{0,4})*"
"""A number of bits, or those of a structure's members in turn, `14/12/11/_27`; `_27` are bits that hold nothing."""


class WrapperError(HardwireError):
    """No such wrapper or option, or one that does not fit the circuit."""

    exit_code = 2


@dataclass(frozen=True)
class Options:
    """Choices for a wrapper; None leaves one to the wrapper."""

    reset: str | None = None
    """A key of `RESETS`."""
    latency: int | None = None
    """Clock cycles, the default of the Verilog's parameter LATENCY; at least what the core and the wrapper need."""
    in_field: str | None = None
    """The field that an input element takes: `packed`, `bytes`, `array`, a number of bits, or several in turn."""
    out_field: str | None = None
    in_width: int | None = None
    """Bits of a stream's input beat; fewer than the vector has make several beats a vector."""
    out_width: int | None = None
    user_width: int | None = None
    """Bits of a stream's TUSER."""


_PLAIN = {"latency", "in_width", "out_width", "user_width"}
_BOTH = {"field": ("in_field", "out_field"), "data_width": ("in_width", "out_width")}


def parse(text: str, wrapper: str, known: Sequence[str]) -> Options:
    """Read `OPTION=VALUE,…`. Raises `WrapperError` that names the option and what it may be."""
    chosen: dict[str, str | int] = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        key, _, value = part.partition("=")
        if key not in known:
            raise WrapperError(
                f"wrapper {wrapper}: option {key!r} is unknown", hint=f"NAME=VALUE with one of {', '.join(known)}"
            )
        for name in _BOTH.get(key, (key,)):
            chosen[name] = _value(wrapper, name, value)
    return Options(**chosen)  # type: ignore[arg-type]


def _value(wrapper: str, name: str, value: str) -> str | int:
    if name == "reset":
        if value not in RESETS:
            raise WrapperError(f"wrapper {wrapper}: reset {value!r} is unknown", hint=f"one of {', '.join(RESETS)}")
        return value
    if name in _PLAIN:
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
            raise WrapperError(f"wrapper {wrapper}: {name} {value!r} is no positive whole number")
        return int(value)
    if value not in FIELDS and not (re.fullmatch(_STRUCTURE, value) and re.search(r"(^|/)\d", value)):
        raise WrapperError(
            f"wrapper {wrapper}: field {value!r} is unknown",
            hint=f"{', '.join(FIELDS)}, a number of bits, or those of a structure's members, as 14/12/11/_27",
        )
    return value
