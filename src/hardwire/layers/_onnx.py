"""What the ONNX import rules share: operands, axes without the batch, and the quantisers of QONNX.

Operands come in a `Record` as arrays `"0"`, `"1"`… where constant, `"1.scale"` beside them where they are integer codes
with a real factor, and in `Record.inputs` where the model computes them; `versions["variables"]` holds the positions
of the latter. Axes and shapes of the file count the batch (axis 0); the Network's do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import MAX_BITS, Floats, Ints, Overflow, Rounding
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

BATCH = -(1 << 40)
"""Stands for the batch size in a constant shape that the model computes from its input's shape."""

ROUNDINGS = {
    "ROUND": Rounding.RND_CONV,
    "HALF_EVEN": Rounding.RND_CONV,
    "CEIL": Rounding.CEIL,
    "FLOOR": Rounding.TRN,
    "UP": Rounding.AWAY,
    "DOWN": Rounding.TRN_ZERO,
    "ROUND_TO_ZERO": Rounding.TRN_ZERO,
    "HALF_UP": Rounding.RND_INF,
    "HALF_DOWN": Rounding.RND_ZERO,
}
"""QONNX `rounding_mode` (docs/qonnx-custom-ops/intquant_v1.md, its table of examples) to ours."""


def opset(record: Record) -> int:
    """Version of the standard operators that the model was written for."""
    return int(record.versions["opset"])


def data(record: Record, what: str = "operand") -> str:
    """Return the tensor of operand 0 of a rule whose other operands must be constants."""
    variables = tuple(record.versions["variables"])
    for position in variables:
        if position != 0:
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): {what} {position} is computed by the model; only a constant "
                "is supported there",
                hint="export the model with its parameters as initialisers, in inference mode",
            )
    if variables != (0,):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): operand 0 is missing")
    return record.inputs[0]


def has(record: Record, position: int) -> bool:
    """Whether operand `position` is a constant of the model."""
    return record.has_array(str(position))


def scaled(record: Record, position: int) -> tuple[NDArray[Any], Floats | None]:
    """Return constant operand `position` as (integer codes, scale of the same shape), or (values, None)."""
    key = str(position)
    if not record.has_array(key):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): operand {position} is missing")
    values = record.array(key)
    scale = record.array(f"{key}.scale") if record.has_array(f"{key}.scale") else None
    if values.dtype.kind not in "fiub":
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): operand {position} holds {values.dtype}")
    if scale is None:
        with np.errstate(invalid="ignore"):  # a signalling NaN; what takes the value refuses it
            return values.astype(np.float64 if values.dtype.kind == "f" else np.int64), None
    if _powers_of_two(scale):
        return values * scale, None
    return values.astype(np.int64), scale


def constant(record: Record, position: int) -> NDArray[Any]:
    """Return constant operand `position` as exact float64 or int64 values."""
    values, scale = scaled(record, position)
    return values if scale is None else exact_product(record, values, scale)


def scalar(record: Record, position: int, default: float) -> float:
    """Return an optional one-element constant operand."""
    if not has(record, position):
        return default
    values = constant(record, position)
    if values.size != 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): operand {position} has the shape {values.shape}, expected a scalar"
        )
    return float(values.ravel()[0])


def _powers_of_two(scale: Floats) -> bool:
    return bool(np.all(np.abs(np.frexp(scale)[0]) == 0.5))


def exact_product(record: Record, codes: NDArray[Any], scale: Floats) -> Floats:
    """`codes × scale` in float64; refused where the product would be rounded."""
    product = np.asarray(codes * scale, np.float64)
    bits = int(np.abs(codes).max(initial=0)).bit_length()
    # A float32 scale has 24 bits, float64 holds 53.
    if bits > 29 or not np.array_equal(scale.astype(np.float32), scale):
        pairs = zip(codes.flat, np.broadcast_to(scale, codes.shape).flat, product.flat, strict=True)
        if any(int(code) * Fraction(float(unit)) != Fraction(float(value)) for code, unit, value in pairs):
            raise UnsupportedError(
                f"layer {record.name!r} ({record.kind}): a constant of {bits}-bit codes with this scale has no exact "
                "float64 value",
                hint="one scale for the whole tensor or for each output channel, or a power-of-two scale",
            )
    return product


def without_batch(record: Record, array: NDArray[Any], shape: Shape, what: str) -> NDArray[Any]:
    """Return an array that broadcasts against a tensor of `shape` (no batch), its own batch axis of 1 dropped."""
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(shape):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): {what} of shape {array.shape} would act on the batch axis of a "
            f"tensor {('batch', *shape)}"
        )
    return array


def axis_of(record: Record, axis: int, rank: int) -> int:
    """Axis without the batch of the file's `axis`, for a tensor of `rank` axes without the batch."""
    full = rank + 1
    if not -full <= axis < full:
        raise record.unsupported("axis", axis, f"the tensor has {full} axes, the batch among them")
    if axis % full == 0:
        raise record.unsupported("axis", axis, "the batch axis (0) cannot be worked on; events are independent")
    return axis % full - 1


def axes(record: Record) -> list[int] | None:
    """Return `axes` from the attribute (opset < 13) or operand 1; None where absent."""
    if has(record, 1):
        return [int(axis) for axis in constant(record, 1).ravel()]
    found = record.take("axes", None)
    return None if found is None else [int(axis) for axis in found]


def target_shape(record: Record, target: Sequence[int], shape: Shape, *, allow_zero: bool = False) -> Shape:
    """Shape without the batch that ONNX `Reshape` to `target` gives a tensor of `shape` (no batch).

    The first entry is the batch: 0, -1, 1, the model's fixed batch, or computed from an input's shape.
    """
    size = int(np.prod(shape, dtype=np.int64))
    fixed = record.versions.get("batch")
    entries = list(target)

    def refused(why: str) -> UnsupportedError:
        shown = ["batch" if entry == BATCH else entry for entry in entries]
        return UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a tensor {('batch', *shape)} cannot become {shown}: {why}",
            hint="keep the batch on axis 0; reshape the axes behind it",
        )

    if not entries:
        raise refused("the batch axis is lost")
    first, rest = entries[0], entries[1:]
    if BATCH in rest:
        raise refused("the batch axis would move")
    out: list[int] = []
    for at, entry in enumerate(rest):
        if entry == 0 and not allow_zero:
            if at >= len(shape):
                raise refused(f"entry {at + 1} copies an axis that the tensor does not have")
            out.append(shape[at])
        elif entry == 0 or entry < -1:
            raise refused(f"entry {at + 1} is {entry}")
        else:
            out.append(int(entry))
    known = int(np.prod([entry for entry in out if entry != -1], dtype=np.int64))
    if out.count(-1) > 1 or (first == -1 and -1 in out):
        raise refused("more than one -1")
    if -1 in out:
        if known == 0 or size % known:
            raise refused(f"{size} elements do not divide by {known}")
        out[out.index(-1)] = size // known
    elif known != size:
        raise refused(f"an event has {size} elements, not {known}; events would be mixed")
    if first not in (BATCH, -1, 1) and not (first == 0 and not allow_zero) and first != fixed:
        raise refused(f"its first entry {first} is not the batch size")
    return tuple(out)


def quant_parts(record: Record) -> tuple[NDArray[Any], NDArray[Any], Ints, Ints, Rounding]:
    """Scale, zero point, lowest and highest code, rounding of a QONNX `Quant`/`IntQuant` record (operands 1 to 3)."""
    scale, zero, bits = constant(record, 1), constant(record, 2), constant(record, 3)
    signed, narrow = record.expect("signed", 1, 0), record.expect("narrow", 0, 1)
    lo, hi = integer_range(record, bits, signed, narrow)
    return scale, whole(record, zero, "zero point"), lo, hi, rounding_of(record, "ROUND")


def float_quant_parts(record: Record) -> tuple[NDArray[Any], int, int, int, float | None, Rounding]:
    """Scale, exponent bits, mantissa bits, bias, largest value, rounding of a QONNX `FloatQuant` record."""
    scale = constant(record, 1)
    if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a scale of {np.ravel(scale)[0]}; it must be positive")
    exponent, mantissa = (int(whole(record, np.asarray(scalar(record, k, -1.0)), "bit width")) for k in (2, 3))
    if not (exponent >= 1 and mantissa >= 0 and (1 << exponent) + mantissa < MAX_BITS):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): floats of {exponent} exponent and {mantissa} mantissa bits; as "
            f"fixed-point values they have at most {MAX_BITS} bits"
        )
    bias = int(whole(record, np.asarray(scalar(record, 4, 2.0 ** (exponent - 1) - 1)), "exponent bias"))
    most = scalar(record, 5, np.inf)
    if not most > 0:
        raise ModelError(f"layer {record.name!r} ({record.kind}): a largest value of {most}; it must be positive")
    record.expect("saturation", 1)  # else infinity and NaN stand for values beyond
    record.ignore("has_inf", "has_nan", "has_subnormal", "signed")  # what the codes hold; the operator works alike
    return scale, exponent, mantissa, bias, None if most == np.inf else most, rounding_of(record, "ROUND")


def integer_range(record: Record, bits: NDArray[Any], signed: int, narrow: int) -> tuple[Ints, Ints]:
    """Lowest and highest code of QONNX integers of `bits` bits (any shape)."""
    count = whole(record, bits, "bit width")
    if np.any(count < 1) or np.any(count > MAX_BITS):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a bit width of {int(count.flat[0])}; 1 to {MAX_BITS} are possible"
        )
    one = np.int64(1)
    if signed:
        half = one << (count - 1)
        return -half + narrow, half - 1
    return np.zeros_like(count), (one << count) - 1 - narrow


def rounding_of(record: Record, default: str) -> Rounding:
    """Take `rounding_mode`, in upper or lower case."""
    mode = record.take("rounding_mode", default)
    try:
        return ROUNDINGS[str(mode).upper()]
    except KeyError:
        raise record.unsupported("rounding_mode", mode, f"known are {', '.join(ROUNDINGS)}") from None


def whole(record: Record, values: NDArray[Any], what: str) -> Ints:
    """Return values that must be whole numbers as int64."""
    if not (np.all(np.isfinite(values)) and np.all(values == np.rint(values)) and np.all(np.abs(values) < 2.0**62)):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): the {what} is {np.ravel(values)[0]}; only whole numbers have an "
            "integer meaning"
        )
    return np.asarray(values).astype(np.int64)


def quantiser_for(
    record: Record,
    net: NetworkBuilder,
    x: str,
    parts: tuple[NDArray[Any], NDArray[Any], Ints, Ints, Rounding],
    *,
    zero_first: bool,
) -> Quantiser:
    """Quantiser of a computed tensor; each part broadcasts against it with or without a batch axis of 1."""
    shape = net.shape(x)
    scale, zero, lo, hi, mode = parts
    if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a scale of {np.ravel(scale)[0]}; it must be positive")
    fitted = [
        without_batch(record, np.asarray(part), shape, what)
        for part, what in ((scale, "a scale"), (lo, "a bit width"), (hi, "a bit width"), (zero, "a zero point"))
    ]
    return Quantiser(
        np.asarray(fitted[0], np.float64), fitted[1], fitted[2], mode, Overflow.SAT, fitted[3], zero_first=zero_first
    )
