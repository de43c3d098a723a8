"""Products with a constant kernel over any axes: `y = einsum(equation, x, kernel) + bias`.

Keras `EinsumDense`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import exact_values, quantised_input
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import column_codes, common_scale, same_scales
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Equation:
    """Labels of the input's, kernel's and output's axes, a letter each, the batch's left out; `sizes` by label."""

    inputs: str
    kernel: str
    outputs: str
    sizes: dict[str, int]

    def shape(self, labels: str) -> Shape:
        """Sizes of the axes that `labels` name."""
        return tuple(self.sizes[label] for label in labels)


def parse(name: str, equation: str, shape: Shape, kernel: Shape) -> Equation:
    """Read `abc,cd->abd` for an input of `shape` (without the batch) and a kernel's shape.

    The first label of input and output is the batch, which the kernel has not; `...` stands for any axes, the batch
    among them if it comes first. Raises `ModelError` naming the layer for an equation that does not fit.
    """

    def bad(why: str) -> ModelError:
        return ModelError(f"layer {name!r}: equation {equation!r}: {why}")

    sides = equation.replace(" ", "").replace("...", "0").split("->")
    operands = sides[0].split(",")
    if len(sides) != 2 or len(operands) != 2:
        raise bad("expected one input, one kernel and '->' before the output")
    inputs, kernel_labels, outputs = operands[0], operands[1], sides[1]
    free = iter(letter for letter in _LETTERS if letter not in equation)
    rank = len(shape) + 1
    if "0" in inputs or "0" in outputs:
        if inputs.count("0") != 1 or outputs.count("0") != 1 or "0" in kernel_labels:
            raise bad("'...' must stand once in the input and once in the output, not in the kernel")
        extra = "".join(next(free) for _ in range(rank - len(inputs) + 1))
        inputs, outputs = inputs.replace("0", extra), outputs.replace("0", extra)
    if len(inputs) != rank:
        raise bad(f"it names {len(inputs)} axes of the input, which has {rank} with the batch {('batch', *shape)}")
    if len(kernel_labels) != len(kernel):
        raise bad(f"it names {len(kernel_labels)} axes of the kernel, which has the shape {kernel}")
    for labels in (inputs, kernel_labels, outputs):
        if len(set(labels)) != len(labels) or not all(label in _LETTERS for label in labels):
            raise bad("every axis needs a letter of its own")
    if not outputs or inputs[0] != outputs[0] or inputs[0] in kernel_labels:
        raise bad("the batch must be the first axis of input and output, and no axis of the kernel")
    sizes: dict[str, int] = {}
    for label, size in [*zip(inputs[1:], shape, strict=True), *zip(kernel_labels, kernel, strict=True)]:
        if sizes.setdefault(label, size) != size:
            raise bad(f"axis {label!r} has the sizes {sizes[label]} and {size}")
    missing = [label for label in outputs[1:] if label not in sizes]
    if missing:
        raise bad(f"axis {missing[0]!r} of the output is in no operand")
    return Equation(inputs[1:], kernel_labels, outputs[1:], sizes)


class Einsum(Layer):
    """Attr `equation` (`abc,cd->abd`, the batch first); params `kernel`, optional `bias` that broadcasts to the output.

    Either may be integer codes with a real factor that broadcasts to it: `kernel_scale`, `bias_scale`.
    """

    kind = "einsum"
    weights = ("kernel", "bias")

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the sizes of the output's labels."""
        eq = _equation(node, inputs[0])
        shape = eq.shape(eq.outputs)
        for key in ("bias", "bias_scale"):
            if key in node.params and not _fits(node.params[key].shape, shape):
                raise ModelError(
                    f"layer {node.name!r}: the {key} of shape {node.params[key].shape} does not broadcast to {shape}"
                )
        scale = node.params.get("kernel_scale")
        if scale is not None and not _fits(scale.shape, node.params["kernel"].shape):
            raise ModelError(f"layer {node.name!r}: a kernel_scale of shape {scale.shape} does not fit the kernel")
        return shape

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 sum of products."""
        eq = _equation(node, inputs[0].shape[1:])
        kernel = node.params["kernel"] * node.params.get("kernel_scale", 1.0)
        batch = next(letter for letter in _LETTERS if letter not in eq.sizes)
        equation = f"{batch}{eq.inputs},{eq.kernel}->{batch}{eq.outputs}"
        y = np.einsum(equation, inputs[0], kernel)
        if "bias" in node.params:
            y = y + node.params["bias"] * node.params.get("bias_scale", 1.0)
        return np.asarray(y, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One LINEAR per output, in a kernel applied along the axes that neither kernel nor bias has."""
        (x,) = inputs
        eq = _equation(node, x.shape)
        shape = eq.shape(eq.outputs)
        bias = np.broadcast_to(np.array(Fraction(0), object), shape)
        if "bias" in node.params:
            bias = exact_values(node.params["bias"], node.params.get("bias_scale"), shape)
        # Where the bias differs the kernel does, even if its weights are shared.
        varies = {label for axis, label in enumerate(eq.outputs) if not _uniform(bias, axis)}
        shared = "".join(c for c in eq.inputs if c in eq.outputs and c not in eq.kernel and c not in varies)
        blocks = "".join(c for c in eq.inputs if c in eq.outputs and c not in shared)
        summed = "".join(c for c in eq.inputs if c not in eq.outputs)
        made = "".join(c for c in eq.outputs if c not in eq.inputs)
        order = [eq.inputs.index(label) for label in shared + blocks + summed]
        n_shared, n_blocks, k, m = (prod(eq.shape(labels)) for labels in (shared, blocks, summed, made))
        x = x.view(x.index.transpose(order), x.scales().transpose(order))
        x = x.view(x.index.reshape(n_shared, n_blocks, k), x.scales().reshape(n_shared, n_blocks, k))
        if not same_scales(x.scale, x.scale[:1]):
            flat: Any = x.scales().reshape(n_shared, -1)
            units = fractions([common_scale(set(column)) for column in flat.T])
            x = low.rescaled(node, x, np.broadcast_to(units.reshape(1, n_blocks, k), x.shape))
        kernel, kernel_scale = _matrices(node, eq, blocks, summed, made)
        first = np.asarray(bias[tuple(0 if label in shared else slice(None) for label in eq.outputs)], object)
        offsets = _spread(first, "".join(c for c in eq.outputs if c not in shared), eq, (blocks, made))
        read = (x, low.windows(x, 2))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        outputs, scales = [], []
        for g in range(n_blocks):
            steps: Any = x.scales()[0, g]
            unit = common_scale(set(steps))
            factors = np.array([(s / unit).numerator for s in steps], object)
            codes, column_units = column_codes(kernel[g], None if kernel_scale is None else kernel_scale[g])
            codes = codes * factors[:, None]
            for j in range(m):
                scale = column_units[j] * unit
                finest = common_scale([scale, offsets[g, j]])
                column = [int(c) * (scale / finest).numerator for c in codes[:, j]]
                offset = (offsets[g, j] / finest).numerator
                if max((abs(c) for c in [*column, offset]), default=0) >= 1 << MAX_BITS:
                    raise RangeError(
                        f"layer {node.name!r}: the weights and bias of output {j} span more than {MAX_BITS} bits",
                        hint="calibrate the model (calibrate=x) so that its weights get fixed-point types",
                    )
                outputs.append(builder.linear(range(g * k, (g + 1) * k), column, offset))
                scales.append(finest)
        labels = shared + blocks + made
        full = eq.shape(labels)
        block_scale = np.broadcast_to(fractions(scales).reshape(1, -1), (n_shared, n_blocks * m)).reshape(full)
        y = low.apply(node, builder.build(outputs), [read], full, block_scale)
        back = [labels.index(label) for label in eq.outputs]
        return y.view(y.index.transpose(back), y.scales().transpose(back))

    def examples(self) -> Iterator[Example]:
        """Channels, tokens, both at once, a matrix per position, sums without weights, a bias that differs."""
        rng = np.random.default_rng(2)
        for name, shape, equation, kernel, bias in (
            ("channels", (2, 3), "bnc,cd->bnd", (3, 2), (2,)),
            ("tokens", (3, 2), "bnc,nm->bmc", (3, 2), (2, 1)),
            ("ellipsis", (2, 2, 3), "...c,cd->...d", (3, 2), (2,)),
            ("both", (2, 3), "bnc,ncde->bed", (2, 3, 2, 1), ()),
            ("grouped", (2, 3), "bnc,ncd->bdn", (2, 3, 2), None),
            ("position", (3, 2), "bnc,cd->bnd", (2, 1), (3, 1)),
            ("vector", (3, 2), "bnc,n->bc", (3,), None),
            ("unweighted", (2, 2), "bnc,d->bd", (2,), None),
            ("kernel_sum", (3,), "bc,cde->bd", (3, 2, 2), None),
        ):
            net = NetworkBuilder(f"einsum_{name}")
            x = quantised_input(net, shape, "s5.2")
            params: dict[str, Any] = {"kernel": rng.integers(-7, 8, kernel) / 8}
            if bias is not None:
                params["bias"] = rng.integers(-8, 8, bias) / 8
            yield Example(name, net.build([net.add("einsum", "einsum", [x], {"equation": equation}, params)]))
        net = NetworkBuilder("einsum_codes")
        x = quantised_input(net, (2, 2, 2), "s5.2")
        params = {
            "kernel": rng.integers(-7, 8, (2, 2, 2)),
            "kernel_scale": np.array([[[0.5, 0.3]], [[0.7, 1.0]]]),
            "bias": rng.integers(-9, 9, (2, 1, 2)),
            "bias_scale": np.array(0.25),
        }
        yield Example("codes", net.build([net.add("einsum", "einsum", [x], {"equation": "bgpc,gcd->bgpd"}, params)]))


def _equation(node: Node, shape: Shape) -> Equation:
    return parse(node.name, node.attrs["equation"], shape, node.params["kernel"].shape)


def _fits(own: Shape, shape: Shape) -> bool:
    try:
        return np.broadcast_shapes(own, shape) == tuple(shape)
    except ValueError:
        return False


def _uniform(values: NDArray[Any], axis: int) -> bool:
    return bool(np.all(values == np.take(values, [0], axis=axis)))


def _matrices(
    node: Node, eq: Equation, blocks: str, summed: str, made: str
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Kernel as (blocks, inputs summed over, outputs made), and the scale of integer codes as (blocks, outputs)."""
    kernel, scale = node.params["kernel"], node.params.get("kernel_scale")
    alone = tuple(axis for axis, label in enumerate(eq.kernel) if label not in blocks + summed + made)
    labels = "".join(label for axis, label in enumerate(eq.kernel) if axis not in alone)
    matrices = _spread(kernel.sum(axis=alone) if alone else kernel, labels, eq, (blocks, summed, made))
    if scale is None:
        return matrices, None
    # Codes of one output share a scale only where it does not differ along the axes that are summed.
    spread = np.broadcast_to(scale, kernel.shape)
    over = [axis for axis, label in enumerate(eq.kernel) if label not in blocks + made]
    if not all(_uniform(spread, axis) for axis in over):
        raise ModelError(f"layer {node.name!r}: the kernel_scale differs along an axis that is summed over")
    first = spread[tuple(0 if axis in over else slice(None) for axis in range(spread.ndim))]
    return matrices, _spread(first, "".join(c for c in eq.kernel if c in blocks + made), eq, (blocks, made))


def _spread(values: NDArray[Any], labels: str, eq: Equation, groups: tuple[str, ...]) -> NDArray[Any]:
    """Values over `labels` as one axis a group of labels, repeated along labels of a group that they have not."""
    wanted = "".join(groups)
    order = sorted(range(len(labels)), key=lambda axis: wanted.index(labels[axis]))
    ordered = values.transpose(order).reshape([eq.sizes[label] if label in labels else 1 for label in wanted])
    return np.broadcast_to(ordered, eq.shape(wanted)).reshape([prod(eq.shape(group)) for group in groups])


# --- Keras


@imports("keras", "EinsumDense")
def _keras_einsum_dense(record: Record, net: NetworkBuilder) -> str:
    """`EinsumDense`: kernel over the equation's axes, bias over `bias_axes`, then the activation."""
    equation, bias_axes = record.take("equation"), record.take("bias_axes", None)
    activation = record.take("activation", None)
    record.expect("quantization_config", None)
    record.expect("lora_rank", None)
    record.ignore("lora_alpha", "gptq_unpacked_column_size")
    params = keras.variables(record, "kernel", *(["bias"] if bias_axes else []))
    x = keras.single(record)
    eq = parse(record.name, equation, net.shape(x), params["kernel"].shape)
    stated = record.take("output_shape")
    check_output_shape(record, stated, eq)
    if bias_axes:
        params["bias"] = bias_over(record, params["bias"], bias_axes, eq)
    y = net.add("einsum", record.name, [x], {"equation": equation}, params)
    return keras.activated(record, net, y, activation)


def check_output_shape(record: Record, stated: Any, eq: Equation) -> None:
    """Refuse a stated output shape (which may leave out leading axes) that the equation contradicts."""
    sizes = [stated] if isinstance(stated, int) else list(stated)
    shape = eq.shape(eq.outputs)
    tail = shape[len(shape) - len(sizes) :] if len(sizes) <= len(shape) else ()
    if len(sizes) > len(shape) or any(size not in (None, own) for size, own in zip(sizes, tail, strict=True)):
        raise record.unsupported("output_shape", stated, f"the kernel and the equation make {shape}")


def bias_over(record: Record, bias: NDArray[Any], axes: str, eq: Equation) -> NDArray[Any]:
    """Bias over the letters `axes` as an array that broadcasts to the output; the file may pad it with ones."""
    wanted = [label for label in eq.outputs if label in axes]
    if len(wanted) != len(set(axes)) or bias.size != prod(eq.shape("".join(wanted))):
        raise record.unsupported("bias_axes", axes, f"a bias of shape {bias.shape} does not fit them")
    # Keras keeps the order of the output, so that only ones are added between the axes.
    return bias.reshape([eq.sizes[label] if label in axes else 1 for label in eq.outputs])
