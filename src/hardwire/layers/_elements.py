"""Small helpers of the element-wise layers: element indices, exact constants, axes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import InternalError, ModelError, RangeError
from hardwire.fixed import MAX_BITS, FixedType, Overflow, Rounding
from hardwire.layers._lowering import Wire
from hardwire.layers._scales import common_scale, each, integer_ratio
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
    pairs = zip(numbers.ravel().tolist(), factors.ravel().tolist(), strict=True)
    out[:] = [Fraction(value) * Fraction(unit) for value, unit in pairs]
    return np.broadcast_to(out.reshape(numbers.shape), shape)


def units(values: NDArray[Any], scale: NDArray[Any] | None, shape: Shape) -> NDArray[Any]:
    """Unit of every constant, `Fraction`s broadcast to `shape`; 0 for a zero, which fits any scale.

    That of an integer code is its `scale`, that of a float64 its lowest set bit: so scales stay powers of two where
    the input's are.
    """
    if scale is not None:
        factors = exact_values(np.abs(scale), None, np.broadcast_shapes(np.shape(scale), values.shape))
        return np.broadcast_to(np.where(np.asarray(values) == 0, np.array(Fraction(0), object), factors), shape)
    bits = np.array(np.frompyfunc(lowest_bit, 1, 1)(exact_values(values, None, values.shape)), object)
    return np.broadcast_to(bits, shape)


def lowest_bit(value: Fraction) -> Fraction:
    """Value of the lowest set bit of a dyadic rational; 0 for 0."""
    return Fraction(value.numerator & -value.numerator, value.denominator)


def joint_scale(shape: Shape, *parts: NDArray[Any]) -> NDArray[Any]:
    """Greatest common scale, element by element, of `Fraction` arrays that broadcast to `shape`."""
    return each(lambda *scales: common_scale(scales), *(np.broadcast_to(part, shape) for part in parts))


def multiple(node: Node, value: Fraction, unit: Fraction, what: str) -> int:
    """Return `value / unit`, an integer; raises `RangeError` naming the layer for one of more than 62 bits."""
    ratio = integer_ratio(value, unit)
    if ratio is None:
        raise InternalError(f"layer {node.name!r}: {what} {float(value):.9g} is no multiple of {float(unit):.3g}")
    if ratio.bit_length() > MAX_BITS:
        raise RangeError(
            f"layer {node.name!r}: {what} {float(value):.9g} needs {ratio.bit_length()} bits at the scale "
            f"{float(unit):.3g} that keeps it exact; values are at most {MAX_BITS} bits wide",
            hint="calibrate the model (calibrate=x), or round the parameter to fewer fractional bits",
        )
    return ratio


def one_scale(wire: Wire, axes: tuple[int, ...]) -> NDArray[Any]:
    """Greatest common scale over `axes` for every element, in the wire's shape."""
    scales = wire.scales()
    moved = np.moveaxis(scales, axes, range(-len(axes), 0))
    lead = moved.shape[: moved.ndim - len(axes)]
    rows = moved.reshape(int(np.prod(lead, dtype=np.int64)), -1)
    out = np.empty(len(rows), object)
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


def operand_shape(node: Node, inputs: Sequence[Shape], what: str) -> Shape:
    """Broadcast shape of two operands: two inputs, or one and the param `constant`.

    Raises `ModelError` naming the layer for another number of them (`what` says of what) or shapes that do not fit.
    """
    operands = [*inputs, node.params["constant"].shape] if "constant" in node.params else list(inputs)
    if len(operands) != 2:
        raise ModelError(f"layer {node.name!r}: {what} of {len(operands)} operands, expected two")
    try:
        return tuple(np.broadcast_shapes(*operands))
    except ValueError:
        raise ModelError(f"layer {node.name!r}: shapes {operands[0]} and {operands[1]} do not broadcast") from None
