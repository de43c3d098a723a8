"""PyTorch's quantisers: fake quantisation, and the pairs of `quantized_decomposed` that PT2E quantisation leaves.

`code = clamp(round_half_even(x / scale) + zero_point, quant_min, quant_max)`, read back as `(code - zero) · scale`.
PyTorch multiplies by the float32 reciprocal of the scale: equal for scales that are powers of two, and for others but
where `x / scale` lies within one float32 rounding of a tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_DECOMPOSED = "quantized_decomposed"


def _operand(record: Record, position: int, attr: str) -> Any:
    return record.array(str(position)) if record.has_array(str(position)) else np.asarray(record.take(attr))


def _quantiser(record: Record, net: NetworkBuilder, x: str) -> Quantiser:
    # PyTorch computes with it in float32.
    scale = np.asarray(_operand(record, 1, "scale"), np.float32).astype(np.float64)
    zero = np.asarray(_operand(record, 2, "zero_point"), np.int64)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    else:
        rank = len(net.shape(x))
        at = without_batch(record, "axis", record.take("axis"), rank)
        spread = [-1 if axis == at else 1 for axis in range(rank)]
        scale, zero = scale.reshape(spread), zero.reshape(spread)
    record.ignore("axis", "dtype", "eps", "out_dtype")
    lo, hi = int(record.take("quant_min")), int(record.take("quant_max"))
    return Quantiser(scale, np.asarray(np.int64(lo)), np.asarray(np.int64(hi)), Rounding.RND_CONV, Overflow.SAT, zero)


@imports(
    "torch",
    "aten.fake_quantize_per_tensor_affine.default",
    "aten.fake_quantize_per_tensor_affine.tensor_qparams",
    "aten.fake_quantize_per_channel_affine.default",
    f"{_DECOMPOSED}.quantize_per_tensor.default",
    f"{_DECOMPOSED}.quantize_per_tensor.tensor",
    f"{_DECOMPOSED}.quantize_per_channel.default",
)
def _torch_quantise(record: Record, net: NetworkBuilder) -> str:
    """A quantiser; behind `quantize_…` the tensor holds the real values that the codes stand for."""
    x = torch.single(record)
    return net.add("quantise", record.name, [x], {"quantiser": _quantiser(record, net, x)})


@imports(
    "torch",
    f"{_DECOMPOSED}.dequantize_per_tensor.default",
    f"{_DECOMPOSED}.dequantize_per_tensor.tensor",
    f"{_DECOMPOSED}.dequantize_per_channel.default",
)
def _torch_dequantise(record: Record, net: NetworkBuilder) -> str:
    """The other half of a pair: nothing, where it has the parameters of the quantiser that made its input."""
    x = torch.single(record)
    own, made = _quantiser(record, net, x), net.maker(x)
    given = made.attrs["quantiser"] if made is not None and made.kind == "quantise" else None
    if given is None or not (np.array_equal(own.scale, given.scale) and np.array_equal(own.zero, given.zero)):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): its scale or zero point is not that of the quantiser in front",
            hint="quantise and dequantise in pairs, as torch's PT2E quantisation does",
        )
    return x


@imports("torch", "aten.fused_moving_avg_obs_fake_quant.default")
def _torch_observed(record: Record, net: NetworkBuilder) -> str:
    """`FusedMovingAvgObsFakeQuantize` of quantisation-aware training, its observer switched off."""
    observing, on = (int(record.array(str(k)).ravel()[0]) for k in (1, 2))
    if observing:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): its observer is on, so that its scale would change",
            hint="model.apply(torch.ao.quantization.disable_observer) before the export",
        )
    x = torch.single(record)
    _, _, scale, zero = (record.array(str(k)) for k in (3, 4, 5, 6))
    record.ignore("averaging_const", "symmetric_quant", "per_row_fake_quant")
    attrs = {key: record.take(key) for key in ("quant_min", "quant_max")}
    attrs["axis"] = record.take("ch_axis")
    if not on:
        return x
    inner = Record(record.name, record.kind, (x,), attrs, {"1": scale, "2": zero}, record.versions)
    return net.add("quantise", record.name, [x], {"quantiser": _quantiser(inner, net, x)})
