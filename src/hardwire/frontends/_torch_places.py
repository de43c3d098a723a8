"""PyTorch tensors whose batch is not axis 0: on another axis, or merged with others into one.

`nn.MultiheadAttention` works on (time, batch·heads, features), `nn.Linear` over time on (batch·time, features). In the
Network such a tensor is as all others, without the batch; the walk keeps a `Place` beside it. What is known to leave
the batch alone is followed here: views and permutations are made, operators along an axis get the axis that it is in
the Network. Everything else may not read such tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.network.graph import NetworkBuilder, Shape

RECURRENT = ("aten.lstm.input", "aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input")
"""Operators that take their input with the batch on axis 0 or 1, and give states with the batch on axis 1."""

Sizes = Sequence[int | str]
"""Sizes of a tensor as PyTorch recorded them; a string depends on the batch."""


@dataclass(frozen=True)
class Place:
    """Where the batch is: axis `axis` of the file's tensor is `outer` × batch × `inner`.

    The Network's tensor has `outer` and `inner`, where they are not 1, as axes in the place of that axis.
    """

    axis: int
    outer: int = 1
    inner: int = 1

    def __str__(self) -> str:
        return f"{self.axis}, merged with others" if self.factors else str(self.axis)

    @property
    def factors(self) -> Shape:
        """Axes of the Network's tensor in the place of the batch's axis."""
        return tuple(size for size in (self.outer, self.inner) if size > 1)

    def own(self, axis: int, rank: int) -> int | None:
        """Axis of the Network's tensor for one of the file's (of `rank`, maybe negative); None for the batch's."""
        axis %= rank
        if axis == self.axis:
            return None
        return axis if axis < self.axis else axis - 1 + len(self.factors)


FRONT = Place(0)
"""That of nearly all tensors."""


@dataclass(frozen=True)
class Step:
    """What `follow` makes of an operator: `results`, or arguments with which its own rule is to be called."""

    results: tuple[tuple[str, Place], ...] = ()
    attrs: Mapping[str, Any] | None = None
    arrays: Mapping[str, NDArray[Any]] | None = None
    place: Place = FRONT


_VIEWS = ("view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints", "unflatten.int")
_AROUND = ("unsqueeze.default", "squeeze.dim", "squeeze.dims")
_SWAPS = ("transpose.int", "swapaxes.default", "swapdims.default", "permute.default")
_ALONG = (
    *("softmax.int", "_softmax.default", "_safe_softmax.default", "log_softmax.int", "select.int", "slice.Tensor"),
    *("narrow.default", "cat.default", "concat.default", "chunk.default", "split.Tensor", "split_with_sizes.default"),
    "unbind.int",
    *("mean.dim", "sum.dim_IntList", "amax.default", "amin.default", "index_select.default", "flip.default"),
)
"""Operators along the axes `dim` or `dims`."""
_ELEMENTS = (
    *("relu", "relu_", "tanh", "sigmoid", "gelu", "elu", "selu", "silu", "leaky_relu", "hardtanh", "softplus", "mish"),
    *("contiguous", "clone", "dropout", "dropout_", "neg", "exp", "sqrt", "square", "abs", "hardswish", "hardsigmoid"),
    *("add", "sub", "mul", "div", "masked_fill", "to", "_to_copy", "detach", "alias", "clamp", "native_dropout"),
)
"""Operators on single elements; constants among their operands broadcast."""
_LAST = ("linear.default", "layer_norm.default", "rms_norm.default")
"""Operators along the last axes."""
_MATRICES = ("bmm.default", "matmul.default", "baddbmm.default")
"""Operators on the last two axes."""


def follow(
    name: str,
    kind: str,
    attrs: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    net: NetworkBuilder,
    inputs: Sequence[str],
    places: Sequence[Place],
    sizes: Sequence[Sizes],
    batch: int | str,
) -> Step | None:
    """What becomes of an operator on tensors with the batch at `places`; None for one that needs no care.

    `sizes`: of its outputs. Raises `UnsupportedError` for an operator that may mix examples.
    """
    op = kind.removeprefix("aten.")
    plain = all(place == FRONT for place in places)
    (place, *others), x = places, inputs[0]
    rank = len(net.shape(x)) - len(place.factors) + 1
    if op in _SWAPS and len(inputs) == 1:
        perm = _permutation(attrs, rank)
        if perm is not None and not (plain and perm[:1] == [0]):
            return Step((permuted(net, name, x, place, perm),))
    elif op in _VIEWS or (op in _AROUND and not plain):
        if plain and sizes[0] and sizes[0][0] == batch and prod(_numbers(sizes[0])) == prod(net.shape(x)):
            return None
        found = regrouped(net, name, x, place, sizes[0], batch)
        if found is not None:
            return Step((found,))
    if plain or kind in RECURRENT:
        return None
    refused = UnsupportedError(
        f"layer {name!r} ({kind}): it reads a tensor whose batch is on axis {place}",
        hint="bring the batch to the front first (x.transpose(0, 1)), or build the layer with batch_first=True",
    )
    if any(other != place for other in others):
        raise refused
    if op in _ALONG:
        moved = _along(attrs, place, rank)
        joined = op in ("cat.default", "concat.default")
        fixed = _constants(arrays, place, rank) if joined else dict(arrays)
        if moved is not None and fixed is not None:
            return Step(attrs=moved, arrays=fixed, place=place)
    elif op.partition(".")[0] in _ELEMENTS:
        fixed = _constants(arrays, place, rank)
        if len({len(net.shape(tensor)) for tensor in inputs}) == 1 and fixed is not None:
            return Step(attrs=dict(attrs), arrays=fixed, place=place)
    last = len(attrs.get("normalized_shape", [0])) if op in _LAST else 2 if op in _MATRICES else rank
    if place.axis < rank - last:
        return Step(attrs=dict(attrs), arrays=dict(arrays), place=place)
    raise refused


def found_place(result: Shape, sizes: Sizes, place: Place, batch: int | str, removed: int = 0) -> Place | None:
    """Place of the batch in a result with `sizes`, made from a tensor with it at `place`; None if it is not there.

    `removed`: how many axes in front of it are gone.
    """
    ranks = range(len(sizes))
    for axis in sorted(ranks, key=lambda axis: abs(axis - (place.axis - removed))):
        size = sizes[axis]
        fits = isinstance(size, str) if isinstance(batch, str) else size == place.outer * batch * place.inner
        around = (*sizes[:axis], *place.factors, *sizes[axis + 1 :])
        if fits and around == tuple(result):
            return Place(axis, place.outer, place.inner)
    return None


def _permutation(attrs: Mapping[str, Any], rank: int) -> list[int] | None:
    dims = attrs.get("dims")
    if dims is not None:
        found = [int(dim) % rank for dim in dims]
        return found if sorted(found) == list(range(rank)) else None
    pair = [attrs.get("dim0", attrs.get("axis0")), attrs.get("dim1", attrs.get("axis1"))]
    if any(not isinstance(dim, int) or not -rank <= dim < rank for dim in pair):
        return None
    first, second = (int(dim) % rank for dim in pair if dim is not None)
    perm = list(range(rank))
    perm[first], perm[second] = second, first
    return perm


def permuted(net: NetworkBuilder, name: str, x: str, place: Place, perm: list[int]) -> tuple[str, Place]:
    """The tensor with the file's axes permuted, and where the batch is then."""
    own: list[int] = []
    for axis in perm:
        at = place.own(axis, len(perm))
        own.extend(range(place.axis, place.axis + len(place.factors)) if at is None else [at])
    moved = Place(perm.index(place.axis), place.outer, place.inner)
    if own == list(range(len(own))):
        return x, moved
    return net.add("transpose", name, [x], {"perm": tuple(own)}), moved


def _numbers(sizes: Sizes) -> list[int]:
    return [size for size in sizes[1:] if isinstance(size, int)]


def regrouped(
    net: NetworkBuilder, name: str, x: str, place: Place, sizes: Sizes, batch: int | str
) -> tuple[str, Place] | None:
    """A view of the same elements in the same order: what stands in front of the batch, and behind it, stays there."""
    shape = net.shape(x)
    at = place.axis + (place.outer > 1)
    before, after = prod(shape[:at]), prod(shape[at:])
    choices = []
    for axis, size in enumerate(sizes):
        rest = [*sizes[:axis], *sizes[axis + 1 :]]
        if any(isinstance(other, str) for other in rest) or (isinstance(batch, str) and isinstance(size, int)):
            continue
        front = prod(int(other) for other in sizes[:axis])
        behind = prod(int(other) for other in sizes[axis + 1 :])
        if not front or not behind or before % front or after % behind:
            continue
        outer, inner = before // front, after // behind
        if isinstance(batch, str) or size == outer * batch * inner:
            choices.append(Place(axis, outer, inner))
    if not choices:
        return None
    best = min(choices, key=lambda choice: (choice.outer * choice.inner, choice.axis))
    wanted = (*(int(s) for s in sizes[: best.axis]), *best.factors, *(int(s) for s in sizes[best.axis + 1 :]))
    return (x if wanted == shape else net.add("reshape", name, [x], {"shape": wanted})), best


def _along(attrs: Mapping[str, Any], place: Place, rank: int) -> dict[str, Any] | None:
    """Arguments with the axes as they are counted where the batch is in front; None if the batch's is among them."""
    moved = dict(attrs)
    key = "dims" if "dims" in attrs else "dim"
    stated = attrs.get(key, 0)
    listed = list(stated) if isinstance(stated, list) else [stated]
    if not listed or any(not isinstance(dim, int) or not -rank <= dim < rank for dim in listed):
        return None
    own = [place.own(dim, rank) for dim in listed]
    if any(axis is None for axis in own):
        return None
    counted = [axis + 1 for axis in own if axis is not None]
    moved[key] = counted if isinstance(stated, list) else counted[0]
    return moved


def removed_axes(op: str, attrs: Mapping[str, Any], place: Place, rank: int) -> int:
    """How many axes in front of the batch an operator along axes takes away."""
    op = op.removeprefix("aten.")
    reduces = op in ("mean.dim", "sum.dim_IntList", "amax.default", "amin.default") and not attrs.get("keepdim")
    gone = reduces or op in ("select.int", "unbind.int")
    stated = attrs.get("dim", 0)
    listed = stated if isinstance(stated, list) else [stated]
    return sum(isinstance(dim, int) and dim % rank < place.axis for dim in listed) if gone else 0


def _constants(arrays: Mapping[str, NDArray[Any]], place: Place, rank: int) -> dict[str, NDArray[Any]] | None:
    found = {key: broadcast_beside(array, place, rank) for key, array in arrays.items()}
    kept = {key: array for key, array in found.items() if array is not None}
    return kept if len(kept) == len(found) else None


def broadcast_beside(array: NDArray[Any], place: Place, rank: int) -> NDArray[Any] | None:
    """A constant operand as it broadcasts to the Network's tensor, the batch in front; None if it meets the batch."""
    if array.ndim <= rank - 1 - place.axis:
        return array
    wide = np.reshape(array, (1,) * (rank - array.ndim) + array.shape)
    if wide.ndim != rank or wide.shape[place.axis] != 1:
        return None
    shape = (*wide.shape[: place.axis], *(1,) * len(place.factors), *wide.shape[place.axis + 1 :])
    return wide.reshape(1, *shape)
