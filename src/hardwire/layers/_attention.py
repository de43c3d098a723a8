"""Attention as nodes that exist: projections are dense layers, scores and mixtures products, between them a softmax.

Tensors are (…, positions, features), heads among the leading axes. Vaswani et al., Attention Is All You Need, 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.network.scores import FAR


def swapped(net: NetworkBuilder, name: str, x: str) -> str:
    """Exchange the last two axes."""
    rank = len(net.shape(x))
    return net.add("transpose", name, [x], {"perm": (*range(rank - 2), rank - 1, rank - 2)})


def attend(
    record: Record,
    net: NetworkBuilder,
    query: str | NDArray[Any],
    key: str,
    value: str,
    factor: float,
    *,
    mask: NDArray[Any] | None = None,
    masks: Sequence[str] = (),
    added: NDArray[Any] | str | None = None,
    share: bool = False,
) -> tuple[str, str]:
    """Add `softmax(factor · q kᵀ + added) v`; returns the result and the attention weights.

    query (…, T, d), a tensor or a constant, key (…, S, d), value (…, S, e). `mask`, constant, and `masks`, tensors of
    0 and 1, broadcast to (…, T, S) and keep positions; `share` is the softmax's. Raises `UnsupportedError` for shapes
    that do not fit.
    """
    name = record.name
    if isinstance(query, str):
        scores = net.add("matmul", f"{name}_scores", [query, swapped(net, f"{name}_key_columns", key)])
    else:
        # The same queries for every example: the kernel of a dense layer on the keys.
        rank = len(net.shape(key))
        fixed = without_leading(record, query, rank, "a query")
        *lead, s, d = list("abcdefghij"[:rank])
        kernel = np.broadcast_to(fixed, (*net.shape(key)[:-2], *fixed.shape[-2:]))
        equation = f"Z{''.join(lead)}{s}{d},{''.join(lead)}t{d}->Z{''.join(lead)}t{s}"
        scores = net.add("einsum", f"{name}_scores", [key], {"equation": equation}, {"kernel": kernel})
    if isinstance(added, str):
        scores = _scaled(net, name, scores, factor)
        scores, factor = net.add("add", f"{name}_added", [scores, added]), 1.0
    elif added is not None:
        mask, added = split_mask(added, mask)
        if np.any(added):
            scores = net.add("add", f"{name}_added", [scores], {}, {"constant": added / factor})
    weights = masked_softmax(record, net, f"{name}_softmax", scores, factor, mask=mask, masks=masks, share=share)
    return net.add("matmul", f"{name}_mixed", [weights, value]), weights


def _scaled(net: NetworkBuilder, name: str, scores: str, factor: float) -> str:
    constant = {"constant": np.float64(factor)}
    return scores if factor == 1 else net.add("mul", f"{name}_scaled", [scores], {}, constant)


def masked_softmax(
    record: Record,
    net: NetworkBuilder,
    name: str,
    scores: str,
    factor: float = 1.0,
    *,
    mask: NDArray[Any] | None = None,
    masks: Sequence[str] = (),
    share: bool = False,
) -> str:
    """Softmax of `factor · scores` along the last axis; masks as `attend` has them."""
    shape = net.shape(scores)
    attrs = {"axis": len(shape) - 1, "output": None, "tables": None, "factor": factor, "share": share}
    params = {}
    if mask is not None and not np.all(mask):
        kept = without_leading(record, np.asarray(mask) != 0, len(shape), "a mask")
        if np.broadcast_shapes(kept.shape, shape) != shape:
            raise _unfit(record, "a mask", kept.shape, shape)
        params["mask"] = kept
    joined = None
    for number, tensor in enumerate(masks):
        joined = tensor if joined is None else net.add("mul", f"{name}_masks_{number}", [joined, tensor])
    return net.add("softmax", name, [scores] if joined is None else [scores, joined], attrs, params)


def split_mask(added: NDArray[Any], mask: NDArray[Any] | None = None) -> tuple[NDArray[Any] | None, NDArray[Any]]:
    """Part constant numbers added to scores into a mask, of what is far below, and the rest; joined with `mask`."""
    values = np.asarray(added, np.float64)
    far = values <= FAR
    if not np.any(far):
        return mask, values
    kept = ~far if mask is None else ~far & (np.asarray(mask) != 0)
    return kept, np.where(far, 0.0, values)


def causal(rows: int, columns: int) -> NDArray[np.bool_]:
    """Position i sees positions up to i."""
    return np.tril(np.ones((rows, columns), bool))


def without_leading(record: Record, array: NDArray[Any], rank: int, what: str) -> NDArray[Any]:
    """Drop leading axes of one, that of the batch among them, down to `rank`."""
    while array.ndim > rank and array.shape[0] == 1:
        array = array[0]
    if array.ndim > rank:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): {what} of the shape {array.shape} differs by example",
            hint="only constants that are the same for every example of a batch are supported",
        )
    return array


def heads_in_front(net: NetworkBuilder, name: str, x: str, heads: int) -> str:
    """(…, T, h·k) as (…, h, T, k)."""
    *lead, positions, width = net.shape(x)
    x = net.add("reshape", f"{name}_heads", [x], {"shape": (*lead, positions, heads, width // heads)})
    rank = len(lead)
    return net.add("transpose", f"{name}_by_head", [x], {"perm": (*range(rank), rank + 1, rank, rank + 2)})


def heads_joined(net: NetworkBuilder, name: str, x: str) -> str:
    """(…, h, T, k) as (…, T, h·k)."""
    *lead, heads, positions, width = net.shape(x)
    rank = len(lead)
    x = net.add("transpose", f"{name}_by_position", [x], {"perm": (*range(rank), rank + 1, rank, rank + 2)})
    return net.add("reshape", f"{name}_joined", [x], {"shape": (*lead, positions, heads * width)})


def repeated_heads(net: NetworkBuilder, name: str, x: str, times: int) -> str:
    """(…, h, T, k) as (…, h·times, T, k), each head `times` in a row."""
    if times == 1:
        return x
    rank = len(net.shape(x))
    indices = tuple(i for i in range(net.shape(x)[rank - 3]) for _ in range(times))
    return net.add("take", f"{name}_repeated", [x], {"axis": rank - 3, "indices": indices})


def projected(
    record: Record, net: NetworkBuilder, name: str, x: str, kernel: NDArray[Any], bias: NDArray[Any] | None
) -> str:
    """`x` (…, T, d) through a kernel (d, …) with a bias (…), the kernel's further axes as one."""
    if net.shape(x)[-1] != len(kernel):
        raise _unfit(record, f"the kernel {name!r}", kernel.shape, net.shape(x))
    params: dict[str, NDArray[Any]] = {"kernel": kernel.reshape(len(kernel), -1)}
    if bias is not None:
        params["bias"] = bias.reshape(-1)
    return net.add("dense", f"{record.name}_{name}", [x], {}, params)


def inverse_root(width: int) -> float:
    """`1 / √width`."""
    return 1.0 / sqrt(float(width))


def _unfit(record: Record, what: str, own: Shape, shape: Shape) -> UnsupportedError:
    return UnsupportedError(
        f"layer {record.name!r} ({record.kind}): {what} of the shape {own} does not fit a tensor {shape} "
        "(without the batch)"
    )


def flat(net: NetworkBuilder, name: str, x: str, axes: Sequence[int]) -> str:
    """Bring `axes` together, as one, in front of the last axis."""
    shape = net.shape(x)
    kept = [axis for axis in range(len(shape) - 1) if axis not in axes]
    perm = (*kept, *axes, len(shape) - 1)
    x = net.add("transpose", f"{name}_turned", [x], {"perm": perm})
    return net.add(
        "reshape",
        f"{name}_flat",
        [x],
        {"shape": (*(shape[axis] for axis in kept), prod(shape[axis] for axis in axes), shape[-1])},
    )
