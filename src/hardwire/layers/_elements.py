"""Small helpers of the element-wise layers: element indices, exact constants, axes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, FixedType, Overflow, Rounding
from hardwire.layers._lowering import Wire
from hardwire.layers._scales import common_scale, integer_ratio
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


def element(shape: Shape, at: tuple[int, ...]) -> tuple[int, ...]:
    """Index into a tensor of `shape` that stands for element `at` of a kernel's block.

    Leading axes that `Lowering.elementwise` made positions are uniform: any of their elements stands for all.
    """
    return (0,) * (len(shape) - len(at)) + at if shape else ()


def exact_values(values: NDArray[Any], scale: NDArray[Any] | None, shape: Shape) -> NDArray[Any]:
    """Real or integer `values` (times float64 `scale`, if any) as exact `Fraction`s broadcast to `shape`."""
    factor = np.ones(()) if scale is None else np.asarray(scale)
    numbers, factors = np.broadcast_arrays(values, factor)
    out = np.empty(numbers.size, object)
    out[:] = [Fraction(v) * Fraction(f) for v, f in zip(numbers.ravel().tolist(), factors.ravel().tolist(), strict=True)]
    return np.broadcast_to(out.reshape(numbers.shape), shape)


def objects(shape: Shape) -> NDArray[Any]:
    """Return an empty object array of `shape`."""
    return np.empty(shape, object)


def multiple(node: Node, value: Fraction, unit: Fraction, what: str) -> int:
    """Return `value / unit`, an integer; raises `RangeError` naming the layer for one of more than 62 bits."""
    ratio = integer_ratio(value, unit)
    if ratio is None:
        raise RangeError(f"layer {node.name!r}: {what} {float(value):.9g} is no multiple of {float(unit):.3g}")
    if ratio.bit_length() > MAX_BITS:
        raise too_fine(node, what, value, ratio.bit_length())
    return ratio


def too_fine(node: Node, what: str, value: Fraction, bits: int) -> RangeError:
    """Build the error for a constant that needs more fractional bits than a Program can hold."""
    return RangeError(
        f"layer {node.name!r}: {what} {float(value):.9g} needs {bits} bits at this layer's scale; "
        f"values are at most {MAX_BITS} bits wide",
        hint="calibrate the model (calibrate=x), or round the parameter to fewer fractional bits",
    )


def one_scale(wire: Wire, axes: tuple[int, ...]) -> NDArray[Any]:
    """Greatest common scale over `axes` for every element, in the wire's shape."""
    scales = wire.scales()
    moved = np.moveaxis(scales, axes, range(-len(axes), 0))
    lead = moved.shape[: moved.ndim - len(axes)]
    rows = moved.reshape(int(np.prod(lead, dtype=np.int64)), -1)
    out = objects((len(rows),))
    out[:] = [common_scale(set(row.tolist())) for row in rows]
    spread = np.broadcast_to(out.reshape(*lead, *(1,) * len(axes)), moved.shape)
    return np.moveaxis(spread, range(-len(axes), 0), axes)


def checked_axis(node: Node, axis: int, rank: int) -> int:
    """Return a non-negative axis (the batch axis not counted); raises `ModelError` for one that is not there."""
    if not -rank <= axis < rank:
        raise ModelError(f"layer {node.name!r}: axis {axis} does not exist in a tensor of {rank} axes")
    return axis % rank


def quantised_input(net: NetworkBuilder, shape: Shape, kind: str = "s6.3", name: str = "x") -> str:
    """Add an input and its quantiser node to an example's network; returns the quantised tensor."""
    tensor = net.input(name, shape)
    quantiser = Quantiser.of_type(FixedType.parse(kind), Rounding.RND, Overflow.SAT)
    return net.add("quantise", f"q_{name}", [tensor], {"quantiser": quantiser})
