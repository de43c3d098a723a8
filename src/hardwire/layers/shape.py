"""Reshape and transpose: other views of the same elements, free of cost.

Keras `Flatten`, `Reshape`, `Permute`; ONNX `Flatten`, `Reshape`, `Transpose`, `Squeeze`, `Unsqueeze`; PyTorch `view`,
`reshape`, `flatten`, `permute`, `transpose`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.network.graph import NetworkBuilder, Node, Shape


class Reshape(Layer):
    """Attr `shape`: the new shape without the batch axis; one -1 stands for what is left."""

    kind = "reshape"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the new shape; raises `ModelError` where the number of elements differs."""
        wanted = tuple(int(dim) for dim in node.attrs["shape"])
        size = prod(inputs[0])
        rest = prod(dim for dim in wanted if dim != -1)
        if wanted.count(-1) == 1 and rest > 0 and size % rest == 0:
            wanted = tuple(size // rest if dim == -1 else dim for dim in wanted)
        if any(dim < 0 for dim in wanted) or prod(wanted) != size:
            raise ModelError(
                f"layer {node.name!r}: cannot reshape {inputs[0]} ({size} elements) to {tuple(node.attrs['shape'])}"
            )
        return wanted

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the reshaped array."""
        return inputs[0].reshape(len(inputs[0]), *self.shape(node, [inputs[0].shape[1:]]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view; no operation."""
        (x,) = inputs
        shape = self.shape(node, [x.shape])
        return x.view(x.index.reshape(shape), x.scales().reshape(shape))

    def examples(self) -> Iterator[Example]:
        """Flatten, split an axis, and a reshape between operations."""
        for name, shape, wanted in (("flatten", (2, 3), (6,)), ("split", (6,), (-1, 2)), ("scalar", (1,), ())):
            net = NetworkBuilder(f"reshape_{name}")
            x = quantised_input(net, shape, "s4.2")
            x = net.add("reshape", "reshape", [x], {"shape": wanted})
            yield Example(name, net.build([net.add("relu", "relu", [x])]))


class Transpose(Layer):
    """Attr `perm`: output axis i is input axis `perm[i]`, the batch axis not counted."""

    kind = "transpose"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the permuted shape."""
        perm = tuple(node.attrs["perm"])
        if sorted(perm) != list(range(len(inputs[0]))):
            raise ModelError(f"layer {node.name!r}: {perm} is no permutation of the axes of {inputs[0]}")
        return tuple(inputs[0][axis] for axis in perm)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the transposed array."""
        return inputs[0].transpose(0, *(axis + 1 for axis in node.attrs["perm"]))

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """Return another view; no operation."""
        (x,) = inputs
        perm = tuple(node.attrs["perm"])
        return x.view(x.index.transpose(perm), x.scales().transpose(perm))

    def examples(self) -> Iterator[Example]:
        """A matrix and three axes, with a dense layer that reads the transposed rows."""
        rng = np.random.default_rng(3)
        for name, shape, perm in (("matrix", (2, 3), (1, 0)), ("three", (2, 3, 2), (2, 0, 1))):
            net = NetworkBuilder(f"transpose_{name}")
            x = quantised_input(net, shape, "s4.2")
            x = net.add("transpose", "transpose", [x], {"perm": perm})
            kernel = rng.integers(-3, 4, (net.shape(x)[-1], 2)) / 2
            yield Example(name, net.build([net.add("dense", "fc", [x], {}, {"kernel": kernel})]))
