"""A Network comes back from disk as it was, and a damaged file is a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardwire.errors import ModelError
from hardwire.layers import known_layers
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward
from hardwire.network.storage import load_network, save_network


@pytest.mark.parametrize("kind", list(known_layers()))
def test_every_example_comes_back(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for example in known_layers()[kind].examples():
        save_network(example.network, tmp_path / "a.npz")
        back = load_network(tmp_path / "a.npz")
        save_network(back, tmp_path / "b.npz")
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
        inputs = [rng.integers(0, 2, (3, *example.network.shapes[name])) / 2.0 for name in example.network.inputs]
        for ours, theirs in zip(forward(back, inputs), forward(example.network, inputs), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def small(**attrs: Any) -> Network:
    net = NetworkBuilder("small", {"format": "test"})
    out = net.add("relu", "r", [net.input("x", (2,))])
    network = net.build([out])
    return network.with_(nodes=(network.nodes[0].with_(attrs=attrs),))


def test_an_attribute_that_cannot_be_stored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="type object"):
        save_network(small(odd=object()), tmp_path / "n.npz")


@pytest.mark.parametrize("cut", [0, 10, 200, -20])
def test_a_damaged_file(cut: int, tmp_path: Path) -> None:
    save_network(small(slope=0.5), tmp_path / "n.npz")
    data = (tmp_path / "n.npz").read_bytes()
    (tmp_path / "n.npz").write_bytes(data[:cut])
    with pytest.raises(ModelError, match="not a saved Network"):
        load_network(tmp_path / "n.npz")
