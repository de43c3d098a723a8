"""A softmax's error bound is stated in the report, and holds."""

from __future__ import annotations

import numpy as np

import hardwire as hw
from hardwire.network.graph import NetworkBuilder
from hardwire.network.reference import forward


def test_the_stated_bound_holds_on_the_data_and_is_reported() -> None:
    rng = np.random.default_rng(0)
    net = NetworkBuilder("classifier")
    t = net.input("x", (6,))
    t = net.add("dense", "fc", [t], {}, {"kernel": rng.normal(size=(6, 4)), "bias": rng.normal(size=4)})
    t = net.add("softmax", "probabilities", [t], {"axis": -1, "output": None, "tables": None})
    network = net.build([t])
    x = rng.normal(size=(1000, 6))
    design = hw.compile(network, calibrate=x, fidelity=0.999)
    facts = design.report()["softmax"]["probabilities"]
    assert 0 < facts["error_on_data"] <= facts["error_bound"] < 0.05
    assert facts["tables"]["exp_frac"] > 0
    assert np.max(np.abs(design.predict(x) - forward(network, [x])[0])) < 0.1


def test_a_computed_mask_is_part_of_what_is_measured() -> None:
    rng = np.random.default_rng(1)
    net = NetworkBuilder("masked")
    x, given = net.input("x", (4,)), net.input("mask", (4,))
    mask = net.add("compare", "kept", [given], {"relation": "greater"}, {"constant": np.zeros(())})
    scores = net.add("dense", "fc", [x], {}, {"kernel": rng.normal(size=(4, 4))})
    y = net.add("softmax", "shares", [scores, mask], {"axis": 0, "output": None, "tables": None, "share": True})
    network = net.build([y])
    data = (rng.normal(size=(500, 4)), rng.integers(0, 2, (500, 4)).astype(np.float64))
    design = hw.compile(network, calibrate=data, fidelity=0.999)
    facts = design.report()["softmax"]["shares"]
    assert 0 < facts["error_on_data"] <= facts["error_bound"] < 0.05
    fixed, floats = design.predict(data), forward(network, list(data))[0]
    some = data[1].any(axis=1)
    assert np.all(fixed[some][data[1][some] == 0] == 0)
    assert np.max(np.abs(fixed - floats)) < 0.1
