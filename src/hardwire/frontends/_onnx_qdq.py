"""`QuantizeLinear` and `DequantizeLinear`: how standard ONNX writes a quantiser.

A pair around a tensor is one quantiser; `DequantizeLinear` of constants gives codes with their scale. Between the two
the Network carries the real values that the integers stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats, Ints, Overflow, Rounding
from hardwire.frontends._onnx_constants import Constant
from hardwire.layers import _onnx as rules
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

RANGES = {
    2: (0, 255),  # TensorProto.UINT8
    3: (-128, 127),  # INT8
    4: (0, 65535),  # UINT16
    5: (-32768, 32767),  # INT16
    6: (-(1 << 31), (1 << 31) - 1),  # INT32
    7: (-(1 << 31), (1 << 31) - 1),  # INT64, of which a port takes 32 bits and saturates
    9: (0, 1),  # BOOL
    12: (0, (1 << 32) - 1),  # UINT32
    21: (0, 15),  # UINT4
    22: (-8, 7),  # INT4
    25: (0, 3),  # UINT2
    26: (-2, 1),  # INT2
}
"""Lowest and highest code of the ONNX integer types, by `TensorProto.DataType`."""


@dataclass(frozen=True, eq=False)
class Integers:
    """What an integer tensor of the file is in the Network.

    With a `quantiser`, the Network's tensor holds the real values `(code - zero) × scale` and the codes themselves are
    not there; without one it holds the integers.
    """

    quantiser: Quantiser | None = None
    wide: bool = True
    """Whether its type has 32 bits at least, so that counting with it does not wrap."""

    @property
    def per_tensor(self) -> bool:
        """Whether every element has the same scale and zero point, so that reshapes change nothing."""
        q = self.quantiser
        return q is None or (np.ndim(q.scale) == 0 and np.ndim(q.zero) == 0)


def _parameters(record: Record, shape: Shape | None, rank: int) -> tuple[Floats, Ints]:
    """Scale and zero point: scalars, or shaped to broadcast along `axis` of a tensor of `rank` axes (batch counted).

    `shape`: that of a computed tensor without the batch, or None for a constant, whose axis 0 is no batch.
    """
    axis = int(record.take("axis", 1))
    if record.take("block_size", 0):
        raise record.unsupported("block_size", "> 0", "scales in blocks are not supported")
    scale = np.asarray(rules.constant(record, 1), np.float64)
    zero = rules.whole(record, rules.constant(record, 2), "zero point") if rules.has(record, 2) else np.int64(0)
    if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a scale of {np.ravel(scale)[0]}; it must be positive")
    if scale.size == 1:
        if np.size(zero) != 1:
            raise ModelError(f"layer {record.name!r} ({record.kind}): {np.size(zero)} zero points for one scale")
        return scale.reshape(()), np.asarray(zero).reshape(())
    if scale.ndim != 1 or np.size(zero) not in (1, scale.size):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): scales of shape {scale.shape} with zero points of shape "
            f"{np.shape(zero)}; one value or one for each channel are supported"
        )
    if not -rank <= axis < rank:
        raise record.unsupported("axis", axis, f"the tensor has {rank} axes")
    if shape is not None:
        at, rank = rules.axis_of(record, axis, len(shape)), len(shape)
    else:
        at = axis % rank
    spread = tuple(-1 if i == at else 1 for i in range(rank))
    zeros = np.broadcast_to(np.ravel(zero), scale.shape).reshape(spread)
    return scale.reshape(spread), np.asarray(zeros, np.int64)


def _codes_range(record: Record, zero_type: int) -> tuple[int, int]:
    """Range of the codes of a `QuantizeLinear`: the type of its zero point, or `output_dtype`; uint8 by default."""
    named = int(record.take("output_dtype", 0))
    if named and zero_type and named != zero_type:
        raise record.unsupported("output_dtype", named, f"the zero point has the type {zero_type}")
    kind = named or zero_type or 2
    if kind not in RANGES or kind == 9:
        raise record.unsupported("output_dtype", kind, "only integer types have codes (no float8)")
    # `saturate` speaks of float8 only; `precision` of the float type of the division, which is exact here.
    record.ignore("saturate", "precision")
    return RANGES[kind]


def quantise(record: Record, net: NetworkBuilder, zero_type: int) -> tuple[str, Integers]:
    """Import a `QuantizeLinear` of a computed tensor; `zero_type` is its zero point's ONNX type, 0 if absent."""
    x = rules.data(record)
    shape = net.shape(x)
    lo, hi = _codes_range(record, zero_type)
    scale, zero = _parameters(record, shape, len(shape) + 1)
    quantiser = Quantiser(
        scale, np.asarray(np.int64(lo)), np.asarray(np.int64(hi)), Rounding.RND_CONV, Overflow.SAT, zero
    )
    return net.add("quantise", record.name, [x], {"quantiser": quantiser}), Integers(quantiser)


def quantise_constant(record: Record, zero_type: int) -> Constant:
    """Codes of a constant, divided in its own float type."""
    x = record.array("0")
    lo, hi = _codes_range(record, zero_type)
    scale, zero = _parameters(record, None, x.ndim)
    if not np.all(np.isfinite(x)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): its constant holds {x[~np.isfinite(x)].ravel()[0]}")
    unit = scale.astype(x.dtype)
    if np.any(unit == 0):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a scale that {x.dtype} cannot hold")
    with np.errstate(over="ignore"):  # an infinite quotient is clipped
        rounded = np.rint((x / unit).astype(np.float64))
    return Constant(np.clip(rounded + zero, lo, hi).astype(np.int64))


def dequantise(record: Record, net: NetworkBuilder, integers: Integers) -> str:
    """Import a `DequantizeLinear` of a computed tensor."""
    x = rules.data(record)
    shape = net.shape(x)
    record.ignore("output_dtype")
    scale, zero = _parameters(record, shape, len(shape) + 1)
    own = integers.quantiser
    if own is not None:
        if not (_equal(own.scale, scale, shape) and _equal(own.zero, zero, shape)):
            raise UnsupportedError(
                f"layer {record.name!r} (DequantizeLinear): its scale or zero point differs from those of the "
                "QuantizeLinear that made its input",
                hint="quantise and dequantise with the same parameters; multiply by a constant for another scale",
            )
        return x
    if np.any(zero):
        x = net.add("sub", f"{record.name}_zero", [x], {}, {"constant": zero})
    return net.add("mul", record.name, [x], {}, {"constant": scale})


def clip(record: Record, net: NetworkBuilder, integers: Integers) -> tuple[str, Integers]:
    """Import a `Clip` of codes, which is how QCDQ models (Brevitas) write a quantiser of fewer bits than 8."""
    x = rules.data(record)
    own = integers.quantiser
    limits = [
        rules.whole(record, rules.constant(record, at), "limit") if rules.has(record, at) else None for at in (1, 2)
    ]
    if own is None or any(limit is not None and limit.size != 1 for limit in limits):
        raise UnsupportedError(f"layer {record.name!r} (Clip): its limits must be single codes of a QuantizeLinear")
    lo, hi = (
        bound if limit is None else limit.reshape(()) for limit, bound in zip(limits, (own.lo, own.hi), strict=True)
    )
    if np.any(lo > hi):
        raise ModelError(f"layer {record.name!r} (Clip): limits from {int(lo)} to {int(hi)} hold no code")
    narrow = replace(own, lo=np.clip(own.lo, lo, hi), hi=np.clip(own.hi, lo, hi))
    return net.add("quantise", record.name, [x], {"quantiser": narrow}), Integers(narrow)


def _equal(a: NDArray[Any], b: NDArray[Any], shape: Shape) -> bool:
    return np.array_equal(np.broadcast_to(a, shape), np.broadcast_to(b, shape))


def dequantise_constant(record: Record) -> Constant:
    """Codes without their zero point, and the scale."""
    codes = record.array("0")
    record.ignore("output_dtype")
    scale, zero = _parameters(record, None, codes.ndim)
    if codes.dtype.kind not in "iu":
        raise UnsupportedError(f"layer {record.name!r} (DequantizeLinear): codes of type {codes.dtype}")
    centred = codes.astype(np.int64) - zero
    return Constant(centred, np.broadcast_to(scale, centred.shape))


def as_output(net: NetworkBuilder, name: str, tensor: str, integers: Integers) -> str:
    """Return the tensor of the codes themselves, for a model that ends in `QuantizeLinear`."""
    q = integers.quantiser
    if q is None:
        return tensor
    factor = 1.0 / q.scale
    if not np.all(np.frexp(q.scale)[0] == 0.5):
        raise UnsupportedError(
            f"output {name!r}: the model ends in QuantizeLinear with a scale that is no power of two",
            hint="end the model in DequantizeLinear",
        )
    if np.any(factor != 1.0):
        tensor = net.add("mul", f"{name}_codes", [tensor], {}, {"constant": factor})
    if np.any(q.zero):
        tensor = net.add("add", f"{name}_zero", [tensor], {}, {"constant": q.zero})
    return tensor


def integer_input(net: NetworkBuilder, name: str, tensor: str, kind: int) -> str:
    """Give a model input of an ONNX integer type that type; the Network's values are the integers."""
    if kind not in RANGES:
        raise UnsupportedError(
            f"input {name!r}: elements of ONNX type {kind}; floats and signed integers of up to 64 bits are supported",
            hint="cast the input to float32 before the model",
        )
    lo, hi = RANGES[kind]
    quantiser = Quantiser(np.ones(()), np.asarray(np.int64(lo)), np.asarray(np.int64(hi)))
    return net.add("quantise", f"{name}_type", [tensor], {"quantiser": quantiser})
