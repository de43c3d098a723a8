"""What the readers of forests share: the Network of one forest, and numbers from untrusted files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.layers._forest import ForestBuilder
from hardwire.network.graph import Network, NetworkBuilder

MAX_FEATURES = 1 << 20
MAX_OUTPUTS = 1 << 12


def forest_network(name: str, source: Mapping[str, Any], forest: ForestBuilder, divisor: int = 1) -> Network:
    """Network of one forest: input `x` (features,), output `margin` (outputs,).

    `source["transform"]` tells what the framework's `predict` does to the margin ("none" where nothing).
    """
    net = NetworkBuilder(name, source)
    x = net.input("x", (forest.features,))
    attrs = {"outputs": forest.outputs, "divisor": divisor}
    return net.build([net.add("trees", "margin", [x], attrs, forest.params())])


def no_extras(label: str, example: Any, weights: Any) -> None:
    """Refuse separate weights; an example is not needed, since forests state their number of features."""
    if weights is not None:
        raise ModelError(f"{label}: a forest carries its leaves itself; weights= is not understood")


def integer(value: Any, label: str, what: str, low: int = 0, high: int = 1 << 31) -> int:
    """Return a whole number from a file (a number, or its decimal text) within bounds."""
    try:
        number = int(value)
        if isinstance(value, bool) or (isinstance(value, float) and value != number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ModelError(f"{label}: {what} is {_shown(value)}, expected a whole number") from None
    if not low <= number <= high:
        raise ModelError(f"{label}: {what} is {number}, expected {low} to {high}")
    return number


def integers(values: Any, label: str, what: str, count: int | None = None) -> list[int]:
    """Return a list of whole numbers from a file, `count` of them where that is known."""
    array = _array(values, label, what, count)
    if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and np.all(array == np.rint(array))):
        raise ModelError(f"{label}: {what} holds values that are no whole numbers")
    if array.dtype.kind == "f" and np.any(np.abs(array) > 2.0**62):
        raise ModelError(f"{label}: {what} holds values out of range")
    return [int(value) for value in array.tolist()]


def reals(values: Any, label: str, what: str, count: int | None = None) -> list[float]:
    """Return a list of numbers from a file as float64; they may be infinite or NaN."""
    array = _array(values, label, what, count)
    if array.dtype.kind not in "fiub":
        raise ModelError(f"{label}: {what} holds values that are no numbers")
    return [float(value) for value in array.tolist()]


def finite(value: float, label: str, what: str) -> float:
    """Return a number that must be finite."""
    if not math.isfinite(value):
        raise ModelError(f"{label}: {what} is {value}", hint="retrain or repair the model")
    return value


def entry(holder: Any, key: str, label: str, kind: type | tuple[type, ...] = object) -> Any:
    """Return `holder[key]` of a file, checked for its type."""
    if not isinstance(holder, Mapping) or key not in holder:
        raise ModelError(f"{label}: {key!r} is missing", hint="save the model again with the library that made it")
    value = holder[key]
    if not isinstance(value, kind):
        raise ModelError(f"{label}: {key!r} is a {type(value).__name__}, which has no meaning there")
    return value


def _array(values: Any, label: str, what: str, count: int | None) -> NDArray[Any]:
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str | bytes):
        raise ModelError(f"{label}: {what} is {_shown(values)}, expected a list")
    try:
        array = np.asarray(values) if len(values) else np.zeros(0, np.int64)
    except (ValueError, TypeError, OverflowError):
        raise ModelError(f"{label}: {what} is no list of numbers") from None
    if array.ndim != 1:
        raise ModelError(f"{label}: {what} is no flat list of numbers")
    if count is not None and len(array) != count:
        raise ModelError(f"{label}: {what} has {len(array)} entries, expected {count}")
    return array


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
