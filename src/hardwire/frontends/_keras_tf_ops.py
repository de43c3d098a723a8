"""TensorFlow's operations in Keras 2 models, written as Keras 3 writes its own: one set of import rules serves both.

`x + y`, `tf.concat(xs, -1)` or `x[:, 1:]` on the tensors of a functional model become layers `TFOpLambda` and
`SlicingOpLambda` (TensorFlow 2.4 on), whose function's name and arguments stand in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hardwire.errors import UnsupportedError

Arguments = dict[str, Any]


class _Operation:
    """A TensorFlow function: Keras 3's class, its operands in order, and its other arguments by Keras' names.

    `drop` are arguments that change nothing here, `fixed` what TensorFlow means without an argument for it.
    """

    def __init__(
        self,
        name: str,
        operands: str,
        rename: Mapping[str, str] | None = None,
        fixed: Mapping[str, Any] | None = None,
        change: Callable[[str, Arguments], None] | None = None,
    ) -> None:
        self.name = name
        self.operands = operands.split()
        self.rename = dict(rename or {})
        self.fixed = dict(fixed or {})
        self.change = change


_SAME = {"axis": "axis", "keepdims": "keepdims"}


def _unary(names: str) -> dict[str, _Operation]:
    """Write `math.abs=Absolute …` as a table of functions of one tensor."""
    pairs = [item.split("=") for item in names.split()]
    return {function: _Operation(name, "x") for function, name in pairs}


def _binary(names: str) -> dict[str, _Operation]:
    pairs = [item.split("=") for item in names.split()]
    return {function: _Operation(name, "x y") for function, name in pairs}


def _lower_mode(layer: str, attrs: Arguments) -> None:
    attrs["mode"] = str(attrs.get("mode", "constant")).lower()


def _pool(layer: str, attrs: Arguments) -> None:
    attrs["padding"] = str(attrs.get("padding", "VALID")).lower()
    if attrs.pop("data_format", None) not in (None, "NWC", "NHWC", "NDHWC"):
        raise UnsupportedError(f"layer {layer!r}: only channels-last data is supported in TensorFlow's pooling")
    for key in ("pool_size", "strides"):
        value = attrs.get(key)
        if isinstance(value, list) and len(value) > 2 and value[0] == value[-1] == 1:
            attrs[key] = value[1:-1]


def _sections(layer: str, attrs: Arguments) -> None:
    """Sizes of the parts become the places where they begin."""
    sizes = attrs.get("indices_or_sections")
    if isinstance(sizes, list) and sizes and all(type(size) is int for size in sizes):
        attrs["indices_or_sections"] = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]


def _resize(layer: str, attrs: Arguments) -> None:
    if attrs.pop("preserve_aspect_ratio", False) or attrs.pop("antialias", False):
        raise UnsupportedError(f"layer {layer!r}: tf.image.resize with preserve_aspect_ratio or antialias")


def _no_batch_dims(layer: str, attrs: Arguments) -> None:
    if attrs.pop("batch_dims", 0):
        raise UnsupportedError(f"layer {layer!r}: tf.gather with batch_dims; only constant indices are supported")
    attrs["axis"] = 0 if attrs.get("axis") is None else attrs["axis"]


def _no_data_format(layer: str, attrs: Arguments) -> None:
    if attrs.pop("data_format", None) not in (None, "NWC", "NHWC", "NDHWC", "N...C"):
        raise UnsupportedError(f"layer {layer!r}: tf.nn.bias_add is supported with the channels last only")


def _keepdims(layer: str, attrs: Arguments) -> None:
    attrs["keepdims"] = bool(attrs.get("keepdims"))


_REDUCED = {
    f"math.reduce_{name}": _Operation(keras, "input_tensor", _SAME)
    for name, keras in {
        "mean": "Mean", "sum": "Sum", "max": "Max", "min": "Min", "prod": "Prod", "any": "Any", "all": "All",
        "variance": "Var", "std": "Std", "logsumexp": "Logsumexp",
    }.items()
}  # fmt: skip
_AXIS = {"axis": "axis"}
_BLOCK = {"block_size": "block_size", "data_format": "data_format"}
_RESIZE = {name: name for name in ("size", "antialias", "preserve_aspect_ratio")} | {"method": "interpolation"}
_POOL = {"ksize": "pool_size", "strides": "strides", "padding": "padding", "data_format": "data_format"}

OPERATIONS: dict[str, _Operation] = {
    **_unary(
        "math.abs=Absolute math.exp=Exp math.log=Log math.sqrt=Sqrt math.rsqrt=Rsqrt math.square=Square math.sin=Sin "
        "math.cos=Cos math.tan=Tan math.sinh=Sinh math.cosh=Cosh math.asin=Arcsin math.acos=Arccos math.atan=Arctan "
        "math.sign=Sign math.floor=Floor math.ceil=Ceil math.round=Round math.negative=Negative math.erf=Erf "
        "math.reciprocal=Reciprocal math.expm1=Expm1 math.log1p=Log1p math.sigmoid=Sigmoid math.tanh=Tanh "
        "math.softplus=Softplus math.log_sigmoid=LogSigmoid math.logical_not=LogicalNot nn.relu=Relu nn.relu6=Relu6 "
        "nn.elu=Elu nn.selu=Selu nn.softsign=Softsign identity=Identity stop_gradient=StopGradient "
        "math.softsign=Softsign nn.sigmoid=Sigmoid nn.tanh=Tanh nn.softplus=Softplus convert_to_tensor=Identity"
    ),
    **_binary(
        "__operators__.add=Add math.add=Add math.subtract=Subtract math.multiply=Multiply math.truediv=TrueDivide "
        "math.divide=TrueDivide math.divide_no_nan=TrueDivide math.maximum=Maximum math.minimum=Minimum "
        "math.floordiv=FloorDivide floor_div=FloorDivide math.floormod=Mod math.mod=Mod floormod=Mod "
        "math.pow=Power math.squared_difference=SquaredDifference "
        "math.greater=Greater math.greater_equal=GreaterEqual math.less=Less math.less_equal=LessEqual "
        "math.equal=Equal math.not_equal=NotEqual math.logical_and=LogicalAnd math.logical_or=LogicalOr "
        "math.logical_xor=LogicalXor __operators__.eq=Equal __operators__.ne=NotEqual"
    ),
    **_REDUCED,
    "math.add_n": _Operation("AddN", "inputs"),
    "math.argmax": _Operation("Argmax", "input", _AXIS),
    "math.argmin": _Operation("Argmin", "input", _AXIS),
    "math.cumsum": _Operation("Cumsum", "x", {**_AXIS, "exclusive": "exclusive", "reverse": "reverse"}),
    "math.l2_normalize": _Operation("Normalize", "x", {**_AXIS, "epsilon": "epsilon"}, {"order": 2}),
    "linalg.l2_normalize": _Operation("Normalize", "x", {**_AXIS, "epsilon": "epsilon"}, {"order": 2}),
    "linalg.matmul": _Operation("Matmul", "a b", {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}),
    "linalg.norm": _Operation("Norm", "tensor", {**_SAME, "ord": "ord"}, change=_keepdims),
    "norm": _Operation("Norm", "tensor", {**_SAME, "ord": "ord"}, change=_keepdims),
    "nn.silu": _Operation("Silu", "features", {"beta": "beta"}),
    "nn.swish": _Operation("Silu", "features", {"beta": "beta"}),
    "nn.gelu": _Operation("Gelu", "features", {"approximate": "approximate"}, {"approximate": False}),
    "nn.leaky_relu": _Operation("LeakyRelu", "features", {"alpha": "negative_slope"}),
    "nn.softmax": _Operation("Softmax", "logits", _AXIS),
    "nn.log_softmax": _Operation("LogSoftmax", "logits", _AXIS),
    "nn.bias_add": _Operation("Add", "value bias", {"data_format": "data_format"}, change=_no_data_format),
    "nn.depth_to_space": _Operation("DepthToSpace", "input", _BLOCK),
    "nn.space_to_depth": _Operation("SpaceToDepth", "input", _BLOCK),
    **{
        f"nn.{short}_pool{rank}": _Operation(name, "input", _POOL, change=_pool)
        for short, name in (("avg", "AveragePool"), ("max", "MaxPool"))
        for rank in ("", "1d", "2d", "3d")
    },
    "clip_by_value": _Operation("Clip", "t", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "concat": _Operation("Concatenate", "values", _AXIS),
    "stack": _Operation("Stack", "values", _AXIS),
    "unstack": _Operation("Unstack", "value", {**_AXIS, "num": "num"}),
    "split": _Operation("Split", "value", {**_AXIS, "num_or_size_splits": "indices_or_sections"}, change=_sections),
    "expand_dims": _Operation("ExpandDims", "input", _AXIS),
    "squeeze": _Operation("Squeeze", "input", _AXIS),
    "reshape": _Operation("Reshape", "tensor", {"shape": "newshape"}),
    "transpose": _Operation("Transpose", "a", {"perm": "axes", "conjugate": ""}),
    "cast": _Operation("Cast", "x", {"dtype": "dtype"}),
    "pad": _Operation(
        "Pad",
        "tensor",
        {"paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"},
        change=_lower_mode,
    ),
    "reverse": _Operation("Flip", "tensor", _AXIS),
    "roll": _Operation("Roll", "input", {**_AXIS, "shift": "shift"}),
    "repeat": _Operation("Repeat", "input", {**_AXIS, "repeats": "repeats"}),
    "tile": _Operation("Tile", "input", {"multiples": "repeats"}),
    "slice": _Operation("Slice", "input_", {"begin": "start", "size": "size"}),
    "gather": _Operation(
        "Take", "params indices", {**_AXIS, "batch_dims": "batch_dims", "validate_indices": ""}, change=_no_batch_dims
    ),
    "where": _Operation("Where", "condition x y"),
    "one_hot": _Operation("OneHot", "indices", {**_AXIS, "depth": "num_classes"}),
    "broadcast_to": _Operation("BroadcastTo", "input", {"shape": "shape"}),
    "image.resize": _Operation("Resize", "images", _RESIZE, change=_resize),
}  # fmt: skip


def as_keras_3(layer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a `TFOpLambda` or `SlicingOpLambda` layer as Keras 3's operation, None for any other layer.

    Raises `UnsupportedError` naming the layer for a function that is not known.
    """
    config = layer.get("config")
    if layer.get("class_name") not in ("TFOpLambda", "SlicingOpLambda") or not isinstance(config, dict):
        return None
    name, function = str(config.get("name")), str(config.get("function", ""))
    nodes = layer.get("inbound_nodes")
    calls = [_call(name, function, node) for node in nodes] if isinstance(nodes, list) else []
    if not calls:
        raise UnsupportedError(
            f"layer {name!r} (tf.{function}): the file does not say which tensors it reads",
            hint="write it with a layer of Keras and save the model again",
        )
    operation, attrs = calls[0][0], calls[0][1]
    if any(call[:2] != (operation, attrs) for call in calls):
        raise UnsupportedError(f"layer {name!r} (tf.{function}): it is called with different settings")
    return {
        "module": "keras.src.ops",
        "class_name": operation,
        "name": name,
        "config": {**attrs, "name": name},
        "inbound_nodes": [{"args": args, "kwargs": {}} for _, _, args in calls],
    }


def _call(name: str, function: str, node: Any) -> tuple[str, Arguments, list[Any]]:
    """Return Keras 3's class, settings and operands of one call."""
    single = isinstance(node, list) and bool(node) and isinstance(node[0], str)
    items = [node] if single else node
    if not isinstance(items, list) or any(not isinstance(item, list) or len(item) < 3 for item in items):
        raise UnsupportedError(f"layer {name!r} (tf.{function}): a call of it is not understood: {node!r:.60}")
    if len(items) == 1 and isinstance(items[0][0], list):  # one operand that is a list of tensors
        items, single = items[0], False
    given: Arguments = {}
    for item in items:
        if len(item) > 3 and isinstance(item[3], dict):
            given.update({key: value for key, value in item[3].items() if key != "name"})
    operands: list[Any] = [_operand(item) for item in items]
    first: Any = operands[0] if single else operands
    if function == "__operators__.getitem":
        spec = given.get("slice_spec")
        return "GetItem", {}, [first, [_index(one) for one in spec] if isinstance(spec, list) else _index(spec)]
    operation = OPERATIONS.get(function.removeprefix("compat.v1."))
    if operation is None:
        raise UnsupportedError(
            f"layer {name!r}: the TensorFlow operation tf.{function} is not supported",
            hint="write it with layers of Keras or supported operations (docs: layers)",
        )
    args = [first]
    for key in operation.operands[1:]:
        if key in given:
            value = given.pop(key)
            args.append(_operand(value) if _is_reference(value) else value)
    attrs = dict(operation.fixed)
    for key, value in given.items():
        if value is None or operation.rename.get(key) == "":
            continue
        if key not in operation.rename or _holds_reference(value):
            raise UnsupportedError(
                f"layer {name!r} (tf.{function}): its argument {key!r} = {value!r:.60} is not understood",
                hint="use constants, and -1 for the batch in shapes",
            )
        attrs[operation.rename[key]] = value
    if operation.change is not None:
        operation.change(name, attrs)
    return operation.name, attrs, args


def without_batch_sizes(layers: list[Any]) -> list[Any]:
    """Put -1 for `tf.shape(x)[0]`, the size of the batch, and leave out the operations that only make it."""

    def source(layer: Any) -> Any:
        node = layer.get("inbound_nodes", [None])[:1]
        return node[0][:1] if node and isinstance(node[0], list) and len(node[0]) > 3 else None

    def called(layer: Any, class_name: str) -> bool:
        return (
            isinstance(layer, dict) and layer.get("class_name") == class_name and isinstance(layer.get("config"), dict)
        )

    makers = [layer for layer in layers if called(layer, "TFOpLambda")]
    shapes = [layer for layer in makers if layer["config"].get("function") in ("shape", "compat.v1.shape")]
    names = [[layer["config"].get("name")] for layer in shapes]
    firsts = [
        layer
        for layer in layers
        if called(layer, "SlicingOpLambda")
        and source(layer) in names
        and isinstance(layer["inbound_nodes"][0][3], dict)
        and layer["inbound_nodes"][0][3].get("slice_spec") == 0
    ]
    if not firsts:
        return layers
    batches = [layer["config"].get("name") for layer in firsts]

    def replaced(value: Any) -> Any:
        if _is_reference(value) and value[0] in batches:
            return -1
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        return [replaced(item) for item in value] if isinstance(value, list) else value

    kept = [layer for layer in layers if not any(layer is other for other in firsts)]
    kept = [
        layer if layer not in makers else {**layer, "inbound_nodes": replaced(layer["inbound_nodes"])} for layer in kept
    ]
    read = [source(layer) for layer in kept if called(layer, "SlicingOpLambda")]
    return [layer for layer in kept if layer not in shapes or [layer["config"].get("name")] in read]


def _is_reference(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)


def _holds_reference(value: Any) -> bool:
    return _is_reference(value) or (isinstance(value, list) and any(_holds_reference(item) for item in value))


def _operand(item: Any) -> Any:
    if item[0] == "_CONSTANT_VALUE":
        return item[2]
    return {"class_name": "__keras_tensor__", "config": {"keras_history": item[:3]}}


def _index(item: Any) -> Any:
    """Write one part of an index as Keras 3 does."""
    if isinstance(item, dict) and "start" in item:
        return {"class_name": "__slice__", "config": item}
    return item
