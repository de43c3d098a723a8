"""Constants of an ONNX graph: initialisers, and every node whose inputs are constants, evaluated while importing.

A constant that comes from `DequantizeLinear` or a QONNX quantiser keeps its integer codes and their scale, through
reshapes and transposes. One that is computed from an input's shape is kept for two batch sizes, so that what depends
on the batch is seen. Evaluation is float32 where the file says float32, as in the framework that runs it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.fixed import Rounding, round_real
from hardwire.frontends._onnx_file import MAX_ELEMENTS, onnx_package, plain, tensor
from hardwire.layers import _onnx as rules
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

Array = NDArray[Any]

BATCHES = (5, 7)
"""The two batch sizes that constants computed from shapes are evaluated for."""


@dataclass(frozen=True, eq=False)
class Constant:
    """`array`, or integer codes `array` times `scale` (float64, same shape).

    `other` is the value for the second of `BATCHES`, where it differs from `array`, the value for the first.
    """

    array: Array
    scale: Array | None = None
    other: Array | None = None

    def real(self, batch: int = 0) -> Array:
        """Return the value as the framework holds it: dequantised to float32."""
        if batch and self.other is not None:
            return self.other
        if self.scale is None:
            return self.array
        return np.asarray(self.array * self.scale, np.float32)

    def map(self, change: Callable[[Array], Array]) -> Constant:
        """Apply a change of shape to codes and scale alike."""
        if self.scale is None:
            return Constant(change(self.array))
        return Constant(change(self.array), change(np.broadcast_to(self.scale, self.array.shape)))


def attributes(node: Any, folder: Path | None) -> dict[str, Any]:
    """Attributes as Python values: int, float, str, lists of them, arrays; a graph stays a `GraphProto`."""
    onnx = onnx_package(node.name)
    out: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = tensor(value, folder, f"attribute {attribute.name!r} of node {node.name!r}")
        elif not isinstance(value, int | float | str | onnx.GraphProto | onnx.SparseTensorProto):
            value = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]
        out[attribute.name] = value
    return out


_SHAPES_ONLY = {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"}
"""Operators that move elements about: on codes and scale alike."""

PURE = _SHAPES_ONLY | {
    *("Abs", "Add", "And", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Cos", "Div", "Equal", "Erf", "Exp"),
    *("Expand", "Floor", "Gather", "Gemm", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "MatMul", "Max"),
    *("Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin"),
    *("ReduceProd", "ReduceSum", "Relu", "Round", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Split", "Sqrt"),
    *("Sub", "Sum", "Tanh", "Tile", "Where", "Xor", "CastLike", "PRelu", "Mean", "Softmax", "LogSoftmax", "Softplus"),
    *("CumSum", "DepthToSpace", "Einsum", "EyeLike", "GatherElements", "GatherND", "Hardmax", "HardSigmoid", "IsInf"),
    *("IsNaN", "LeakyRelu", "LpNormalization", "OneHot", "Pad", "ReduceL1", "ReduceL2", "ReduceLogSum", "Trilu"),
    *("ReduceLogSumExp", "ReduceSumSquare", "Resize", "ScatterElements", "ScatterND", "SpaceToDepth", "TopK", "Elu"),
    *("ArgMax", "ArgMin", "Atan", "Cosh", "Sinh", "Asin", "Acos", "Tan", "Selu", "Softsign", "Gelu", "BitShift"),
    *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "Mish", "Celu", "ReverseSequence", "Conv", "Identity"),
}
"""Standard operators that are evaluated on constants, by the reference implementation of the `onnx` package."""


def constant_node(name: str, attrs: Mapping[str, Any]) -> Constant:
    """Value of a `Constant` node; exactly one of its attributes is there."""
    dtypes: dict[str, Any] = {"value": None, "value_float": np.float32, "value_floats": np.float32}
    dtypes |= {"value_int": np.int64, "value_ints": np.int64}
    if len(attrs) != 1 or not attrs.keys() <= dtypes.keys():
        raise UnsupportedError(f"layer {name!r} (Constant): attributes {', '.join(attrs) or 'none'}; expected a value")
    ((key, value),) = attrs.items()
    return Constant(np.asarray(value, dtypes[key]))


def evaluate(
    node: Any, name: str, opset: int, inputs: Sequence[Constant | None], folder: Path | None
) -> list[Constant]:
    """Evaluate a standard node on constants (None: an absent optional input)."""
    first = inputs[0] if inputs else None
    if first is not None and first.scale is not None:
        if node.op_type == "Cast":
            return [first]
        if node.op_type in _SHAPES_ONLY:
            rest = list(inputs[1:])
            codes = evaluate(node, name, opset, [Constant(first.array), *rest], folder)[0]
            scale = np.ascontiguousarray(np.broadcast_to(first.scale, first.array.shape))
            return [Constant(codes.array, evaluate(node, name, opset, [Constant(scale), *rest], folder)[0].array)]
    attrs = attributes(node, folder)
    for key, value in attrs.items():
        if not isinstance(value, int | float | str | list | np.ndarray):
            raise UnsupportedError(f"layer {name!r} ({node.op_type}): attribute {key!r} is a graph or a sparse tensor")
    results = [_run(node, name, opset, [None if c is None else c.real() for c in inputs])]
    if any(c is not None and c.other is not None for c in inputs):
        results.append(_run(node, name, opset, [None if c is None else c.real(1) for c in inputs]))
    out = []
    for values in zip(*results, strict=True):
        same = len(values) == 1 or (values[0].shape == values[1].shape and np.array_equal(values[0], values[1]))
        out.append(Constant(values[0]) if same else Constant(values[0], None, values[1]))
    return out


def _run(node: Any, name: str, opset: int, inputs: Sequence[Array | None]) -> list[Array]:
    onnx = onnx_package(name)
    reference = importlib.import_module("onnx.reference")
    _limit(node, name, inputs)
    feeds = {key: value for key, value in zip(node.input, inputs, strict=True) if key and value is not None}
    describe = onnx.helper.make_empty_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "constant", [describe(key) for key in feeds], [describe(key) for key in node.output if key]
    )
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = reference.ReferenceEvaluator(graph, opsets={"": opset}).run(None, feeds)
        return [plain(np.asarray(result), f"layer {name!r} ({node.op_type})") for result in results]
    except HardwireError:
        raise
    except Exception as error:  # whatever the evaluator raises for operands that do not fit
        raise ModelError(
            f"layer {name!r} ({node.op_type}): cannot be evaluated on its constants ({error})",
            hint="simplify the model, or check it with onnx.checker.check_model",
        ) from None


def _limit(node: Any, name: str, inputs: Sequence[Array | None]) -> None:
    """Refuse operators whose result would be out of all proportion to their operands."""
    given = [value for value in inputs if value is not None]
    size = 0.0
    if node.op_type == "ConstantOfShape" and given:
        size = float(np.prod(given[0].astype(np.float64)))
    elif node.op_type in ("Expand", "Tile") and len(given) == 2:
        size = float(given[0].size) * float(np.prod(np.maximum(given[1].astype(np.float64), 1)))
    elif node.op_type == "Range" and len(given) == 3:
        start, limit, step = (float(value.reshape(-1)[0]) for value in given)
        size = abs((limit - start) / step) if step else np.inf
    elif node.op_type in ("MatMul", "Gemm", "Add", "Mul", "Sub", "Div") and len(given) >= 2:
        size = float(given[0].size) * float(given[1].size) ** 0.5
    if size > MAX_ELEMENTS:
        raise ModelError(
            f"layer {name!r} ({node.op_type}): a constant of {size:.3g} elements; the limit is {MAX_ELEMENTS}"
        )


def quant(record: Record) -> Constant:
    """QONNX `Quant` of a constant: codes and scale, divided and rounded in the constant's own float type."""
    x = record.array("0")
    x = x if x.dtype.kind == "f" else x.astype(np.float32)
    scale, zero, lo, hi, mode = rules.quant_parts(record)
    unit = np.asarray(scale, x.dtype)
    _finite(record, x, unit)
    with np.errstate(over="ignore"):  # an infinite quotient is clipped
        y = x / unit + np.asarray(zero, x.dtype)
    codes = round_real(np.clip(y.astype(np.float64), lo, hi), mode).astype(np.int64) - zero
    return _scaled(codes, scale)


def float_quant(record: Record) -> Constant:
    """QONNX `FloatQuant` of a constant: minifloats as codes of their smallest step, divided in the constant's type."""
    x = record.array("0")
    x = x if x.dtype.kind == "f" else x.astype(np.float32)
    scale, exponent, mantissa, bias, most, mode = rules.float_quant_parts(record)
    unit = np.asarray(scale, x.dtype)
    _finite(record, x, unit)
    rule = Quantiser.minifloat(1.0, exponent, mantissa, bias, most, mode)
    return _scaled(rule.codes((x / unit).astype(np.float64)), np.asarray(scale, np.float64) * rule.scale)


def bipolar_quant(record: Record) -> Constant:
    """QONNX `BipolarQuant` of a constant: +1 where it is not negative, else -1, times the scale."""
    x, scale = record.array("0"), rules.constant(record, 1)
    _finite(record, x, scale)
    return _scaled(np.where(x >= 0, 1, -1), scale)


def trunc(record: Record) -> Constant:
    """QONNX `Trunc` of a constant."""
    x = record.array("0").astype(np.float64)
    scale, zero, bits = (rules.constant(record, k) for k in (1, 2, 3))
    _finite(record, x, scale)
    integers = round_real(x / scale + zero, Rounding.RND_CONV)
    mode = rules.rounding_of(record, "FLOOR")
    if rules.has(record, 5):
        out_scale, out_bits = rules.constant(record, 4), rules.constant(record, 5)
        lo, hi = rules.integer_range(record, out_bits, record.expect("signed", 1, 0), record.expect("narrow", 0, 1))
        factor = 2.0 ** np.rint(np.log2(out_scale / scale))
        codes = round_real(np.clip(integers / factor, lo, hi), mode)
        return Constant(np.asarray((codes - zero / factor) * out_scale))
    factor = 2.0 ** (bits - rules.constant(record, 4))
    return Constant(np.asarray((round_real(integers / factor, mode) - zero) * scale))


def _scaled(codes: Array, scale: Array) -> Constant:
    shape = np.broadcast_shapes(codes.shape, scale.shape)
    return Constant(np.broadcast_to(codes, shape), np.broadcast_to(np.asarray(scale, np.float64), shape))


def _finite(record: Record, x: Array, scale: Array) -> None:
    if not np.all(np.isfinite(x)):
        raise ModelError(
            f"layer {record.name!r} ({record.kind}): its constant holds {x[~np.isfinite(x)].ravel()[0]}",
            hint="retrain or repair the model; NaN and infinity have no fixed-point value",
        )
    if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
        raise ModelError(f"layer {record.name!r} ({record.kind}): a scale of {np.ravel(scale)[0]}; it must be positive")


QUANTISERS: dict[str, Callable[[Record], Constant]] = {
    "qonnx::Quant": quant,
    "qonnx::IntQuant": quant,
    "qonnx::FloatQuant": float_quant,
    "qonnx::BipolarQuant": bipolar_quant,
    "qonnx::Trunc": trunc,
}
"""QONNX operators on constants."""
