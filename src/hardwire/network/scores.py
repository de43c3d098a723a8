"""What stands in front of a softmax and belongs into it: a factor of the scores, and masks written as large numbers.

Models leave positions out of a softmax by adding -10000, -1e9 or -∞ to their scores, or by choosing such a number in
their place. No fixed-point type holds scores beside that; the softmax has a mask for it. A factor costs nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.layers import layer_of
from hardwire.network.graph import Network, Node, Shape

FAR = -9000.0
"""A number at most this, added to a score, leaves nothing of it: `exp` of it is 0 in float64."""

_VIEWS = ("reshape", "transpose", "take")


@dataclass
class _Edit:
    """New nodes in front of a softmax, with the shapes of their tensors."""

    network: Network
    at: Node
    nodes: list[Node] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def shape(self, tensor: str) -> Shape:
        return self.shapes[tensor] if tensor in self.shapes else self.network.shapes[tensor]

    def add(
        self,
        kind: str,
        name: str,
        inputs: tuple[str, ...],
        attrs: Mapping[str, Any],
        params: Mapping[str, Any] | None = None,
    ) -> str:
        fresh = f"{self.at.name}.{name}"
        while fresh in self.network.shapes or fresh in self.shapes:
            fresh += "_"
        node = Node(kind, fresh, inputs, (fresh,), dict(attrs), dict(params or {}))
        self.shapes[fresh] = layer_of(node).shape(node, [self.shape(tensor) for tensor in inputs])
        self.nodes.append(node)
        return fresh

    def done(self, softmax: Node) -> Network:
        nodes = [new for node in self.network.nodes for new in ((*self.nodes, softmax) if node is self.at else (node,))]
        return self.network.with_(nodes=tuple(nodes), shapes={**self.network.shapes, **self.shapes})


def fold_scores(network: Network) -> Network | None:
    """Move a factor or a mask in front of a softmax into it; None where there is none."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "softmax" else None
        if before is None or before.attrs.get("output") is not None:
            continue
        folded = _factor(network, node, before) or _added(network, node, before) or _chosen(network, node, before)
        if folded is not None:
            return folded
    return None


def _kept(node: Node, shape: Shape) -> NDArray[np.bool_]:
    return np.array(np.broadcast_to(node.params["mask"] != 0 if "mask" in node.params else True, shape), bool)


def _factor(network: Network, node: Node, before: Node) -> Network | None:
    """A product with, or a quotient by, one positive number; a product may differ in what the mask leaves out."""
    key = {"mul": "constant", "divide": "divisor"}.get(before.kind, "")
    shape = network.shapes[node.inputs[0]]
    if set(before.params) != {key} or len(before.inputs) != 1 or network.shapes[before.inputs[0]] != shape:
        return None
    values = np.broadcast_to(before.params[key], shape)[_kept(node, shape)]
    if not values.size or np.any(values != values[0]) or not 0 < values[0] < np.inf:
        return None
    factor = float(values[0]) if key == "constant" else 1.0 / float(values[0])
    attrs = {**node.attrs, "factor": float(node.attrs.get("factor", 1.0)) * factor}
    return _Edit(network, node).done(node.with_(inputs=(before.inputs[0], *node.inputs[1:]), attrs=attrs))


def _added(network: Network, node: Node, before: Node) -> Network | None:
    if before.kind != "add":
        return None
    shape = network.shapes[node.inputs[0]]
    if len(before.inputs) == 1:
        if set(before.params) != {"constant"} or network.shapes[before.inputs[0]] != shape:
            return None
        return _constant(network, node, before.inputs[0], before.params["constant"])
    for scores, other in (before.inputs, before.inputs[::-1]):
        if network.shapes[scores] != shape:
            continue
        value = _value(network, other)
        if value is not None:
            found = _constant(network, node, scores, value)
        else:
            found = _computed(network, node, scores, other)
        if found is not None:
            return found
    return None


def _value(network: Network, tensor: str) -> NDArray[Any] | None:
    """Value of a tensor that is the same for every example, from a constant node through views."""
    maker = network.producer(tensor)
    if maker is None:
        return None
    if maker.kind == "constant":
        return maker.params["value"]
    inner = _value(network, maker.inputs[0]) if maker.kind in _VIEWS else None
    return (
        None
        if inner is None
        else np.asarray(layer_of(maker).reference(maker, [np.asarray(inner, np.float64)[None]]))[0]
    )


def _constant(network: Network, node: Node, scores: str, added: NDArray[Any]) -> Network | None:
    """A constant added to the scores, of which the entries far below are a mask."""
    shape = network.shapes[scores]
    far = np.asarray(added) <= FAR
    if not np.any(far):
        return None
    kept = _kept(node, shape) & ~np.broadcast_to(far, shape)
    edit = _Edit(network, node)
    rest = np.where(far, 0.0, added)
    if np.any(rest):
        scores = edit.add("add", "scores", (scores,), {}, {"constant": rest})
    attrs = dict(node.attrs)
    if not np.all(np.any(kept, axis=node.attrs["axis"])):
        attrs["share"] = True  # what is equally far has equal shares
    params = {**node.params, "mask": _least(kept)}
    return edit.done(node.with_(inputs=(scores, *node.inputs[1:]), attrs=attrs, params=params))


def _least(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without leading axes along which it does not change."""
    while mask.ndim > 1 and np.all(mask == mask[:1]):
        mask = mask[0]
    return mask


def _computed(network: Network, node: Node, scores: str, added: str) -> Network | None:
    """A tensor added to the scores that is 0 or far below: views of a choice, or of a product of 0 and 1."""
    views: list[Node] = []
    maker = network.producer(added)
    while maker is not None and maker.kind in _VIEWS:
        views.append(maker)
        maker = network.producer(maker.inputs[0])
    if maker is None:
        return None
    edit = _Edit(network, node)
    if maker.kind == "where":
        branches = [_value(network, tensor) for tensor in maker.inputs[1:]]
        yes, no = (None if value is None else (np.all(value <= FAR), not np.any(value)) for value in branches)
        if yes is None or no is None or not ((yes[0] and no[1]) or (yes[1] and no[0])):
            return None
        kept = _flag(edit, maker.inputs[0], bool(yes[1]), maker.outputs[0])
    elif maker.kind == "mul" and set(maker.params) == {"constant"} and np.all(maker.params["constant"] <= FAR):
        if len(maker.inputs) != 1 or not _binary(network, maker.inputs[0]):
            return None
        kept = _flag(edit, maker.inputs[0], False, maker.outputs[0])
    else:
        return None
    for number, view in enumerate(reversed(views)):
        kept = edit.add(view.kind, f"mask_view_{number}", (kept,), view.attrs, view.params)
    return _masked(edit, node, scores, kept)


def _flag(edit: _Edit, condition: str, when: bool, like: str) -> str:
    """1 where the condition is (`when`) other than 0, or is 0; in the shape of tensor `like`."""
    relation = {"relation": "not_equal" if when else "equal"}
    flag = edit.add("compare", "mask", (condition,), relation, {"constant": np.zeros(())})
    shape = edit.shape(like)
    if edit.shape(flag) != shape:
        flag = edit.add("add", "mask_shape", (flag,), {}, {"constant": np.zeros(shape)})
    return flag


def _masked(edit: _Edit, node: Node, scores: str, kept: str) -> Network:
    if len(node.inputs) > 1:
        kept = edit.add("mul", "masks", (node.inputs[1], kept), {})
    return edit.done(node.with_(inputs=(scores, kept), attrs={**node.attrs, "share": True}))


def _chosen(network: Network, node: Node, before: Node) -> Network | None:
    """A number far below chosen in place of a score."""
    if before.kind != "where":
        return None
    condition, yes, no = before.inputs
    for far, scores, when in ((no, yes, True), (yes, no, False)):
        value = _value(network, far)
        if value is None or not np.all(value <= FAR) or network.shapes[scores] != network.shapes[node.inputs[0]]:
            continue
        fixed = _value(network, condition)
        if fixed is not None:
            return _constant(network, node, scores, np.where((fixed != 0) == when, 0.0, FAR))
        edit = _Edit(network, node)
        return _masked(edit, node, scores, _flag(edit, condition, when, condition))
    return None


def _binary(network: Network, tensor: str) -> bool:
    """Whether a tensor is known to hold 0 and 1 alone."""
    maker = network.producer(tensor)
    if maker is None:
        return False
    if maker.kind == "compare":
        return True
    if maker.kind in (*_VIEWS, "minimum", "maximum"):
        return "constant" not in maker.params and all(_binary(network, source) for source in maker.inputs)
    one = maker.params.get("constant")
    flips = maker.kind == "sub" and maker.attrs.get("reverse", False) and one is not None and np.all(one == 1)
    return bool(flips) and _binary(network, maker.inputs[0])
