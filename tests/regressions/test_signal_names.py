"""Layers with the names that the Verilog back end uses itself."""

from __future__ import annotations

import numpy as np
import pytest

import hardwire as hw
from hardwire.fixed import FixedType
from hardwire.network.graph import NetworkBuilder
from hardwire.quantiser import Quantiser


@pytest.mark.tools
@pytest.mark.parametrize("name", ["table", "valid", "x", "clk", "module", "in_valid"])
def test_a_layer_may_be_called_anything(name: str) -> None:
    net = NetworkBuilder("names")
    t = net.input("x", (2,))
    t = net.add("quantise", "q", [t], {"quantiser": Quantiser.of_type(FixedType.parse("s5.2"))})
    t = net.add("dense", name, [t], {}, {"kernel": np.array([[1.0, 0.5], [-0.75, 1.25]])})
    t = net.add("quantise", "r", [t], {"quantiser": Quantiser.of_type(FixedType.parse("s6.2"))})
    output = Quantiser.of_type(FixedType.parse("u6.6"))
    t = net.add("activation", "sigmoid", [t], {"function": "sigmoid", "arguments": {}, "output": output})
    design = hw.compile(net.build([t]))
    assert design.verify(vectors=300, simulator="icarus")["emulator_rtl"]["mismatches"] == 0
