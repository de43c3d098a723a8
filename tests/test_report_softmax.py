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
