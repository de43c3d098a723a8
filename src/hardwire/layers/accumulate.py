"""Matrix products as fixed-point C++ writes them: every product is cast, and the running sum is cast at every step.

`y[j] = (… ((bias[j] + cast(x[0]·w[0, j])) + cast(x[1]·w[1, j])) …)`, each sum kept in one type. Where the sum's type
wraps, the casts of the sum together are one wrap of the exact sum, which leaves the sum to the solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, FixedType, Floats, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Layer
from hardwire.layers._elements import quantised_input
from hardwire.layers._lowering import Lowering, Wire
from hardwire.layers._neurons import channel_scaled
from hardwire.layers._requantise import overflow, round_scaled
from hardwire.network.graph import NetworkBuilder, Node, Shape
from hardwire.quantiser import Quantiser


class Accumulate(Layer):
    """Params `kernel` (k, m), optional `offset` (k, m) added to each product before its cast, optional `bias` (m,).

    Attrs `product` (`Quantiser` that casts each product, or None), `sum` (scalar `Quantiser` of the running sum), and
    `order`: the order in which the inputs are added (a tuple of all of them), or `"tree"` for halves (the first of
    the largest power of two below their number). Terms with a zero weight and offset are left out.
    """

    kind = "accumulate"

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return (..., m)."""
        (shape,) = inputs
        kernel = node.params["kernel"]
        if kernel.ndim != 2 or not shape or shape[-1] != kernel.shape[0]:
            raise ModelError(f"layer {node.name!r}: a kernel of shape {kernel.shape} does not fit the input {shape}")
        for name, wanted in (("offset", kernel.shape), ("bias", kernel.shape[1:])):
            if name in node.params and node.params[name].shape != wanted:
                raise ModelError(
                    f"layer {node.name!r}: {name} has the shape {node.params[name].shape}, expected {wanted}"
                )
        order = node.attrs["order"]
        if order != "tree" and sorted(order) != list(range(len(kernel))):
            raise ModelError(f"layer {node.name!r}: the order of sums does not name every input once")
        if order == "tree" and "bias" in node.params:
            raise ModelError(f"layer {node.name!r}: a tree of sums has no place for a bias")
        return (*shape[:-1], kernel.shape[1])

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Return the sums in float64 (exact up to 53 bits), every cast in its place."""
        x, kernel = inputs[0], node.params["kernel"]
        rows = x.reshape(-1, x.shape[-1])
        offset = node.params.get("offset", np.zeros(kernel.shape))
        product: Quantiser | None = node.attrs["product"]
        total: Quantiser = node.attrs["sum"]

        def term(i: int) -> Floats:
            value = rows[:, i : i + 1] * kernel[i] + offset[i]
            return value if product is None else product(value)

        if node.attrs["order"] == "tree":
            y = _tree([term(i) for i in range(len(kernel))], lambda a, b: total(a + b))
        else:
            y = np.broadcast_to(total(node.params.get("bias", np.zeros(kernel.shape[1]))), (len(rows), kernel.shape[1]))
            for i in node.attrs["order"]:
                y = total(y + term(i))
        return np.asarray(y, np.float64).reshape(*x.shape[:-1], kernel.shape[1])

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel of all sums, applied at every leading position."""
        x, scales = channel_scaled(node, low, inputs[0])
        kernel = _exact(node.params["kernel"])
        offset = _exact(node.params.get("offset", np.zeros(kernel.shape)))
        read = (x, low.windows(x, 1))
        builder = KernelBuilder(node.name, *low.window_range([read]))
        used = [[i for i in range(len(kernel)) if kernel[i, j] or offset[i, j]] for j in range(kernel.shape[1])]
        neurons = [_Neuron(node, builder, scales, kernel[:, j], offset[:, j], used[j]) for j in range(kernel.shape[1])]
        bias = _exact(node.params.get("bias", np.zeros(kernel.shape[1])))
        outputs = [neuron.build(bias[j]) for j, neuron in enumerate(neurons)]
        scale = np.array(Fraction(float(node.attrs["sum"].scale)), object)
        return low.apply(node, builder.build(outputs), [read], (*x.shape[:-1], kernel.shape[1]), scale)

    def examples(self) -> Iterator[Example]:
        """Sums that wrap with exact and with rounded products, that saturate in order, and a saturating tree."""
        rng = np.random.default_rng(1)
        narrow, wide = FixedType(True, 7, 3), FixedType(True, 9, 6)
        wrap = Quantiser.of_type(narrow, Rounding.TRN, Overflow.WRAP)
        saturate = Quantiser.of_type(narrow, Rounding.RND, Overflow.SAT)
        for name, total, rounded, order in (
            ("exact", Quantiser.of_type(wide, Rounding.TRN, Overflow.WRAP), False, (0, 1, 2, 3)),
            ("rounded", wrap, True, (0, 1, 2, 3)),
            ("saturating", saturate, True, (2, 0, 3, 1)),
            ("tree", saturate, True, "tree"),
        ):
            net = NetworkBuilder(f"accumulate_{name}")
            x = quantised_input(net, (2, 4), "s5.2")
            params = {"kernel": rng.integers(-15, 16, (4, 2)) / 16}
            if order != "tree":
                params["bias"] = rng.integers(-8, 9, 2) / 8
            attrs = {"product": total if rounded else None, "sum": total, "order": order}
            yield Example(name, net.build([net.add("accumulate", "sum", [x], attrs, params)]))


class _Neuron:
    """One sum of a kernel."""

    def __init__(
        self,
        node: Node,
        builder: KernelBuilder,
        scales: Sequence[Fraction],
        weights: NDArray[Any],
        offsets: NDArray[Any],
        used: Sequence[int],
    ) -> None:
        self.node, self.b, self.scales = node, builder, scales
        self.weights, self.offsets, self.used = weights, offsets, used
        self.total: Quantiser = node.attrs["sum"]
        self.product: Quantiser | None = node.attrs["product"]
        self.unit = Fraction(float(self.total.scale))

    def build(self, bias: Fraction) -> int:
        """Return the sum's value, a code of its type."""
        start = int(self.total.codes(np.asarray(float(bias))))
        if self.node.attrs["order"] == "tree":
            if len(self.used) < len(self.weights):
                raise ModelError(f"layer {self.node.name!r}: a tree of sums with a weight of zero")
            return int(_tree([self._term(i) for i in self.used], lambda a, b: self._cast(self.b.add(a, b))))
        if self._wraps():
            return self._cast(self._joint(start))
        value = self.b.const(start)
        for i in (i for i in self.node.attrs["order"] if i in set(self.used)):
            value = self._cast(self.b.add(value, self._term(i)))
        return value

    def _wraps(self) -> bool:
        """Whether one wrap at the end equals one at every step: always for a wrapping sum on the products' grid."""
        if self.total.overflow is not Overflow.WRAP:
            return False
        return self.product is not None or all(self._whole(i) is not None for i in self.used)

    def _joint(self, start: int) -> int:
        """Return the exact sum: one linear form of the inputs, or of the rounded products."""
        whole = [self._whole(i) for i in self.used]
        if all(pair is not None for pair in whole):
            pairs = [pair for pair in whole if pair is not None]
            return self.b.linear(self.used, [a for a, _ in pairs], start + sum(b for _, b in pairs))
        return self.b.linear([self._term(i, free=True) for i in self.used], [1] * len(self.used), start)

    def _whole(self, i: int) -> tuple[int, int] | None:
        """Factor and offset of a product in units of the sum, where no cast changes it but by wrapping."""
        factor, offset = self.weights[i] * self.scales[i] / self.unit, self.offsets[i] / self.unit
        if factor.denominator != 1 or offset.denominator != 1:
            return None
        rule = self.product
        if rule is not None and not (rule.overflow is Overflow.WRAP and self._periodic(rule)):
            return None
        if max(abs(factor), abs(offset)) >= 1 << MAX_BITS:
            raise RangeError(f"layer {self.node.name!r}: a weight has more than {MAX_BITS} bits in the sum's units")
        return int(factor), int(offset)

    def _periodic(self, rule: Quantiser) -> bool:
        """Whether wrapping by a product's type is undone by the wrapping of the sum."""
        period = int(rule.hi - rule.lo + 1) * Fraction(float(rule.scale)) / self.unit
        return period.denominator == 1 and int(period) % int(self.total.hi - self.total.lo + 1) == 0

    def _term(self, i: int, *, free: bool = False) -> int:
        """Return a cast product in units of the sum; `free` leaves out a wrapping that the sum's undoes."""
        rule = self.product
        step = self.unit if rule is None else Fraction(float(rule.scale))
        factor, offset = self.weights[i] * self.scales[i] / step, self.offsets[i] / step
        mode = self.total.rounding if rule is None else rule.rounding
        if rule is None and mode not in _SHIFTED and self._whole(i) is None:
            raise ModelError(
                f"layer {self.node.name!r}: uncast products on a finer grid than a sum that rounds {mode.name}"
            )
        value = self._rounded(i, factor, offset, mode)
        if rule is not None and not (free and rule.overflow is Overflow.WRAP and self._periodic(rule)):
            value = overflow(self.b, value, int(rule.lo), int(rule.hi), rule.overflow)
        finer = step / self.unit
        if finer.denominator != 1:
            raise ModelError(f"layer {self.node.name!r}: products are finer than the sum")
        return self.b.linear([value], [int(finer)])

    def _rounded(self, i: int, factor: Fraction, offset: Fraction, mode: Rounding) -> int:
        """Return `round(x[i] · factor + offset)`: the whole product, then a shift where that is possible."""
        whole = lcm(factor.denominator, offset.denominator)
        if whole & (whole - 1) == 0:
            product = self.b.linear([i], [int(factor * whole)], int(offset * whole))
            return self.b.round(product, whole.bit_length() - 1, mode)
        if factor < 0:
            return self.b.neg(round_scaled(self.b, i, -factor, _NEGATED[mode], -offset))
        return round_scaled(self.b, i, factor, mode, offset)

    def _cast(self, value: int) -> int:
        return overflow(self.b, value, int(self.total.lo), int(self.total.hi), self.total.overflow)


_SHIFTED = (Rounding.TRN, Rounding.CEIL, Rounding.RND, Rounding.RND_MIN_INF)
"""Roundings with `round(n + x) = n + round(x)` for integers n: rounding a sum is rounding what is added to it."""

_NEGATED = {
    Rounding.TRN: Rounding.CEIL,
    Rounding.CEIL: Rounding.TRN,
    Rounding.RND: Rounding.RND_MIN_INF,
    Rounding.RND_MIN_INF: Rounding.RND,
    Rounding.TRN_ZERO: Rounding.TRN_ZERO,
    Rounding.AWAY: Rounding.AWAY,
    Rounding.RND_ZERO: Rounding.RND_ZERO,
    Rounding.RND_INF: Rounding.RND_INF,
    Rounding.RND_CONV: Rounding.RND_CONV,
}
"""`round(-x) = -mode(x)`."""


def _tree(parts: list[Any], join: Any) -> Any:
    """Fold by halves, the first of which is the largest power of two below the number of parts."""
    if len(parts) == 1:
        return parts[0]
    first = 1 << ((len(parts) - 1).bit_length() - 1)
    return join(_tree(parts[:first], join), _tree(parts[first:], join))


def _exact(values: NDArray[Any]) -> NDArray[Any]:
    out = np.empty(values.size, object)
    out[:] = [Fraction(float(v)) for v in values.ravel()]
    return out.reshape(values.shape)
