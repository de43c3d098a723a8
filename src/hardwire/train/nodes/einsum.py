"""Dense layers over any axes, by an equation."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hardwire.fixed import Floats
from hardwire.layers import einsum
from hardwire.network.graph import Node
from hardwire.network.weight_steps import steps_of
from hardwire.nn.einsum import EinsumDense
from hardwire.nn.scheme import Scheme
from hardwire.train.nodes._base import Making, trains

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@trains("einsum")
def _einsum(node: Node, making: Making) -> nn.Module:
    """`hardwire.nn.EinsumDense` with the file's weights."""
    shape, kernel = making.shape(node.inputs[0]), node.params["kernel"].astype(np.float64)
    eq = einsum.parse(node.name, node.attrs["equation"], shape, kernel.shape)
    batch = next(letter for letter in _LETTERS if letter not in eq.sizes)
    # What the kernel alone sums over is summed once.
    alone = tuple(axis for axis, label in enumerate(eq.kernel) if label not in eq.inputs + eq.outputs)
    labels = "".join(label for axis, label in enumerate(eq.kernel) if axis not in alone)
    equation = f"{batch}{eq.inputs},{labels}->{batch}{eq.outputs}"
    values = (kernel * node.params.get("kernel_scale", 1.0)).sum(axis=alone)
    own = making.weight(values, steps=steps_of(values, making.steps))
    along, bias = _bias(node, making.shape(node.outputs[0]), eq.outputs)
    added = None if bias is None else making.weight(bias, steps=steps_of(bias, making.steps), bias=True)
    kept = tuple(axis for axis, label in enumerate(eq.inputs) if label in eq.kernel)
    scheme = Scheme(
        making.input(node, axes=kept),
        None if own is None else lambda _shape: own,
        None if added is None else lambda _shape: added,
    )
    layer = EinsumDense(equation, shape, making.shape(node.outputs[0]), along, scheme=scheme).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(values))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def _bias(node: Node, shape: tuple[int, ...], outputs: str) -> tuple[str, Floats | None]:
    """Labels along which the bias differs (at least one), and the bias with an axis of one for every other."""
    if "bias" not in node.params:
        return "", None
    bias = np.asarray(node.params["bias"] * node.params.get("bias_scale", 1.0), np.float64)
    bias = bias.reshape((1,) * (len(shape) - bias.ndim) + bias.shape)
    labels = "".join(label for label, size in zip(outputs, bias.shape, strict=True) if size > 1) or outputs[:1]
    return labels, np.broadcast_to(bias, [n if a in labels else 1 for a, n in zip(outputs, shape, strict=True)])
