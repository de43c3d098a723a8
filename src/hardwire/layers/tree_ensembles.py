"""Import rules of ONNX's tree ensembles (domain ai.onnx.ml) to `trees` nodes, with what stands around them.

`TreeEnsembleRegressor`, `TreeEnsembleClassifier` (ai.onnx.ml 1 to 4), `TreeEnsemble` (5), `ZipMap`, `Scaler`. The
classifier's scores for two classes follow onnxruntime, since the standard leaves them open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import imports
from hardwire.layers._forest import Bound, ForestBuilder, bounds_of, grow
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""Names of the modes, in the order of the numbers of `TreeEnsemble`."""
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")

Key = tuple[int, int]
"""Tree and node of an old ensemble; of `TreeEnsemble` (0, split) and (1, leaf)."""


@dataclass(frozen=True)
class _Ensemble:
    """Splits by key: feature, bounds, whether they are the other way round, children. Leaves: (output, value) pairs."""

    splits: dict[Key, tuple[int, list[Bound], bool, Key, Key]]
    leaves: dict[Key, list[tuple[int, float]]]
    roots: list[Key]

    def built(self, label: str, features: int, outputs: int) -> ForestBuilder:
        """Return the forest; leaves are vectors only where a tree adds to several outputs."""
        trees = [self._leaves_below(root, label) for root in self.roots]
        targets = [sorted({at for leaf in tree for at, _ in self.leaves[leaf]}) for tree in trees]
        single = all(len(target) <= 1 for target in targets)
        forest = ForestBuilder(label, features, outputs, 1 if single else outputs)
        for root, target in zip(self.roots, targets, strict=True):
            columns = (target or [0]) if single else list(range(outputs))
            self._add(forest, root, columns)
        return forest

    def _leaves_below(self, root: Key, label: str) -> list[Key]:
        found, stack, seen = [], [root], set[Key]()
        while stack:
            key = stack.pop()
            if key in seen:
                raise ModelError(f"{label}: node {key} is met twice; it is no tree")
            seen.add(key)
            if key in self.splits:
                stack += self.splits[key][3:]
            else:
                self.leaves.setdefault(key, [])
                found.append(key)
        return found

    def _add(self, forest: ForestBuilder, root: Key, columns: Sequence[int]) -> None:
        place = {output: k for k, output in enumerate(columns)}

        def children(key: Key) -> tuple[Key, Key] | None:
            return self.splits[key][3:] if key in self.splits else None

        def make(key: Key, yes: int | None, no: int | None) -> int:
            if yes is None or no is None:
                values = [0.0] * len(columns)
                for output, value in self.leaves[key]:
                    values[place[output]] += value
                return forest.leaf(values)
            feature, bounds, swapped = self.splits[key][:3]
            return forest.split(feature, bounds, *((no, yes) if swapped else (yes, no)))

        forest.tree(grow(forest, root, children, make), columns)


def _bounds(record: Record, mode: str, value: float, members: Sequence[float]) -> tuple[list[Bound], bool]:
    """Bounds of a split's condition, and whether they are the other way round."""
    if mode == "BRANCH_MEMBER":
        return bounds_of([((member, False), (member, True)) for member in sorted(set(members))])
    if math.isnan(value):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a threshold is NaN")
    if math.isinf(value):
        if mode in ("BRANCH_EQ", "BRANCH_NEQ"):
            return [], mode == "BRANCH_EQ"
        return [], (value > 0) == (mode in ("BRANCH_GTE", "BRANCH_GT"))
    match mode:
        case "BRANCH_LEQ" | "BRANCH_GT":
            return [(value, True)], mode == "BRANCH_GT"
        case "BRANCH_LT" | "BRANCH_GTE":
            return [(value, False)], mode == "BRANCH_GTE"
        case "BRANCH_EQ" | "BRANCH_NEQ":
            bounds, swapped = bounds_of([((value, False), (value, True))])
            return bounds, swapped != (mode == "BRANCH_NEQ")
    raise record.unsupported("nodes_modes", mode, f"known are {', '.join(_MODES)}")


def attribute_list(record: Record, name: str, default: Any = None, *, keep: bool = False) -> list[Any]:
    """Take a list attribute, which may be a tensor under its own name or `NAME_as_tensor`; `keep` leaves it there."""
    for key in (name, f"{name}_as_tensor"):
        if record.has(key):
            value = record.peek(key) if keep else record.take(key)
            if isinstance(value, np.ndarray | list | tuple):
                return np.asarray(value).ravel().tolist()
            raise record.unsupported(key, value, "expected a list")
    if default is None:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): attribute {name!r} is missing")
    return list(default)


def _fitting(record: Record, first: str, lists: dict[str, list[Any]]) -> None:
    for name, values in lists.items():
        if len(values) != len(lists[first]):
            raise ModelError(
                f"layer {record.name!r} ({record.kind}): attribute {name!r} has {len(values)} entries, {first!r} has "
                f"{len(lists[first])}"
            )


def finite_list(record: Record, values: Sequence[float], name: str) -> list[float]:
    """Return numbers of an attribute, which must be finite."""
    if not all(math.isfinite(value) for value in values):
        raise ModelError(f"layer {record.name!r} ({record.kind}): attribute {name!r} holds NaN or infinity")
    return [float(value) for value in values]


def _old(record: Record, prefix: str) -> _Ensemble:
    """Nodes and leaves of an ensemble of ai.onnx.ml 1 to 4; leaf attributes begin with `prefix`."""
    nodes = {
        name: attribute_list(record, f"nodes_{name}")
        for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    _fitting(record, "treeids", nodes)
    record.ignore("nodes_hitrates", "nodes_hitrates_as_tensor", "nodes_missing_value_tracks_true")
    splits: dict[Key, tuple[int, list[Bound], bool, Key, Key]] = {}
    leaves: dict[Key, list[tuple[int, float]]] = {}
    roots: dict[int, Key] = {}
    for tree, node, feature, mode, value, yes, no in zip(*nodes.values(), strict=True):
        key = (tree, node)
        if key in splits or key in leaves:
            raise ModelError(f"layer {record.name!r} ({record.kind}): node {node} of tree {tree} stands twice")
        roots.setdefault(tree, key)
        if mode == "LEAF":
            leaves[key] = []
        else:
            splits[key] = (feature, *_bounds(record, mode, value, ()), (tree, yes), (tree, no))
    ends = {name: attribute_list(record, f"{prefix}_{name}") for name in ("treeids", "nodeids", "ids", "weights")}
    _fitting(record, "treeids", ends)
    ends["weights"] = finite_list(record, ends["weights"], f"{prefix}_weights")
    for tree, node, output, weight in zip(*ends.values(), strict=True):
        if (tree, node) not in leaves:
            raise ModelError(f"layer {record.name!r} ({record.kind}): node {node} of tree {tree} is no leaf")
        leaves[tree, node].append((output, weight))
    for _, _, _, *below in splits.values():
        for key in below:
            if key not in splits and key not in leaves:
                raise ModelError(f"layer {record.name!r} ({record.kind}): node {key[1]} of tree {key[0]} is missing")
    return _Ensemble(splits, leaves, list(roots.values()))


def _new(record: Record) -> _Ensemble:
    """Splits and leaves of a `TreeEnsemble`."""
    names = ("featureids", "modes", "splits", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    nodes = {name: attribute_list(record, f"nodes_{name}") for name in names}
    _fitting(record, "featureids", nodes)
    record.ignore("nodes_hitrates", "nodes_missing_value_tracks_true")
    ends = {name: attribute_list(record, f"leaf_{name}") for name in ("targetids", "weights")}
    _fitting(record, "targetids", ends)
    weights = finite_list(record, ends["weights"], "leaf_weights")
    leaves = {
        (1, k): [(target, weight)] for k, (target, weight) in enumerate(zip(ends["targetids"], weights, strict=True))
    }
    members = iter(attribute_list(record, "membership_values", []))
    splits: dict[Key, tuple[int, list[Bound], bool, Key, Key]] = {}
    for k, (feature, number, value, yes, yes_leaf, no, no_leaf) in enumerate(zip(*nodes.values(), strict=True)):
        if not 0 <= number < len(_MODES):
            raise record.unsupported("nodes_modes", number, f"0 to {len(_MODES) - 1} are known")
        chosen: list[float] = []
        if _MODES[number] == "BRANCH_MEMBER":
            for member in members:  # each set ends with a NaN
                if math.isnan(member):
                    break
                chosen.append(member)
        below = ((1 if yes_leaf else 0, yes), (1 if no_leaf else 0, no))
        for key in below:
            if not 0 <= key[1] < (len(leaves) if key[0] else len(nodes["featureids"])):
                raise ModelError(f"layer {record.name!r} ({record.kind}): split {k} has a child that is not there")
        splits[0, k] = (feature, *_bounds(record, _MODES[number], value, chosen), *below)
    roots = [(0, root) for root in attribute_list(record, "tree_roots")]
    return _Ensemble(_single_leaves(splits), leaves, roots)


def _single_leaves(splits: dict[Key, Any]) -> dict[Key, Any]:
    """Give a split whose sides are the same leaf (how `TreeEnsemble` writes a tree of one leaf) no bounds."""
    return {
        key: (feature, [], False, yes, yes) if yes == no else (feature, bounds, swapped, yes, no)
        for key, (feature, bounds, swapped, yes, no) in splits.items()
    }


def features(record: Record, net: NetworkBuilder, x: str) -> int:
    """Return the number of features of a vector."""
    shape = net.shape(x)
    if len(shape) != 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): an input of shape {shape}; features are on one axis"
        )
    return shape[0]


def _outputs(ensemble: _Ensemble, record: Record, stated: int) -> int:
    largest = max((output for leaf in ensemble.leaves.values() for output, _ in leaf), default=0)
    least = min((output for leaf in ensemble.leaves.values() for output, _ in leaf), default=0)
    if least < 0 or largest >= stated:
        raise ModelError(f"layer {record.name!r} ({record.kind}): a leaf of output {largest}, of {stated}")
    return stated


def _transformed(record: Record, net: NetworkBuilder, y: str, transform: str) -> str:
    if transform == "LOGISTIC":
        attrs: dict[str, Any] = {"function": "sigmoid", "arguments": {}, "output": None}
        return net.add("activation", f"{record.name}.sigmoid", [y], attrs)
    if transform == "SOFTMAX":
        return net.add("softmax", f"{record.name}.softmax", [y], {"axis": 0, "output": None, "tables": None})
    if transform != "NONE":
        raise record.unsupported("post_transform", transform, "NONE, LOGISTIC and SOFTMAX are supported")
    return y


def _regression(
    record: Record, net: NetworkBuilder, ensemble: _Ensemble, targets: int, how: str, transform: str
) -> str:
    if how not in ("SUM", "AVERAGE"):
        raise record.unsupported("aggregate_function", how, "SUM and AVERAGE are supported")
    if targets == 1 and transform != "NONE":
        why = "runtimes do not agree whether it is applied to one target"
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): attribute 'post_transform' = {transform!r}: {why}",
            hint="post_transform NONE, and a Sigmoid behind it where one is meant",
        )
    x = onnx.data(record)
    outputs = _outputs(ensemble, record, targets)
    forest = ensemble.built(f"layer {record.name!r} ({record.kind})", features(record, net, x), outputs)
    base = finite_list(record, attribute_list(record, "base_values", []), "base_values")
    if base and len(base) != outputs:
        raise record.unsupported("base_values", base, f"expected {outputs} values")
    average = how == "AVERAGE" and len(ensemble.roots) > 1
    if base and not average:
        forest.constant(base)
    divisor = len(ensemble.roots) if average else 1
    y = net.add("trees", record.name, [x], {"outputs": outputs, "divisor": divisor}, forest.params())
    if average and any(base):
        y = net.add("add", f"{record.name}.base", [y], {}, {"constant": np.array(base)})
    return _transformed(record, net, y, transform)


@imports("onnx", "ai.onnx.ml::TreeEnsembleRegressor")
def _regressor(record: Record, net: NetworkBuilder) -> str:
    """Sum or average of the leaves, and base values."""
    ensemble = _old(record, "target")
    targets = int(record.take("n_targets", 1))
    how, transform = record.take("aggregate_function", "SUM"), record.take("post_transform", "NONE")
    return _regression(record, net, ensemble, targets, how, transform)


@imports("onnx", "ai.onnx.ml::TreeEnsemble")
def _tree_ensemble(record: Record, net: NetworkBuilder) -> str:
    """The one ensemble of ai.onnx.ml 5."""
    ensemble = _new(record)
    targets = int(record.take("n_targets"))
    names = []
    for attr, choices, default in (("aggregate_function", _AGGREGATES, 1), ("post_transform", _TRANSFORMS, 0)):
        number = record.take(attr, default)
        if not 0 <= number < len(choices):
            raise record.unsupported(attr, number, f"0 to {len(choices) - 1} are known")
        names.append(choices[number])
    return _regression(record, net, ensemble, targets, *names)


@imports("onnx", "ai.onnx.ml::TreeEnsembleClassifier")
def _classifier(record: Record, net: NetworkBuilder) -> list[str]:
    """Label and scores. Two classes of which the leaves know one have the scores ∓s, or 1 - s and s where no leaf is
    below zero, as in onnxruntime; a label of text is the class's number."""
    ensemble = _old(record, "class")
    transform = record.take("post_transform", "NONE")
    labels = class_labels(record, "classlabels_int64s", "classlabels_strings")
    x = onnx.data(record)
    outputs = _outputs(ensemble, record, len(labels))
    width = features(record, net, x)
    base = finite_list(record, attribute_list(record, "base_values", []), "base_values")
    label = f"layer {record.name!r} ({record.kind})"
    known = {output for leaf in ensemble.leaves.values() for output, _ in leaf}
    read = record.take("(outputs read)", (0,))
    if outputs == 2 and known == {0}:
        if len(base) > 1:
            raise record.unsupported("base_values", base, "one value is expected where the leaves know one class")
        positive = all(value >= 0 for leaf in ensemble.leaves.values() for _, value in leaf)
        if transform not in ("NONE", "LOGISTIC"):
            raise record.unsupported("post_transform", transform, "not for two classes of which the leaves know one")
        both = {key: [(0, -value), (1, value)] for key, leaf in ensemble.leaves.items() for _, value in leaf[:1]}
        if any(len(leaf) > 1 for leaf in ensemble.leaves.values()):
            raise ModelError(f"{label}: a leaf has two weights of one class")
        forest = _Ensemble(ensemble.splits, both, ensemble.roots).built(label, width, 2)
        score = base[0] if base else 0.0
        forest.constant([1.0 - score if positive else -score, score])
        y = net.add("trees", record.name, [x], {"outputs": 2}, forest.params())
        scores = y if positive else _transformed(record, net, y, transform)
    else:
        if base and len(base) != outputs:
            raise record.unsupported("base_values", base, f"expected {outputs} values")
        forest = ensemble.built(label, width, outputs)
        forest.constant(base or [0.0] * outputs)
        y = net.add("trees", record.name, [x], {"outputs": outputs}, forest.params())
        scores = _transformed(record, net, y, transform)
    if 0 not in read:
        return [scores, scores]
    if outputs == 2 and known != {0}:
        raise UnsupportedError(
            f"{label}: the label of two classes with a score each is left open by the standard",
            hint="keep the scores as the only output, and take the larger",
        )
    return [class_of(record, net, y, labels), scores]


def class_labels(record: Record, numbers: str, words: str) -> list[int]:
    """Take the labels of a classifier's classes; a label of text is the class's number."""
    labels = attribute_list(record, numbers, []) or list(range(len(attribute_list(record, words, []))))
    if len(labels) < 2:
        raise record.unsupported(numbers, labels, "a classifier has two classes at least")
    return labels


def class_of(record: Record, net: NetworkBuilder, scores: str, labels: Sequence[int]) -> str:
    """Add the label of the first largest score."""
    best = net.add("argmax", f"{record.name}.label", [scores], {"axis": 0, "keepdims": False, "last": False})
    if list(labels) == list(range(len(labels))):
        return best
    table = np.array(labels, np.float64)[:, None]
    best = net.add("embedding", f"{record.name}.labels", [best], {}, {"table": table})
    return net.add("reshape", f"{record.name}.label_of", [best], {"shape": ()})


@imports("onnx", "ai.onnx.ml::ZipMap")
def _zip_map(record: Record, net: NetworkBuilder) -> str:
    """A dictionary of class to score is the tensor of scores in the order of the classes."""
    record.ignore("classlabels_int64s", "classlabels_strings")
    return onnx.data(record)


@imports("onnx", "ai.onnx.ml::Scaler")
def _scaler(record: Record, net: NetworkBuilder) -> str:
    """`(x - offset) · scale`."""
    x = onnx.data(record)
    offset, scale = (
        np.array(attribute_list(record, key, [0.0 if key == "offset" else 1.0]), np.float64)
        for key in ("offset", "scale")
    )
    y = net.add("sub", f"{record.name}.offset", [x], {}, {"constant": offset})
    return net.add("mul", record.name, [y], {}, {"constant": scale})
