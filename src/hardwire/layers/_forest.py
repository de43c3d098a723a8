"""Decision trees as arrays: what frontends build and the layer `trees` reads.

A reference is the number of a split, or `~leaf` (below zero) for a leaf. A split sends an example left or right by its
*bounds* on one feature: an example has passed a bound `b` where `x > b` (inclusive: `b` itself is still on the left)
or `x ≥ b`, and goes left where the number of bounds passed is even. One bound is an ordinary `x ≤ b` or `x < b`;
several write a set of intervals, such as the categories of a categorical split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.network.graph import Node

MAX_DEPTH = 256
"""Splits on a path. A library's own limit is far below; a file may say anything."""

Bound = tuple[float, bool]
"""A position on a feature's axis, and whether it is inclusive (still on the left)."""


class ForestBuilder:
    """Collects splits, leaves and trees; `params()` are those of a `trees` node.

    `label` is how errors name the model. Leaves have `width` values each; a tree says which outputs they add to.
    """

    def __init__(self, label: str, features: int, outputs: int, width: int = 1) -> None:
        self.label = label
        self.features = features
        self.outputs = outputs
        self.width = width
        self._splits: list[tuple[int, int, int]] = []
        self._bounds: list[Bound] = []
        self._first: list[int] = [0]
        self._leaves: list[tuple[float, ...]] = []
        self._roots: list[int] = []
        self._columns: list[tuple[int, ...]] = []

    def leaf(self, values: Sequence[float]) -> int:
        """Add a leaf of `width` values; returns its reference."""
        self._leaves.append(tuple(values))
        return ~(len(self._leaves) - 1)

    def split(self, feature: int, bounds: Sequence[Bound], left: int, right: int) -> int:
        """Add a split of `feature`; the example goes `left` (a reference) where it has passed an even number of bounds.

        Without bounds every example goes left, and nothing is added. Raises `ModelError` for a feature that the model
        does not have.
        """
        if not 0 <= feature < self.features:
            raise ModelError(f"{self.label}: a split of feature {feature}; the model has {self.features} features")
        if not bounds:
            return left
        self._splits.append((feature, left, right))
        self._bounds.extend(bounds)
        self._first.append(len(self._bounds))
        return len(self._splits) - 1

    def tree(self, root: int, columns: Iterable[int]) -> None:
        """Add a tree whose leaf values add to the outputs `columns`, one for each value of a leaf."""
        self._roots.append(root)
        self._columns.append(tuple(columns))

    def constant(self, values: Sequence[float]) -> None:
        """Add constants to the outputs, one each (a base score): trees of one leaf. Zeros add nothing."""
        for start in range(0, self.outputs, self.width):
            part = list(values[start : start + self.width])
            if any(part):
                padded = part + [0.0] * (self.width - len(part))
                last = self.outputs - 1
                self.tree(self.leaf(padded), [min(start + k, last) for k in range(self.width)])

    def params(self) -> dict[str, NDArray[Any]]:
        """Return the params of a `trees` node: see `layers.trees.Trees`."""
        splits = np.array(self._splits, np.int64).reshape(-1, 3)
        return {
            "feature": splits[:, 0],
            "left": splits[:, 1],
            "right": splits[:, 2],
            "first": np.array(self._first, np.int64),
            "bound": np.array([bound for bound, _ in self._bounds], np.float64),
            "inclusive": np.array([inclusive for _, inclusive in self._bounds], np.int64),
            "root": np.array(self._roots, np.int64),
            "column": np.array(self._columns, np.int64).reshape(len(self._roots), self.width),
            "leaves": np.array(self._leaves, np.float64).reshape(-1, self.width),
        }


def grow(builder: ForestBuilder, root: Any, children: Any, make: Any) -> int:
    """Build a tree from its leaves up without recursion; returns its reference.

    `children(node)` is None for a leaf or a pair of nodes, `make(node, left, right)` builds a node from its children's
    references (None for a leaf's). Nodes are hashable. Raises `ModelError` for a node that is met twice, which no tree
    has, and `UnsupportedError` beyond `MAX_DEPTH`.
    """
    made: dict[Any, int] = {}
    seen: set[Any] = set()
    stack: list[tuple[Any, int, bool]] = [(root, 0, False)]
    while stack:
        node, depth, ready = stack.pop()
        below = children(node)
        if ready:
            left, right = below
            made[node] = make(node, made[left], made[right])
            continue
        if node in seen:
            raise ModelError(f"{builder.label}: node {node} of a tree is met twice; it is no tree")
        seen.add(node)
        if depth > MAX_DEPTH:
            raise UnsupportedError(f"{builder.label}: a tree is deeper than {MAX_DEPTH} splits")
        if below is None:
            made[node] = make(node, None, None)
            continue
        left, right = below
        stack.append((node, depth, True))
        stack.append((right, depth + 1, False))
        stack.append((left, depth + 1, False))
    return made[root]


def bounds_of(intervals: Iterable[tuple[Bound, Bound]]) -> tuple[list[Bound], bool]:
    """Bounds of a union of intervals, and whether they are to be read the other way round (inside is right).

    An interval goes from its first bound (an inclusive one excludes it: the bound is still outside) to its second; ±inf
    are unbounded ends. They are in order and do not overlap; intervals that touch are joined.
    """
    flat: list[Bound] = []
    for start, end in intervals:
        if flat and flat[-1] == start:
            flat[-1] = end
        else:
            flat += [start, end]
    inside_first = bool(flat) and flat[0][0] == -inf
    bounds = [bound for bound in flat if abs(bound[0]) != inf]
    return bounds, not inside_first


def categories(codes: Iterable[int], negative_fractions: bool) -> list[tuple[Bound, Bound]]:
    """Intervals of the reals that a cast to int brings to one of `codes` (≥ 0), joined where they touch.

    `negative_fractions`: whether -1 < x < 0 counts as 0, as truncation has it.
    """
    runs: list[list[int]] = []
    for code in sorted(set(codes)):
        if runs and runs[-1][1] == code:
            runs[-1][1] = code + 1
        else:
            runs.append([code, code + 1])
    return [
        ((-1.0, True) if first == 0 and negative_fractions else (float(first), False), (float(end), False))
        for first, end in runs
    ]


def check(node: Node, features: int) -> None:
    """Raise `ModelError` naming the layer unless its arrays are a forest over `features` features."""
    p = node.params

    def bad(why: str) -> ModelError:
        return ModelError(f"layer {node.name!r}: {why}; these params are no forest")

    missing = [key for key in ForestBuilder("", 0, 0).params() if key not in p]
    if missing:
        raise bad(f"param {missing[0]!r} is missing")
    splits, leaves, trees = len(p["feature"]), len(p["leaves"]), len(p["root"])
    if p["leaves"].ndim != 2 or p["column"].shape != (trees, p["leaves"].shape[1]) or not trees:
        raise bad(f"leaves of shape {p['leaves'].shape} and columns of shape {p['column'].shape} for {trees} trees")
    if any(p[key].shape != (splits,) for key in ("left", "right")) or p["first"].shape != (splits + 1,):
        raise bad("its splits have arrays of different lengths")
    if p["bound"].shape != p["inclusive"].shape or p["first"][0] != 0 or p["first"][-1] != len(p["bound"]):
        raise bad("its bounds do not belong to its splits")
    if np.any(np.diff(p["first"]) < 1):
        raise bad("a split has no bound")
    if splits and not (p["feature"].min() >= 0 and p["feature"].max() < features):
        raise bad(f"a split of feature {int(p['feature'].max())}, of {features}")
    if p["column"].min() < 0 or p["column"].max() >= node.attrs["outputs"]:
        raise bad(f"a leaf adds to output {int(p['column'].max())}, of {node.attrs['outputs']}")
    refs = np.concatenate([p["root"], p["left"], p["right"]])
    if np.any(refs >= splits) or np.any(~refs[refs < 0] >= leaves):
        raise bad("a reference to a split or leaf that is not there")
    if len(np.unique(refs)) != len(refs):
        raise bad("a split or leaf has two parents")
    depth(node)


def depth(node: Node) -> int:
    """Splits on the longest path; raises `ModelError` where there is a circle of splits."""
    left, right = node.params["left"], node.params["right"]
    level = node.params["root"][node.params["root"] >= 0]
    deep = 0
    while len(level):
        deep += 1
        if deep > len(left):
            raise ModelError(f"layer {node.name!r}: its splits lead in a circle; these params are no forest")
        below = np.concatenate([left[level], right[level]])
        level = below[below >= 0]
    return deep


def sorted_pairs(values: Sequence[int]) -> list[int]:
    """Sorted values without those that occur an even number of times: two equal bounds undo each other."""
    kept: list[int] = []
    for value in sorted(values):
        if kept and kept[-1] == value:
            kept.pop()
        else:
            kept.append(value)
    assert all(a < b for a, b in pairwise(kept))
    return kept
