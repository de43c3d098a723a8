"""LightGBM models: the text of `save_model`, and live boosters; LightGBM itself is needed for the latter only.

The output is the raw score, as `predict(raw_score=True)` gives it; `source["transform"]` of the Network names what the
objective does to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends._archive import broken, file_bytes, first_bytes, sha256
from hardwire.frontends._trees import MAX_FEATURES, MAX_OUTPUTS, finite, forest_network, integer, no_extras
from hardwire.layers._forest import Bound, ForestBuilder, bounds_of, categories, grow
from hardwire.network.graph import Network

FORMAT = "LightGBM (.txt, live boosters)"

_ZERO = 1e-35
"""LightGBM's `kZeroThreshold`: what is not beyond it counts as zero."""

_TRANSFORMS = {
    "binary": "sigmoid", "multiclassova": "sigmoid", "cross_entropy": "sigmoid", "xentropy": "sigmoid",
    "cross_entropy_lambda": "log1p(exp)", "xentlambda": "log1p(exp)", "multiclass": "softmax",
    "poisson": "exp", "gamma": "exp", "tweedie": "exp",
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg",
                     "custom", "none"), "none"),
}  # fmt: skip
"""What each objective's `predict` does to the raw score."""


def accepts(source: Any) -> bool:
    """Whether this is a file of `save_model` by its first line, or a live LightGBM object."""
    if isinstance(source, Path):
        return first_bytes(source, 16).lstrip().startswith((b"tree\n", b"tree\r\n"))
    return any(c.__module__.split(".")[0] == "lightgbm" for c in type(source).__mro__)


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a model into a Network of one `trees` node.

    `source`: a path, a `Booster`, or a model of LightGBM's scikit-learn interface; of live models the trees up to the
    best iteration. Raises `ModelError` for damaged files, `UnsupportedError` naming what is not supported.
    """
    if isinstance(source, Path):
        label, name = f"model {str(source)!r}", source.stem
        no_extras(label, example, weights)
        data = file_bytes(source, repr(str(source)))
    else:
        label, name = f"model of type {type(source).__qualname__}", "lightgbm"
        no_extras(label, example, weights)
        try:
            booster = source.booster_ if hasattr(type(source), "booster_") else source
            data = booster.model_to_string().encode()
        except Exception as error:  # whatever LightGBM raises for what was not fitted, or is no model
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            raise ModelError(f"{label}: {reason}", hint="give a fitted model or a Booster") from None
    return _network(data, label, name)


def _network(data: bytes, label: str, name: str) -> Network:
    header, trees = _sections(data, label)
    features = integer(_field(header, "max_feature_idx", label), label, "'max_feature_idx'", 0, MAX_FEATURES - 1) + 1
    outputs = integer(
        _field(header, "num_tree_per_iteration", label), label, "'num_tree_per_iteration'", 1, MAX_OUTPUTS
    )
    forest = ForestBuilder(label, features, outputs)
    for number, fields in enumerate(trees):
        _tree(forest, fields, f"{label}: tree {number}", number % outputs)
    if not trees:
        forest.tree(forest.leaf([0.0]), [0])
    divisor = max(1, len(trees) // outputs) if "average_output" in header else 1
    objective, *settings = header.get("objective", "none").split() or ["none"]
    transform = _TRANSFORMS.get(objective, "unknown")
    if objective == "regression" and "sqrt" in settings:
        transform = "sign(x)·x²"
    source = {
        "format": "lightgbm",
        "sha256": sha256(data),
        "lightgbm_version": header.get("version"),
        "objective": " ".join([objective, *settings]),
        "transform": transform,
    }
    slopes = [setting.partition(":")[2] for setting in settings if setting.startswith("sigmoid:")]
    if transform == "sigmoid" and slopes and slopes[0] != "1":
        source["transform_slope"] = slopes[0]
    return forest_network(name, source, forest, divisor)


def _sections(data: bytes, label: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Fields of the header and of each tree; parameters behind the trees are not the model's."""
    quoted = label.removeprefix("model ")
    header: dict[str, str] = {}
    trees: list[dict[str, str]] = []
    here = header
    for line in data.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if text == "end of trees":
            break
        key, _, value = text.partition("=")
        if key == "Tree":
            if value != str(len(trees)):
                raise broken(quoted, f"tree {len(trees)} is missing")
            here = {}
            trees.append(here)
        elif key:
            if key in here and key != "tree":
                raise broken(quoted, f"{key!r} stands twice in one section")
            here[key] = value
    else:
        raise broken(quoted, "the line 'end of trees' is missing")
    sizes = header.get("tree_sizes", "").split()
    if sizes and len(sizes) != len(trees):
        raise broken(quoted, f"{len(trees)} trees of {len(sizes)}")
    return header, trees


def _field(fields: Mapping[str, str], key: str, label: str) -> str:
    if key not in fields:
        raise ModelError(f"{label}: {key!r} is missing", hint="save the model again with LightGBM")
    return fields[key]


def _numbers(fields: Mapping[str, str], key: str, label: str, count: int) -> list[float]:
    parts = _field(fields, key, label).split()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ModelError(f"{label}: {key!r} holds what is no number") from None
    if len(numbers) != count:
        raise ModelError(f"{label}: {key!r} has {len(numbers)} entries, expected {count}")
    return numbers


def _whole(fields: Mapping[str, str], key: str, label: str, count: int) -> list[int]:
    return [integer(value, label, f"{key!r}", -(1 << 32), 1 << 32) for value in _numbers(fields, key, label, count)]


def _tree(forest: ForestBuilder, fields: Mapping[str, str], label: str, output: int) -> None:
    if fields.get("is_linear", "0") != "0":
        raise UnsupportedError(
            f"{label}: linear models in the leaves (linear_tree=true) are not supported",
            hint="train with linear_tree=false",
        )
    leaves = integer(_field(fields, "num_leaves", label), label, "'num_leaves'", 1, 1 << 24)
    value = [finite(v, label, "a leaf") for v in _numbers(fields, "leaf_value", label, leaves)]
    if leaves == 1:
        forest.tree(forest.leaf([value[0]]), [output])
        return
    splits = leaves - 1
    feature = _whole(fields, "split_feature", label, splits)
    threshold = _numbers(fields, "threshold", label, splits)
    kind = _whole(fields, "decision_type", label, splits)
    left = _whole(fields, "left_child", label, splits)
    right = _whole(fields, "right_child", label, splits)
    sets = _category_sets(fields, label) if any(flags & 1 for flags in kind) else []

    def children(node: int) -> tuple[int, int] | None:
        if node < 0:
            return None
        for child in (left[node], right[node]):
            if not -leaves <= child < splits:
                raise ModelError(f"{label}: split {node} has the child {child}, of {splits} splits")
        return left[node], right[node]

    def make(node: int, yes: int | None, no: int | None) -> int:
        if yes is None or no is None:
            return forest.leaf([value[~node]])
        if kind[node] & 1:
            which = integer(threshold[node], label, f"the set of split {node}", 0, max(0, len(sets) - 1))
            bounds, swapped = bounds_of(categories(sets[which], negative_fractions=True))
        else:
            bounds, swapped = _numeric(threshold[node], kind[node], f"{label}: split {node}")
        return forest.split(feature[node], bounds, *((no, yes) if swapped else (yes, no)))

    forest.tree(grow(forest, 0, children, make), [output])


def _numeric(threshold: float, flags: int, label: str) -> tuple[list[Bound], bool]:
    """Bounds of `x ≤ threshold`; where zero stands for a missing value it goes to the default side."""
    if math.isnan(threshold):
        raise ModelError(f"{label}: the threshold is NaN")
    missing, default_left = (flags >> 2) & 3, bool(flags & 2)
    if missing == 3 or flags >> 4:
        raise UnsupportedError(f"{label}: decision_type {flags} is not understood")
    top: Bound = (threshold, True)
    below, above = (-_ZERO, False), (_ZERO, True)
    if missing == 1 and default_left and abs(threshold) <= _ZERO:
        top = above
    elif missing != 1 or default_left == (threshold >= 0.0):
        pass
    elif default_left:  # what is below the threshold, and zero
        return bounds_of([((-math.inf, True), top), (below, above)])
    elif threshold <= _ZERO:
        top = below
    else:
        return bounds_of([((-math.inf, True), below), (above, top)])
    return bounds_of([((-math.inf, True), top)])


def _category_sets(fields: Mapping[str, str], label: str) -> list[list[int]]:
    """Categories of each set: bits of 32-bit words."""
    count = integer(_field(fields, "num_cat", label), label, "'num_cat'", 1, 1 << 24)
    ends = _whole(fields, "cat_boundaries", label, count + 1)
    words = _whole(fields, "cat_threshold", label, len(_field(fields, "cat_threshold", label).split()))
    if ends[0] != 0 or ends[-1] != len(words) or any(a > b for a, b in zip(ends, ends[1:], strict=False)):
        raise ModelError(f"{label}: 'cat_boundaries' do not fit 'cat_threshold'")
    if any(not 0 <= word < 1 << 32 for word in words):
        raise ModelError(f"{label}: 'cat_threshold' holds what is no 32-bit word")
    return [
        [32 * at + bit for at, word in enumerate(words[start:end]) for bit in range(32) if word >> bit & 1]
        for start, end in zip(ends, ends[1:], strict=False)
    ]
