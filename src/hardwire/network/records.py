"""What a frontend hands to a layer's import rule: one record per layer of the source format.

An import rule *takes* every attribute that it understands. What is left over when it returns is an error that names
the layer and the attribute: nothing is silently ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError

_MISSING = object()


class Record:
    """A layer of the source model: its `name`, `kind` in the source's own words, attributes and arrays.

    `inputs` are Network tensor names of the variable inputs (a constant operand is in `arrays` instead: keys are
    parameter names for Keras, `"0"`, `"1"`… operand positions for ONNX and PyTorch).
    `versions` carries the source's versions (`opset`, `keras_version`, …) for rules that depend on them.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        inputs: tuple[str, ...],
        attrs: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        versions: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.inputs = inputs
        self.versions = dict(versions or {})
        self._attrs = dict(attrs)
        self._arrays = dict(arrays)

    def take(self, attr: str, default: Any = _MISSING) -> Any:
        """Return an attribute and mark it as understood; without a default, its absence is an error."""
        if attr in self._attrs:
            return self._attrs.pop(attr)
        if default is _MISSING:
            raise UnsupportedError(f"layer {self.name!r} ({self.kind}): attribute {attr!r} is missing")
        return default

    def peek(self, attr: str) -> Any:
        """Return an attribute that a rule takes later."""
        return self._attrs[attr]

    def has(self, attr: str) -> bool:
        """Whether the attribute is there and no rule has taken it."""
        return attr in self._attrs

    def expect(self, attr: str, *allowed: Any) -> Any:
        """Take an attribute that may be absent but must otherwise equal one of `allowed`; returns it."""
        value = self._attrs.pop(attr, allowed[0])
        if not any(type(value) is type(good) and value == good for good in allowed):
            choices = " or ".join(repr(good) for good in allowed)
            raise self.unsupported(attr, value, f"only {choices} is supported")
        return value

    def ignore(self, *attrs: str) -> None:
        """Mark attributes that change nothing at inference (initialisers, regularisers, names)."""
        for attr in attrs:
            self._attrs.pop(attr, None)

    def rest(self) -> dict[str, Any]:
        """Take every attribute that is left, for a rule that hands them to another rule's record."""
        left, self._attrs = self._attrs, {}
        return left

    def array(self, key: str) -> NDArray[Any]:
        """Return a parameter array and mark it as used; its absence is an error."""
        if key not in self._arrays:
            found = ", ".join(sorted(self._arrays)) or "none"
            raise UnsupportedError(
                f"layer {self.name!r} ({self.kind}): parameter {key!r} is not in the file (found: {found})"
            )
        return np.asarray(self._arrays.pop(key))

    def has_array(self, key: str) -> bool:
        """Whether the parameter or constant operand is there."""
        return key in self._arrays

    def array_keys(self) -> tuple[str, ...]:
        """Keys of the arrays that no rule has used so far."""
        return tuple(self._arrays)

    def unsupported(self, attr: str, value: Any, why: str) -> UnsupportedError:
        """Build the error for an attribute value that is understood but not supported."""
        return UnsupportedError(f"layer {self.name!r} ({self.kind}): attribute {attr!r} = {value!r}: {why}")

    def finish(self) -> None:
        """Raise `UnsupportedError` naming attributes or parameters that no rule took."""
        if self._attrs:
            attr, value = next(iter(self._attrs.items()))
            raise UnsupportedError(
                f"layer {self.name!r} ({self.kind}): attribute {attr!r} = {value!r} is not understood",
                hint="set it to its default in the model, or report it with the model file",
            )
        if self._arrays:
            raise UnsupportedError(
                f"layer {self.name!r} ({self.kind}): parameter {next(iter(self._arrays))!r} is not understood"
            )
