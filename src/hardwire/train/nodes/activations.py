"""Functions of one element: piecewise linear ones, tables, softmax."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.layers.activation import EXACT
from hardwire.network.graph import Node
from hardwire.nn._curves import DIFFERENTIABLE
from hardwire.nn.activations import Activation
from hardwire.nn.nodes import ElementNode
from hardwire.nn.quantisers import Quantiser
from hardwire.nn.quantisers.stated import gridded
from hardwire.nn.scheme import LEARNED, Make, Scheme
from hardwire.nn.softmax import Softmax
from hardwire.train.nodes._base import Making, Plain, casting, chain, refused, trains
from hardwire.train.nodes._grids import along


@trains("relu")
def _relu(node: Node, making: Making) -> nn.Module:
    return nn.ReLU()


def _clamped(x: Tensor, lo: float | None, hi: float | None) -> Tensor:
    return torch.clamp(x, lo, hi)


@trains("clip")
def _clip(node: Node, making: Making) -> nn.Module:
    return Plain(partial(_clamped, lo=node.attrs.get("lo"), hi=node.attrs.get("hi")))


@trains("leaky_relu")
def _leaky(node: Node, making: Making) -> nn.Module:
    return chain(nn.LeakyReLU(float(node.attrs["slope"])), *making.output(node))


def _parametric(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@trains("prelu")
def _prelu(node: Node, making: Making) -> nn.Module:
    """Slopes stay as they are."""
    shape = making.shape(node.inputs[0])
    slope = np.broadcast_to(node.params["slope"], shape)
    return chain(Plain(partial(_parametric), slope=np.array(slope, np.float64)), *making.output(node))


_REACH = 2.0**-10
"""Over which slopes of smooth functions are taken: small, but large for the float32 that some are computed in."""


def _bare(node: Node) -> Node:
    """Return the node without its output's quantiser."""
    return node.with_(attrs={key: value for key, value in node.attrs.items() if key != "output"})


@trains("activation")
def _activation(node: Node, making: Making) -> nn.Module:
    """The compiler's own function; in a float model between quantisers, which make a table of it."""
    inner = ElementNode(_bare(node), _REACH)
    if node.attrs["function"] in EXACT:
        return chain(inner, *making.output(node))
    before = making.input(node) if node.attrs["function"] in DIFFERENTIABLE else None
    if before is not None:
        return _tabulated(node, making, before)
    made = casting(node, making, inner)
    if making.quantised:
        return chain(made, *making.output(node))
    after = making.cast(node.outputs[0])
    return made if after is None else chain(made, after)


def _tabulated(node: Node, making: Making, before: Make) -> nn.Module:
    """`hardwire.nn.Activation` between the quantisers in front and behind."""
    shape = making.shape(node.inputs[0])
    after = making.output(node) if making.quantised else [before(shape)]
    made = [before(shape), *after]
    arguments = node.attrs.get("arguments", {})
    return Activation(
        node.attrs["function"],
        shape,
        output=bool(after),
        scheme=Scheme(lambda _shape: made.pop(0), None, None),
        **arguments,
    )


@trains("table_network")
def _table(node: Node, making: Making) -> nn.Module:
    """Tables as they are in the file; gradients pass to what is in front."""
    return chain(ElementNode(_bare(node), _REACH), *making.output(node))


@trains("threshold", "steps")
def _staircase(node: Node, making: Making) -> nn.Module:
    """A staircase as it is in the file, its slope that of the line through two steps."""
    thresholds = np.sort(node.params["thresholds"], axis=-1)
    gaps = np.diff(thresholds, axis=-1)
    return ElementNode(node, float(np.median(gaps)) if gaps.size and np.median(gaps) > 0 else 1.0)


def _softmax(x: Tensor, axis: int, factor: float) -> Tensor:
    return functional.softmax(x * factor if factor != 1.0 else x, axis + 1)


def _types(node: Node, making: Making) -> list[Quantiser]:
    """Quantisers in front of and behind a softmax, each one type; none where there are not both."""
    scheme, shape = making.scheme or LEARNED, making.shape(node.inputs[0])
    if not making.quantised:
        inner = node.outputs[0] not in making.network.outputs and scheme.input is not None
        return [scheme.input((1,)), scheme.input((1,))] if inner and scheme.input else []
    output = node.attrs.get("output")
    after = None if output is None or not gridded(output) else along(output, shape, ())
    if after is None:
        return []
    ones = (1,) * len(shape)
    before = making.input(node, axes=())
    if before is None:
        met = making.type_of(node.inputs[0])
        return [] if met is None else [making.quantiser(met, ones), making.quantiser(after, ones)]
    return [before(ones), making.quantiser(after, ones)]


@trains("softmax")
def _softmaxed(node: Node, making: Making) -> nn.Module:
    """`hardwire.nn.Softmax` between one type of its input and one of its output; else the float softmax.

    The compiled softmax is exact for the first, and near to the second.
    """
    if node.attrs.get("tables") is not None or node.params or len(node.inputs) > 1:
        raise refused("a softmax with tables or masks of its own")
    factor = float(node.attrs.get("factor", 1.0))
    axis = int(node.attrs["axis"])
    types = _types(node, making)
    if types:
        return Softmax(axis + 1, factor, scheme=Scheme(lambda _shape: types.pop(0), None, None))
    inner = Plain(partial(_softmax, axis=axis, factor=factor))
    return chain(casting(node, making, inner), *making.output(node))
