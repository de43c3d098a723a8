"""Indices of tensors in Keras models, as numpy means them."""

from __future__ import annotations

import numpy as np
import pytest

from hardwire.errors import UnsupportedError
from hardwire.layers import import_rule
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.network.reference import forward


def written(item):
    """How Keras writes a part of an index into a file."""
    if isinstance(item, slice):
        return {
            "class_name": "__slice__",
            "config": {"start": item.start, "stop": item.stop, "step": item.step},
        }
    return {"class_name": "__ellipsis__", "config": {}} if item is Ellipsis else item


def read(key):
    net = NetworkBuilder("net")
    x = net.input("x", (4, 3, 2))
    rule = import_rule("keras", "ops.GetItem")
    assert rule is not None
    record = Record("part", "ops.GetItem", (x,), {"key": key}, {})
    network = net.build([rule(record, net)])
    record.finish()
    return network


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:, 1:3],
        np.s_[:, -3:, ::2],
        np.s_[:, 2],
        np.s_[:, -1, :, 0],
        np.s_[:, ::-1],
        np.s_[..., 1],
        np.s_[:, None, ..., 1:],
        np.s_[:, :, 2:0:-1, None, 1],
        np.s_[0:, 1],
        np.s_[:],
    ],
    ids=str,
)
def test_keys_are_numpys(key):
    x = np.arange(48, dtype=np.float64).reshape(2, 4, 3, 2)
    items = list(key) if isinstance(key, tuple) else [key]
    np.testing.assert_array_equal(forward(read([written(item) for item in items]), [x])[0], x[key])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([slice(1, None), 1], "the batch axis must be kept whole"),
        ([0], "the batch axis must be kept whole"),
        ([None, slice(None)], "the batch axis must be kept whole"),
        ([slice(None), 4], "axis 1 has 4 elements"),
        ([slice(None), slice(2, 2)], "nothing is left of axis 1"),
        ([slice(None), "a"], "only slices, integers, new axes"),
        ([slice(None), slice("a", None)], "bounds of slices must be integers"),
        ([slice(None)] * 5, "4 axes with the batch"),
        ([Ellipsis, Ellipsis], "4 axes with the batch"),
    ],
    ids=str,
)
def test_other_keys_are_named(key, message):
    with pytest.raises(UnsupportedError, match=message):
        read([written(item) for item in key])
