"""Tensors that are views: of an input, of an output, of each other."""

from __future__ import annotations

import pytest
from whole_design import compiled, of, weights

from hardwire.network.graph import NetworkBuilder


def _input(net, shape, kind="s6.2"):
    return net.add("quantise", "q", [net.input("x", shape)], of(kind))


def test_only_layer_reads_a_transposed_input():
    """A Program of one step at one position was taken for an unrolled one: its view of the input was lost."""
    net = NetworkBuilder("one")
    x = net.add("transpose", "t", [_input(net, (2, 3))], {"perm": (1, 0)})
    x = net.add("reshape", "flat", [x], {"shape": (6,)})
    compiled(net.build([net.add("dense", "fc", [x], {}, weights(6, 3))]))


def test_only_layers_output_is_transposed():
    """The same for a view of the output: elements came out in the kernel's order."""
    net = NetworkBuilder("one")
    x = net.add("dense", "fc", [_input(net, (3,))], {}, weights(3, 6))
    x = net.add("reshape", "r", [x], {"shape": (2, 3)})
    compiled(net.build([net.add("transpose", "t", [x], {"perm": (1, 0)})]))


def test_only_layer_reads_an_input_twice():
    """Ended in an internal error of the verifier."""
    net = NetworkBuilder("one")
    x = _input(net, (3,))
    x = net.add("concat", "c", [x, x], {"axis": -1})
    compiled(net.build([net.add("dense", "fc", [x], {}, weights(6, 2))]))


@pytest.mark.parametrize("which", [(0, 0), (1,), (1, 0), (0, 1, 0)])
def test_outputs_repeat_and_may_be_the_input(which):
    """An output that is the input beside a single layer was an index out of range."""
    net = NetworkBuilder("one")
    x = _input(net, (3,))
    y = net.add("dense", "fc", [x], {}, weights(3, 6))
    compiled(net.build([(y, x)[k] for k in which]))


def test_argmax_of_an_input_beside_itself():
    """Equal elements are compared with themselves: `a < a` is decided without ranges."""
    net = NetworkBuilder("one")
    x = _input(net, (3,))
    x = net.add("concat", "c", [x, x], {"axis": -1})
    compiled(net.build([net.add("argmax", "am", [x], {"axis": -1, "keepdims": False})]))


@pytest.mark.parametrize("axis", [0, 1])
def test_argmax_of_equal_positions(axis):
    """A kernel for several positions compares elements that are one value at each: the proof did not know `a < a`."""
    net = NetworkBuilder("pairs")
    x = _input(net, (1, 2), "s5.0")
    x = net.add("concat", "c", [x, x], {"axis": 0})
    x = net.add("argmax", "am", [x], {"axis": axis, "keepdims": True})
    compiled(net.build([net.add("clip", "cl", [x], {"lo": 0.0, "hi": 0.75})]))


@pytest.mark.parametrize("perm", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_views_of_views(perm):
    """Reshape, transpose and concatenation in a row, before and behind a layer on rank 3."""
    net = NetworkBuilder("deep")
    x = _input(net, (2, 3, 4))
    x = net.add("transpose", "t", [x], {"perm": perm})
    x = net.add("reshape", "r", [x], {"shape": (4, 6)})
    x = net.add("transpose", "t2", [x], {"perm": (1, 0)})
    x = net.add("concat", "c", [x, x], {"axis": 0})
    x = net.add("dense", "fc", [x], {}, weights(4, 2))
    x = net.add("transpose", "t3", [x], {"perm": (1, 0)})
    compiled(net.build([net.add("reshape", "r2", [x], {"shape": (3, 8)})]))


def test_twin_neurons():
    """Equal neurons become one value, which the next layer then reads twice."""
    net = NetworkBuilder("twins")
    first = weights(4, 5)
    for key in first:
        first[key][..., 3] = first[key][..., 1]
    x = net.add("dense", "fc", [_input(net, (4,), "s3.0")], {}, first)
    compiled(net.build([net.add("dense", "fc2", [x], {}, weights(5, 3, 1))]))
