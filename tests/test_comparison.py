"""`compare` names the layer where a build leaves its model; `verify` tells how far the float meaning is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hardwire as hw
from hardwire.comparison import compare
from hardwire.errors import DataError
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import prepare
from hardwire.network.reference import forward


def float_model(width: int = 6) -> Network:
    rng = np.random.default_rng(3)
    net = NetworkBuilder("m")
    x = net.input("x", (width,))
    for k, (fan_in, fan_out) in enumerate([(width, 8), (8, 8), (8, 4)]):
        params = {"kernel": rng.normal(size=(fan_in, fan_out)), "bias": rng.normal(size=fan_out)}
        x = net.add("dense", f"dense{k}", [x], {}, params)
        x = net.add("relu" if k < 2 else "softmax", f"act{k}", [x], {} if k < 2 else {"axis": 0})
    return net.build([x])


@pytest.fixture(scope="module")
def data() -> Any:
    return np.random.default_rng(4).normal(size=(400, 6))


@pytest.fixture(scope="module")
def design(data: Any) -> hw.Design:
    return hw.compile(float_model(), calibrate=data, backend="emulator")


def test_a_good_build_has_no_bad_layer(design: hw.Design, data: Any) -> None:
    found = compare(prepare(float_model()), design, data)
    assert found.first_bad is None
    assert found.rows[0].layer == "x"
    assert {"act0", "act1", "dense2", "act2"} <= {row.layer for row in found.rows}
    assert all(0.99 <= row.fidelity < 1 for row in found.rows)
    (wanted,) = forward(float_model(), [data])
    assert found.rows[-1].largest_difference == np.abs(wanted - design.predict(data)).max()


def test_the_first_bad_layer_is_named(design: hw.Design, data: Any) -> None:
    """Another weight in the second layer's float model: all from there on differs, and it is the one that is named."""
    model = prepare(float_model())
    nodes = []
    for node in model.nodes:
        if node.name == "dense1":
            kernel = node.params["kernel"].copy()
            kernel[:, 2] += 3.0
            node = node.with_(params={**node.params, "kernel": kernel})
        nodes.append(node)
    found = compare(replace(model, nodes=tuple(nodes)), design, data)
    assert found.first_bad in ("dense1", "act1")
    names = [row.layer for row in found.rows]
    assert not any(row.bad for row in found.rows[: names.index(found.first_bad)])


def test_rows_are_what_is_emulated(design: hw.Design, data: Any) -> None:
    from hardwire.meaning import tap_values

    values = tap_values(design.program, design.codes(data))
    np.testing.assert_array_equal(values[design.network.outputs[0]], design.predict(data))


def test_a_build_of_another_model(design: hw.Design, data: Any) -> None:
    with pytest.raises(DataError, match="different shapes"):
        compare(prepare(float_model(5)), design, data)


def test_no_inputs(design: hw.Design) -> None:
    with pytest.raises(DataError, match="empty"):
        compare(prepare(float_model()), design, np.zeros((0, 6)))


def test_verify_tells_where_the_float_meaning_ends(design: hw.Design, data: Any) -> None:
    meaning = design.verify(data, vectors=500)["meaning"]
    assert meaning["layer"] == "act2"  # the softmax: all before it is exact
    assert 0 < meaning["largest_difference"] < 0.05
    assert 0 <= meaning["equal"] < meaning["vectors"]


def test_verify_of_an_exact_model() -> None:
    model = prepare(float_model())
    nodes = tuple(node for node in model.nodes if node.kind != "softmax")
    grid = tuple(n.with_(params={k: np.round(v * 8) / 8 for k, v in n.params.items()}) for n in nodes)
    network = replace(model, nodes=grid, outputs=(nodes[-1].outputs[0],))
    design = hw.compile(network, exact=True, input_type="s6.3", backend="emulator")
    meaning = design.verify(vectors=300)["meaning"]
    assert (meaning["layer"], meaning["largest_difference"], meaning["equal"]) == (None, 0.0, meaning["vectors"])
