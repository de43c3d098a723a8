"""Operations of `keras.ops` on the tensors of a functional model, composed of the layers that there are.

The frontend brings TensorFlow's operations in Keras 2 models (`tf.nn.relu(x)`, `x + y`, `tf.concat`) to the same names.
Constant operands are the record's arrays `operand N`; what is no operand is an attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.layers import _keras as keras
from hardwire.layers._axes import without_batch
from hardwire.layers._base import imports
from hardwire.layers._resample import coordinates, linear_rows, nearest_rows
from hardwire.layers._spatial import per_axis
from hardwire.layers.constant import constant_tensor
from hardwire.layers.elementwise_nary import chosen
from hardwire.layers.matmul import product
from hardwire.layers.padding import padded
from hardwire.layers.slicing import expanded, gathered, moved_blocks, parts, repeated, take
from hardwire.layers.upsampling import resampled
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record

_FUNCTIONS = {
    **{name: name.lower() for name in ("Erf", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Sign", "Floor", "Ceil", "Trunc")},
    **{name: name.lower() for name in ("Expm1", "Log1p", "Rsqrt", "Reciprocal", "Selu", "Softplus", "Softsign")},
    **{name: name.lower() for name in ("Squareplus", "Mish")},
    **{f"Arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "HardSilu": "hard_swish",
    "TanhShrink": "tanh_shrink",
    "LogSigmoid": "log_sigmoid",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
}
_WITH = {
    "Elu": ("elu", {"alpha": ("alpha", 1.0)}),
    "Celu": ("celu", {"alpha": ("alpha", 1.0)}),
    "Silu": ("silu", {"beta": ("beta", 1.0)}),
    "SoftShrink": ("soft_shrink", {"threshold": ("lambd", 0.5)}),
    "HardShrink": ("hard_shrink", {"threshold": ("lambd", 0.5)}),
}


def _function(net: NetworkBuilder, name: str, x: str, function: str, **arguments: float) -> str:
    return net.add("activation", name, [x], {"function": function, "arguments": arguments})


def _scaled(net: NetworkBuilder, name: str, x: str, factor: float) -> str:
    return net.add("mul", name, [x], {}, {"constant": np.float64(factor)})


def _operand(record: Record, net: NetworkBuilder, position: int) -> NDArray[Any]:
    """Return a constant operand without an axis of one for the batch; it must not differ by example."""
    value = np.asarray(record.array(f"operand {position}"), np.float64)
    rank = max(len(net.shape(tensor)) for tensor in record.inputs)
    while value.ndim > rank and value.shape[0] == 1:
        value = value[0]
    if value.ndim > rank:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): a constant of the shape {value.shape} differs by example"
        )
    return value


def _axis(record: Record, net: NetworkBuilder, x: str, attr: str = "axis", default: Any = -1) -> int:
    return keras.axis(record, attr, default, len(net.shape(x)))


def _axes(record: Record, net: NetworkBuilder, x: str, attr: str = "axis") -> tuple[int, ...]:
    """Take one axis or several; all of them (None) would reduce the batch."""
    value = record.take(attr, None)
    if value is None:
        raise record.unsupported(attr, value, "without it the batch would be reduced too; name the axes")
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(sorted(without_batch(record, attr, one, len(net.shape(x))) for one in listed))


# --- Keras: functions of one element


@imports("keras", *(f"ops.{name}" for name in _FUNCTIONS))
def _keras_function(record: Record, net: NetworkBuilder) -> str:
    """Functions without settings."""
    return _function(net, record.name, keras.single(record), _FUNCTIONS[record.kind.removeprefix("ops.")])


@imports("keras", *(f"ops.{name}" for name in _WITH))
def _keras_function_with(record: Record, net: NetworkBuilder) -> str:
    """Functions with a number as setting."""
    function, names = _WITH[record.kind.removeprefix("ops.")]
    arguments = {argument: keras.number(record, attr, value) or 0.0 for attr, (argument, value) in names.items()}
    return _function(net, record.name, keras.single(record), function, **arguments)


@imports("keras", "ops.Gelu")
def _keras_gelu(record: Record, net: NetworkBuilder) -> str:
    """`gelu`, by default in the form of tanh."""
    function = "gelu_tanh" if record.expect("approximate", True, False) else "gelu"
    return _function(net, record.name, keras.single(record), function)


@imports("keras", "ops.HardSigmoid")
def _keras_hard_sigmoid(record: Record, net: NetworkBuilder) -> str:
    """`relu6(x + 3) / 6`."""
    return _function(net, record.name, keras.single(record), "hard_sigmoid", slope=1.0 / 6.0, offset=0.5)


@imports("keras", "ops.Round")
def _keras_round(record: Record, net: NetworkBuilder) -> str:
    """`round` to integers, ties to even."""
    record.expect("decimals", 0)
    return _function(net, record.name, keras.single(record), "round")


@imports("keras", "ops.Threshold")
def _keras_threshold(record: Record, net: NetworkBuilder) -> str:
    """`x` above the threshold, else the default."""
    theta, value = keras.number(record, "threshold", 0.0) or 0.0, keras.number(record, "default_value", 0.0) or 0.0
    return _function(net, record.name, keras.single(record), "threshold", theta=theta, value=value)


@imports("keras", "ops.Relu", "ops.Relu6", "ops.HardTanh", "ops.LeakyRelu", "ops.Clip")
def _keras_piecewise(record: Record, net: NetworkBuilder) -> str:
    """Piecewise linear functions."""
    x, name = keras.single(record), record.kind.removeprefix("ops.")
    if name == "Relu":
        return net.add("relu", record.name, [x])
    if name == "LeakyRelu":
        slope = float(np.float32(keras.number(record, "negative_slope", 0.2) or 0.0))
        return net.add("leaky_relu", record.name, [x], {"slope": slope})
    ends = {"Relu6": (0.0, 6.0), "HardTanh": (-1.0, 1.0)}.get(name)
    lo, hi = ends or (keras.number(record, "x_min", None), keras.number(record, "x_max", None))
    return net.add("clip", record.name, [x], {"lo": lo, "hi": hi})


@imports("keras", "ops.Log2", "ops.Log10")
def _keras_logarithm(record: Record, net: NetworkBuilder) -> str:
    """Logarithms to another base: the natural one, scaled."""
    y = _function(net, f"{record.name}_log", keras.single(record), "log")
    return _scaled(net, record.name, y, 1.0 / np.log(2.0 if record.kind == "ops.Log2" else 10.0))


@imports("keras", "ops.Power")
def _keras_power(record: Record, net: NetworkBuilder) -> str:
    """A constant power."""
    x = keras.single(record)
    exponents = _operand(record, net, 1) if record.has_array("operand 1") else np.empty(0)
    if exponents.size != 1:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): only a constant number as exponent is supported"
        )
    exponent = float(exponents.ravel()[0])
    if exponent == 1:
        return x
    if exponent == 2:
        return net.add("mul", record.name, [x, x])
    function = {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}.get(exponent)
    if function is not None:
        return _function(net, record.name, x, function)
    return _function(net, record.name, x, "power", exponent=exponent)


@imports("keras", "ops.SquaredDifference")
def _keras_squared_difference(record: Record, net: NetworkBuilder) -> str:
    """`(x - y)²`."""
    if len(record.inputs) == 2:
        d = net.add("sub", f"{record.name}_difference", list(record.inputs))
    else:
        at = 0 if record.has_array("operand 0") else 1
        d = net.add(
            "sub", f"{record.name}_difference", list(record.inputs), {}, {"constant": _operand(record, net, at)}
        )
    return net.add("mul", record.name, [d, d])


@imports("keras", "ops.Cast", "ops.StopGradient", "ops.Copy", "ops.Identity", "ops.NanToNum", "ops.ConvertToTensor")
def _keras_same(record: Record, net: NetworkBuilder) -> str:
    """What changes no finite number; the frontend has refused casts to other types than floats."""
    record.ignore("nan", "posinf", "neginf", "sparse")
    return keras.single(record)


@imports("keras", "ops.Glu", "activations.glu")
def _keras_glu(record: Record, net: NetworkBuilder) -> str:
    """`a · sigmoid(b)` of the two halves along an axis."""
    x = keras.single(record)
    axis = _axis(record, net, x)
    half = net.shape(x)[axis] // 2
    first, second = parts(net, f"{record.name}_half", x, axis, [half, half])
    return net.add("mul", record.name, [first, _function(net, f"{record.name}_gate", second, "sigmoid")])


# --- Keras: two operands


@imports("keras", "ops.LogicalAnd", "ops.LogicalOr", "ops.LogicalNot", "ops.LogicalXor")
def _keras_logic(record: Record, net: NetworkBuilder) -> str:
    """Of tensors of 0 and 1: the smaller, the larger, 1 - x, whether they differ."""
    kind = record.kind.removeprefix("ops.Logical")
    if kind == "Not":
        return net.add("sub", record.name, [keras.single(record)], {"reverse": True}, {"constant": np.float64(1.0)})
    if len(record.inputs) != 2 or len({len(net.shape(tensor)) for tensor in record.inputs}) > 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): two computed operands of one rank are expected")
    if kind == "Xor":
        return net.add("compare", record.name, list(record.inputs), {"relation": "not_equal"})
    return net.add({"And": "minimum", "Or": "maximum"}[kind], record.name, list(record.inputs))


@imports("keras", "ops.ZerosLike", "ops.OnesLike")
def _keras_like(record: Record, net: NetworkBuilder) -> str:
    """`zeros_like(x)`, `ones_like(x)`."""
    x = keras.single(record)
    record.ignore("dtype")
    value = np.full(net.shape(x), float(record.kind.endswith("OnesLike")))
    return constant_tensor(net, record.name, x, value)


@imports("keras", "ops.Where")
def _keras_where(record: Record, net: NetworkBuilder) -> str:
    """`where(condition, x, y)`; either of the two may be a constant."""
    waiting = list(record.inputs)
    operands = [None if record.has_array(f"operand {i}") else waiting.pop(0) if waiting else None for i in range(3)]
    condition = operands[0]
    given = [i for i in (1, 2) if operands[i] is None]
    constants = {i: _operand(record, net, i) for i in given}
    if condition is None:
        mask = _operand(record, net, 0) != 0
        pair = [_filled(record, net, i, constants, record.inputs[0], operands) for i in (1, 2)]
        return chosen(net, record.name, mask, *pair)
    tensors = [condition, *(_filled(record, net, i, constants, condition, operands) for i in (1, 2))]
    if len({len(net.shape(tensor)) for tensor in tensors}) > 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): operands of different rank would mix the batch")
    return net.add("where", record.name, tensors)


def _filled(
    record: Record,
    net: NetworkBuilder,
    position: int,
    constants: dict[int, NDArray[Any]],
    like: str,
    operands: Sequence[str | None],
) -> str:
    """Return an operand's tensor; a constant becomes one of the shape of `like`."""
    tensor = operands[position]
    if tensor is not None:
        return tensor
    zero = _scaled(net, f"{record.name}_zero{position}", like, 0.0)
    return net.add("add", f"{record.name}_operand{position}", [zero], {}, {"constant": constants[position]})


@imports("keras", "ops.AddN")
def _keras_add_n(record: Record, net: NetworkBuilder) -> str:
    """TensorFlow's `add_n`: the sum of tensors of one shape."""
    total = record.inputs[0]
    for tensor in record.inputs[1:]:
        total = net.add("add", record.name, [total, tensor])
    return total


@imports("keras", "ops.FloorDivide", "ops.Mod")
def _keras_floor(record: Record, net: NetworkBuilder) -> str:
    """`x // c` and `x - c · (x // c)` for a constant c."""
    x = keras.single(record)
    if not record.has_array("operand 1") or np.any((divisor := _operand(record, net, 1)) == 0):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): only a constant divisor other than 0")
    quotient = net.add("mul", f"{record.name}_quotient", [x], {}, {"constant": 1.0 / divisor})
    whole = _function(net, f"{record.name}_floor", quotient, "floor")
    if record.kind == "ops.FloorDivide":
        return whole
    product_ = net.add("mul", f"{record.name}_whole", [whole], {}, {"constant": divisor})
    return net.add("sub", record.name, [x, product_])


@imports("keras", "ops.Matmul", "ops.Dot")
def _keras_matmul(record: Record, net: NetworkBuilder) -> str:
    """`matmul` of two computed tensors, or with constant weights behind; TensorFlow may ask to transpose either."""
    turned = [bool(record.expect(attr, False, True)) for attr in ("transpose_a", "transpose_b")]
    tensors = [
        _matrix_turned(net, record.name, x) if turn else x for x, turn in zip(record.inputs, turned, strict=False)
    ]
    if len(tensors) == 2 and record.kind == "ops.Matmul":
        return product(record, net, *tensors)
    return _with_weights(record, net, tensors[0], turned[1])


def _with_weights(record: Record, net: NetworkBuilder, x: str, turned: bool) -> str:
    if len(record.inputs) != 1 or not record.has_array("operand 1"):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): only constant weights as the second operand are supported"
        )
    kernel = np.asarray(record.array("operand 1"), np.float64)
    kernel = kernel.T if turned else kernel
    if kernel.ndim != 2:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): weights of the shape {kernel.shape}; a matrix is expected"
        )
    return net.add("dense", record.name, [x], {}, {"kernel": kernel})


def _matrix_turned(net: NetworkBuilder, name: str, x: str) -> str:
    rank = len(net.shape(x))
    return net.add("transpose", f"{name}_turned", [x], {"perm": (*range(rank - 2), rank - 1, rank - 2)})


@imports("keras", "ops.Tensordot")
def _keras_tensordot(record: Record, net: NetworkBuilder) -> str:
    """`tensordot` over the last axis with constant weights."""
    x = record.inputs[0]
    axes = record.take("axes", 1)
    last = len(net.shape(x))
    if axes not in (1, [[last], [0]], [[-1], [0]]):
        raise record.unsupported("axes", axes, "only the last axis with the first of constant weights is supported")
    return _with_weights(record, net, x, False)


# --- Keras: shapes


def _shaped(record: Record, net: NetworkBuilder, x: str, attr: str, wanted: Any) -> Shape:
    """Resolve a shape that counts the batch first (None, -1 or whatever it was)."""
    count = prod(net.shape(x))
    dims = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not dims or any(dim is not None and type(dim) is not int for dim in dims):
        raise record.unsupported(attr, wanted, "a list of integers with the batch in front is expected")
    rest = [-1 if dim is None else dim for dim in dims[1:]]
    open_ = [i for i, dim in enumerate(rest) if dim == -1]
    known = prod(dim for dim in rest if dim != -1)
    if len(open_) == 1 and known and count % known == 0:
        rest[open_[0]] = count // known
    if prod(rest) != count or -1 in rest:
        raise record.unsupported(
            attr, wanted, f"the batch must stay the first axis, before {count} elements an example"
        )
    return tuple(rest)


@imports("keras", "ops.Reshape")
def _keras_reshape(record: Record, net: NetworkBuilder) -> str:
    """`reshape(x, newshape)`; the batch is its first entry."""
    x = keras.single(record)
    shape = _shaped(record, net, x, "newshape", record.take("newshape"))
    return net.add("reshape", record.name, [x], {"shape": shape})


@imports("keras", "ops.ExpandDims")
def _keras_expand_dims(record: Record, net: NetworkBuilder) -> str:
    """`expand_dims(x, axis)`."""
    x = keras.single(record)
    shape = list(net.shape(x))
    value = record.take("axis")
    for one in value if isinstance(value, list | tuple) else [value]:
        shape.insert(without_batch(record, "axis", one, len(shape) + 1), 1)
    return net.add("reshape", record.name, [x], {"shape": tuple(shape)})


@imports("keras", "ops.Squeeze")
def _keras_squeeze(record: Record, net: NetworkBuilder) -> str:
    """`squeeze(x, axis)`; without an axis all axes of one but the batch."""
    x = keras.single(record)
    shape = net.shape(x)
    axes = tuple(i for i, n in enumerate(shape) if n == 1)
    if record.has("axis") and (value := record.take("axis")) not in (None, []):
        listed = value if isinstance(value, list | tuple) else [value]
        axes = tuple(without_batch(record, "axis", one, len(shape)) for one in listed)
        if any(shape[axis] != 1 for axis in axes):
            raise record.unsupported("axis", value, f"a tensor {('batch', *shape)} has more than one element there")
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    return net.add("reshape", record.name, [x], {"shape": kept})


def _transposed(net: NetworkBuilder, name: str, x: str, perm: Sequence[int]) -> str:
    return net.add("transpose", name, [x], {"perm": tuple(perm)})


@imports("keras", "ops.Transpose")
def _keras_transpose(record: Record, net: NetworkBuilder) -> str:
    """`transpose(x, axes)`; the batch stays in front."""
    x = keras.single(record)
    axes = record.take("axes", None)
    rank = len(net.shape(x))
    if not isinstance(axes, list | tuple) or len(axes) != rank + 1 or axes[0] != 0:
        raise record.unsupported("axes", axes, "the batch axis must stay in front (axes[0] = 0)")
    return _transposed(net, record.name, x, [without_batch(record, "axes", axis, rank) for axis in axes[1:]])


@imports("keras", "ops.Swapaxes")
def _keras_swap_axes(record: Record, net: NetworkBuilder) -> str:
    """`swapaxes(x, axis1, axis2)`."""
    x = keras.single(record)
    perm = list(range(len(net.shape(x))))
    a, b = (keras.axis(record, attr, 0, len(perm)) for attr in ("axis1", "axis2"))
    perm[a], perm[b] = perm[b], perm[a]
    return _transposed(net, record.name, x, perm)


@imports("keras", "ops.Moveaxis")
def _keras_move_axis(record: Record, net: NetworkBuilder) -> str:
    """`moveaxis(x, source, destination)` of one axis."""
    x = keras.single(record)
    perm = list(range(len(net.shape(x))))
    source, target = (keras.axis(record, attr, 0, len(perm)) for attr in ("source", "destination"))
    perm.insert(target, perm.pop(source))
    return _transposed(net, record.name, x, perm)


@imports("keras", "ops.Stack")
def _keras_stack(record: Record, net: NetworkBuilder) -> str:
    """`stack(x, axis)`."""
    tensors = list(record.inputs)
    shape = net.shape(tensors[0])
    axis = keras.axis(record, "axis", 0, len(shape) + 1)
    row = (*shape[:axis], 1, *shape[axis:])
    rows = [net.add("reshape", f"{record.name}_{i}", [x], {"shape": row}) for i, x in enumerate(tensors)]
    return rows[0] if len(rows) == 1 else net.add("concat", record.name, rows, {"axis": axis})


@imports("keras", "ops.Concatenate")
def _keras_concatenate(record: Record, net: NetworkBuilder) -> str:
    """`concatenate(xs, axis)`."""
    axis = keras.axis(record, "axis", -1, len(net.shape(record.inputs[0])))
    tensors = list(record.inputs)
    return tensors[0] if len(tensors) == 1 else net.add("concat", record.name, tensors, {"axis": axis})


@imports("keras", "ops.Unstack")
def _keras_unstack(record: Record, net: NetworkBuilder) -> list[str]:
    """`unstack(x, num, axis)`: one tensor a position of the axis."""
    x = keras.single(record)
    shape = net.shape(x)
    axis = keras.axis(record, "axis", 0, len(shape))
    record.expect("num", None, shape[axis])
    rows = parts(net, f"{record.name}_row", x, axis, [1] * shape[axis])
    rest = (*shape[:axis], *shape[axis + 1 :])
    return [net.add("reshape", f"{record.name}_{i}", [row], {"shape": rest}) for i, row in enumerate(rows)]


@imports("keras", "ops.Pad")
def _keras_pad(record: Record, net: NetworkBuilder) -> str:
    """`pad(x, pad_width, mode, constant_values)`; nothing is added to the batch."""
    x = keras.single(record)
    rank = len(net.shape(x))
    width = record.take("pad_width")
    mode = record.expect("mode", "constant", "reflect", "symmetric", "edge", "wrap")
    value = keras.number(record, "constant_values", 0.0) or 0.0
    rows = width if isinstance(width, list | tuple) else [[width, width]]
    if any(not isinstance(row, list | tuple) or len(row) != 2 or any(type(n) is not int for n in row) for row in rows):
        raise record.unsupported("pad_width", width, "(before, after) for each axis is expected")
    pairs = [(int(before), int(after)) for before, after in rows]
    if len(pairs) != rank + 1 or pairs[0] != (0, 0):
        raise record.unsupported("pad_width", width, f"{rank + 1} pairs, of the batch (0, 0), are expected")
    return padded(net, record.name, x, pairs[1:], mode, float(value))


@imports("keras", "ops.Flip", "ops.Roll", "ops.Repeat")
def _keras_moved(record: Record, net: NetworkBuilder) -> str:
    """`flip(x, axis)`, `roll(x, shift, axis)`, `repeat(x, repeats, axis)`."""
    x, kind = keras.single(record), record.kind.removeprefix("ops.")
    axes = _axes(record, net, x)
    if kind != "Flip" and len(axes) != 1:
        raise record.unsupported("axis", axes, "one axis is expected")
    for axis in axes:
        order = np.arange(net.shape(x)[axis])
        if kind == "Flip":
            order = order[::-1]
        elif kind == "Roll":
            order = np.roll(order, int(record.take("shift")))
        else:
            times = np.asarray(record.take("repeats")).ravel()
            order = np.repeat(order, times if len(times) > 1 else int(times[0]))
        x = take(net, record.name, x, axis, order.tolist())
    return x


@imports("keras", "ops.Tile")
def _keras_tile(record: Record, net: NetworkBuilder) -> str:
    """`tile(x, repeats)`, once along the batch."""
    x = keras.single(record)
    repeats = record.take("repeats")
    rank = len(net.shape(x)) + 1
    counts = [1] * (rank - len(repeats)) + list(repeats) if isinstance(repeats, list | tuple) else [repeats]
    if len(counts) != rank or counts[0] != 1 or any(type(n) is not int or n < 1 for n in counts):
        raise record.unsupported("repeats", repeats, f"{rank} whole numbers, 1 for the batch, are expected")
    return repeated(net, record.name, x, counts[1:])


@imports("keras", "ops.Take")
def _keras_take(record: Record, net: NetworkBuilder) -> str:
    """`take(x, indices, axis)` with constant indices."""
    x = keras.single(record)
    axis = _axis(record, net, x, default=None)
    if not record.has_array("operand 1"):
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): the indices are computed, not constant")
    indices = np.asarray(record.array("operand 1")).astype(np.int64)
    return gathered(net, record.name, x, axis, indices)


@imports("keras", "ops.Slice")
def _keras_slice(record: Record, net: NetworkBuilder) -> str:
    """`slice(x, start, size)` with constants; the batch is kept whole (start 0)."""
    x = keras.single(record)
    starts, sizes = record.take("start"), record.take("size")
    if starts[0] != 0 or len(starts) != len(net.shape(x)) + 1:
        raise record.unsupported("start", starts, "the batch must be kept whole")
    for axis, (start, size) in enumerate(zip(starts[1:], sizes[1:], strict=True)):
        end = net.shape(x)[axis] if size == -1 else start + size
        x = take(net, f"{record.name}_axis{axis + 1}", x, axis, range(start, end))
    return x


@imports("keras", "ops.BroadcastTo")
def _keras_broadcast(record: Record, net: NetworkBuilder) -> str:
    """`broadcast_to(x, shape)`."""
    x = keras.single(record)
    shape = record.take("shape")
    if len(shape) != len(net.shape(x)) + 1:
        raise record.unsupported("shape", shape, "the number of axes must stay, the batch in front")
    return expanded(record, net, record.name, x, shape[1:])


@imports("keras", "ops.DepthToSpace", "ops.SpaceToDepth")
def _keras_blocks(record: Record, net: NetworkBuilder) -> str:
    """TensorFlow's `depth_to_space` and `space_to_depth`, channels last."""
    x, block = keras.single(record), int(record.take("block_size"))
    record.expect("data_format", "NHWC")
    height, width, channels = net.shape(x)
    if record.kind == "ops.DepthToSpace":
        depth = channels // (block * block)
        last = (height * block, width * block, depth)
        return moved_blocks(net, record.name, x, (height, width, block, block, depth), (0, 2, 1, 3, 4), last)
    first = (height // block, block, width // block, block, channels)
    last = (height // block, width // block, block * block * channels)
    return moved_blocks(net, record.name, x, first, (0, 2, 1, 3, 4), last)


# --- Keras: over axes


@imports("keras", "ops.Any", "ops.All")
def _keras_any(record: Record, net: NetworkBuilder) -> str:
    """Of tensors of 0 and 1: the largest, the smallest."""
    x = keras.single(record)
    axes, keepdims = _axes(record, net, x), bool(record.expect("keepdims", False, True))
    kind = "reduce_max" if record.kind == "ops.Any" else "reduce_min"
    return net.add(kind, record.name, [x], {"axes": axes, "keepdims": keepdims})


@imports("keras", "ops.Average")
def _keras_average(record: Record, net: NetworkBuilder) -> str:
    """`average(x, axis)` without weights."""
    x = keras.single(record)
    return net.add("reduce_mean", record.name, [x], {"axes": _axes(record, net, x), "keepdims": False})


def _variance(net: NetworkBuilder, name: str, x: str, axes: tuple[int, ...], keepdims: bool) -> tuple[str, str]:
    """Return mean (with its axes kept) and variance."""
    mean = net.add("reduce_mean", f"{name}_mean", [x], {"axes": axes, "keepdims": True})
    centred = net.add("sub", f"{name}_centred", [x, mean])
    square = net.add("mul", f"{name}_square", [centred, centred])
    return mean, net.add("reduce_mean", f"{name}_variance", [square], {"axes": axes, "keepdims": keepdims})


@imports("keras", "ops.Var", "ops.Std", "ops.Moments")
def _keras_moments(record: Record, net: NetworkBuilder) -> str | list[str]:
    """`var`, `std`, and `moments` (mean and variance)."""
    x = keras.single(record)
    both = record.kind == "ops.Moments"
    axes = _axes(record, net, x, "axes" if both else "axis")
    keepdims = bool(record.expect("keepdims", False, True))
    record.expect("synchronized", False)
    mean, variance = _variance(net, record.name, x, axes, keepdims)
    if both:
        flat = net.add("reshape", f"{record.name}_flat", [mean], {"shape": net.shape(variance)})
        return [flat, variance]
    return variance if record.kind == "ops.Var" else _function(net, record.name, variance, "sqrt")


@imports("keras", "ops.Norm")
def _keras_norm(record: Record, net: NetworkBuilder) -> str:
    """Euclidean norm (or, with `ord` 1 or inf, sum or largest of the magnitudes) along axes."""
    x = keras.single(record)
    axes, keepdims = _axes(record, net, x), bool(record.expect("keepdims", False, True))
    order = record.expect("ord", None, 2, 1, "euclidean", "fro", float("inf"))
    attrs = {"axes": axes, "keepdims": keepdims}
    if order in (1, float("inf")):
        size = _function(net, f"{record.name}_size", x, "abs")
        return net.add("reduce_sum" if order == 1 else "reduce_max", record.name, [size], attrs)
    square = net.add("mul", f"{record.name}_square", [x, x])
    return _function(net, record.name, net.add("reduce_sum", f"{record.name}_sum", [square], attrs), "sqrt")


def unit_vectors(net: NetworkBuilder, name: str, x: str, axes: tuple[int, ...]) -> str:
    """Divide by the Euclidean norm over axes: the root mean square, times √n. A zero vector stays zero."""
    count = prod(net.shape(x)[axis] for axis in axes)
    attrs = {"axes": axes, "epsilon": 0.0, "centre": False, "output": None}
    return net.add("layer_norm", name, [x], attrs, {"gamma": np.float64(1.0 / np.sqrt(count))})


@imports("keras", "ops.Normalize", "UnitNormalization")
def _keras_unit(record: Record, net: NetworkBuilder) -> str:
    """Vectors of length 1 along axes; the tiny bound of the norm only keeps Keras from dividing by zero."""
    x = keras.single(record)
    record.expect("order", 2)
    epsilon = keras.number(record, "epsilon", None) or 0.0
    if epsilon > 1e-5:
        raise record.unsupported("epsilon", epsilon, "only a bound that no ordinary vector meets (≤ 1e-5) is supported")
    if not record.has("axis"):
        return unit_vectors(net, record.name, x, (len(net.shape(x)) - 1,))
    return unit_vectors(net, record.name, x, _axes(record, net, x))


@imports("keras", "ops.Logsumexp")
def _keras_logsumexp(record: Record, net: NetworkBuilder) -> str:
    """`log(Σ exp(x))` along axes, as it is written."""
    x = keras.single(record)
    axes, keepdims = _axes(record, net, x), bool(record.expect("keepdims", False, True))
    e = _function(net, f"{record.name}_exp", x, "exp")
    total = net.add("reduce_sum", f"{record.name}_sum", [e], {"axes": axes, "keepdims": keepdims})
    return _function(net, record.name, total, "log")


@imports("keras", "ops.Prod")
def _keras_prod(record: Record, net: NetworkBuilder) -> str:
    """Product along one axis."""
    x = keras.single(record)
    axes, keepdims = _axes(record, net, x), bool(record.expect("keepdims", False, True))
    if len(axes) != 1:
        raise record.unsupported("axis", axes, "one axis is expected")
    (axis,) = axes
    shape = net.shape(x)
    rows = parts(net, f"{record.name}_part", x, axis, [1] * shape[axis])
    total = rows[0]
    for row in rows[1:]:
        total = net.add("mul", f"{record.name}_product", [total, row])
    kept = (*shape[:axis], *((1,) if keepdims else ()), *shape[axis + 1 :])
    return net.add("reshape", record.name, [total], {"shape": kept})


@imports("keras", "ops.Cumsum")
def _keras_cumsum(record: Record, net: NetworkBuilder) -> str:
    """Running sums along an axis: a triangular matrix of ones."""
    x = keras.single(record)
    axis = _axis(record, net, x, default=None)
    rank, count = len(net.shape(x)), net.shape(x)[axis]
    record.expect("exclusive", False)
    record.expect("reverse", False)
    perm = [*(i for i in range(rank) if i != axis), axis]
    last = _transposed(net, f"{record.name}_last", x, perm)
    y = net.add("dense", f"{record.name}_sums", [last], {}, {"kernel": np.triu(np.ones((count, count)))})
    return _transposed(net, record.name, y, np.argsort(perm).tolist())


@imports("keras", "ops.Diff")
def _keras_diff(record: Record, net: NetworkBuilder) -> str:
    """Differences of neighbours along an axis."""
    x = keras.single(record)
    axis, times = _axis(record, net, x), int(record.take("n", 1))
    for _ in range(times):
        count = net.shape(x)[axis]
        ends = [take(net, f"{record.name}_{i}", x, axis, range(i, count - 1 + i)) for i in (1, 0)]
        x = net.add("sub", record.name, ends)
    return x


@imports("keras", "ops.Argmax", "ops.Argmin")
def _keras_argmax(record: Record, net: NetworkBuilder) -> str:
    """Index of the first largest or smallest element along an axis."""
    x = keras.single(record)
    if record.kind == "ops.Argmin":
        x = _scaled(net, f"{record.name}_negated", x, -1.0)
    attrs = {"axis": _axis(record, net, x, default=None), "keepdims": bool(record.expect("keepdims", False, True))}
    return net.add("argmax", record.name, [x], attrs)


@imports("keras", "ops.OneHot")
def _keras_one_hot(record: Record, net: NetworkBuilder) -> str:
    """`one_hot(x, num_classes, axis=-1)`."""
    x = keras.single(record)
    record.expect("axis", -1)
    record.expect("sparse", False)
    return one_hot(net, record.name, x, int(record.take("num_classes")))


def one_hot(net: NetworkBuilder, name: str, x: str, classes: int) -> str:
    """Return (…, classes): 1 where the class is the integer of the element."""
    column = net.add("reshape", f"{name}_column", [x], {"shape": (*net.shape(x), 1)})
    wide = take(net, f"{name}_wide", column, len(net.shape(x)), [0] * classes)
    return net.add("compare", name, [wide], {"relation": "equal"}, {"constant": np.arange(classes, dtype=np.float64)})


# --- Keras: images


def resized(record: Record, net: NetworkBuilder, x: str, sizes: Sequence[int], method: str, first: int) -> str:
    """Resize axes from `first` on at half-pixel centres, as `tf.image.resize` without anti-aliasing."""
    rows = {}
    for axis, size in enumerate(sizes, first):
        n = net.shape(x)[axis]
        place = coordinates("half_pixel", n, size)
        if method == "bilinear":
            rows[axis] = linear_rows(n, size, place)
        else:  # TensorFlow rounds half-pixel centres down from above
            rows[axis] = nearest_rows(n, size, place, "round_prefer_ceil")
    return resampled(net, record.name, x, rows)


@imports("keras", "Resizing", "ops.Resize")
def _keras_resizing(record: Record, net: NetworkBuilder) -> str:
    """`Resizing(height, width)`, bilinear or nearest."""
    x = keras.single(record)
    if record.kind == "Resizing":
        sizes = [record.take("height"), record.take("width")]
    else:
        sizes = list(record.take("size"))
    method = str(record.expect("interpolation", "bilinear", "nearest"))
    for attr in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias", "preserve_aspect_ratio"):
        record.expect(attr, False)
    record.ignore("fill_mode", "fill_value", "call training")
    first = int(record.expect("data_format", "channels_last", "channels_first", None) == "channels_first")
    if len(net.shape(x)) != 3 or any(type(size) is not int or size < 1 for size in sizes):
        raise record.unsupported("height", sizes, f"two sizes for an image are expected, the input is {net.shape(x)}")
    return resized(record, net, x, sizes, method, first)


@imports("keras", "CenterCrop")
def _keras_center_crop(record: Record, net: NetworkBuilder) -> str:
    """`CenterCrop(height, width)` of a larger image."""
    x = keras.single(record)
    sizes = [record.take("height"), record.take("width")]
    record.ignore("call training")
    first = int(record.expect("data_format", "channels_last", "channels_first", None) == "channels_first")
    shape = net.shape(x)
    for axis, size in enumerate(sizes, first):
        if size > shape[axis]:
            raise record.unsupported("height", sizes, f"the image {shape} is smaller; it would be resized")
        start = (shape[axis] - size) // 2
        x = take(net, f"{record.name}_axis{axis}", x, axis, range(start, start + size))
    return x


@imports("keras", "ops.AveragePool", "ops.MaxPool")
def _keras_pool(record: Record, net: NetworkBuilder) -> str:
    """`average_pool`, `max_pool`: the layers of that name."""
    x = keras.single(record)
    rank = len(net.shape(x)) - 1
    kind = f"{'Average' if record.kind == 'ops.AveragePool' else 'Max'}Pooling{rank}D"
    attrs = record.rest()
    size = per_axis(record, "pool_size", attrs["pool_size"], rank)
    unknown = record.unsupported("pool_size", size, f"an input of the shape {net.shape(x)} cannot be pooled")
    return keras.delegated(record, net, kind, [x], {**attrs, "pool_size": list(size)}, {}, unknown=unknown)[0]
