"""Step functions: a constant between any two neighbouring thresholds, the same for every element.

Quantisers whose levels are not evenly spaced end here (powers of two, μ-law).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import element, multiple, quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._scales import common_scale
from hardwire.network.graph import NetworkBuilder, Node, Shape

_SMALL_TABLE = 1 << 8
"""Codes up to which a table is always taken; above, comparisons if there are few of them."""
_FEW_STEPS = 8
_LARGE_TABLE = 1 << 16


class Steps(Layer):
    """`levels[number of thresholds ≤ x]`; params `thresholds` (t,), rising, and `levels` (t + 1,)."""

    kind = "steps"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the input's shape; raises `ModelError` for thresholds that do not rise or levels that do not fit."""
        thresholds, levels = node.params["thresholds"], node.params["levels"]
        if thresholds.ndim != 1 or levels.shape != (len(thresholds) + 1,):
            raise ModelError(
                f"layer {node.name!r}: thresholds {thresholds.shape} and levels {levels.shape}; expected (t,), (t + 1,)"
            )
        if np.any(np.diff(thresholds) <= 0):
            raise ModelError(f"layer {node.name!r}: the thresholds do not rise")
        return inputs[0]

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Look the level up by bisection."""
        at = np.searchsorted(node.params["thresholds"], inputs[0], side="right")
        return np.asarray(node.params["levels"][at], np.float64)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One table an element where the codes are few, else a comparison for each step that can be met and a sum."""
        (x,) = inputs
        scales = x.scales()
        thresholds = [Fraction(value) for value in node.params["thresholds"].tolist()]
        levels = [Fraction(value) for value in node.params["levels"].tolist()]
        unit = common_scale(levels)
        codes = [multiple(node, level, unit, "level") for level in levels]

        def rule(b: KernelBuilder, values: list[int], at: tuple[int, ...]) -> int:
            scale = scales[element(x.shape, at)]
            least = [ceil(threshold / scale) for threshold in thresholds]
            lo, hi = b.range(values[0])
            met = [k for k, code in enumerate(least) if lo < code <= hi]
            size = hi - lo + 1
            if size <= _SMALL_TABLE or (len(met) > _FEW_STEPS and size <= _LARGE_TABLE):
                found = np.searchsorted(np.array(least, object), np.arange(lo, hi + 1).astype(object), side="right")
                return b.table(values[0], np.array(codes, np.int64)[found])
            top = codes[sum(code <= hi for code in least)]
            below = [b.less(values[0], b.const(least[k])) for k in met]
            y = b.linear(below, [codes[k] - codes[k + 1] for k in met], top)
            return b.clamp(y, min(codes), max(codes))

        return low.elementwise(node, [x], rule, np.array(unit, object), [scales])

    def examples(self) -> Iterator[Example]:
        """Powers of two with both signs, levels that fall again, a wide input, steps that are never met."""
        powers = np.array([0.25, 0.5, 1.0, 2.0])
        for name, kind, thresholds, levels in (
            ("powers", "s6.3", np.array([-1.4, -0.7, 0.0, 0.7, 1.4]), np.array([-2, -1, -0.5, 0.5, 1, 2])),
            ("falling", "s5.2", np.array([-1.0, 0.25, 1.5]), np.array([0.5, -0.75, 3.0, 0.0])),
            ("wide", "s12.6", np.array([-3.1, 0.0, 5.5]), np.array([-0.3, 0.0, 0.3, 0.1])),
            ("unmet", "u4.4", np.concatenate([-powers[::-1], powers]), np.arange(9.0) - 4),
        ):
            net = NetworkBuilder(f"steps_{name}")
            x = quantised_input(net, (2,), kind)
            params = {"thresholds": thresholds, "levels": levels}
            yield Example(name, net.build([net.add("steps", "steps", [x], {}, params)]))
