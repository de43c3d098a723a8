"""XGBoost models: JSON and UBJSON files of `save_model`, and live boosters, for which alone XGBoost is needed.

The output is the margin, as `predict(output_margin=True)` gives it: leaf sums and base score in exact arithmetic, where
XGBoost sums in float32. `source["transform"]` of the Network names what the objective does to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._archive import file_bytes, first_bytes, parse_json, sha256
from hardwire.frontends._trees import (
    MAX_FEATURES,
    MAX_OUTPUTS,
    entry,
    finite,
    forest_network,
    integer,
    integers,
    no_extras,
    reals,
)
from hardwire.frontends._ubjson import parse_ubjson
from hardwire.layers._forest import ForestBuilder, bounds_of, categories, grow
from hardwire.network.graph import Network

FORMAT = "XGBoost (.json, .ubj, live boosters)"

_JSON = re.compile(rb'\s*\{\s*"learner"\s*:')
_UBJSON = re.compile(rb"\{(\$.)?(#.{1,9})?[iUIlL][\x00-\x07]{1,8}learner", re.DOTALL)
_OLD = (b"binf", b"bs64")
"""First bytes of the binary and base64 formats that XGBoost dropped in 3.1."""

_LOGISTIC = ("binary:logistic", "reg:logistic")
_LOGARITHMIC = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
_IDENTITY = (
    "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
    "reg:quantileerror", "reg:expectileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map",
)  # fmt: skip
_TRANSFORMS = {
    **dict.fromkeys(_LOGISTIC, "sigmoid"),
    **dict.fromkeys(_LOGARITHMIC, "exp"),
    **dict.fromkeys(_IDENTITY, "none"),
    "binary:hinge": "step",
    "multi:softprob": "softmax",
    "multi:softmax": "argmax",
}
"""What each objective's `predict` does to the margin."""

_CONSTANT_FREE = ("multi:softprob", "multi:softmax", "rank:pairwise", "rank:ndcg", "rank:map")
"""Objectives whose decisions a constant added to every margin does not change."""


def accepts(source: Any) -> bool:
    """Whether this is a file of `save_model` by its first bytes, or a live XGBoost object."""
    if isinstance(source, Path):
        head = first_bytes(source, 64)
        return bool(_JSON.match(head) or _UBJSON.match(head)) or head.startswith(_OLD) or source.suffix == ".ubj"
    return any(c.__module__.split(".")[0] == "xgboost" for c in type(source).__mro__)


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a model into a Network of one `trees` node.

    `source`: a path, a `Booster` or a model of XGBoost's scikit-learn interface (of which the trees are read that its
    `predict` uses, up to the best iteration of early stopping; a file and a `Booster` give all trees). Raises
    `ModelError` for damaged files, `UnsupportedError` naming what is not supported.
    """
    if not isinstance(source, Path):
        return _live(source, example, weights)
    label = f"model {str(source)!r}"
    no_extras(label, example, weights)
    data = file_bytes(source, repr(str(source)))
    return _network(_document(data, source), label, source.stem, sha256(data), None)


def _document(data: bytes, source: Path) -> Any:
    quoted = repr(str(source))
    if _JSON.match(data[:64]) or (source.suffix == ".json"):
        return parse_json(data, quoted, "the model")
    if data.startswith(_OLD):
        raise ModelError(
            f"model {quoted}: the old binary format of XGBoost, which XGBoost itself no longer reads",
            hint="load it with the version that wrote it (below 3.1) and save_model('model.json')",
        )
    return parse_ubjson(data, quoted)


def _live(source: Any, example: Any, weights: Any) -> Network:
    label = f"model of type {type(source).__qualname__}"
    no_extras(label, example, weights)
    booster, rounds = source, None
    if hasattr(source, "get_booster"):
        try:
            booster = source.get_booster()
        except Exception as error:  # whatever XGBoost raises for a model that was not fitted
            raise ModelError(f"{label}: {str(error).splitlines()[0]}", hint="call fit first") from None
        best = getattr(source, "best_iteration", None) if getattr(source, "early_stopping_rounds", None) else None
        rounds = None if best is None else int(best) + 1
    if not hasattr(booster, "save_raw"):
        raise UnsupportedError(f"{label}: no XGBoost model; a Booster or a fitted XGBModel is")
    data = bytes(booster.save_raw(raw_format="ubj"))
    return _network(parse_ubjson(data, label), label, "xgboost", sha256(data), rounds)


def _network(document: Any, label: str, name: str, digest: str, rounds: int | None) -> Network:
    learner = entry(document, "learner", label, Mapping)
    param = entry(learner, "learner_model_param", label, Mapping)
    features = integer(entry(param, "num_feature", label), label, "'num_feature'", 1, MAX_FEATURES)
    classes = integer(param.get("num_class", 0), label, "'num_class'", 0, MAX_OUTPUTS)
    targets = integer(param.get("num_target", 1), label, "'num_target'", 0, MAX_OUTPUTS)
    outputs = max(classes, targets, 1)
    objective = str(entry(entry(learner, "objective", label, Mapping), "name", label, str))
    forest = ForestBuilder(label, features, outputs)
    model, factors = _booster(entry(learner, "gradient_booster", label, Mapping), label)
    _trees(forest, model, factors, label, rounds)
    base = _base_scores(param, objective, outputs, label)
    forest.constant(base)
    version = document.get("version")
    stated = ".".join(map(str, version)) if isinstance(version, list | np.ndarray) else None
    source = {
        "format": "xgboost",
        "sha256": digest,
        "xgboost_version": stated,
        "objective": objective,
        "transform": _TRANSFORMS.get(objective, "unknown"),
    }
    return forest_network(name, source, forest)


def _booster(booster: Mapping[str, Any], label: str) -> tuple[Mapping[str, Any], list[float] | None]:
    """Trees, and the weight of each in a dart model."""
    kind = entry(booster, "name", label, str)
    if kind == "gblinear":
        raise UnsupportedError(f"{label}: booster 'gblinear' has no trees", hint="export it as a dense layer (ONNX)")
    if kind == "dart":
        model = entry(entry(booster, "gbtree", label, Mapping), "model", label, Mapping)
        factors = reals(entry(booster, "weight_drop", label), label, "'weight_drop'")
        return model, [float(np.float32(factor)) for factor in factors]
    if kind != "gbtree":
        raise UnsupportedError(f"{label}: booster {kind!r} is not supported; gbtree and dart are")
    return entry(booster, "model", label, Mapping), None


def _trees(
    forest: ForestBuilder, model: Mapping[str, Any], factors: list[float] | None, label: str, rounds: int | None
) -> None:
    trees = entry(model, "trees", label, list)
    groups = integers(entry(model, "tree_info", label), label, "'tree_info'", len(trees))
    if factors is not None and len(factors) != len(trees):
        raise ModelError(f"{label}: 'weight_drop' has {len(factors)} entries for {len(trees)} trees")
    count = len(trees)
    if rounds is not None:
        ends = model.get("iteration_indptr")
        if ends is None:
            parallel = integer(
                entry(model, "gbtree_model_param", label).get("num_parallel_tree", 1), label, "'num_parallel_tree'", 1
            )
            count = min(count, rounds * parallel * forest.outputs)
        else:
            starts = integers(ends, label, "'iteration_indptr'")
            count = starts[min(rounds, len(starts) - 1)]
    for number in range(count):
        group = groups[number]
        if not 0 <= group < forest.outputs:
            raise ModelError(f"{label}: tree {number} belongs to output {group}, of {forest.outputs}")
        factor = 1.0 if factors is None else factors[number]
        _tree(forest, trees[number], f"{label}: tree {number}", factor, group)
    if not trees:
        forest.tree(forest.leaf([0.0]), [0])


def _tree(forest: ForestBuilder, tree: Any, label: str, factor: float, group: int) -> None:
    size = integer(entry(entry(tree, "tree_param", label, Mapping), "size_leaf_vector", label), label, "leaf size", 0)
    if size > 1:
        raise UnsupportedError(
            f"{label}: leaves of {size} values (multi_strategy='multi_output_tree') are not supported",
            hint="train with multi_strategy='one_output_per_tree'",
        )
    left = integers(entry(tree, "left_children", label), label, "'left_children'")
    n = len(left)
    right = integers(entry(tree, "right_children", label), label, "'right_children'", n)
    feature = integers(entry(tree, "split_indices", label), label, "'split_indices'", n)
    # Written as the shortest decimal that float32 reads back.
    value = [
        float(v)
        for v in np.array(reals(entry(tree, "split_conditions", label), label, "'split_conditions'", n), np.float32)
    ]
    kinds = integers(tree["split_type"], label, "'split_type'", n) if "split_type" in tree else [0] * n
    sets = _category_sets(tree, label) if any(kinds) else {}
    if not n:
        raise ModelError(f"{label}: it has no nodes")

    def children(node: int) -> tuple[int, int] | None:
        if left[node] == -1:
            return None
        for child in (left[node], right[node]):
            if not 0 <= child < n:
                raise ModelError(f"{label}: node {node} has the child {child}, of {n} nodes")
        return left[node], right[node]

    def make(node: int, yes: int | None, no: int | None) -> int:
        if yes is None or no is None:
            # A dart weight multiplies in float32, as XGBoost does it.
            leaf = np.float32(finite(value[node], label, f"leaf {node}")) * np.float32(factor)
            return forest.leaf([finite(float(leaf), label, f"leaf {node}")])
        if kinds[node] == 0:
            threshold = value[node]
            if math.isnan(threshold):
                raise ModelError(f"{label}: the threshold of node {node} is NaN")
            if math.isinf(threshold):
                return yes if threshold > 0 else no
            return forest.split(feature[node], [(threshold, False)], yes, no)
        if kinds[node] != 1:
            raise UnsupportedError(f"{label}: node {node} has a split of type {kinds[node]}")
        # Categories of the set go right; negative and unknown values go left.
        bounds, swapped = bounds_of(categories(sets.get(node, []), negative_fractions=False))
        return forest.split(feature[node], bounds, *((yes, no) if swapped else (no, yes)))

    forest.tree(grow(forest, 0, children, make), [group])


def _category_sets(tree: Mapping[str, Any], label: str) -> dict[int, list[int]]:
    """Categories of each categorical split, by its node."""
    nodes = integers(entry(tree, "categories_nodes", label), label, "'categories_nodes'")
    starts = integers(entry(tree, "categories_segments", label), label, "'categories_segments'", len(nodes))
    sizes = integers(entry(tree, "categories_sizes", label), label, "'categories_sizes'", len(nodes))
    codes = integers(entry(tree, "categories", label), label, "'categories'")
    found = {}
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if start < 0 or size < 0 or start + size > len(codes):
            raise ModelError(f"{label}: the categories of node {node} are not in the file")
        found[node] = codes[start : start + size]
        if any(code < 0 or code >= 1 << 24 for code in found[node]):
            raise ModelError(f"{label}: node {node} has a category outside of 0 to 2^24")
    return found


def _base_scores(param: Mapping[str, Any], objective: str, outputs: int, label: str) -> list[float]:
    """Base score of each output as a margin: one number, or (since 3.1) a list of them as text."""
    stated = param.get("base_score", "5E-1")
    parts = stated.strip().removeprefix("[").removesuffix("]").split(",") if isinstance(stated, str) else stated
    if isinstance(parts, int | float):
        parts = [parts]
    try:
        scores = [float(np.float32(part)) for part in parts]
    except (TypeError, ValueError):
        raise ModelError(f"{label}: 'base_score' is {stated!r}, expected a number or a list of them") from None
    if len(scores) not in (1, outputs):
        raise ModelError(f"{label}: 'base_score' has {len(scores)} entries for {outputs} outputs")
    scores = scores * outputs if len(scores) == 1 else scores
    if any(math.isnan(score) for score in scores):
        if objective in _CONSTANT_FREE:
            # Any constant decides alike; 0.5 is XGBoost's default.
            return [0.5] * outputs
        raise ModelError(
            f"{label}: 'base_score' is NaN: the file does not say the constant that XGBoost estimated from the labels",
            hint="load the model with the version of XGBoost that trained it, set base_score, and save it again",
        )
    return [_as_margin(finite(score, label, "'base_score'"), objective, label) for score in scores]


def _as_margin(score: float, objective: str, label: str) -> float:
    """Apply the objective's link, in float32 as XGBoost does it."""
    one = np.float32(1.0)
    if objective in _LOGISTIC:
        if not 0.0 < score < 1.0:
            raise ModelError(f"{label}: 'base_score' is {score}; of {objective} it is a probability")
        return float(-np.log(one / np.float32(score) - one))
    if objective in _LOGARITHMIC:
        if score <= 0.0:
            raise ModelError(f"{label}: 'base_score' is {score}; of {objective} it is positive")
        return float(np.log(np.float32(score)))
    return score
