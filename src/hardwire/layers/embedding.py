"""Embedding: rows of a constant table chosen by integers, as exact lookup tables.

Keras `Embedding`, PyTorch `nn.Embedding`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import Floats, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _keras as keras
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._requantise import round_scaled
from hardwire.layers._scales import column_codes, common_scale
from hardwire.layers.activation import MAX_ENTRIES
from hardwire.layers.masking import differs
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class Embedding(Layer):
    """Param `table` (rows, m). An element x becomes row `floor(x)`; below the first row it is the first, above the last
    the last, so that every code of the input's type has a meaning."""

    kind = "embedding"
    weights = ("table",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape and the width of a row."""
        table = node.params["table"]
        if table.ndim != 2 or not table.size:
            raise ModelError(f"layer {node.name!r}: the table has the shape {table.shape}, expected (rows, width)")
        return (*inputs[0], int(table.shape[1]))

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the rows."""
        table = node.params["table"]
        return np.asarray(table[np.clip(np.floor(inputs[0]), 0, len(table) - 1).astype(np.int64)], np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One TABLE for each element of a row, in a kernel applied at every element of the input."""
        (x,) = inputs
        table = node.params["table"]
        if len(table) > MAX_ENTRIES:
            raise RangeError(
                f"layer {node.name!r}: a table of {len(table)} rows; the limit is {MAX_ENTRIES}",
                hint="a smaller vocabulary",
            )
        x = low.rescaled(node, x, np.array(common_scale(set(x.scales().ravel().tolist())), object))
        read = (x, x.index.reshape(-1, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        whole = round_scaled(builder, 0, x.scales().ravel()[0], Rounding.TRN)
        row = builder.clamp(whole, 0, len(table) - 1)
        first, last = builder.range(row)
        codes, scales = column_codes(np.asarray(table, np.float64))
        outputs = [builder.table(row, codes[first : last + 1, j].astype(np.int64)) for j in range(table.shape[1])]
        return low.apply(node, builder.build(outputs), [read], (*x.shape, len(outputs)), fractions(scales))

    def examples(self) -> Iterator[Example]:
        """Tokens in range, beyond the table, and with fractions."""
        table = np.random.default_rng(2).integers(-9, 10, (5, 2)) / 8
        for name, kind in (("tokens", "u2.0"), ("beyond", "s5.0"), ("fractions", "u4.1")):
            net = NetworkBuilder(f"embedding_{name}")
            x = quantised_input(net, (3,), kind)
            yield Example(name, net.build([net.add("embedding", "embedding", [x], {}, {"table": table})]))


# --- PyTorch


@imports("torch", "aten.embedding.default")
def _torch_embedding(record: Record, net: NetworkBuilder) -> str:
    """`embedding(weight, indices)`; the other arguments matter in training only."""
    record.ignore("padding_idx", "scale_grad_by_freq")
    record.expect("sparse", False)
    return net.add("embedding", record.name, [torch.single(record)], {}, {"table": record.array("0")})


# --- Keras


@imports("keras", "Embedding")
def _keras_embedding(record: Record, net: NetworkBuilder) -> str:
    """`Embedding`; with `mask_zero`, tokens other than 0 are its mask."""
    masked = record.expect("mask_zero", False, True, None)
    record.expect("lora_rank", None)
    record.expect("quantization_config", None)
    record.ignore("input_length", "sparse", "lora_alpha", "weights")
    rows, width = record.take("input_dim"), record.take("output_dim")
    table = keras.variables(record, "embeddings")["embeddings"]
    if table.shape != (rows, width):
        raise record.unsupported("input_dim", rows, f"the table in the file has the shape {table.shape}")
    tokens = keras.single(record)
    y = net.add("embedding", record.name, [tokens], {}, {"table": table})
    if masked:
        net.masks[y] = differs(net, f"{record.name}_mask", tokens, 0.0)
    return y
