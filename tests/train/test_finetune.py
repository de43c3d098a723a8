"""Model files as modules that train: the file's design before any step, a better one after some."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import drawn_models as drawn
import hardwire as hw
from hardwire import frontends, nn
from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.interpreter import trace
from hardwire.ir.program import fraction_bits
from hardwire.layers import known_layers
from hardwire.layers._lowering import lower
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.quantiser import Quantiser
from hardwire.train.costs import Ebops
from hardwire.train.finetune import load
from hardwire.train.nodes import kinds

BOUNDED = {"softmax", "layer_norm"}
"""Kinds whose integers keep a bound to the float meaning."""
HGQ = sorted((Path(__file__).parents[1] / "conformance" / "hgq_models").glob("*.keras"))


def lowered(network: Network, rows: int = 50) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Inputs over the whole range of the ports, what the network's integers make of them, and a relative tolerance.

    It is 0 but for scales that are long in binary, where float64 itself rounds.
    """
    program = lower(network, input_quantisers(network))
    rng = np.random.default_rng(0)
    codes, xs = [], []
    for port in program.inputs:
        lo, hi = program.port_range(port)
        codes.append(np.concatenate([rng.integers(lo, hi + 1, (rows, len(lo))), lo[None], hi[None]]))
        assert port.quantiser is not None
        xs.append(codes[-1].reshape(-1, *port.shape) * np.broadcast_to(port.quantiser.scale, port.shape))
    store = trace(program, codes)
    ys = [
        (store[port.array][:, port.index] * program.port_scale(port)).astype(np.float64).reshape(-1, *port.shape)
        for port in program.outputs
    ]
    fracs = [fraction_bits(scale) for array in program.arrays.values() for scale in array.scale]
    short = all(frac is not None and frac <= 24 for frac in fracs)
    return xs, ys, 0.0 if short else 1e-12


def outputs(module: torch.nn.Module, xs: list[np.ndarray]) -> list[np.ndarray]:
    with torch.no_grad():
        y = module.eval()(*map(torch.as_tensor, xs))
    return [part.double().numpy() for part in (y if isinstance(y, tuple) else (y,))]


def equal(found: list[np.ndarray], wanted: list[np.ndarray], tolerance: float) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def check(network: Network) -> torch.nn.Module:
    """The module equals the network's integers, and so does what is exported from it."""
    module = load(network)
    xs, wanted, tolerance = lowered(prepare(network))
    equal(outputs(module, xs), wanted, tolerance)
    equal(lowered(prepare(frontends.load(module, example=tuple(xs))))[1], wanted, tolerance)
    return module


EXAMPLES = [
    pytest.param(example.network, id=f"{kind}-{example.name}")
    for kind, layer in known_layers().items()
    if kind in kinds() and kind not in BOUNDED
    for example in layer.examples()
]


REFUSED = {"average_pool_plane", "average_pool_dilated", "average_pool_divisor"}


@pytest.mark.parametrize("network", EXAMPLES)
def test_every_layer_example(network):
    if network.name in REFUSED:
        with pytest.raises(UnsupportedError, match=r"layer 'p' \(average_pool\)"):
            load(network)
    else:
        check(network)


@settings(max_examples=25, deadline=None)
@given(network=drawn.networks())
def test_drawn_networks(network):
    if any(node.kind == "argmax" for node in network.nodes):
        with pytest.raises(UnsupportedError, match=r"layer 'best' \(argmax\)"):
            load(network)
        before = network.nodes[-1].inputs[0]
        module = load(network, outputs=[before])
        with torch.no_grad():
            assert module.eval()(torch.zeros(2, *network.shapes["x"])).shape == (2, *network.shapes[before])
    else:
        check(network)


def test_a_softmax_behind_another_function():
    """Its tables follow from the type that it meets, whether or not a quantiser is right in front."""
    net = NetworkBuilder("odds")
    bits = Quantiser.of_type(FixedType.parse("u1.0"), Rounding.TRN, Overflow.SAT)
    steps = Quantiser.of_type(FixedType.parse("u1.-1"), Rounding.TRN, Overflow.SAT)
    shares = Quantiser.of_type(FixedType.parse("u8.8"), Rounding.RND, Overflow.SAT)
    x = net.add("quantise", "entry", [net.input("x", (1,))], {"quantiser": bits})
    x = net.add("dense", "fc", [x], {}, {"kernel": np.array([[4.0, 0.0]])})
    x = net.add("relu", "relu", [net.add("quantise", "types", [x], {"quantiser": steps})])
    check(net.build([net.add("softmax", "odds", [x], {"axis": 0, "output": shares, "tables": None})]))


def test_work_of_types_that_differ_by_position():
    """The bits of each input count at its own position."""
    net = NetworkBuilder("placed")
    bits = np.array([[3, 0], [5, 2], [1, 7]])
    types = {"quantiser": Quantiser.of_arrays(False, bits, 2, Rounding.RND, Overflow.SAT)}
    x = net.add("quantise", "types", [net.input("x", (3, 2))], types)
    kernel = np.array([[0.5, 0.75], [1.5, 0.25]])
    module = check(net.build([net.add("dense", "fc", [x], {}, {"kernel": kernel})]))
    (layer,) = module.layers.values()
    weight_bits = layer.weight_quantiser.bits().expand(2, 2).double()
    per_position = [float((weight_bits * torch.tensor(row)).sum()) for row in bits]
    assert float(Ebops()(module).detach()) == pytest.approx(sum(per_position))


def test_an_end_that_is_not_there():
    with pytest.raises(ModelError, match="outputs: no layer 'logits'"):
        load(EXAMPLES[0].values[0], outputs=["logits"])


UNTRAINED = {"gru", "rnn", "lstm"}
"""Kinds of layers in the files below without a rule."""


@pytest.mark.parametrize("path", HGQ, ids=lambda path: path.stem)
def test_hgq_files(path):
    network = prepare(frontends.load(path))
    missing = {node.kind for node in network.nodes} & UNTRAINED
    if missing:
        with pytest.raises(UnsupportedError, match=f"\\({missing.pop()}\\): its kind has no gradient, or no rule yet"):
            load(path)
    elif path.stem != "softmax":
        check(network)


def test_weights_keep_the_steps_that_an_hgq_file_tells():
    """The steps are those that training had, finer than the values need."""
    module = load(HGQ[0].parent / "dense.keras")
    layer = next(part for part in module.layers.values() if isinstance(part, nn.Dense))
    weight, grid = layer.weight.detach(), layer.weight_quantiser.grid()
    codes = weight / grid.scale
    assert grid.scale.shape == weight.shape
    assert torch.equal(codes, codes.round())
    assert ((codes != 0) & (codes % 2 == 0)).any()


# Fine-tuning.


def coarse(tmp_path: Path, bits: int = 2) -> tuple[Path, np.ndarray, np.ndarray]:
    """A QONNX file of a teacher whose weights were rounded to a few bits; inputs, and what the teacher says of them."""
    rng = np.random.default_rng(0)
    teacher = drawn.random_model(
        [6, 12, 3],
        3,
        weight_bits=5,
        bias=True,
        input_grid=drawn.Grid(True, 8, 5),
        between=[("relu", drawn.Grid(False, 6, 3)), ("none", None)],
    )
    step = 2.0 ** (2 - bits)
    rounded = [
        dataclasses.replace(layer, kernel=np.clip(np.rint(layer.kernel / step), -4, 3) * step)
        for layer in teacher.layers
    ]
    x = rng.integers(-60, 60, (512, 6)) / 32
    return drawn.qonnx_file(dataclasses.replace(teacher, layers=tuple(rounded)), tmp_path / "model.onnx"), x, teacher(x)


def tuned(module: torch.nn.Module, x: np.ndarray, y: np.ndarray, epochs: int = 30) -> tuple[float, float]:
    """Mean squared errors in evaluation before and after training."""
    inputs, targets = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)

    def error() -> float:
        with torch.no_grad():
            return float(torch.nn.functional.mse_loss(module.eval()(inputs).float(), targets))

    before = error()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(epochs):
        module.train()
        for rows in torch.arange(len(inputs)).split(128):
            optimiser.zero_grad()
            torch.nn.functional.mse_loss(module(inputs[rows]).float(), targets[rows]).backward()
            optimiser.step()
    return before, error()


@pytest.mark.parametrize(
    "scheme", [None, nn.Scheme.learned(), nn.Scheme.fixed("s8.4", "s6.3")], ids=["file", "learned", "fixed"]
)
def test_fine_tuning_improves_a_coarse_model(tmp_path, scheme):
    torch.manual_seed(0)
    path, x, y = coarse(tmp_path)
    module = load(path, scheme=scheme)
    before, after = tuned(module, x, y)
    assert after < 0.7 * before
    design = hw.compile(module, example=x[:1], backend="emulator")
    np.testing.assert_array_equal(design.predict(x), outputs(module, [x])[0])
