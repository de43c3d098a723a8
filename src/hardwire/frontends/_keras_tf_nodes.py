"""TensorFlow graph nodes in Keras 2 models (`TensorFlowOpLayer`, TensorFlow 2.0 to 2.3), as Keras 3's operations.

`x + y` on the tensors of a functional model became a layer that holds a `NodeDef` and the constants among its inputs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hardwire.errors import UnsupportedError

_PLAIN = {
    "AddV2": "Add", "Add": "Add", "BiasAdd": "Add", "AddN": "AddN", "Sub": "Subtract", "Mul": "Multiply",
    "RealDiv": "TrueDivide", "DivNoNan": "TrueDivide", "Maximum": "Maximum", "Minimum": "Minimum", "Pow": "Power",
    "FloorDiv": "FloorDivide", "FloorMod": "Mod", "SquaredDifference": "SquaredDifference", "Greater": "Greater",
    "GreaterEqual": "GreaterEqual", "Less": "Less", "LessEqual": "LessEqual", "Equal": "Equal", "NotEqual": "NotEqual",
    "LogicalAnd": "LogicalAnd", "LogicalOr": "LogicalOr", "LogicalNot": "LogicalNot", "SelectV2": "Where",
    "Relu": "Relu", "Relu6": "Relu6", "Elu": "Elu", "Selu": "Selu", "Sigmoid": "Sigmoid", "Tanh": "Tanh",
    "Softplus": "Softplus", "Softsign": "Softsign", "Softmax": "Softmax", "LogSoftmax": "LogSoftmax", "Abs": "Absolute",
    "Exp": "Exp", "Log": "Log", "Log1p": "Log1p", "Expm1": "Expm1", "Sqrt": "Sqrt", "Rsqrt": "Rsqrt", "Sign": "Sign",
    "Square": "Square", "Neg": "Negative", "Floor": "Floor", "Ceil": "Ceil", "Round": "Round",
    "Reciprocal": "Reciprocal", "Sin": "Sin",
    "Cos": "Cos", "Tan": "Tan", "Erf": "Erf", "Identity": "Identity", "StopGradient": "StopGradient",
}  # fmt: skip
"""Nodes whose inputs are the operands, without settings that matter here."""
_REDUCE = {"Mean": "Mean", "Sum": "Sum", "Max": "Max", "Min": "Min", "Prod": "Prod", "Any": "Any", "All": "All"}
_SECOND = {
    "Reshape": ("Reshape", "newshape"), "Transpose": ("Transpose", "axes"), "ExpandDims": ("ExpandDims", "axis"),
    "Tile": ("Tile", "repeats"), "ReverseV2": ("Flip", "axis"), "Pad": ("Pad", "pad_width"),
    "PadV2": ("Pad", "pad_width"), "ArgMax": ("Argmax", "axis"), "ArgMin": ("Argmin", "axis"),
    "Cumsum": ("Cumsum", "axis"),
    "BroadcastTo": ("BroadcastTo", "shape"),
}  # fmt: skip
"""Nodes whose second input is a constant: a setting, by Keras' name."""


def as_operation(layer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a `TensorFlowOpLayer` as Keras 3's operation, None for any other layer.

    Raises `UnsupportedError` naming the layer for a node that is not known.
    """
    config = layer.get("config")
    if layer.get("class_name") != "TensorFlowOpLayer" or not isinstance(config, dict):
        return None
    name = str(layer.get("name", config.get("name")))
    node = config.get("node_def")
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except ValueError:
            node = None
    if not isinstance(node, dict) or not isinstance(node.get("op"), str) or not isinstance(node.get("input"), list):
        raise UnsupportedError(f"layer {name!r} (TensorFlowOpLayer): its node of TensorFlow's graph is not understood")
    op, constants = node["op"], config.get("constants")
    constants = constants if isinstance(constants, dict) else {}
    calls = layer.get("inbound_nodes")
    args = [
        _operands(name, op, len(node["input"]), constants, call) for call in (calls if isinstance(calls, list) else [])
    ]
    attr = node.get("attr")
    attrs = {key: _value(value) for key, value in (attr if isinstance(attr, dict) else {}).items()}
    try:
        made = [_operation(op, attrs, list(one)) for one in args]
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise UnsupportedError(f"layer {name!r} (tf.raw_ops.{op}): its settings are not understood: {error}") from None
    if not made or any(one is None or one[:2] != (made[0] or ())[:2] for one in made):
        raise UnsupportedError(
            f"layer {name!r}: the TensorFlow operation tf.raw_ops.{op} is not supported",
            hint="write it with layers of Keras or supported operations (docs: layers)",
        )
    found = [one for one in made if one is not None]
    return {
        "module": "keras.src.ops",
        "class_name": found[0][0],
        "name": name,
        "config": {**found[0][1], "name": name},
        "inbound_nodes": [{"args": one[2], "kwargs": {}} for one in found],
    }


def _operands(name: str, op: str, count: int, constants: Mapping[str, Any], call: Any) -> list[Any]:
    """Inputs of the node in order: tensors of the call, and constants at their positions."""
    items = [call] if isinstance(call, list) and call and isinstance(call[0], str) else call
    if not isinstance(items, list) or any(not isinstance(item, list) or len(item) < 3 for item in items):
        raise UnsupportedError(f"layer {name!r} (tf.raw_ops.{op}): a call of it is not understood: {call!r:.60}")
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": item[:3]}} for item in items]
    if len(tensors) + len(constants) != count:
        raise UnsupportedError(f"layer {name!r} (tf.raw_ops.{op}): {count} inputs are expected")
    return [constants[str(i)] if str(i) in constants else tensors.pop(0) for i in range(count)]


def _value(attr: Any) -> Any:
    """Return an `AttrValue` in JSON as a plain value; 64-bit integers are texts in JSON."""
    if not isinstance(attr, dict) or len(attr) != 1:
        return None
    ((kind, value),) = attr.items()
    if kind == "list":
        return [int(item) for item in value.get("i", [])]
    return int(value) if kind == "i" else value


def _operation(op: str, attr: Mapping[str, Any], args: list[Any]) -> tuple[str, dict[str, Any], list[Any]] | None:
    """Return Keras 3's class, settings and operands; None for a node that is not known."""
    if op in _PLAIN and attr.get("data_format", "TkhXQw==") in ("TkhXQw==", "NHWC"):  # base64, as JSON has bytes
        return _PLAIN[op], {}, [args] if op == "AddN" else args
    if op in _REDUCE:
        return _REDUCE[op], {"axis": args[1], "keepdims": bool(attr.get("keep_dims", False))}, args[:1]
    if op in _SECOND:
        kind, key = _SECOND[op]
        more = {"constant_values": args[2]} if op == "PadV2" else {}
        if op == "Cumsum":
            more = {"exclusive": bool(attr.get("exclusive")), "reverse": bool(attr.get("reverse"))}
        return kind, {key: args[1], **more}, args[:1]
    match op:
        case "ConcatV2":
            return "Concatenate", {"axis": args[-1]}, [args[:-1]]
        case "Pack":
            return "Stack", {"axis": int(attr.get("axis") or 0)}, [args]
        case "Unpack":
            return "Unstack", {"axis": int(attr.get("axis") or 0)}, args
        case "Split":
            return "Split", {"axis": args[0], "indices_or_sections": attr["num_split"]}, args[1:]
        case "Squeeze":
            return "Squeeze", {"axis": attr.get("squeeze_dims")}, args
        case "GatherV2" if not attr.get("batch_dims"):
            return "Take", {"axis": args[2]}, args[:2]
        case "LeakyRelu":
            return "LeakyRelu", {"negative_slope": float(attr.get("alpha", 0.2))}, args
        case "MatMul" | "BatchMatMulV2" | "BatchMatMul":
            first, second = ("transpose_a", "transpose_b") if op == "MatMul" else ("adj_x", "adj_y")
            turned = {"transpose_a": bool(attr.get(first)), "transpose_b": bool(attr.get(second))}
            return "Matmul", turned, args
        case "Cast" if attr.get("DstT") in ("DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16"):
            return "Cast", {"dtype": "float32"}, args
        case "StridedSlice":
            return "GetItem", {}, [args[0], _key(attr, *args[1:])]
    return None


def _key(attr: Mapping[str, Any], begin: list[int], end: list[int], stride: list[int]) -> list[Any]:
    """Return the index of `tf.strided_slice`: bit i of its masks is about its part i."""

    def marked(mask: str, i: int) -> bool:
        return bool(int(attr.get(mask) or 0) >> i & 1)

    key: list[Any] = []
    for i, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if marked("ellipsis_mask", i):
            key.append({"class_name": "__ellipsis__", "config": {}})
        elif marked("new_axis_mask", i):
            key.append(None)
        elif marked("shrink_axis_mask", i):
            key.append(first)
        else:
            start = None if marked("begin_mask", i) else first
            stop = None if marked("end_mask", i) else last
            key.append({"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}})
    return key
