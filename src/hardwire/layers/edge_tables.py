"""Sums of stored functions, one of every input for every output: what `hardwire.nn.EdgeTables` trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats, Ints, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import _torch as torch
from hardwire.layers._base import Example, Layer, imports
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import integer_ratio, same_scales
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.network.records import Record


class EdgeTables(Layer):
    """`y_j = bias_j + Σ_i tables[j, i, x_i / step_i - first_i]` over the last axis, on any rank.

    Params `tables` (outputs, inputs, entries), `bias` (outputs,), `step` (inputs,) float64, `first` (inputs,) int64.
    An index outside of a table, or between its entries, is an error where a range allows it.
    """

    kind = "edge_tables"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (..., outputs); raises `ModelError` for parameters that do not fit the input or each other."""
        (shape,) = inputs
        tables = node.params["tables"]
        if tables.ndim != 3 or not tables.size:
            raise ModelError(
                f"layer {node.name!r}: tables of shape {tables.shape}, expected (outputs, inputs, entries)"
            )
        outputs, count, _ = tables.shape
        if not shape or shape[-1] != count:
            raise ModelError(f"layer {node.name!r}: tables of {count} inputs for an input of shape {shape}")
        for name, own in (("bias", outputs), ("step", count), ("first", count)):
            if node.params[name].shape != (own,):
                raise ModelError(f"layer {node.name!r}: {name} of shape {node.params[name].shape}, expected {(own,)}")
        return (*shape[:-1], outputs)

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the sums of the entries."""
        (x,) = inputs
        tables = node.params["tables"]
        index = np.rint(x / node.params["step"]).astype(np.int64) - node.params["first"]
        entries = tables[:, np.arange(tables.shape[1]), index]  # (outputs, ..., inputs)
        return np.asarray(np.moveaxis(entries.sum(axis=-1), 0, -1) + node.params["bias"], np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """A TABLE for every edge that depends on its input, and one LINEAR an output, at every leading position."""
        (x,) = inputs
        tables, first = node.params["tables"], node.params["first"]
        outputs, count, _ = tables.shape
        steps = x.scales().reshape(-1, count)
        if not same_scales(steps, steps[:1]):
            x = low.rescaled(node, x, fractions([min(column) for column in steps.T]))
        read = (x, low.windows(x, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        ratios = [
            integer_ratio(scale, Fraction(float(step)))
            for scale, step in zip(x.scales().reshape(-1, count)[0], node.params["step"], strict=True)
        ]
        if None in ratios:
            at = ratios.index(None)
            raise ModelError(
                f"layer {node.name!r}: its input {at} has steps that are no multiple of its tables' step "
                f"{node.params['step'][at]:g}",
                hint="a quantiser in front of the layer whose scale is the tables' step",
            )
        indices = [builder.linear([i], [int(ratio or 1)]) for i, ratio in enumerate(ratios)]
        results, scales = [], []
        for j in range(outputs):
            unit = _unit(tables[j], node.params["bias"][j])
            codes = np.rint(tables[j] / float(unit)).astype(np.int64)
            bias, terms = round(float(node.params["bias"][j]) / float(unit)), []
            for i, index in enumerate(indices):
                entries = self._reached(node, builder, i, index, int(first[i]), codes[i])
                if np.all(entries == entries[0]):
                    bias += int(entries[0])
                else:
                    terms.append(_table(builder, index, entries))
            results.append(builder.linear(terms, [1] * len(terms), bias) if terms else builder.const(bias))
            scales.append(unit)
        return low.apply(node, builder.build(results), [read], (*x.shape[:-1], outputs), fractions(scales))

    def _reached(self, node: Node, builder: KernelBuilder, i: int, index: int, first: int, entries: Ints) -> Ints:
        """Entries that the index can reach."""
        lo, hi = builder.range(index)
        if lo < first or hi >= first + len(entries):
            raise ModelError(
                f"layer {node.name!r}: its input {i} has codes from {lo} to {hi}, its tables entries from {first} to "
                f"{first + len(entries) - 1}",
                hint="a quantiser in front of the layer that holds its input in the tables' range",
            )
        return entries[lo - first : hi - first + 1]

    def examples(self) -> Iterator[Example]:
        """Edges that look at all bits, at the high ones alone, and at none."""
        rng = np.random.default_rng(8)
        for name, shape in (("vector", (3,)), ("rows", (2, 3))):
            net = NetworkBuilder(f"edge_tables_{name}")
            x = quantised_input(net, shape, "s4.2")
            tables = rng.integers(-9, 10, (2, 3, 16)) / 8
            tables[0, 0] = np.repeat(tables[0, 0, ::4], 4)
            tables[1, 1] = 0.5
            tables[1, 2] = np.repeat([0.25, -0.5], 8)
            params = {
                "tables": tables,
                "bias": np.array([0.25, -1.0]),
                "step": np.full(3, 0.25),
                "first": np.full(3, -8, np.int64),
            }
            yield Example(name, net.build([net.add("edge_tables", "edges", [x], {}, params)]))


def _table(builder: KernelBuilder, index: int, entries: Ints) -> int:
    """Look up, by the high bits alone where the low ones do not matter."""
    lo, _ = builder.range(index)
    dropped = 0
    while len(entries) > 1:
        codes = np.arange(lo, lo + len(entries)) >> 1
        starts = np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))
        halved = entries[starts]
        # Codes -1 and 0 stay apart however far they are shifted.
        if len(halved) == len(entries) or not np.array_equal(
            np.repeat(halved, np.diff(np.append(starts, len(codes)))), entries
        ):
            break
        lo, entries, dropped = int(codes[0]), halved, dropped + 1
    if dropped:
        index = builder.round(index, dropped, Rounding.TRN)
    return builder.table(index, entries.tolist())


def _unit(tables: Floats, bias: float) -> Fraction:
    """Greatest power of two of which all entries of an output and its bias are multiples; 1 for nothing but zeros."""
    found: Fraction | None = None
    for value in np.unique(np.append(tables, bias)):
        exact = Fraction(float(value))
        if exact:
            own = Fraction(exact.numerator & -exact.numerator, exact.denominator)
            found = own if found is None else min(found, own)
    return Fraction(1) if found is None else found


@imports("torch", "hardwire.edge_tables.default")
def _edge_tables(record: Record, net: NetworkBuilder) -> str:
    """`hardwire.nn.EdgeTables` in an exported program."""
    x = torch.single(record)
    tables, bias, step, first = (np.asarray(record.array(str(k)), np.float64) for k in (1, 2, 3, 4))
    params = {"tables": tables, "bias": bias, "step": step, "first": first.astype(np.int64)}
    return net.add("edge_tables", record.name, [x], {}, params)
