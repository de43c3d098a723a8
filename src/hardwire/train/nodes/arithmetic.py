"""Sums, products and extremes of tensors, with each other or with constants; reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from hardwire.layers.batch_norm import folded
from hardwire.network.graph import Node
from hardwire.nn._layer import Layer, quantised
from hardwire.nn.quantisers import Quantiser
from hardwire.nn.work import Work
from hardwire.train.nodes._base import Making, Plain, casting, chain, trains
from hardwire.train.nodes._coded import Factor, normalised

_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
}


def _of_two(a: Tensor, b: Tensor, kind: str, rank: int) -> Tensor:
    return _OPERATIONS[kind](_aligned(a, rank), _aligned(b, rank))


def _aligned(x: Tensor, rank: int) -> Tensor:
    """Axes of 1 behind the batch until there are `rank` without it."""
    missing = rank - (x.ndim - 1)
    return x if missing <= 0 else x.reshape(x.shape[0], *(1,) * missing, *x.shape[1:])


class Constant(Layer):
    """A tensor and a trainable constant (the tensor's rank), on its quantiser's grid."""

    def __init__(self, kind: str, value: np.ndarray, quantiser: Quantiser | None, reverse: bool = False) -> None:
        super().__init__()
        self.kind, self.reverse = kind, reverse
        self.value = nn.Parameter(torch.tensor(value))
        self.quantiser = quantiser

    def constants(self) -> dict[str, Tensor]:
        """`value`."""
        return {"value": quantised(self.quantiser, self.value)}

    def forward(self, x: Tensor) -> Tensor:
        """Combine them."""
        return _with_constant(x, self.parameters_now()["value"], self.kind, self.reverse)

    def work(self) -> Iterator[Work]:
        """Nothing that a cost model knows."""
        return iter(())


def _with_constant(x: Tensor, constant: Tensor, kind: str, reverse: bool) -> Tensor:
    x = _aligned(x, constant.ndim)
    return _OPERATIONS[kind](constant, x) if reverse else _OPERATIONS[kind](x, constant)


@trains("add", "sub", "mul", "minimum", "maximum")
def _operation(node: Node, making: Making) -> nn.Module:
    """Of two tensors, or of one and a constant: per channel it trains, a single one stays."""
    rank = len(making.shape(node.outputs[0]))
    if len(node.inputs) == 2:
        inner = Plain(partial(_of_two, kind=node.kind, rank=rank))
        return casting(node, making, inner) if node.kind == "mul" else inner
    if len(node.inputs) > 2:
        return Plain(partial(_of_many, kind=node.kind, rank=rank))
    reverse = bool(node.attrs.get("reverse", False))
    scale = node.params.get("constant_scale")
    if node.kind == "mul" and scale is not None and len(making.shape(node.inputs[0])) == rank:
        return Factor(node.params["constant"], scale)
    value = np.asarray(node.params["constant"] * (1.0 if scale is None else scale), np.float64)
    value = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if value.size == 1 or scale is not None or node.kind in ("minimum", "maximum"):
        return Plain(partial(_with_constant, kind=node.kind, reverse=reverse), constant=value)
    return Constant(node.kind, value, making.weight(value, bias=node.kind != "mul"), reverse)


def _of_many(*inputs: Tensor, kind: str, rank: int) -> Tensor:
    total = _aligned(inputs[0], rank)
    for x in inputs[1:]:
        total = _OPERATIONS[kind](total, _aligned(x, rank))
    return total


def _divided(x: Tensor, divisor: Tensor) -> Tensor:
    return x / divisor


@trains("divide")
def _divide(node: Node, making: Making) -> nn.Module:
    return Plain(_divided, divisor=np.asarray(node.params["divisor"], np.float64))


def _product(a: Tensor, b: Tensor, rank: int) -> Tensor:
    return torch.matmul(_aligned(a, rank), _aligned(b, rank))


@trains("matmul")
def _matmul(node: Node, making: Making) -> nn.Module:
    rank = max(len(making.shape(tensor)) for tensor in node.inputs)
    return casting(node, making, Plain(partial(_product, rank=rank)))


def _summed(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    return x.sum(axes, keepdim=keepdims)


def _mean(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    return x.mean(axes, keepdim=keepdims)


def _most(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    return x.amax(axes, keepdim=keepdims)


def _least(x: Tensor, axes: list[int], keepdims: bool) -> Tensor:
    return x.amin(axes, keepdim=keepdims)


_REDUCTIONS = {"reduce_sum": _summed, "reduce_mean": _mean, "reduce_max": _most, "reduce_min": _least}


@trains(*_REDUCTIONS)
def _reduce(node: Node, making: Making) -> nn.Module:
    rank = len(making.shape(node.inputs[0]))
    axes = [axis % rank + 1 for axis in node.attrs["axes"]]
    return Plain(partial(_REDUCTIONS[node.kind], axes=axes, keepdims=bool(node.attrs["keepdims"])))


class Normalisation(Layer):
    """`x · factor + offset` along an axis (the batch counted): what batch normalisation is at inference."""

    def __init__(self, axis: int, factor: np.ndarray, offset: np.ndarray, quantisers: list[Quantiser | None]) -> None:
        super().__init__()
        self.axis = axis
        self.factor, self.offset = (nn.Parameter(torch.tensor(value)) for value in (factor, offset))
        self.input_quantiser, self.factor_quantiser, self.offset_quantiser = quantisers

    def constants(self) -> dict[str, Tensor]:
        """`factor` and `offset`."""
        return {
            "factor": quantised(self.factor_quantiser, self.factor),
            "offset": quantised(self.offset_quantiser, self.offset),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Return `x · factor + offset`."""
        now = self.parameters_now()
        x = quantised(self.input_quantiser, x).transpose(1, self.axis)
        return normalised(x, now["factor"], now["offset"]).transpose(1, self.axis)

    def work(self) -> Iterator[Work]:
        """Nothing that a cost model knows."""
        return iter(())


@trains("batch_norm")
def _batch_norm(node: Node, making: Making) -> nn.Module:
    """A normalisation that no layer in front takes in; its float parameters train as they are."""
    factor, offset = folded(node)
    rank = len(making.shape(node.inputs[0]))
    quantisers: list[Quantiser | None] = [None, None, None]
    if not making.quantised:
        quantisers = [making.cast(node.inputs[0]), making.weight(factor), making.weight(offset, bias=True)]
    axis = node.attrs.get("axis", -1) % rank + 1
    return chain(Normalisation(axis, factor, offset, quantisers), *making.output(node))
