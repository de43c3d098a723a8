"""Drawn dense networks from every format to hardware: numpy = emulator = interpreter = Verilog, and proven."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import drawn_models as drawn
import hardwire as hw
from drawn_models import Grid, Model, random_model
from hardwire.design import Design
from hardwire.network.reference import forward
from hardwire.tools.icarus import TOOL as ICARUS

pytestmark = pytest.mark.tools

FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
Maker = Callable[[Model, Path], dict[str, Any]]


@pytest.fixture(scope="module", autouse=True)
def _icarus() -> None:
    try:
        ICARUS.find()
    except hw.errors.MissingToolError as error:
        pytest.skip(str(error))


def climb(design: Design, x: Any = None, vectors: int = 400) -> dict[str, Any]:
    """Every rung but the netlist, on the given inputs, the corners of their ranges and random codes."""
    found = design.verify(x, formal=True, vectors=vectors, simulator="icarus")
    for rung in ("interpreter", "emulator_rtl"):
        assert found[rung]["vectors"] >= vectors, rung
        assert found[rung]["mismatches"] == 0, rung
    formal = found["formal"]
    assert formal["proven"] is True, formal["failures"]
    assert formal["latency_balanced"]
    assert formal["neurons_proven"] == formal["neurons"]
    return found


def check(model: Model, arguments: dict[str, Any], **options: Any) -> Design:
    """Compile, compare with the model in numpy on inputs in and beyond their range, and climb the ladder."""
    design = hw.compile(arguments.pop("model"), **arguments, **options)
    x = model.reals(60)
    np.testing.assert_array_equal(design.predict(x), model(x))
    climb(design, x)
    return design


# Float formats, every parameter as it stands (exact=True) behind a stated input type.


def torch_live(model: Model, folder: Path) -> dict[str, Any]:
    pytest.importorskip("torch")
    return {"model": drawn.torch_module(model), "example": np.zeros((1, model.width), np.float32)}


def torch_saved(model: Model, folder: Path) -> dict[str, Any]:
    pytest.importorskip("torch")
    return {"model": drawn.torch_program(model, folder / "model.pt2")}


def keras3(model: Model, folder: Path) -> dict[str, Any]:
    return {"model": drawn.keras_file(model, folder / "model.keras")}


def hdf5(model: Model, folder: Path) -> dict[str, Any]:
    return {"model": drawn.keras_file(model, folder / "model.h5")}


def onnx(model: Model, folder: Path) -> dict[str, Any]:
    return {"model": drawn.onnx_file(model, folder / "model.onnx")}


FLOAT = {"torch": torch_live, "pt2": torch_saved, "keras": keras3, "h5": hdf5, "onnx": onnx}
by_format = pytest.mark.parametrize("maker", FLOAT.values(), ids=FLOAT.keys())


def exact(model: Model, maker: Maker, folder: Path) -> Design:
    return check(model, maker(model, folder), exact=True, input_type=model.input.text)


@by_format
@FEW
@given(model=drawn.models(quantised=False, plain=True))
def test_float_formats(maker: Maker, model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    exact(model, maker, tmp_path_factory.mktemp("float"))


@pytest.mark.slow
@by_format
@MANY
@given(model=drawn.models(quantised=False, plain=True, widest=24))
def test_float_formats_wider(maker: Maker, model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    exact(model, maker, tmp_path_factory.mktemp("float"))


@by_format
def test_every_activation_in_a_row(maker: Maker, tmp_path: Path) -> None:
    between = [(name, None) for name in ("relu6", "leaky", "relu", "hard_tanh", "none")]
    grid = Grid(True, 6, 3)
    model = random_model([3, 4, 3, 4, 3, 2], 1, weight_bits=3, bias=True, input_grid=grid, between=between)
    exact(model, maker, tmp_path)


# Quantised formats: the file's own types, at the input port too.


@FEW
@given(model=drawn.models(quantised=True))
def test_qonnx(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(model, {"model": drawn.qonnx_file(model, tmp_path_factory.mktemp("qonnx") / "model.onnx")})


@pytest.mark.slow
@MANY
@given(model=drawn.models(quantised=True, widest=24))
def test_qonnx_wider(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(model, {"model": drawn.qonnx_file(model, tmp_path_factory.mktemp("qonnx") / "model.onnx")})


def eight_bits(model: Model) -> Model:
    """The model with grids that `QuantizeLinear` has: 8 bits, ties to even."""

    def wide(grid: Grid | None) -> Grid | None:
        return None if grid is None else Grid(grid.signed, 8, grid.frac)

    layers = tuple(drawn.Dense(d.kernel, d.bias, d.activation, wide(d.grid)) for d in model.layers)
    return Model(Grid(model.input.signed, 8, model.input.frac), layers)


@FEW
@given(model=drawn.models(quantised=True).map(eight_bits))
def test_qdq(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(model, {"model": drawn.qdq_file(model, tmp_path_factory.mktemp("qdq") / "model.onnx")})


@pytest.mark.slow
@MANY
@given(model=drawn.models(quantised=True, widest=24).map(eight_bits))
def test_qdq_wider(model: Model, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(model, {"model": drawn.qdq_file(model, tmp_path_factory.mktemp("qdq") / "model.onnx")})


# Networks themselves: every rounding and overflow mode, tables, argmax, softmax.


def check_network(network: Any) -> None:
    design = hw.compile(network)
    port = design.flat.inputs[0]
    assert port.quantiser is not None
    low, high = design.flat.port_range(port)
    x = np.random.default_rng(0).integers(low, high, (60, len(low)), endpoint=True) * port.quantiser.scale
    found = design.predict(x)
    found = found if isinstance(found, tuple) else (found,)
    for name, ours, wanted in zip(network.outputs, found, forward(network, [x]), strict=True):
        if name == "odds":
            assert np.abs(ours - wanted).max() < 0.02
        else:
            np.testing.assert_array_equal(ours, wanted)
    climb(design, x)


@settings(FEW, max_examples=15)
@given(network=drawn.networks())
def test_networks(network: Any) -> None:
    check_network(network)


@pytest.mark.slow
@settings(MANY, max_examples=50)
@given(network=drawn.networks(widest=20, deepest=5))
def test_networks_wider(network: Any) -> None:
    check_network(network)


# Float models with types chosen from data.


@pytest.mark.parametrize("maker", [torch_live, hdf5])
def test_calibrated(maker: Maker, tmp_path: Path) -> None:
    between = [("relu", None), ("leaky", None), ("none", None)]
    grid = Grid(True, 8, 5)
    model = random_model([5, 8, 6, 3], 2, weight_bits=5, bias=True, input_grid=grid, between=between)
    arguments = maker(model, tmp_path)
    x = np.random.default_rng(0).normal(0, 1, (500, 5))
    design = hw.compile(arguments.pop("model"), calibrate=x, fidelity=0.995, **arguments)
    kept = design.report()["calibration"]["fidelity"]
    assert kept >= 0.995
    wanted, found = model(x), design.predict(x)
    error = 1.0 - np.sum((found - wanted) ** 2) / np.sum((wanted - wanted.mean(axis=0)) ** 2)
    assert error >= 0.98  # The model in numpy also rounds its input, which calibration did not see.
    climb(design, x[:50])


# Ten thousand parameters.


def large(quantised: bool) -> Model:
    grid = Grid(False, 8, 4) if quantised else None
    between = [("relu", grid), ("relu", grid), ("none", None)]
    widths = [16, 96, 80, 5]  # 9,797 parameters
    return random_model(widths, 3, weight_bits=4, bias=True, input_grid=Grid(True, 8, 4), between=between)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FLOAT, "qonnx", "qdq"])
def test_ten_thousand_parameters(name: str, tmp_path: Path) -> None:
    model = large(name not in FLOAT)
    if name in FLOAT:
        arguments = FLOAT[name](model, tmp_path)
        arguments.update(exact=True, input_type=model.input.text)
    else:
        writer = {"qonnx": drawn.qonnx_file, "qdq": drawn.qdq_file}[name]
        arguments = {"model": writer(model, tmp_path / "model.onnx")}
    begin = time.process_time()
    design = hw.compile(arguments.pop("model"), **arguments)
    assert time.process_time() - begin < 60
    x = model.reals(200)
    np.testing.assert_array_equal(design.predict(x), model(x))
    climb(design, x, vectors=300)
