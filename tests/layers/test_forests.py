"""Forests in integers: exactly the float meaning, few comparisons, tables of leaf codes."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, inputs, quantised, run_both

import hardwire as hw
from hardwire.errors import ModelError, RangeError, UnsupportedError
from hardwire.ir.ops import OpCode
from hardwire.layers._forest import ForestBuilder, bounds_of, categories, grow
from hardwire.layers._leaf_codes import CodedSplit, Split, leaf_codes, leaves_of
from hardwire.layers.trees import Trees
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward


@st.composite
def forests(draw, features):
    """A random forest of ragged trees, with thresholds on, off and beyond the grid and sets of intervals."""
    width = draw(st.integers(1, 3))
    outputs = draw(st.integers(width, 4))
    forest = ForestBuilder("drawn", features, outputs, width)
    eighths = st.integers(-80, 80).map(lambda v: v / 8)
    bounds = st.lists(st.tuples(eighths, st.booleans()), min_size=1, max_size=4, unique_by=lambda b: b[0])

    def node(level):
        if level == 0 or draw(st.integers(0, 4)) == 0:
            return forest.leaf([draw(st.integers(-50, 50)) / 16 for _ in range(width)])
        chosen = sorted(draw(bounds)) if draw(st.integers(0, 3)) == 0 else [(draw(eighths), draw(st.booleans()))]
        return forest.split(draw(st.integers(0, features - 1)), chosen, node(level - 1), node(level - 1))

    for _ in range(draw(st.integers(1, 4))):
        columns = draw(st.permutations(range(outputs)))[:width]
        forest.tree(node(draw(st.integers(0, 4))), columns)
    forest.constant([draw(st.integers(-3, 3)) / 4 for _ in range(outputs)])
    return forest


@settings(max_examples=150, deadline=None)
@given(st.data(), inputs())
def test_drawn_forests_are_exact(data, chosen):
    shape, quantiser = chosen
    forest = data.draw(forests(shape[-1]))
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape, quantiser)
    divisor = data.draw(st.sampled_from([1, 1, 2, 3, 10]))
    attrs = {"outputs": forest.outputs, "divisor": divisor}
    network = net.build([net.add("trees", "trees", [x], attrs, forest.params())])
    check_exact(network, tolerance=0.0 if divisor in (1, 2) else 1e-15)


def stump(threshold=0.5, inclusive=False):
    forest = ForestBuilder("stump", 2, 1)
    forest.tree(forest.split(0, [(threshold, inclusive)], forest.leaf([1.0]), forest.leaf([2.0])), [0])
    return forest


def network_of(forest, kind="s6.3", **attrs):
    net = NetworkBuilder("net")
    x = quantised(net, "x", (forest.features,), kind)
    return net.build([net.add("trees", "trees", [x], {"outputs": forest.outputs, **attrs}, forest.params())])


@pytest.mark.parametrize(("inclusive", "expected"), [(False, [1.0, 2.0, 2.0]), (True, [1.0, 1.0, 2.0])])
def test_a_bound_is_on_the_right_side(inclusive, expected):
    x = np.array([[0.375, 0], [0.5, 0], [0.625, 0]])
    (found,) = forward(network_of(stump(inclusive=inclusive)), [x])
    assert found[:, 0].tolist() == expected


def test_equal_comparisons_and_trees_are_shared():
    forest = ForestBuilder("twice", 2, 1)
    for threshold in (0.5, 0.5, 0.44):  # on this grid all three are the same
        forest.tree(forest.split(0, [(threshold, False)], forest.leaf([1.0]), forest.leaf([2.0])), [0])
    design = hw.compile(network_of(forest))
    assert design.flat.flat.count(OpCode.LESS) == 1
    assert design.verify(vectors=200)["formal"]["proven"]


def test_splits_that_the_input_or_a_split_above_decides_vanish():
    forest = ForestBuilder("decided", 2, 1)
    inner = forest.split(0, [(2.0, False)], forest.leaf([1.0]), forest.leaf([2.0]))
    below = forest.split(0, [(1.0, False)], inner, forest.leaf([3.0]))
    forest.tree(forest.split(1, [(1000.0, False)], below, forest.leaf([4.0])), [0])
    program = run_both(network_of(forest))[0]
    (kernel,) = [kernel for kernel in program.kernels.values() if kernel.name == "trees"]
    assert kernel.count(OpCode.LESS) == 1
    check_exact(network_of(forest))


def test_a_tree_is_a_table_of_few_bits():
    """A tree of 16 leaves of many bits selects 4 bits, not the leaves."""
    rng = np.random.default_rng(0)
    forest = ForestBuilder("deep", 4, 1)

    def node(level):
        if level == 0:
            return forest.leaf([float(rng.integers(-1000, 1000)) / 128])
        return forest.split(level - 1, [(float(rng.integers(-16, 16)) / 8, False)], node(level - 1), node(level - 1))

    forest.tree(node(4), [0])
    program = run_both(network_of(forest))[0]
    kernel = program.kernels["trees"]
    selects = kernel.op == OpCode.SELECT
    assert kernel.widths[selects].max() == 4
    assert kernel.count(OpCode.TABLE) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left": np.array([0])}, "two parents|circle"),
        ({"left": np.array([-9])}, "not there"),
        ({"feature": np.array([7])}, "feature 7, of 2"),
        ({"first": np.array([0, 0])}, "bounds"),
        ({"column": np.array([[3]])}, "output 3, of 1"),
        ({"column": np.array([3])}, "columns of shape"),
        ({"right": np.array([-1])}, "two parents"),
    ],
)
def test_what_is_no_forest_is_refused(change, message):
    net = NetworkBuilder("net")
    with pytest.raises(ModelError, match=f"'trees': .*({message})"):
        net.add("trees", "trees", [net.input("x", (2,))], {"outputs": 1}, {**stump().params(), **change})


def test_leaves_of_too_many_bits_are_explained():
    forest = stump()
    forest.tree(forest.leaf([2.0**-70]), [0])
    with pytest.raises(RangeError, match=r"'trees': its leaf values span .*\n.*calibrate"):
        hw.compile(network_of(forest))


def test_grow_refuses_circles_and_depth():
    forest = stump()
    with pytest.raises(ModelError, match="met twice"):
        grow(forest, 0, lambda node: (0, 1), None)
    with pytest.raises(UnsupportedError, match="deeper than"):
        grow(forest, 0, lambda node: (node + 1, -node - 1) if node >= 0 else None, lambda *_: 0)


def test_bounds_of_intervals():
    assert bounds_of([((-inf, True), (1.0, True))]) == ([(1.0, True)], False)
    assert bounds_of(categories([2, 3, 7], negative_fractions=False)) == (
        [(2.0, False), (4.0, False), (7.0, False), (8.0, False)],
        True,
    )
    assert bounds_of(categories([0], negative_fractions=True)) == ([(-1.0, True), (1.0, False)], True)
    assert bounds_of([]) == ([], True)


@st.composite
def shapes(draw, level=5):
    if level == 0 or draw(st.integers(0, 3)) == 0:
        return (draw(st.integers(0, 99)),)
    return Split(level, draw(shapes(level - 1)), draw(shapes(level - 1)))


@settings(max_examples=100, deadline=None)
@given(shapes(), st.integers(1, 20))
def test_leaf_codes_are_different_and_lead_to_their_leaves(tree, width):
    coded, reached = leaf_codes(tree, width)
    assert len(reached) == sum(1 for _ in leaves_of(tree))

    def same(a, b):
        if isinstance(a, CodedSplit):
            return a.condition == b.condition and same(a.yes, b.yes) and same(a.no, b.no)
        return reached[a] == b

    assert same(coded, tree)


def test_facts():
    assert Trees().facts(network_of(stump()).nodes[-1]) == {
        "trees": 1,
        "splits": 1,
        "leaves": 2,
        "comparisons": 1,
        "depth": 1,
    }
