"""Calibration's forward passes: what did not change is not computed again, and little memory is used for many rows."""

from __future__ import annotations

import numpy as np
import pytest

from hardwire import calibrate as search
from hardwire.layers.dense import Dense
from hardwire.network import extremes as bounds
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward, forward_all
from hardwire.network.replay import Replay


def branches() -> Network:
    """Two dense layers side by side, added, and a third one."""
    rng = np.random.default_rng(0)
    net = NetworkBuilder("branches")
    x = net.input("x", (3, 4))
    sides = [net.add("dense", f"side{i}", [x], {}, {"kernel": rng.normal(size=(4, 5))}) for i in range(2)]
    y = net.add("add", "sum", sides)
    return net.build(
        [net.add("dense", "last", [net.add("relu", "relu", [y])], {}, {"kernel": rng.normal(size=(5, 2))})]
    )


def changed(network: Network, name: str, factor: float) -> Network:
    nodes = [
        node.with_(params={"kernel": node.params["kernel"] * factor}) if node.name == name else node
        for node in network.nodes
    ]
    return network.with_(nodes=tuple(nodes))


def test_only_what_is_behind_a_change_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = branches(), np.random.default_rng(1).normal(size=(7, 3, 4))
    replay = Replay([x])
    made: list[str] = []
    plain = Dense.reference
    monkeypatch.setattr(
        Dense, "reference", lambda self, node, inputs: made.append(node.name) or plain(self, node, inputs)
    )

    def computed(network: Network) -> list[str]:
        made.clear()
        (y,) = replay.outputs(network)
        found = list(made)
        np.testing.assert_array_equal(y, forward(network, [x])[0])
        return found

    assert computed(network) == ["side0", "side1", "last"]
    replay.settle()
    assert computed(network) == []
    other = changed(network, "side1", 2.0)
    assert computed(other) == ["side1", "last"]
    assert computed(changed(network, "last", 3.0)) == ["last"], "from the settled network, not from the last one"
    assert computed(other) == ["side1", "last"]
    replay.settle()
    assert computed(other) == []
    assert computed(network) == ["side1", "last"]


def test_extremes_do_not_depend_on_how_many_rows_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = branches(), np.random.default_rng(1).normal(size=(70, 3, 4))
    whole = forward_all(network, [x])
    monkeypatch.setattr(bounds, "_MOST_VALUES", 4 * bounds.values_a_row(network))
    found = bounds.extremes(network, [x]).tensors
    assert found.keys() == whole.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(found[name], [values.min(axis=0), values.max(axis=0)], rtol=1e-14)


def test_many_rows_are_measured_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = branches(), np.random.default_rng(1).normal(size=(2000, 3, 4))
    reference = forward(network, [x])[0]

    def close(outputs: list[np.ndarray]) -> float:
        assert outputs[0].shape == reference.shape, "a metric sees every row"
        return -float(np.abs(outputs[0] - reference).max())

    by_metric = search.calibrate(network, [x], metric=close, tolerance=0.1)
    by_fidelity = search.calibrate(network, [x], fidelity=0.99)
    monkeypatch.setattr(search, "_KEPT_VALUES", 100 * bounds.values_a_row(network))
    again = search.calibrate(network, [x], metric=close, tolerance=0.1)
    assert again.types == by_metric.types
    fewer = search.calibrate(network, [x], fidelity=0.99)
    assert abs(fewer.fidelity - by_fidelity.fidelity) < 0.01
    assert search.fidelity_of([reference], forward(fewer.network, [x])) > 0.985
