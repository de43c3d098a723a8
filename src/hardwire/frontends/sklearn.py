"""Trees and forests of scikit-learn: live fitted models. Their files are pickles, which are refused and say why.

Outputs are what is exact: `predict` of regressors, `predict_proba` of trees and random forests (averages of the leaves'
class shares), `decision_function` of boosted classifiers, the raw prediction of boosted regressors with a link, the
mean path length over its normaliser of isolation forests. `source["transform"]` names what scikit-learn does to it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.frontends._archive import first_bytes
from hardwire.frontends._trees import forest_network, no_extras
from hardwire.layers._forest import ForestBuilder, bounds_of, categories, grow
from hardwire.network.graph import Network

FORMAT = "scikit-learn trees (live)"

_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
_TORCH = (".pt", ".pth", ".pt2", ".ckpt")
_PACKED = (b"\x1f\x8b", b"x\x9c", b"x\x01", b"x\xda", b"BZ", b"\xfd7zXZ")


def accepts(source: Any) -> bool:
    """Whether this is a live scikit-learn model, or a pickle (to be refused)."""
    if isinstance(source, Path):
        head = first_bytes(source, 8)
        return source.suffix in _PICKLES or (head[:1] == b"\x80" and source.suffix not in _TORCH)
    return any(c.__module__.split(".")[0] == "sklearn" for c in type(source).__mro__)


def read(source: Any, *, example: Any = None, weights: Any = None) -> Network:
    """Read a fitted model into a Network of one `trees` node; raises `UnsupportedError` naming what is no forest."""
    if isinstance(source, Path):
        packed = " (compressed)" if first_bytes(source, 8).startswith(_PACKED) else ""
        raise ModelError(
            f"model {str(source)!r}: a pickle{packed}, which may run any code when it is read; hardwire opens none",
            hint="load it yourself if you trust it and give the live model (hw.compile(model, …)), or save it as "
            "ONNX (skl2onnx), XGBoost JSON (save_model('model.json')) or LightGBM text (save_model('model.txt'))",
        )
    label = f"model of type {type(source).__qualname__}"
    no_extras(label, example, weights)
    names = [c.__name__ for c in type(source).__mro__]
    reader = next((READERS[name] for name in names if name in READERS), None)
    if reader is None:
        raise UnsupportedError(
            f"{label}: not a tree or forest that hardwire reads ({', '.join(READERS)})",
            hint="export the model with skl2onnx, or give its steps one by one",
        )
    if not hasattr(source, "n_features_in_"):
        raise ModelError(f"{label}: the model is not fitted", hint="call fit first")
    forest, divisor, transform = reader(source, label)
    digest = hashlib.sha256()
    for key, value in sorted(forest.params().items()):
        digest.update(f"{key} {value.dtype.str} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    found = {
        "format": "scikit-learn",
        "sha256": digest.hexdigest(),
        "model": type(source).__name__,
        "transform": transform,
    }
    return forest_network(type(source).__name__, found, forest, divisor)


Read = tuple[ForestBuilder, int, str]
"""The forest, by how much its sum is divided, and what scikit-learn does to that."""


def _add(
    forest: ForestBuilder,
    tree: Any,
    leaves: Floats,
    columns: range | list[int],
    features: NDArray[Any] | None = None,
) -> None:
    """Add a `sklearn.tree._tree.Tree` with its own leaf values (nodes, width)."""
    left, right = tree.children_left.tolist(), tree.children_right.tolist()
    feature = tree.feature if features is None else np.where(tree.feature >= 0, features[tree.feature], -1)
    numbers, thresholds = feature.tolist(), tree.threshold.tolist()

    def children(node: int) -> tuple[int, int] | None:
        return None if left[node] < 0 else (left[node], right[node])

    def make(node: int, yes: int | None, no: int | None) -> int:
        if yes is None or no is None:
            return forest.leaf(leaves[node].tolist())
        if math.isinf(thresholds[node]):  # only missing values go to the other side
            return yes if thresholds[node] > 0 else no
        return forest.split(numbers[node], [(thresholds[node], True)], yes, no)

    forest.tree(grow(forest, 0, children, make), columns)


def _single_output(model: Any, label: str) -> int:
    """Number of classes of a classifier of one output."""
    if getattr(model, "n_outputs_", 1) != 1:
        raise UnsupportedError(
            f"{label}: a classifier of {model.n_outputs_} outputs is not supported", hint="one model an output"
        )
    return int(model.n_classes_)


def _shares(tree: Any) -> Floats:
    """Class shares of every node (older versions kept counts)."""
    value = np.asarray(tree.value[:, 0, :], np.float64)
    total = value.sum(axis=1, keepdims=True)
    # Shares that were stored are taken as they stand.
    return value if np.allclose(total, 1.0) else value / total


def _trees_of(model: Any) -> list[Any]:
    """The single trees of a tree or an ensemble."""
    return [model.tree_] if hasattr(model, "tree_") else [estimator.tree_ for estimator in model.estimators_]


def _classifier(model: Any, label: str) -> Read:
    """`predict_proba` of a tree, or the average over those of a forest."""
    classes = _single_output(model, label)
    forest = ForestBuilder(label, model.n_features_in_, classes, classes)
    trees = _trees_of(model)
    for tree in trees:
        _add(forest, tree, _shares(tree), range(classes))
    return forest, len(trees), "none"


def _regressor(model: Any, label: str) -> Read:
    """`predict` of a tree, or the average over those of a forest; several outputs are one value of a leaf each."""
    outputs = int(model.n_outputs_)
    forest = ForestBuilder(label, model.n_features_in_, outputs, outputs)
    trees = _trees_of(model)
    for tree in trees:
        _add(forest, tree, np.asarray(tree.value[:, :, 0], np.float64), range(outputs))
    return forest, len(trees), "none"


def _gradient_boosting(model: Any, label: str) -> Read:
    """`decision_function` of a classifier, `predict` of a regressor."""
    init = type(model.init_).__name__
    if init not in ("str", "DummyClassifier", "DummyRegressor"):
        raise UnsupportedError(
            f"{label}: init={init} is another model in front of the trees", hint="train with init=None or init='zero'"
        )
    stages, outputs = model.estimators_.shape
    start = model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32))
    forest = ForestBuilder(label, model.n_features_in_, outputs)
    for stage in range(stages):
        for output in range(outputs):
            tree = model.estimators_[stage, output].tree_
            _add(forest, tree, model.learning_rate * np.asarray(tree.value[:, :, 0], np.float64), [output])
    forest.constant(np.asarray(start, np.float64).ravel().tolist())
    if not hasattr(model, "classes_"):
        return forest, 1, "none"
    if model.loss == "exponential":
        return forest, 1, "sigmoid(2x)"
    return forest, 1, "sigmoid" if outputs == 1 else "softmax"


def _hist_gradient_boosting(model: Any, label: str) -> Read:
    """`decision_function` of a classifier, the raw prediction of a regressor."""
    if getattr(model, "_preprocessor", None) is not None:
        raise UnsupportedError(
            f"{label}: categorical features that scikit-learn encodes itself are not supported",
            hint="encode categories before training, with categorical_features=None",
        )
    outputs = len(model._predictors[0])
    forest = ForestBuilder(label, model.n_features_in_, outputs)
    for stage in model._predictors:
        for output, predictor in enumerate(stage):
            _predictor(forest, predictor, output)
    forest.constant(np.asarray(model._baseline_prediction, np.float64).ravel().tolist())
    if hasattr(model, "classes_"):
        return forest, 1, "sigmoid" if outputs == 1 else "softmax"
    return forest, 1, "exp" if model.loss in ("poisson", "gamma") else "none"


def _predictor(forest: ForestBuilder, predictor: Any, output: int) -> None:
    """Add a `TreePredictor`: rows of a structured array, bit sets of categories."""
    nodes = predictor.nodes
    columns = {key: nodes[key].tolist() for key in nodes.dtype.names}

    def children(node: int) -> tuple[int, int] | None:
        return None if columns["is_leaf"][node] else (columns["left"][node], columns["right"][node])

    def make(node: int, yes: int | None, no: int | None) -> int:
        if yes is None or no is None:
            return forest.leaf([columns["value"][node]])
        feature = columns["feature_idx"][node]
        if columns["is_categorical"][node]:
            words = predictor.raw_left_cat_bitsets[columns["bitset_idx"][node]].tolist()
            codes = [32 * at + bit for at, word in enumerate(words) for bit in range(32) if word >> bit & 1]
            bounds, swapped = bounds_of(categories(codes, negative_fractions=True))
            return forest.split(feature, bounds, *((no, yes) if swapped else (yes, no)))
        threshold = columns["num_threshold"][node]
        if math.isinf(threshold):
            return yes if threshold > 0 else no
        return forest.split(feature, [(threshold, True)], yes, no)

    forest.tree(grow(forest, 0, children, make), [output])


def _isolation_forest(model: Any, label: str) -> Read:
    """Mean path length over its normaliser c(max_samples): `score_samples` is -2^-(this)."""
    forest = ForestBuilder(label, model.n_features_in_, 1)
    normaliser = float(_average_path(np.array([model._max_samples]))[0])
    for estimator, features in zip(model.estimators_, model.estimators_features_, strict=True):
        tree = estimator.tree_
        depth = np.zeros(tree.node_count)
        for node in range(tree.node_count):  # parents come first
            for child in (tree.children_left[node], tree.children_right[node]):
                if child >= 0:
                    depth[child] = depth[node] + 1
        paths = (depth + _average_path(tree.n_node_samples)) / normaliser
        _add(forest, tree, paths[:, None], [0], np.asarray(features))
    return forest, len(model.estimators_), "-2^-x"


def _average_path(samples: NDArray[Any]) -> Floats:
    """Average path of an unsuccessful search in a binary search tree of so many samples (Liu et al. 2008)."""
    n = np.asarray(samples, np.float64)
    inner = np.maximum(n, 3.0)
    long = 2.0 * (np.log(inner - 1.0) + np.euler_gamma) - 2.0 * (inner - 1.0) / inner
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, long))


READERS: dict[str, Callable[[Any, str], Read]] = {
    "DecisionTreeClassifier": _classifier,
    "DecisionTreeRegressor": _regressor,
    "RandomForestClassifier": _classifier,
    "RandomForestRegressor": _regressor,
    "ExtraTreesClassifier": _classifier,
    "ExtraTreesRegressor": _regressor,
    "GradientBoostingClassifier": _gradient_boosting,
    "GradientBoostingRegressor": _gradient_boosting,
    "HistGradientBoostingClassifier": _hist_gradient_boosting,
    "HistGradientBoostingRegressor": _hist_gradient_boosting,
    "IsolationForest": _isolation_forest,
}
"""By the name of the class; ExtraTree* derive from DecisionTree*."""
