"""Types for what a model leaves open: stated output types, data for the rest, and weights that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

import hardwire as hw
from hardwire.calibrate import calibrate
from hardwire.errors import ModelError
from hardwire.fixed import FixedType
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

RNG = np.random.default_rng(3)


def classifier(
    end: str = "softmax", *, scale: float | np.ndarray = 0.25, bias: float = 0.25, codes: int = 64
) -> Network:
    """A quantised model of two layers that ends in a function without a type."""
    net = NetworkBuilder("ends_open")
    rule = Quantiser(np.float64(8 / codes), np.asarray(np.int64(-codes // 2)), np.asarray(np.int64(codes // 2 - 1)))
    x = net.add("quantise", "q", [net.input("x", (4,))], {"quantiser": rule})
    kernel = RNG.integers(-7, 8, (4, 3))
    y = net.add(
        "dense",
        "fc",
        [x],
        {},
        {"kernel": kernel, "kernel_scale": np.asarray(scale), "bias": RNG.integers(-3, 4, 3) * bias},
    )
    if end == "softmax":
        return net.build([net.add("softmax", "end", [y], {"axis": 0, "output": None, "tables": None})])
    return net.build([net.add("activation", "end", [y], {"function": end, "arguments": {}, "output": None})])


def data(features: int = 4, rows: int = 400) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(rows, features))


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_an_open_result_is_named_with_every_way_out(end: str) -> None:
    with pytest.raises(
        ModelError, match=rf"layer 'end': {end} has no exact.*\n  try: output_type='u16.16'.*calibrate=x"
    ):
        hw.compile(classifier(end), backend="emulator")


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
@pytest.mark.parametrize("given", ["u16.16", ["u16.16"], {"end": FixedType(False, 16, 16)}])
def test_a_stated_output_type(end: str, given: object) -> None:
    network, x = classifier(end), data()
    design = hw.compile(network, output_type=given, backend="emulator")
    (port,) = design.program.outputs
    assert port.name == "end"
    (wanted,) = forward(network, [x])
    found = design.predict(x)
    bound = design.report_data["softmax"]["end"]["error_bound"] if end == "softmax" else 2.0**-16
    assert np.abs(found - wanted).max() < bound < 2.0**-11
    assert np.array_equal(found, np.round(found * 65536) / 65536)
    if end == "sigmoid":
        np.testing.assert_array_equal(found, np.clip(np.rint(wanted * 65536), 0, 65535) / 65536)


def test_a_stated_type_of_an_exact_output_rounds_it() -> None:
    network = classifier("abs")
    design = hw.compile(network, output_type="u4.0", backend="emulator")
    (wanted,) = forward(network, [data()])
    np.testing.assert_array_equal(design.predict(data()), np.clip(np.rint(wanted), 0, 15))


def test_unknown_output_names_are_refused() -> None:
    with pytest.raises(ModelError, match="a type for output 'other'; the model's outputs are 'end'"):
        hw.compile(classifier(), output_type={"other": "u8.8"}, backend="emulator")
    with pytest.raises(ModelError, match="2 output types for the 1 outputs 'end'"):
        hw.compile(classifier(), output_type=["u8.8", "u8.8"], backend="emulator")


def test_data_types_only_what_is_open() -> None:
    network, x = classifier(), data()
    design = hw.compile(network, calibrate=x, fidelity=0.9999, backend="emulator")
    assert [row["name"] for row in design.report_data["calibration"]["types"]] == ["end"]
    (port,) = design.program.inputs
    assert port.quantiser.describe().startswith("s6.3 ")
    assert np.abs(design.predict(x) - forward(network, [x])[0]).max() < 0.02


def test_a_fully_typed_model_is_left_alone() -> None:
    network = classifier("abs")
    design = hw.compile(network, calibrate=data(), backend="emulator")
    assert "calibration" not in design.report_data
    np.testing.assert_array_equal(design.predict(data()), forward(network, [data()])[0])


def test_a_value_too_wide_for_a_table_gets_a_type_too() -> None:
    """A table has no more than 2^16 entries."""
    network = classifier("gelu", scale=float(np.float32(0.1)), bias=float(np.float32(0.3)), codes=1 << 14)
    design = hw.compile(network, calibrate=data(), fidelity=0.999, backend="emulator")
    assert {row["name"] for row in design.report_data["calibration"]["types"]} == {"end", "fc"}
    wanted = forward(network, [data()])[0]
    assert np.mean((design.predict(data()) - wanted) ** 2) < 0.002 * np.var(wanted)


@pytest.mark.parametrize("scale", [0.25, float(np.float32(0.1)), "channels"])
def test_weights_of_the_model_stay_as_they_are(scale: float | str) -> None:
    """Only the weights of this model are quantised; calibration types its activations and rounds float biases."""
    units = np.array([0.1, 0.25, 0.37], np.float32).astype(np.float64) if scale == "channels" else np.float64(scale)
    net = NetworkBuilder("weights_only")
    x = net.input("x", (4,))
    for i, (k, m) in enumerate(((4, 3), (3, 3))):
        params = {"kernel": RNG.integers(-7, 8, (k, m)), "kernel_scale": units, "bias": RNG.normal(size=m)}
        x = net.add("relu", f"relu{i}", [net.add("dense", f"fc{i}", [x], {}, params)])
    network = net.build([x])
    found = calibrate(network, [data()], fidelity=0.999)
    kept = {row.name: row for row in found.types if row.role == "weight"}
    assert set(kept) == {"fc0.kernel", "fc1.kernel"}
    assert all("as in the model" in row.kind and row.bits <= 4 for row in kept.values())
    for node in found.network.nodes:
        if node.kind == "dense":
            (before,) = (old for old in network.nodes if old.name == node.name)
            np.testing.assert_array_equal(node.params["kernel"], before.params["kernel"])
            np.testing.assert_array_equal(node.params["kernel_scale"], before.params["kernel_scale"])
            assert np.abs(node.params["bias"] * node.params["bias_scale"] - before.params["bias"]).max() < 0.05
    design = hw.compile(network, calibrate=data(), fidelity=0.999, backend="emulator")
    np.testing.assert_array_equal(design.predict(data()), forward(found.network, [data()])[0])


def test_channels_first_inputs_get_their_bits_by_channel() -> None:
    """A transpose in front of a convolution shows which axis holds the channels."""
    x = data(4 * 5 * 5).reshape(-1, 4, 5, 5).clip(-1.9, 1.9)
    x[0] = 1.9
    x *= np.array([1.0, 4.0, 0.25, 16.0]).reshape(4, 1, 1)
    net = NetworkBuilder("channels_first")
    t = net.add("transpose", "last", [net.input("x", (4, 5, 5))], {"perm": (1, 2, 0)})
    attrs = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    network = net.build([net.add("conv", "c", [t], attrs, {"kernel": RNG.normal(size=(2, 2, 4, 3))})])
    found = calibrate(network, [x], fidelity=0.99999)
    bits = found.network.nodes[0].attrs["quantiser"].bits
    assert bits.shape == (4, 1, 1)
    assert (bits.ravel() - bits[0, 0, 0]).tolist() == [0, 2, -2, 4]
    np.testing.assert_array_equal(
        hw.compile(network, calibrate=x, fidelity=0.99999, backend="emulator").predict(x),
        forward(found.network, [x])[0],
    )
