"""Calibration on data that is not standardised, constant, a single row, or all zeros."""

from __future__ import annotations

import numpy as np
import pytest
from whole_design import compiled

from hardwire.calibrate import calibrate, fidelity_of
from hardwire.errors import DataError
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward

SIZES = np.array([1000.0, 1.0, 1e-3, 30.0])


def _network(normalised: bool) -> Network:
    """A perceptron for features of the sizes above: in its weights, or by a batch normalisation in front."""
    rng = np.random.default_rng(3)
    net = NetworkBuilder("raw")
    x = net.input("x", (4,))
    kernel = rng.normal(size=(4, 6))
    if normalised:
        parameters = {"gamma": np.ones(4), "beta": np.zeros(4), "mean": np.zeros(4), "variance": SIZES**2}
        x = net.add("batch_norm", "bn", [x], {"epsilon": 0.0, "axis": -1}, parameters)
    else:
        kernel = kernel / SIZES[:, None]
    x = net.add("relu", "r", [net.add("dense", "fc1", [x], {}, {"kernel": kernel, "bias": rng.normal(size=6)})])
    return net.build([net.add("dense", "fc2", [x], {}, {"kernel": rng.normal(size=(6, 3))})])


def _rows(count: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(count, 4)) * SIZES


@pytest.mark.parametrize("normalised", [False, True])
def test_features_of_very_different_size(normalised):
    """One LSB for all channels, and one for all weights, left nothing of the small ones: 12 bits kept 10 %."""
    network, x = prepare(_network(normalised)), _rows(600)
    found = calibrate(network, [x], fidelity=0.999)
    assert found.fidelity >= 0.999
    assert fidelity_of(forward(network, [x]), forward(found.network, [x])) == pytest.approx(found.fidelity)
    quantiser = found.network.nodes[0].attrs["quantiser"]
    assert quantiser.bits.max() <= 12
    assert quantiser.scale.max() / quantiser.scale.min() >= 2.0**16
    compiled(prepare(found.network))


def test_a_constant_feature_among_others_is_proven():
    network, x = _network(False), _rows(300)
    x[:, 0] = 0.0
    x[:, 3] = 37.5
    compiled(prepare(calibrate(network, [x], fidelity=0.99).network))


@pytest.mark.parametrize("x", [_rows(1), np.zeros((20, 4)), np.repeat(_rows(1), 7, axis=0)])
def test_data_that_does_not_vary(x):
    """There is no variance to keep a share of; the error spoke of -6e+23."""
    with pytest.raises(
        DataError, match=rf"output 'fc2' is the same for all {len(x)} rows of the data.*\n  try: more rows"
    ):
        calibrate(_network(False), [x])


def test_a_model_with_one_number_as_input():
    """The batch was taken for the channels of a tensor without axes."""
    net = NetworkBuilder("scalar")
    x = net.add("mul", "m", [net.input("x", ())], {}, {"constant": np.float64(0.3)})
    found = calibrate(net.build([x]), [np.random.default_rng(0).normal(size=50)], fidelity=0.99)
    assert found.network.nodes[0].attrs["quantiser"].bits.size == 1
    compiled(prepare(found.network))
