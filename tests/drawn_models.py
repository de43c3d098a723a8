"""Drawn dense networks as plain numbers, their meaning in numpy, and their writers for every format."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hardwire.fixed import FixedType, Floats, Overflow, Rounding
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser

ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "leaky": lambda x: np.where(x < 0, 0.125 * x, x),
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
}
QONNX_ROUNDING = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND_TO_ZERO": np.trunc}


@dataclass(frozen=True)
class Grid:
    """A type of an activation: codes of `bits` bits at the scale 2^-frac, saturated."""

    signed: bool
    bits: int
    frac: int
    narrow: bool = False
    rounding: str = "ROUND"

    def __call__(self, x: Floats) -> Floats:
        low = -(1 << (self.bits - 1)) + self.narrow if self.signed else 0
        high = (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1 - self.narrow
        codes = np.clip(QONNX_ROUNDING[self.rounding](np.asarray(x, np.float64) * 2.0**self.frac), low, high)
        return codes * 2.0**-self.frac

    @property
    def text(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


@dataclass(frozen=True)
class Dense:
    """A layer: kernel (k, m) and bias (m,) on binary grids, an activation, and the type of its result if it has one."""

    kernel: Floats
    bias: Floats | None
    activation: str
    grid: Grid | None


@dataclass(frozen=True)
class Model:
    """A stack of dense layers behind an input type."""

    input: Grid
    layers: tuple[Dense, ...]

    @property
    def width(self) -> int:
        return int(self.layers[0].kernel.shape[0])

    def __call__(self, x: Floats) -> Floats:
        """The meaning, in float64; exact, as every value is a short binary fraction."""
        x = self.input(x)
        for layer in self.layers:
            x = x @ layer.kernel + (0.0 if layer.bias is None else layer.bias)
            x = ACTIVATIONS[layer.activation](x)
            x = x if layer.grid is None else layer.grid(x)
        return x

    def reals(self, rows: int, seed: int = 0) -> Floats:
        """Inputs inside, between and beyond the codes of the input type."""
        rng = np.random.default_rng(seed)
        top = 2.0 ** (self.input.bits - self.input.frac)
        return np.round(rng.uniform(-top, top, (rows, self.width)), 6)


@st.composite
def grids(draw: st.DrawFn, *, plain: bool = False) -> Grid:
    signed = draw(st.booleans())
    bits, frac = draw(st.integers(1 + signed, 8)), draw(st.integers(-1, 5))
    if plain:
        return Grid(signed, bits, frac)
    narrow = bits > 2 and draw(st.booleans())
    return Grid(signed, bits, frac, narrow, draw(st.sampled_from(sorted(QONNX_ROUNDING))))


@st.composite
def models(draw: st.DrawFn, *, quantised: bool, plain: bool = False, widest: int = 8, deepest: int = 3) -> Model:
    """`plain`: only what every float framework says alike at the input; `quantised`: types between layers, too."""
    seed = draw(st.integers(0, 1000))
    widths = draw(st.lists(st.integers(1, widest), min_size=2, max_size=deepest + 1))
    return random_model(
        widths,
        seed,
        weight_bits=draw(st.integers(1, 5)),
        bias=draw(st.booleans()),
        input_grid=draw(grids(plain=plain)),
        between=[
            (draw(st.sampled_from(sorted(ACTIVATIONS))), draw(grids(plain=plain)) if quantised else None)
            for _ in widths[1:]
        ],
    )


def random_model(
    widths: list[int],
    seed: int,
    *,
    weight_bits: int,
    bias: bool,
    input_grid: Grid,
    between: list[tuple[str, Grid | None]],
) -> Model:
    rng = np.random.default_rng(seed)
    layers = []
    top = (1 << (weight_bits - 1)) - 1
    for k, m, (activation, grid) in zip(widths, widths[1:], between, strict=False):
        kernel = rng.integers(-top - 1, top + 1, (k, m)) * 2.0**-3
        layers.append(Dense(kernel, rng.integers(-16, 17, m) * 2.0**-4 if bias else None, activation, grid))
    return Model(input_grid, tuple(layers))


def torch_module(model: Model) -> Any:
    import torch
    from torch import nn

    kinds = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "leaky": lambda: nn.LeakyReLU(0.125),
        "hard_tanh": nn.Hardtanh,
    }
    parts = []
    for layer in model.layers:
        linear = nn.Linear(*layer.kernel.shape, bias=layer.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(layer.kernel.T))
            if layer.bias is not None:
                linear.bias.copy_(torch.tensor(layer.bias))
        parts.append(linear)
        if layer.activation in kinds:
            parts.append(kinds[layer.activation]())
    return nn.Sequential(*parts)


def torch_program(model: Model, path: Path) -> Path:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("batch", min=2, max=1 << 20)}
        program = torch.export.export(torch_module(model), (torch.zeros(3, model.width),), dynamic_shapes=(batch,))
        torch.export.save(program, path)
    return path


def keras_file(model: Model, path: Path) -> Path:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras

        kinds = {
            "relu": lambda: keras.layers.ReLU(),
            "relu6": lambda: keras.layers.ReLU(max_value=6.0),
            "leaky": lambda: keras.layers.LeakyReLU(negative_slope=0.125),
            "hard_tanh": lambda: keras.layers.Activation("hard_tanh"),
        }
        parts: list[Any] = [keras.Input((model.width,))]
        for layer in model.layers:
            parts.append(keras.layers.Dense(layer.kernel.shape[1], use_bias=layer.bias is not None))
            if layer.activation in kinds:
                parts.append(kinds[layer.activation]())
        made = keras.Sequential(parts)
        dense = [part for part in made.layers if isinstance(part, keras.layers.Dense)]
        for part, layer in zip(dense, model.layers, strict=True):
            part.set_weights([layer.kernel] if layer.bias is None else [layer.kernel, layer.bias])
        made.save(path)
    return path


class _Onnx:
    """Nodes and constants of a graph from `x`, one value at a time."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.value = "x"

    def constant(self, array: Any, kind: Any = np.float32) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attrs: Any) -> str:
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=f"n{len(self.nodes)}", domain=domain, **attrs)
        )
        return name

    def activate(self, kind: str) -> None:
        x = self.value
        if kind == "relu":
            self.value = self.node("Relu", x)
        elif kind == "relu6":
            self.value = self.node("Clip", x, self.constant(0.0), self.constant(6.0))
        elif kind == "leaky":
            self.value = self.node("LeakyRelu", x, alpha=0.125)
        elif kind == "hard_tanh":
            self.value = self.node("Clip", x, self.constant(-1.0), self.constant(1.0))

    def save(self, width: int, path: Path, *domains: str) -> Path:
        import onnx
        from onnx import TensorProto, helper

        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", width))],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)],
            self.tensors,
        )
        imports = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
        onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
        return path


def onnx_file(model: Model, path: Path) -> Path:
    """Float parameters; MatMul and Add, or Gemm where there is a bias and the layer's number is odd."""
    net = _Onnx()
    for number, layer in enumerate(model.layers):
        if layer.bias is not None and number % 2:
            net.value = net.node("Gemm", net.value, net.constant(layer.kernel.T), net.constant(layer.bias), transB=1)
        else:
            net.value = net.node("MatMul", net.value, net.constant(layer.kernel))
            if layer.bias is not None:
                net.value = net.node("Add", net.value, net.constant(layer.bias))
        net.activate(layer.activation)
    return net.save(model.width, path)


def qonnx_file(model: Model, path: Path, domain: str = "qonnx.custom_op.general") -> Path:
    """`Quant` at the input, on kernels and biases, and between layers."""
    net = _Onnx()

    def quant(value: str, grid: Grid) -> str:
        parts = [net.constant(part) for part in (2.0**-grid.frac, 0.0, grid.bits)]
        attrs = {"signed": int(grid.signed), "narrow": int(grid.narrow), "rounding_mode": grid.rounding}
        return net.node("Quant", value, *parts, domain=domain, **attrs)

    net.value = quant(net.value, model.input)
    for layer in model.layers:
        net.value = net.node("MatMul", net.value, quant(net.constant(layer.kernel), Grid(True, 6, 3)))
        if layer.bias is not None:
            net.value = net.node("Add", net.value, quant(net.constant(layer.bias), Grid(True, 8, 4)))
        net.activate(layer.activation)
        if layer.grid is not None:
            net.value = quant(net.value, layer.grid)
    return net.save(model.width, path, domain)


def qdq_file(model: Model, path: Path) -> Path:
    """`QuantizeLinear` and `DequantizeLinear` pairs; the grids must have 8 bits and round to even."""
    net = _Onnx()

    def pair(value: str, grid: Grid) -> str:
        scale = net.constant(2.0**-grid.frac)
        zero = net.constant(0, np.int8 if grid.signed else np.uint8)
        return net.node("DequantizeLinear", net.node("QuantizeLinear", value, scale, zero), scale, zero)

    net.value = pair(net.value, model.input)
    for layer in model.layers:
        kernel = net.constant(layer.kernel * 8, np.int8)
        scale = net.constant(2.0**-3)
        kernel = net.node("DequantizeLinear", kernel, scale, net.constant(0, np.int8))
        net.value = net.node("MatMul", net.value, kernel)
        if layer.bias is not None:
            net.value = net.node("Add", net.value, net.constant(layer.bias))
        net.activate(layer.activation)
        if layer.grid is not None:
            net.value = pair(net.value, layer.grid)
    return net.save(model.width, path)


@st.composite
def networks(draw: st.DrawFn, *, widest: int = 8, deepest: int = 3) -> Network:
    """Dense networks with every rounding and overflow mode, tables, argmax and softmax; no frontend between."""
    modes = st.tuples(st.sampled_from(Rounding), st.sampled_from([Overflow.SAT, Overflow.SAT_SYM, Overflow.SAT_ZERO]))

    def quantiser() -> Quantiser:
        signed = draw(st.booleans())
        kind = FixedType(signed, draw(st.integers(1 + signed, 8)), draw(st.integers(-2, 6)))
        rounding, overflow = draw(modes)
        if draw(st.booleans()):
            overflow = draw(st.sampled_from([Overflow.WRAP, Overflow.WRAP_SM] if signed else [Overflow.WRAP]))
        return Quantiser.of_type(kind, rounding, overflow)

    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    net = NetworkBuilder("drawn")
    widths = draw(st.lists(st.integers(1, widest), min_size=2, max_size=deepest + 1))
    x = net.add("quantise", "entry", [net.input("x", (widths[0],))], {"quantiser": quantiser()})
    for number, (k, m) in enumerate(zip(widths, widths[1:], strict=False)):
        params = {"kernel": rng.integers(-15, 16, (k, m)) * 2.0 ** draw(st.integers(-5, 1))}
        if draw(st.booleans()):
            params["bias"] = rng.integers(-99, 100, m) * 2.0**-5
        x = net.add("dense", f"dense{number}", [x], {}, params)
        x = net.add("quantise", f"type{number}", [x], {"quantiser": quantiser()})
        kind = draw(st.sampled_from(["none", "relu", "leaky_relu", "clip", "tanh", "sigmoid", "abs"]))
        if kind in ("tanh", "sigmoid", "abs"):
            attrs = {"function": kind, "arguments": {}, "output": quantiser()}
            x = net.add("activation", f"{kind}{number}", [x], attrs)
        elif kind != "none":
            attrs = {"leaky_relu": {"slope": 0.25}, "clip": {"lo": -1.0, "hi": 2.5}}.get(kind, {})
            x = net.add(kind, f"{kind}{number}", [x], attrs)
    end = draw(st.sampled_from(["plain", "argmax", "softmax", "both"]))
    outputs = [x]
    if end in ("argmax", "both"):
        outputs.append(net.add("argmax", "best", [x], {"axis": 0, "keepdims": False}))
    if end == "softmax":
        output = Quantiser.of_type(FixedType.parse("u8.8"), Rounding.RND, Overflow.SAT)
        outputs = [net.add("softmax", "odds", [x], {"axis": 0, "output": output, "tables": None})]
    return net.build(outputs)
