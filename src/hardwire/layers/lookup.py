"""A table of stored values, indexed by an integer: lookup tables whose entries the model brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import element, exact_values
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._scales import common_scale
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Lookup(Layer):
    """Params `table` (n,), float64; attrs `first` (index of its first entry) and `step` (float: `index = x / step`).

    An index outside of the table, or between its entries, is an error where a range allows it.
    """

    kind = "lookup"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape."""
        if node.params["table"].ndim != 1 or not node.params["table"].size:
            raise ModelError(f"layer {node.name!r}: a table of shape {node.params['table'].shape}, expected one axis")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the entries."""
        index = np.rint(inputs[0] / node.attrs["step"]).astype(np.int64) - int(node.attrs["first"])
        return np.asarray(node.params["table"][index], np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One TABLE an element."""
        (x,) = inputs
        table, first = node.params["table"], int(node.attrs["first"])
        values = exact_values(table, None, table.shape)
        scale = common_scale(set(values.tolist()))
        codes = np.array([int(value / scale) for value in values], np.int64)
        scales = x.scales()

        def rule(b: KernelBuilder, operands: list[int], at: tuple[int, ...]) -> int:
            ratio = scales[element(x.shape, at)] / Fraction(float(node.attrs["step"]))
            if ratio.denominator != 1:
                raise ModelError(f"layer {node.name!r}: its index is not an integer")
            index = b.linear(operands, [int(ratio)])
            lo, hi = b.range(index)
            if lo < first or hi >= first + len(codes):
                raise ModelError(
                    f"layer {node.name!r}: an index from {lo} to {hi} into a table from {first} to "
                    f"{first + len(codes) - 1}",
                    hint="a table with an entry for every value of its input",
                )
            return b.table(index, codes[lo - first : hi - first + 1])

        return low.elementwise(node, [x], rule, np.broadcast_to(np.array(scale, object), x.shape))

    def examples(self) -> Iterator[Example]:
        """A table of squares over a signed index."""
        net = NetworkBuilder("lookup")
        x = net.input("x", (3,))
        kind = FixedType(True, 4, 1)
        x = net.add("quantise", "q", [x], {"quantiser": Quantiser.of_type(kind, Rounding.TRN, Overflow.SAT)})
        entries = np.arange(-8, 8) ** 2 / 16
        y = net.add("lookup", "squares", [x], {"first": -8, "step": 0.5}, {"table": entries})
        yield Example("squares", net.build([y]))
