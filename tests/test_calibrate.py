from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.calibrate import calibrate, fidelity_of
from hardwire.errors import DataError, ModelError
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward


def perceptron(seed: int = 0, sizes: tuple[int, ...] = (6, 8, 3), activation: str = "relu") -> Network:
    rng = np.random.default_rng(seed)
    net = NetworkBuilder("net")
    t = net.input("x", (sizes[0],))
    for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        t = net.add("dense", f"fc{i}", [t], {}, {"kernel": rng.normal(size=(a, b)), "bias": rng.normal(size=b)})
        if i < len(sizes) - 2:
            attrs = {} if activation == "relu" else {"function": activation, "arguments": {}, "output": None}
            t = net.add("relu" if activation == "relu" else "activation", f"act{i}", [t], attrs)
    return net.build([t])


def inputs(n: int = 500, features: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, features))


@given(st.integers(0, 1000), st.sampled_from([0.9, 0.99, 0.999]), st.sampled_from(["relu", "tanh", "gelu"]))
@settings(max_examples=15)
def test_the_stated_fidelity_is_kept(seed: int, target: float, activation: str) -> None:
    network, x = perceptron(seed, activation=activation), inputs()
    found = calibrate(network, [x], fidelity=target)
    assert found.fidelity >= target
    assert fidelity_of(forward(network, [x]), forward(found.network, [x])) == pytest.approx(found.fidelity)


def test_a_lower_target_costs_less() -> None:
    network, x = perceptron(), inputs()
    costs = [calibrate(network, [x], fidelity=f).cost for f in (0.9999, 0.99, 0.9)]
    assert costs[0] > costs[1] > costs[2]


def test_every_chosen_type_is_shown() -> None:
    found = calibrate(perceptron(), [inputs()], fidelity=0.99)
    assert [(t.name, t.role) for t in found.types] == [
        ("x", "input"),
        ("act0", "activation"),
        ("fc0.kernel", "weight"),
        ("fc1.kernel", "weight"),
    ]
    assert all(t.bits > 0 for t in found.types)
    assert found.as_dict()["target"] == 0.99


def test_a_metric_of_ones_own_is_kept_within_its_tolerance() -> None:
    network, x = perceptron(), inputs(2000)
    labels = forward(network, [x])[0].argmax(axis=1)

    def accuracy(outputs: list[np.ndarray]) -> float:
        return float(np.mean(outputs[0].argmax(axis=1) == labels))

    found = calibrate(network, [x], metric=accuracy, tolerance=0.02)
    assert accuracy(forward(found.network, [x])) >= 0.98


def test_channels_get_their_own_integer_bits() -> None:
    x = np.clip(inputs(), -1.9, 1.9) * np.array([0.25, 1, 4, 16, 1, 1])
    found = calibrate(perceptron(), [x], fidelity=0.9999)
    bits = found.network.nodes[0].attrs["quantiser"].bits
    assert bits[3] == bits[2] + 2 == bits[1] + 4
    assert bits[0] == bits[1] - 2


def test_labels_are_judged_by_their_scores() -> None:
    network, x = perceptron(), inputs()
    net = NetworkBuilder("labels")
    t = net.input("x", (6,))
    for node in network.nodes:
        t = net.add(node.kind, node.name, [t], dict(node.attrs), dict(node.params))
    best = net.add("argmax", "label", [t], {"axis": 0, "keepdims": False})
    table = net.add("embedding", "names", [best], {}, {"table": np.array([[7.0], [-100.0], [3.0]])})
    name = net.add("reshape", "name", [table], {"shape": ()})
    found = calibrate(net.build([name, t]), [x], fidelity=0.999)
    assert found.network.outputs[0] == name
    scores = calibrate(network, [x], fidelity=0.999)
    assert found.fidelity == scores.fidelity
    np.testing.assert_array_equal(forward(found.network, [x])[1], forward(scores.network, [x])[0])


def test_a_constant_zero_feature_takes_no_bits() -> None:
    x = inputs()
    x[:, 2] = 0.0
    found = calibrate(perceptron(), [x], fidelity=0.99)
    assert found.network.nodes[0].attrs["quantiser"].bits[2] == 0


def test_the_same_data_gives_the_same_types() -> None:
    first, second = (calibrate(perceptron(), [inputs()], fidelity=0.99) for _ in range(2))
    assert first.types == second.types


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], r"model 'net' has 1 inputs, 0 arrays were given"),
        ([np.zeros((5, 7))], r"input 'x': the array has the shape \(5, 7\), expected \(N, 6\)"),
        ([np.zeros((0, 6))], r"input 'x': the array has no rows"),
        ([np.full((3, 6), np.nan)], r"input 'x': row 0 holds NaN or infinity"),
        ([np.array(["a"] * 6).reshape(1, 6)], r"input 'x': an array of <U1 is not numeric"),
    ],
)
def test_unfit_data_is_named(data: list[np.ndarray], text: str) -> None:
    with pytest.raises(DataError, match=text):
        calibrate(perceptron(), data)


def test_an_impossible_target_says_what_is_possible() -> None:
    with pytest.raises(ModelError, match=r"12-bit types give 0\.99.*, the target is 1\n  try: a lower fidelity"):
        calibrate(perceptron(), [inputs()], fidelity=1.0)


def test_a_product_of_two_tensors_is_calibrated() -> None:
    """It has no weights of its own to find a grid for."""
    net = NetworkBuilder("square")
    x = net.input("x", (3,))
    network = net.build([net.add("mul", "square", [x, x])])
    data = np.random.default_rng(0).normal(size=(50, 3))
    chosen = calibrate(network, [data]).network
    assert any(node.kind == "quantise" for node in chosen)
