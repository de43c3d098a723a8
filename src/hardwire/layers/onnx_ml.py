"""Import rules of ONNX's classical operators (domain ai.onnx.ml) as scikit-learn's converter writes them.

Linear models, support vector machines with a linear kernel, choices of columns, and what stands in front of a model
(`Normalizer`, `Binarizer`, `Imputer`, `FeatureVectorizer`). Every rule composes nodes that other files define; tree
ensembles, `Scaler` and `ZipMap` are in `tree_ensembles.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers import _onnx as onnx
from hardwire.layers._base import imports
from hardwire.layers.slicing import gathered
from hardwire.layers.torch_functions import quotient, vector_norm
from hardwire.layers.tree_ensembles import attribute_list, class_labels, class_of, features, finite_list
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record


@imports("onnx", "ai.onnx.ml::LinearRegressor")
def _linear_regressor(record: Record, net: NetworkBuilder) -> str:
    """`x · coefficients + intercepts`, one row of coefficients for each target."""
    x = onnx.data(record)
    targets = int(record.take("targets", 1))
    y = _linear(record, net, record.name, x, targets, _bias(record, "intercepts", targets))
    record.expect("post_transform", "NONE")
    return y


@imports("onnx", "ai.onnx.ml::LinearClassifier")
def _linear_classifier(record: Record, net: NetworkBuilder) -> list[str]:
    """Label and scores. One row of coefficients for two classes gives the scores (-s, s), as in onnxruntime."""
    x = onnx.data(record)
    labels = class_labels(record, "classlabels_ints", "classlabels_strings")
    record.ignore("multi_class")  # how it was trained
    rows = len(attribute_list(record, "coefficients", keep=True)) // max(1, features(record, net, x))
    if rows not in (len(labels), 1) or (rows == 1 and len(labels) != 2):
        raise record.unsupported("coefficients", f"{rows} rows", f"for {len(labels)} classes")
    bias = _bias(record, "intercepts", rows)
    transform = record.take("post_transform", "NONE")
    if rows == 1:
        scores = _linear(record, net, f"{record.name}.score", x, 1, bias)
        if transform not in ("NONE", "LOGISTIC"):
            raise record.unsupported("post_transform", transform, "not for one row of coefficients")
        kernel = np.array([[-1.0, 1.0]])
        scores = net.add("dense", f"{record.name}.scores", [scores], {}, {"kernel": kernel})
    else:
        scores = _linear(record, net, f"{record.name}.scores", x, rows, bias)
    y = _transformed(record, net, scores, transform)
    if 0 not in record.take("(outputs read)", (0,)):
        return [y, y]
    return [class_of(record, net, scores, labels), y]


def _linear(record: Record, net: NetworkBuilder, name: str, x: str, rows: int, bias: NDArray[Any] | None) -> str:
    width = features(record, net, x)
    values = np.array(finite_list(record, attribute_list(record, "coefficients"), "coefficients"))
    if values.size != rows * width:
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): attribute 'coefficients' has {values.size} entries, expected "
            f"{rows} rows of {width} features"
        )
    params = {"kernel": values.reshape(rows, width).T}
    return net.add("dense", name, [x], {}, params if bias is None else {**params, "bias": bias})


def _bias(record: Record, name: str, rows: int) -> NDArray[Any] | None:
    values = np.array(finite_list(record, attribute_list(record, name, []), name))
    if values.size not in (0, rows):
        raise record.unsupported(name, values.tolist(), f"expected {rows} values")
    return values if values.size else None


def _transformed(record: Record, net: NetworkBuilder, x: str, transform: str) -> str:
    if transform == "NONE":
        return x
    if transform == "LOGISTIC":
        attrs: dict[str, Any] = {"function": "sigmoid", "arguments": {}, "output": None}
        return net.add("activation", record.name, [x], attrs)
    if transform == "SOFTMAX":
        return net.add("softmax", record.name, [x], {"axis": 0, "output": None, "tables": None})
    raise record.unsupported("post_transform", transform, "NONE, LOGISTIC and SOFTMAX are supported")


@imports("onnx", "ai.onnx.ml::SVMRegressor")
def _svm_regressor(record: Record, net: NetworkBuilder) -> str:
    """A support vector machine with a linear kernel is a linear model."""
    x = onnx.data(record)
    record.expect("kernel_type", "LINEAR")
    record.ignore("kernel_params")  # of the other kernels
    record.expect("one_class", 0)
    record.expect("post_transform", "NONE")
    width = features(record, net, x)
    weights = np.array(finite_list(record, attribute_list(record, "coefficients"), "coefficients"))
    vectors = np.array(finite_list(record, attribute_list(record, "support_vectors", []), "support_vectors"))
    supports = int(record.take("n_supports", 0))
    if supports:
        if vectors.size != supports * width or weights.size != supports:
            raise record.unsupported("n_supports", supports, f"with {vectors.size} values of {width} features")
        weights = weights @ vectors.reshape(supports, width)
    if weights.size != width:
        raise record.unsupported("coefficients", weights.size, f"expected {width}")
    params = {"kernel": weights[:, None]}
    rho = _bias(record, "rho", 1)
    return net.add("dense", record.name, [x], {}, params if rho is None else {**params, "bias": rho})


@imports("onnx", "ai.onnx.ml::ArrayFeatureExtractor")
def _array_feature_extractor(record: Record, net: NetworkBuilder) -> str:
    """Columns by constant indices; or entries of a constant list by computed ones, as classifiers name their class."""
    variables = tuple(record.versions["variables"])
    if variables == (0,):
        (x,) = record.inputs
        indices = onnx.whole(record, onnx.constant(record, 1), "index").ravel()
        return gathered(net, record.name, x, len(net.shape(x)) - 1, indices)
    if variables != (1,):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): one of its operands must be constant")
    values = onnx.constant(record, 0)
    if values.ndim > 1 and values.size != values.shape[-1]:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): a table of shape {values.shape}")
    (place,) = record.inputs
    shape = net.shape(place)
    if shape not in ((), (1,)):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): {shape} indices for each example; one is known")
    flat = net.add("reshape", f"{record.name}.places", [place], {"shape": ()}) if shape else place
    if np.array_equal(values.ravel(), np.arange(values.size)):
        return net.add("reshape", record.name, [flat], {"shape": (1,)})
    table = np.asarray(values, np.float64).ravel()[:, None]
    return net.add("embedding", record.name, [flat], {}, {"table": table})


@imports("onnx", "ai.onnx.ml::Normalizer")
def _normalizer(record: Record, net: NetworkBuilder) -> str:
    """`x / ‖x‖` by the largest, the sum of absolutes or the root of squares."""
    x = onnx.data(record)
    rank = len(net.shape(x))
    norm = record.expect("norm", "MAX", "L1", "L2")
    order = {"MAX": np.inf, "L1": 1.0, "L2": 2.0}[norm]
    length = vector_norm(net, f"{record.name}.norm", x, float(order), [rank - 1], True)
    return quotient(net, record.name, x, length)


@imports("onnx", "ai.onnx.ml::Binarizer")
def _binarizer(record: Record, net: NetworkBuilder) -> str:
    """1 where x > threshold."""
    x = onnx.data(record)
    threshold = np.float64(record.take("threshold", 0.0))
    return net.add("compare", record.name, [x], {"relation": "greater"}, {"constant": threshold})


@imports("onnx", "ai.onnx.ml::Imputer")
def _imputer(record: Record, net: NetworkBuilder) -> str:
    """Values in place of missing ones: nothing to do where those are NaN, which no input in hardware is."""
    x = onnx.data(record)
    missing = record.take("replaced_value_float", 0.0)
    record.ignore("imputed_value_floats")
    if not np.isnan(missing):
        raise record.unsupported(
            "replaced_value_float", missing, "only NaN is supported, which fixed point never holds"
        )
    return x


@imports("onnx", "ai.onnx.ml::FeatureVectorizer")
def _feature_vectorizer(record: Record, net: NetworkBuilder) -> str:
    """Columns side by side."""
    widths = attribute_list(record, "inputdimensions", [])
    parts = list(record.inputs)
    shapes = [net.shape(part)[-1:] for part in parts]
    if widths and [(width,) for width in widths] != shapes:
        raise record.unsupported("inputdimensions", widths, f"the operands have {shapes}")
    return net.add("concat", record.name, parts, {"axis": len(net.shape(parts[0])) - 1})
