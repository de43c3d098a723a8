"""Products of two computed tensors over their last axes, as in attention.

ONNX `MatMul` and `Einsum` of two tensors, PyTorch `matmul`, `bmm`, `baddbmm`, `einsum`, Keras `Dot`, `ops.Matmul`,
`ops.Einsum`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _onnx as onnx
from hardwire.layers import _torch as torch
from hardwire.layers._axes import without_batch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import one_scale, quantised_input
from hardwire.layers._lowering import Lowering, Wire, broadcast
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class MatMul(Layer):
    """`a @ b` of (…, n, k) and (…, k, m), leading axes broadcast; every example's own product."""

    kind = "matmul"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (…, n, m)."""
        a, b = inputs
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise ModelError(f"layer {node.name!r}: matrices of the shapes {a} and {b} cannot be multiplied")
        try:
            return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
        except ValueError:
            raise ModelError(f"layer {node.name!r}: leading axes of {a} and {b} do not broadcast") from None

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Float64 matrix product."""
        rank = max(x.ndim for x in inputs)
        a, b = (x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:]) for x in inputs)
        return np.asarray(a @ b, np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel of k products and their sum, applied at every pair of a row and a column."""
        shape = self.shape(node, [x.shape for x in inputs])
        (*lead, n, m), k = shape, inputs[0].shape[-1]
        a = low.rescaled(node, inputs[0], one_scale(inputs[0], (len(inputs[0].shape) - 1,)))
        b = low.rescaled(node, inputs[1], one_scale(inputs[1], (len(inputs[1].shape) - 2,)))
        rows, columns = broadcast(a, (*lead, n, k)), broadcast(b, (*lead, k, m))
        left = np.broadcast_to(rows.index[..., :, None, :], (*shape, k)).reshape(-1, k)
        right = np.broadcast_to(np.swapaxes(columns.index, -1, -2)[..., None, :, :], (*shape, k)).reshape(-1, k)
        reads = [(a, left), (b, right)]
        builder = KernelBuilder(node.name, *low.window_range(reads))
        products = [builder.mul(i, k + i) for i in range(k)]
        kernel = builder.build([builder.linear(products, [1] * k)])
        scale = rows.scales()[..., :, :1] * columns.scales()[..., :1, :]
        return low.apply(node, kernel, reads, shape, scale)

    def multiplies(self, node: Node) -> bool:
        """Always."""
        return True

    def examples(self) -> Iterator[Example]:
        """A row times a column, matrices with their own scales, and stacked ones against one."""
        net = NetworkBuilder("matmul_dot")
        a, b = quantised_input(net, (1, 3), "s4.2", "a"), quantised_input(net, (3, 1), "s4.1", "b")
        yield Example("dot", net.build([net.add("matmul", "product", [a, b])]))
        net = NetworkBuilder("matmul_gram")
        x = quantised_input(net, (2, 3), "s3.1")
        y = net.add("mul", "scaled", [x], {}, {"constant": np.array([[0.5, 1.5, -1.0], [0.3, 0.3, 0.9]])})
        turned = net.add("transpose", "turned", [x], {"perm": (1, 0)})
        yield Example("gram", net.build([net.add("matmul", "product", [y, turned])]))
        net = NetworkBuilder("matmul_stacked")
        a, b = quantised_input(net, (2, 1, 2), "s3.1", "a"), quantised_input(net, (2, 2), "u2.1", "b")
        yield Example("stacked", net.build([net.add("matmul", "product", [a, b])]))


def product(record: Record, net: NetworkBuilder, a: str, b: str) -> str:
    """Add numpy's `matmul` of two tensors whose batch counts as their first axis: ranks must be equal."""
    shapes = [net.shape(a), net.shape(b)]
    if len(shapes[0]) != len(shapes[1]) or len(shapes[0]) < 2:
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): the product of tensors {('batch', *shapes[0])} and "
            f"{('batch', *shapes[1])} would mix events",
            hint="both need the same number of axes, two of them behind the batch",
        )
    return net.add("matmul", record.name, [a, b])


def einsum(record: Record, net: NetworkBuilder, equation: str, a: str, b: str) -> str:
    """Add the einsum of two tensors (equation with the batch) as transposes, reshapes and one product.

    Letters are the batch (first of both operands and of the result), common (kept, in both), free in one operand, or
    summed (in both). Raises `UnsupportedError` for anything else.
    """
    text = equation.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    letters = [*terms, output]
    if len(terms) != 2 or not arrow or "." in text or any(len(set(term)) != len(term) for term in letters):
        raise record.unsupported("equation", equation, "two operands with distinct letters and a result are expected")
    batch = output[:1]
    if not batch or any(term[:1] != batch for term in letters):
        raise record.unsupported("equation", equation, "the batch must be the first axis of operands and result")
    first, second, out = terms[0][1:], terms[1][1:], output[1:]
    if len(first) != len(net.shape(a)) or len(second) != len(net.shape(b)):
        raise record.unsupported("equation", equation, "operands have other numbers of axes")
    alone = (set(first) ^ set(second)) - set(out)
    if alone or set(out) - set(first) - set(second):
        raise record.unsupported("equation", equation, f"{sorted(alone) or sorted(out)} is in one operand alone")
    size = dict(zip(first, net.shape(a), strict=True)) | dict(zip(second, net.shape(b), strict=True))
    common = [letter for letter in out if letter in first and letter in second]
    summed = [letter for letter in first if letter in second and letter not in out]
    rows = [letter for letter in out if letter in first and letter not in second]
    columns = [letter for letter in out if letter in second and letter not in first]

    def matrices(name: str, tensor: str, term: str, order: list[str], shape: Shape) -> str:
        perm = tuple(term.index(letter) for letter in order)
        turned = net.add("transpose", f"{record.name}_{name}", [tensor], {"perm": perm})
        return net.add("reshape", f"{record.name}_{name}_matrices", [turned], {"shape": shape})

    count = {key: prod(size[letter] for letter in part) for key, part in (("r", rows), ("s", summed), ("c", columns))}
    lead = tuple(size[letter] for letter in common)
    left = matrices("left", a, first, [*common, *rows, *summed], (*lead, count["r"], count["s"]))
    right = matrices("right", b, second, [*common, *summed, *columns], (*lead, count["s"], count["c"]))
    y = net.add("matmul", f"{record.name}_product", [left, right])
    order = [*common, *rows, *columns]
    y = net.add("reshape", f"{record.name}_axes", [y], {"shape": tuple(size[letter] for letter in order)})
    return net.add("transpose", record.name, [y], {"perm": tuple(order.index(letter) for letter in out)})


def einsum_with(
    record: Record, net: NetworkBuilder, equation: str, constant: NDArray[Any] | None, *, left: bool
) -> str:
    """Add the einsum of one tensor and a constant (`left`: in front of it), or of one tensor alone."""
    if len(record.inputs) != 1:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): one or two operands are supported")
    terms, arrow, output = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    if not arrow:
        # Letters that occur once, in alphabetical order.
        letters = "".join(operands).replace(".", "")
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
        output = ("..." if "..." in terms else "") + output
    if len(operands) == 1:
        constant, operands = np.ones(()), [*operands, ""]
    elif left:
        operands.reverse()
    if constant is None or len(operands) != 2:
        raise record.unsupported("equation", equation, "one or two operands are supported")
    wanted = {"equation": f"{operands[0]},{operands[1]}->{output}"}
    return net.add("einsum", record.name, [record.inputs[0]], wanted, {"kernel": constant})


# --- ONNX (`MatMul` in dense.py hands two computed tensors to `product`)


@imports("onnx", "Einsum")
def _onnx_einsum(record: Record, net: NetworkBuilder) -> str:
    """Einsum of one tensor, of two, or of one and a constant."""
    equation = str(record.take("equation"))
    if len(record.inputs) == 2 and not record.array_keys():
        return einsum(record, net, equation, *record.inputs)
    constant = next((position for position in (0, 1) if record.has_array(str(position))), None)
    values = None if constant is None else onnx.constant(record, constant).astype(np.float64)
    return einsum_with(record, net, equation, values, left=constant == 0)


# --- PyTorch (`matmul` in dense.py hands two computed tensors to `product`)


@imports("torch", "aten.bmm.default")
def _torch_bmm(record: Record, net: NetworkBuilder) -> str:
    """`bmm(a, b)`: (batch, n, k) times (batch, k, m), one of them maybe the same matrix for all."""
    if len(record.inputs) != 2:
        torch.single(record)
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): a constant operand; use x @ W")
    return product(record, net, *record.inputs)


@imports("torch", "aten.einsum.default")
def _torch_einsum(record: Record, net: NetworkBuilder) -> str:
    """`einsum(equation, …)` of one tensor, of two, or of one and a constant."""
    record.expect("path", None)
    equation = str(record.take("equation"))
    if len(record.inputs) == 2 and not record.array_keys():
        return einsum(record, net, equation, *record.inputs)
    constant = next((place for place in (0, 1) if record.has_array(f"1.{place}")), None)
    values = None if constant is None else record.array(f"1.{constant}").astype(np.float64)
    return einsum_with(record, net, equation, values, left=constant == 0)


# --- Keras


@imports("keras", "Dot")
def _keras_dot(record: Record, net: NetworkBuilder) -> str:
    """`Dot(axes)`: sum over one axis of each, their other axes in order; `normalize`: of vectors of length 1."""
    normalised = record.expect("normalize", False, True)
    if len(record.inputs) != 2:
        raise UnsupportedError(f"layer {record.name!r} (Dot): {len(record.inputs)} inputs, expected two")
    a, b = record.inputs
    axes = record.take("axes")
    pair = list(axes) if isinstance(axes, list | tuple) else [axes, axes]
    ranks = [len(net.shape(tensor)) for tensor in (a, b)]
    if len(pair) != 2:
        raise record.unsupported("axes", axes, "one axis, or one of each input, is expected")
    at = [without_batch(record, "axes", axis, rank) for axis, rank in zip(pair, ranks, strict=True)]
    if normalised:
        from hardwire.layers.keras_ops import unit_vectors

        a, b = (unit_vectors(net, f"{record.name}_unit", x, (axis,)) for x, axis in zip((a, b), at, strict=True))
    first = [chr(ord("a") + number) for number in range(ranks[0])]
    second = [chr(ord("a") + ranks[0] + number) for number in range(ranks[1])]
    second[at[1]] = first[at[0]]
    out = [letter for letter in [*first, *second] if letter != first[at[0]]]
    y = einsum(record, net, f"Z{''.join(first)},Z{''.join(second)}->Z{''.join(out)}", a, b)
    return y if out else net.add("reshape", f"{record.name}_one", [y], {"shape": (1,)})


@imports("keras", "ops.Einsum")
def _keras_einsum(record: Record, net: NetworkBuilder) -> str:
    """`keras.ops.einsum` of two computed tensors (`ops.Matmul` is in keras_ops.py)."""
    if len(record.inputs) != 2:
        raise UnsupportedError(f"layer {record.name!r} ({record.kind}): two computed operands are supported")
    return einsum(record, net, str(record.take("subscripts")), *record.inputs)
