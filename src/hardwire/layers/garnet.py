"""GarNet, the graph network of calorimeter studies, as the layer classes `GarNet` and `GarNetStack` of hls4ml have it.

Qasim et al., Learning representations of irregular particle-detector geometry with distance-weighted graph networks,
2019; Iiyama et al., Distance-weighted graph neural networks on FPGAs for real-time particle reconstruction, 2021.

Vertices (V, F) send features `f = x · FLR` to aggregators at distances `d = x · S` with the weight `e = exp(-d²)`, 0
for a vertex that is not there: `a = mean(e ∘ f)` over the vertices; each vertex reads `e ∘ a` of all aggregators
through `Fout`. Dense layers, products, and one table for `exp(-d²)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers._base import imports
from hardwire.layers.masking import kept
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

_PARTS = ("FLR", "S", "Fout")
_PLACES = ("{}", "hls4ml.contrib.garnet.{}", "contrib.garnet.{}", "garnet.{}", "Custom>{}")
"""Under which names files have the classes."""
_PRESENT = 3
"""The feature that is 0 for a vertex that is not there, where the number of vertices is no input."""

Weights = dict[str, tuple[NDArray[Any], NDArray[Any]]]


@imports("keras", *(place.format(kind) for kind in ("GarNet", "GarNetStack") for place in _PLACES))
def _keras_garnet(record: Record, net: NetworkBuilder) -> str:
    """`GarNet(…, simplified=True)`, alone or stacked, in float arithmetic."""
    stack = record.kind.endswith("Stack")
    if not record.take("simplified", False):
        raise record.unsupported(
            "simplified", False, "the class builds its kernel for other sizes than it computes; use simplified=True"
        )
    quantised = record.take("quantize_transforms", None if stack else False)
    if quantised not in ((None,) if stack else (None, False)):
        raise record.unsupported(
            "quantize_transforms", quantised, "the class does not write its bit widths into the file; train it in float"
        )
    record.ignore("total_bits", "int_bits")
    counted = bool(record.take("mean_by_nvert", False))
    collapse = record.expect("collapse", None, "mean", "sum", "max")
    if counted and collapse == "mean":
        raise record.unsupported("collapse", collapse, "with mean_by_nvert the class itself fails on it; use sum")
    function = record.take("output_activation", "tanh")
    sizes = [record.take(key) for key in ("n_aggregators", "n_filters", "n_propagate")]
    rounds = len(sizes[0]) if stack else 1
    record.ignore("n_sublayers")
    x, mask, count = _operands(record, net, counted)
    for number, weights in enumerate(_weights(record, rounds, stack)):
        name = f"{record.name}_{number}" if stack else record.name
        for part, size in zip(("S", "Fout", "FLR"), sizes, strict=True):
            wanted = size[number] if stack else size
            if weights[part][0].shape[1] != wanted:
                raise record.unsupported("n_…", wanted, f"{part} in the file makes {weights[part][0].shape[1]}")
        x = _round(net, name, x, mask, count, weights)
        # The activation stands in the last dense layer and behind it; the stack has it once.
        for again in range(1 if stack else 2):
            x = keras.activated(record, net, x, function, f"{name}_activation{again}")
        x = kept(net, f"{name}_kept", x, mask)
    if collapse is None:
        return x
    steps = net.shape(x)[0]
    along = {"axes": (0,), "keepdims": False}
    y = net.add({"max": "reduce_max"}.get(collapse, "reduce_sum"), f"{record.name}_{collapse}", [x], along)
    return net.add("divide", record.name, [y], {}, {"divisor": np.float64(steps)}) if collapse == "mean" else y


def _operands(record: Record, net: NetworkBuilder, counted: bool) -> tuple[str, str, str | None]:
    """Vertices (V, F), which of them are there (V,), and their number (1,) where means are taken by it."""
    form = record.expect("input_format", "xn", "x", "xen")
    if len(record.inputs) != len(form) or len(net.shape(record.inputs[0])) != 2:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): {len(record.inputs)} inputs for the format {form!r}, the first of "
            f"the shape {net.shape(record.inputs[0])}; vertices (V, F) are expected"
        )
    x, name = record.inputs[0], record.name
    vertices, features = net.shape(x)
    if form == "x":
        if counted or features <= _PRESENT:
            raise record.unsupported("input_format", form, "it needs four features, and counts over the whole batch")
        present = net.add("take", f"{name}_present", [x], {"axis": 1, "indices": (_PRESENT,)})
        present = net.add("reshape", f"{name}_column", [present], {"shape": (vertices,)})
        return x, net.add("compare", f"{name}_mask", [present], {"relation": "not_equal"}, _number(0.0)), None
    if form == "xen":
        column = net.add("reshape", f"{name}_extra", [record.inputs[1]], {"shape": (vertices, 1)})
        x = net.add("concat", f"{name}_vertices", [x, column], {"axis": 1})
    count = record.inputs[-1]
    if net.shape(count) != (1,):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): the number of vertices has the shape {net.shape(count)}, not (1,)"
        )
    # A vertex is there if its index is below the number without its fraction.
    below = {"constant": np.arange(1.0, vertices + 1)}
    return (
        x,
        net.add("compare", f"{name}_mask", [count], {"relation": "greater_equal"}, below),
        (count if counted else None),
    )


def _number(value: float) -> dict[str, Any]:
    return {"constant": np.float64(value)}


def _weights(record: Record, rounds: int, stack: bool) -> list[Weights]:
    """Kernels and biases: by name in HDF5, in order in `.keras` files, which hold them twice."""
    for key in record.array_keys():
        if key.startswith("_sublayers/"):
            record.array(key)
    numbered = record.has_array("0")
    found = []
    for number in range(rounds):
        weights = {}
        for at, part in enumerate(_PARTS):
            first = 2 * (len(_PARTS) * number + at)
            label = f"{part}{number}" if stack else part
            keys = (str(first), str(first + 1)) if numbered else (f"{label}_kernel", f"{label}_bias")
            kernel, bias = (record.array(key).astype(np.float64) for key in keys)
            weights[part] = (kernel, bias)
        found.append(weights)
    return found


def _round(net: NetworkBuilder, name: str, x: str, mask: str, count: str | None, weights: Weights) -> str:
    """From vertices to aggregators and back; the result is that of `Fout` (V, n_filters)."""

    def dense(part: str, tensor: str) -> str:
        kernel, bias = weights[part]
        return net.add("dense", f"{name}_{part}", [tensor], {}, {"kernel": kernel, "bias": bias})

    features, distance = dense("FLR", x), dense("S", x)
    curve: dict[str, Any] = {"function": "gaussian", "arguments": {}, "output": None}
    edges = kept(net, f"{name}_edges", net.add("activation", f"{name}_gaussian", [distance], curve), mask)
    vertices, aggregators = net.shape(edges)
    turned = net.add("transpose", f"{name}_edges_turned", [edges], {"perm": (1, 0)})
    gathered = net.add("matmul", f"{name}_gathered", [turned, features])
    if count is None:
        mean = net.add("divide", f"{name}_mean", [gathered], {}, {"divisor": np.float64(vertices)})
    else:
        some = net.add("clip", f"{name}_some", [count], {"lo": 1.0, "hi": None})
        inverse: dict[str, Any] = {"function": "reciprocal", "arguments": {}, "output": None}
        share = net.add("activation", f"{name}_share", [some], inverse)
        share = net.add("reshape", f"{name}_share_wide", [share], {"shape": (1, 1)})
        mean = net.add("mul", f"{name}_mean", [gathered, share])
    width = net.shape(mean)[1]
    each = net.add("reshape", f"{name}_edges_wide", [edges], {"shape": (vertices, aggregators, 1)})
    every = net.add("reshape", f"{name}_mean_wide", [mean], {"shape": (1, aggregators, width)})
    spread = net.add("mul", f"{name}_spread", [each, every])
    return dense("Fout", net.add("reshape", f"{name}_read", [spread], {"shape": (vertices, aggregators * width)}))
