"""Forests of decision trees: every comparison once, a small code for the leaf that a tree reaches, a table, one sum.

XGBoost, LightGBM and scikit-learn models, and the tree ensembles of ONNX (ai.onnx.ml), become this layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import DataError, ModelError, RangeError
from hardwire.fixed import MAX_BITS, Floats
from hardwire.ir.builder import KernelBuilder
from hardwire.layers._base import Example, Grid, Layer
from hardwire.layers._elements import one_scale, quantised_input
from hardwire.layers._forest import ForestBuilder, check, depth, sorted_pairs
from hardwire.layers._leaf_codes import CodedSplit, CodedTree, Leaf, Split, Tree, leaf_codes, leaves_of
from hardwire.layers._lowering import Lowering, Wire, fractions
from hardwire.layers._scales import column_codes
from hardwire.network.graph import NetworkBuilder, Node, Shape

_CELLS = 1 << 22
"""Rows times splits that the float reference works on at once."""

_TABLE_CODES = 1 << 8
"""Codes of an input up to which a split of several bounds is a table."""

_CHANGED = 1 / 500
"""Share of the data that rounding a feature may bring to another side of a threshold, for `compared`."""

_MOST_FRAC = 40
"""Fractional bits beyond which no feature is rounded."""

MAX_LEAVES = 1 << 16
"""Leaves of one tree: entries of its table."""


class Trees(Layer):
    """The sum of a leaf of every tree, over the last axis of the input: (…, features) → (…, outputs).

    Attr `outputs`, optional attr `divisor` (int, 1 by default: the number of trees of an average). Params as
    `_forest.ForestBuilder.params` makes them, with the meaning that the module says: `feature`, `left`, `right`
    (splits,); `first` (splits + 1,), where each split's bounds begin in `bound` and `inclusive`; `root` (trees,);
    `leaves` (leaves, w); `column` (trees, w), the output to which each value of a tree's leaves adds.
    """

    kind = "trees"
    weights = ("leaves",)

    def shape(self, node: Node, inputs: Sequence[Shape]) -> Shape:
        """Return the leading axes and the number of outputs."""
        (shape,) = inputs
        if not shape:
            raise ModelError(f"layer {node.name!r}: trees of a scalar; the last axis holds the features")
        check(node, shape[-1])
        return (*shape[:-1], int(node.attrs["outputs"]))

    def reference(self, node: Node, inputs: Sequence[Floats]) -> Floats:
        """Walk every tree, in float64. Raises `DataError` for NaN, which formats send by rules of their own."""
        (x,) = inputs
        rows = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
        if np.isnan(rows).any():
            feature = int(np.argwhere(np.isnan(rows))[0, 1])
            raise DataError(
                f"layer {node.name!r} (trees): feature {feature} is NaN",
                hint="clean the data: NaN has no fixed-point value, so no split sends missing values anywhere",
            )
        chunk = max(1, _CELLS // max(1, len(node.params["bound"]), len(node.params["root"])))
        parts = [_predicted(node, rows[start : start + chunk]) for start in range(0, len(rows), chunk)]
        total = np.concatenate(parts) if parts else np.zeros((0, node.attrs["outputs"]))
        return total.reshape(*x.shape[:-1], node.attrs["outputs"]) / node.attrs.get("divisor", 1)

    def lower(self, node: Node, low: Lowering, inputs: Sequence[Wire]) -> Wire:
        """One kernel, applied at every leading position."""
        (x,) = inputs
        x = low.rescaled(node, x, one_scale(x, tuple(range(len(x.shape) - 1)))) if len(x.shape) > 1 else x
        read = (x, low.windows(x, 1))
        scales = x.scales().reshape(-1, x.shape[-1])[0]
        builder = KernelBuilder(node.name, *low.window_range([read]))
        results, units = _Forest(node, builder, list(scales)).build()
        divisor = int(node.attrs.get("divisor", 1))
        shape = (*x.shape[:-1], len(results))
        return low.apply(node, builder.build(results), [read], shape, fractions([u / divisor for u in units]))

    def facts(self, node: Node) -> dict[str, int]:
        """Return `trees`, `splits`, `leaves`, different `comparisons` before rounding, splits on the longest path."""
        p = node.params
        feature = np.repeat(p["feature"], np.diff(p["first"]))
        different = np.unique(np.stack([feature, p["bound"], p["inclusive"]], axis=1), axis=0)
        return {
            "trees": len(p["root"]),
            "splits": len(p["feature"]),
            "leaves": len(p["leaves"]),
            "comparisons": len(different),
            "depth": depth(node),
        }

    def compared(self, node: Node, x: Floats) -> Grid:
        """Each feature's integer bits cover its thresholds (what is beyond saturates), not the data; its fractional
        bits let `_CHANGED` of the data pass another number of its thresholds."""
        p = node.params
        feature = np.repeat(p["feature"], np.diff(p["first"]))
        features = x.shape[1]
        signed, integer, frac = np.zeros(features, bool), np.zeros(features, np.int64), np.zeros(features, np.int64)
        for f in range(features):
            bounds = np.unique(p["bound"][feature == f])
            integer[f] = _MOST_FRAC
            if len(bounds):
                signed[f] = bool(np.any(x[:, f] < 0)) and bounds[0] < 0
                # With a little room, so that a code beyond the last threshold is left.
                integer[f] = int(np.frexp(np.abs(bounds).max() * 1.07)[1])
                frac[f] = _needed_frac(x[:, f], bounds, -int(integer[f]))
        unused = integer == _MOST_FRAC
        return Grid(signed, np.where(unused, -99, integer), np.where(unused, frac.min(initial=0), frac))

    def cost(self, node: Node, codes: Callable[[], Floats], widths: Floats | None) -> float:
        """A table and an adder of the leaves' bits for each tree, a third of its width for each comparison."""
        owner, trees, leaves = _owners(node), len(node.params["root"]), codes()
        low, high = np.full((trees, leaves.shape[1]), np.inf), np.full((trees, leaves.shape[1]), -np.inf)
        used = owner >= 0
        np.minimum.at(low, owner[used], leaves[used])
        np.maximum.at(high, owner[used], leaves[used])
        total = 2.0 * float(np.sum(np.ceil(np.log2(high - low + 1))))
        features = np.repeat(node.params["feature"], np.diff(node.params["first"]))
        each = (
            np.full(len(features), 8.0)
            if widths is None or len(widths) <= features.max(initial=0)
            else widths[features]
        )
        return total + float(np.sum(each)) / 3

    def examples(self) -> Iterator[Example]:
        """Boosted trees with shared comparisons, an average of vectors, sets of categories, trees at every position."""
        for name, trees, deep, width, outputs, shape in (
            ("boosted", 4, 3, 1, 1, (3,)),
            ("classes", 6, 2, 1, 3, (4,)),
            ("average", 3, 3, 2, 2, (3,)),
            ("deep", 1, 6, 1, 1, (2,)),
            ("positions", 2, 2, 1, 1, (2, 3)),
        ):
            net = NetworkBuilder(f"trees_{name}")
            x = quantised_input(net, shape, "s5.2")
            params = _drawn(name, trees, deep, width, outputs, shape[-1])
            attrs = {"outputs": outputs, "divisor": 3 if name == "average" else 1}
            yield Example(name, net.build([net.add("trees", "trees", [x], attrs, params)]))
        forest = ForestBuilder("example", 2, 1)
        inner = forest.split(1, [(-1.0, True), (0.5, False)], forest.leaf([1.0]), forest.leaf([-2.5]))
        sets = [(0.0, False), (2.0, False), (3.0, False), (5.0, True)]
        forest.tree(forest.split(0, sets, inner, forest.leaf([0.25])), [0])
        forest.constant([0.125])
        for name, kind in (("sets", "s5.1"), ("wide_sets", "s12.8")):
            net = NetworkBuilder(f"trees_{name}")
            x = quantised_input(net, (2,), kind)
            yield Example(name, net.build([net.add("trees", "trees", [x], {"outputs": 1}, forest.params())]))


def _drawn(name: str, trees: int, deep: int, width: int, outputs: int, features: int) -> dict[str, NDArray[Any]]:
    """Small random trees of an example: ragged, with thresholds on and off the grid."""
    rng = np.random.default_rng(sum(map(ord, name)))
    forest = ForestBuilder(name, features, outputs, width)

    def node(level: int) -> int:
        if level == 0 or (level < deep and rng.random() < 0.15):
            return forest.leaf((rng.integers(-40, 41, width) / 16).tolist())
        bound = (float(rng.integers(-12, 13)) / 8, bool(rng.integers(2)))
        return forest.split(int(rng.integers(features)), [bound], node(level - 1), node(level - 1))

    for tree in range(trees):
        forest.tree(node(deep), range(width) if width > 1 else [tree % outputs])
    forest.constant([0.5] * outputs)
    return forest.params()


def _predicted(node: Node, x: Floats) -> Floats:
    """Sums of the leaves that rows (n, features) reach, (n, outputs)."""
    p = node.params
    values = x[:, np.repeat(p["feature"], np.diff(p["first"]))]
    passed = np.where(p["inclusive"] != 0, values > p["bound"], values >= p["bound"])
    if len(p["bound"]) > len(p["feature"]):
        passed = np.add.reduceat(passed.astype(np.int64), p["first"][:-1], axis=1) % 2 != 0
    at = np.broadcast_to(p["root"], (len(x), len(p["root"])))
    rows = np.arange(len(x))[:, None]
    while np.any(at >= 0):
        here = np.maximum(at, 0)
        at = np.where(at >= 0, np.where(passed[rows, here], p["right"][here], p["left"][here]), at)
    reached = p["leaves"][~at].reshape(len(x), -1)
    outputs = np.zeros((reached.shape[1], node.attrs["outputs"]))
    outputs[np.arange(reached.shape[1]), p["column"].ravel()] = 1.0
    return reached @ outputs


class _Forest:
    """One lowering of a `trees` node: its comparisons by feature and code, its trees as integer structures."""

    def __init__(self, node: Node, builder: KernelBuilder, scales: list[Fraction]) -> None:
        self.node = node
        self.b = builder
        self.scales = scales
        self.ranges = [builder.range(f) for f in range(builder.n_inputs)]
        self.params = {key: value.tolist() for key, value in node.params.items() if key != "leaves"}
        self._conditions: dict[tuple[int, tuple[int, ...]], int] = {}

    def build(self) -> tuple[list[int], list[Fraction]]:
        """Values of the outputs, and their scales."""
        codes, units = self._leaf_integers()
        outputs = int(self.node.attrs["outputs"])
        terms: list[list[tuple[int, int]]] = [[] for _ in range(outputs)]
        bias = [0] * outputs
        for tree, root in enumerate(self.params["root"]):
            columns = self.params["column"][tree]
            shape = self._pruned(root, codes[tree])
            for column, value, shift, least in self._values(shape, columns):
                bias[column] += least
                if value is not None:
                    terms[column].append((value, 1 << shift))
        results = []
        for parts, constant in zip(terms, bias, strict=True):
            results.append(self.b.linear([v for v, _ in parts], [c for _, c in parts], constant))
        return results, units

    def _leaf_integers(self) -> tuple[list[dict[int, Leaf]], list[Fraction]]:
        """For each tree the integers of its leaves by their number; the scale of each output."""
        p = self.node.params
        owner = _owners(self.node)
        outputs = int(self.node.attrs["outputs"])
        codes = np.zeros(p["leaves"].shape, object)
        units = [Fraction(1)] * outputs
        columns = p["column"][np.maximum(owner, 0)]
        for output in range(outputs):
            where = (columns == output) & (owner >= 0)[:, None]
            if np.any(where):
                ints, (units[output],) = column_codes(p["leaves"][where][:, None])
                codes[where] = ints[:, 0]
        widest = max((abs(int(code)) for code in codes.ravel()), default=0)
        if widest.bit_length() > MAX_BITS - 1:
            raise RangeError(
                f"layer {self.node.name!r}: its leaf values span {widest.bit_length()} bits; values are at most "
                f"{MAX_BITS} bits wide",
                hint="calibrate the model (calibrate=x), which rounds leaves to the precision that is needed",
            )
        found: list[dict[int, Leaf]] = [{} for _ in p["root"]]
        rows = codes.tolist()
        for leaf, tree in enumerate(owner.tolist()):
            if tree >= 0:
                found[tree][leaf] = tuple(rows[leaf])
        return found, units

    def _pruned(self, root: int, leaves: Mapping[int, Leaf]) -> Tree:
        """Return a tree over leaf integers without what the ranges and the splits above decide, and without splits
        whose sides are equal."""
        p, first = self.params, self.params["first"]

        def walk(ref: int, box: dict[int, tuple[int, int]]) -> Tree:
            if ref < 0:
                return leaves[~ref]
            feature = p["feature"][ref]
            lo, hi = box.get(feature, self.ranges[feature])
            scale = self.scales[feature]
            steps = sorted_pairs(
                [
                    floor(Fraction(bound) / scale) + 1 if inclusive else ceil(Fraction(bound) / scale)
                    for bound, inclusive in zip(
                        p["bound"][first[ref] : first[ref + 1]],
                        p["inclusive"][first[ref] : first[ref + 1]],
                        strict=True,
                    )
                ]
            )
            left, right = p["left"][ref], p["right"][ref]
            if sum(step <= lo for step in steps) % 2:
                left, right = right, left
            steps = [step for step in steps if lo < step <= hi]
            if not steps:
                return walk(left, box)
            boxes = (box, box)
            if len(steps) == 1:
                boxes = ({**box, feature: (lo, steps[0] - 1)}, {**box, feature: (steps[0], hi)})
            yes, no = walk(left, boxes[0]), walk(right, boxes[1])
            return yes if yes == no else Split(self._condition(feature, steps), yes, no)

        return walk(root, {})

    def _condition(self, feature: int, steps: list[int]) -> int:
        """Value that is 1 where an even number of `steps` (codes) is reached."""
        key = (feature, tuple(steps))
        if key not in self._conditions:
            b = self.b
            lo, hi = self.ranges[feature]
            if len(steps) == 1:
                value = b.less(feature, b.const(steps[0]))
            elif hi - lo < _TABLE_CODES:
                reached = np.searchsorted(np.array(steps), np.arange(lo, hi + 1), side="right")
                value = b.table(feature, (1 - reached % 2).astype(np.int64))
            else:
                below = [self._condition(feature, [step]) for step in steps]
                value = below[0]
                for other in below[1:]:
                    value = b.bit_xor(value, other)
                if len(steps) % 2 == 0:
                    value = b.bit_xor(value, b.const(1))
            self._conditions[key] = value
        return self._conditions[key]

    def _values(self, tree: Tree, columns: list[int]) -> Iterator[tuple[int, int | None, int, int]]:
        """For each output of a tree: its number, the value above the least leaf in units of 2^shift, shift, least."""
        if not isinstance(tree, Split):
            for k, column in enumerate(columns):
                yield column, None, 0, tree[k]
            return
        if (leaves := sum(1 for _ in leaves_of(tree))) > MAX_LEAVES:
            raise RangeError(
                f"layer {self.node.name!r}: a tree with {leaves} leaves; the limit is {MAX_LEAVES}",
                hint="train with fewer leaves a tree (max_leaves, max_depth)",
            )
        codes, reached = leaf_codes(tree, _widths(tree, len(columns)))
        index = self._index(codes)
        lo, hi = self.b.range(index)
        for k, column in enumerate(columns):
            values = [leaf[k] for leaf in reached.values()]
            least = min(values)
            if max(values) == least:
                yield column, None, 0, least
                continue
            rest = [value - least for value in values]
            together = 0
            for value in rest:
                together |= value
            shift = (together & -together).bit_length() - 1
            entries = np.zeros(hi - lo + 1, np.int64)
            for code, leaf in reached.items():
                entries[code - lo] = (leaf[k] - least) >> shift
            yield column, self.b.table(index, entries), shift, least

    def _index(self, tree: CodedTree) -> int:
        """Value of nested selections over leaf codes."""
        if not isinstance(tree, CodedSplit):
            return self.b.const(tree)
        return self.b.select(tree.condition, self._index(tree.yes), self._index(tree.no))


def _needed_frac(x: Floats, bounds: Floats, least: int) -> int:
    """Fractional bits, at least `least`, with which rounding changes how many sorted `bounds` values have passed."""
    passed = np.searchsorted(bounds, x, side="right")
    for frac in range(least, _MOST_FRAC):
        rounded = np.ldexp(np.floor(np.ldexp(x, frac) + 0.5), -frac)
        if np.mean(np.abs(np.searchsorted(bounds, rounded, side="right") - passed)) <= _CHANGED:
            return frac
    return _MOST_FRAC


def _widths(tree: Tree, columns: int) -> int:
    """Bits of all values of a leaf together, above the least of each."""
    spans = [[leaf[k] for leaf in leaves_of(tree)] for k in range(columns)]
    return sum((max(span) - min(span)).bit_length() for span in spans)


def _owners(node: Node) -> NDArray[np.int64]:
    """Tree of every leaf, int64 (leaves,), -1 for a leaf that no tree reaches."""
    p = node.params
    owner = np.full(len(p["leaves"]), -1, np.int64)
    level, tree = p["root"], np.arange(len(p["root"]))
    while len(level):
        ends = level < 0
        owner[~level[ends]] = tree[ends]
        level, tree = level[~ends], tree[~ends]
        level, tree = np.concatenate([p["left"][level], p["right"][level]]), np.concatenate([tree, tree])
    return owner
