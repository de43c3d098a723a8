"""Forests after reading: what the framework's `predict` does to the margin, as layers behind the trees."""

from __future__ import annotations

from typing import Any

import numpy as np

from hardwire.errors import UnsupportedError
from hardwire.network.graph import Network, NetworkBuilder

_TABLES = {"sigmoid": "sigmoid", "exp": "exp"}


def with_transform(network: Network) -> Network:
    """Return a forest's Network with the transform of its objective behind the margin; the same where there is none.

    `network` is what `hardwire.frontends.load` gives for XGBoost, LightGBM or scikit-learn. A sigmoid, softmax or
    exponential has no exact fixed-point value: such a Network is compiled with `calibrate=`, which chooses the
    result's type. Raises `UnsupportedError` naming a transform that is no layer.
    """
    transform = network.source.get("transform", "none")
    if transform == "none":
        return network
    net = NetworkBuilder(network.name, {**network.source, "transform": "none"})
    (name,), (trees,) = network.inputs, network.nodes
    x = net.input(name, network.shapes[name])
    y = net.add("trees", trees.name, [x], trees.attrs, trees.params)
    slope = 2.0 if transform == "sigmoid(2x)" else float(network.source.get("transform_slope", 1.0))
    if slope != 1.0:
        y = net.add("mul", "slope", [y], {}, {"constant": np.array(slope)})
        transform = "sigmoid"
    attrs: dict[str, Any]
    if transform in _TABLES:
        attrs = {"function": _TABLES[transform], "arguments": {}, "output": None}
        y = net.add("activation", "prediction", [y], attrs)
    elif transform == "softmax":
        y = net.add("softmax", "prediction", [y], {"axis": 0, "output": None, "tables": None})
    elif transform == "argmax":
        y = net.add("argmax", "prediction", [y], {"axis": 0, "keepdims": False, "last": False})
    elif transform == "step":
        y = net.add("compare", "prediction", [y], {"relation": "greater"}, {"constant": np.array(0.0)})
    else:
        raise UnsupportedError(
            f"model {network.name!r}: its objective's transform {transform!r} is no layer of hardwire",
            hint="take the margin, and apply the transform where it is read",
        )
    return net.build([y])
