"""Networks that the benchmarks share: the jet tagger 16-64-32-32-5 and smaller ones, with seeded weights and data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Port, Program, Step
from hardwire.layers._lowering import fractions, lower
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser
from hardwire.solver import AdderGraph, solve_cached

_GIVEN = FixedType(True, 8, 4)
_SAMPLE = 10_000
"""Events that the type of a network's inputs is found from."""

Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron with ReLU: weights on a grid of 2^-frac, input `given` and hidden `hidden`, TRN WRAP."""

    name: str
    layers: Layers
    hidden: FixedType
    data: Callable[[int], NDArray[np.float64]] = field(repr=False)
    reference: Callable[[NDArray[np.float64]], NDArray[np.float64]] = field(repr=False)
    frac: int = 5
    given: FixedType = _GIVEN

    @property
    def input(self) -> Quantiser:
        return Quantiser.of_type(self.given, Rounding.TRN, Overflow.WRAP)

    @property
    def weight(self) -> FixedType:
        """The narrowest signed type that holds every weight and bias."""
        return narrowest([values for layer in self.layers for values in layer], FixedType(True, 1, 0))

    @property
    def nonzero(self) -> int:
        return sum(int(np.count_nonzero(w)) for w, _ in self.layers)


def narrowest(arrays: Sequence[NDArray[np.float64]], least: FixedType) -> FixedType:
    """The narrowest signed type that holds every value exactly and whatever the signed type `least` holds."""
    values = np.concatenate([array.ravel() for array in arrays])
    frac = least.frac
    while not np.array_equal(np.rint(values * 2.0**frac), values * 2.0**frac):
        frac += 1
        if frac > 40:
            raise SystemExit("values lie on no binary grid: weights and data must be of fixed-point types")
    codes = np.rint(values * 2.0**frac)
    bits = least.bits + frac - least.frac
    while codes.min(initial=0) < -(2.0 ** (bits - 1)) or codes.max(initial=0) >= 2.0 ** (bits - 1):
        bits += 1
    return FixedType(True, bits, frac)


def own_layers(sizes: Sequence[int], seed: int = 0, bits: int = 6) -> Layers:
    """Normal weights of standard deviation sqrt(2 / fan in), rounded to s6.5, or to other `bits` of -1 … 1."""
    rng = np.random.default_rng(seed)
    layers, one = [], 1 << (bits - 1)
    for a, b in pairwise(sizes):
        w = np.clip(np.round(rng.normal(0, np.sqrt(2 / a), (a, b)) * one), -one, one - 1) / one
        layers.append((w, np.clip(np.round(rng.normal(0, 0.1, b) * one), -one, one - 1) / one))
    return layers


def pruned(layers: Layers, share: float, seed: int = 5) -> Layers:
    """Set a share of the weights to 0, at random."""
    rng = np.random.default_rng(seed)
    return [(w * (rng.random(w.shape) >= share), b) for w, b in layers] if share else layers


def own_data(n: int, features: int = 16) -> NDArray[np.float64]:
    """Values of s8.4, normal with standard deviation 1.5."""
    values = np.floor(np.random.default_rng(1).normal(0, 1.5, (n, features)) * 16)
    return np.clip(values, -128, 127) / 16


def forward(x: NDArray[np.float64], layers: Layers, hidden: FixedType) -> NDArray[np.float64]:
    """The exact result in float64: every intermediate is an integer below 2^53 times a power of two."""
    for i, (w, b) in enumerate(layers):
        x = x @ w + b
        if i < len(layers) - 1:
            x = np.floor(np.maximum(x, 0) / hidden.lsb) * hidden.lsb % 2.0 ** (hidden.bits - hidden.frac)
    return x


def mlp(file: Path | None = None, sizes: Sequence[int] = (16, 64, 32, 32, 5), prune: float = 0.0) -> Mlp:
    """The network of a Python file (see the README of the benchmarks), or the same definition made here.

    `prune`: share of the weights that are set to 0, at random with a fixed seed.
    """
    hidden = FixedType(False, 8, 5)
    if file is None:
        layers = own_layers(sizes)
        name, data = "-".join(map(str, sizes)), partial(own_data, features=sizes[0])
    else:
        space: dict[str, Any] = {"__file__": str(file), "__name__": file.stem}
        exec(compile(file.read_text(), str(file), "exec"), space)  # The user's own benchmark definition, not a model.
        layers, data, name = space["weights"](), space["data"], file.stem
        hid = space["HID"]
        integer, fraction = hid["normal"] if isinstance(hid, dict) else hid
        hidden = FixedType(False, integer + fraction, fraction)
        theirs = space["reference"]

    if prune:
        layers = pruned(layers, prune)
        name += f" pruned {prune:.0%}"
    model = Mlp(name, layers, hidden, data, lambda x: theirs(x, layers) if file else forward(x, layers, hidden))
    if file is None:
        return model
    return replace(model, frac=model.weight.frac, given=narrowest([np.asarray(data(_SAMPLE))], _GIVEN))


def _own(name: str, layers: Layers, bits: int) -> Mlp:
    hidden, features = FixedType(False, 8, 5), layers[0][0].shape[0]
    return Mlp(
        name, layers, hidden, partial(own_data, features=features), lambda x: forward(x, layers, hidden), bits - 1
    )


def seeded(sizes: Sequence[int], bits: int, seed: int = 0, prune: float = 0.0) -> Mlp:
    """A network of the same kind as `mlp`'s own with weights of `bits` bits and another seed."""
    name = f"{'-'.join(map(str, sizes))}, {bits} bits"
    name += (f", pruned {prune:.0%}" if prune else "") + (f", seed {seed}" if seed else "")
    return _own(name, pruned(own_layers(sizes, seed, bits), prune, 5 + seed), bits)


def matrix(n: int, bits: int, seed: int = 0) -> Mlp:
    """A single layer without bias: an n × n matrix of uniform signed weights."""
    one = 1 << (bits - 1)
    w = np.random.default_rng(seed).integers(-one, one, size=(n, n)) / one
    return _own(f"matrix {n}×{n}, {bits} bits" + (f", seed {seed}" if seed else ""), [(w, np.zeros(n))], bits)


def network(model: Mlp) -> Network:
    """The layers form: dense, ReLU and quantise nodes."""
    b = NetworkBuilder("mlp")
    x = b.input("x", (model.layers[0][0].shape[0],))
    for i, (w, bias) in enumerate(model.layers):
        x = b.add("dense", f"fc{i}", [x], {}, {"kernel": w, "bias": bias})
        if i < len(model.layers) - 1:
            x = b.add("relu", f"relu{i}", [x])
            hidden = Quantiser.of_type(model.hidden, Rounding.TRN, Overflow.WRAP)
            x = b.add("quantise", f"q{i}", [x], {"quantiser": hidden})
    return b.build([x])


def looped_program(model: Mlp) -> Program:
    """The network as lowered: one LINEAR per neuron."""
    return lower(network(model), {"x": model.input})


def _adders(b: KernelBuilder, graph: AdderGraph, values: list[int]) -> list[int]:
    """Append an adder graph; returns its outputs."""
    nodes = list(values)
    for i in range(graph.n_adders):
        make = b.sub if graph.negate_b[i] else b.add
        nodes.append(make(nodes[graph.a[i]], nodes[graph.b[i]], int(graph.shift_a[i]), int(graph.shift_b[i])))
    outputs = []
    for node, shift, negate in zip(graph.out_node, graph.out_shift, graph.out_negate, strict=True):
        value = b.shl(nodes[node], int(shift)) if node >= 0 else b.const(0)
        outputs.append(b.neg(value) if negate else value)
    return outputs


def adder_program(model: Mlp) -> Program:
    """The network as one flat kernel of shifts and shared additions."""
    quantiser = model.input
    n = model.layers[0][0].shape[0]
    lo, hi = np.full(n, int(quantiser.lo)), np.full(n, int(quantiser.hi))
    b = KernelBuilder("mlp", lo, hi)
    values, frac = list(range(n)), model.given.frac
    for i, (w, bias) in enumerate(model.layers):
        box = [b.range(v) for v in values]
        codes = np.rint(w * 2.0**model.frac).astype(np.int64)
        graph = solve_cached(codes, lo=[r[0] for r in box], hi=[r[1] for r in box])
        sums = _adders(b, graph, values)
        frac += model.frac
        offsets = np.rint(bias * 2.0**frac).astype(np.int64)
        values = [b.add(s, b.const(int(o))) for s, o in zip(sums, offsets, strict=True)]
        if i < len(model.layers) - 1:
            values = [b.clamp(v, 0, max(0, b.range(v)[1])) for v in values]
            shift = frac - model.hidden.frac
            values = [b.round(v, shift, Rounding.TRN) if shift > 0 else b.shl(v, -shift) for v in values]
            values = [b.wrap(v, model.hidden.bits, False) for v in values]
            frac = model.hidden.frac
    kernel = b.build(values)
    out_lo, out_hi = kernel.lo[kernel.outputs], kernel.hi[kernel.outputs]
    scale_in, scale_out = quantiser.scales().ravel()[0], quantiser.scales().ravel()[0] / 2 ** (frac - model.given.frac)
    arrays = {
        "x": Array("x", lo, hi, fractions([scale_in] * n)),
        "y": Array("y", out_lo, out_hi, fractions([scale_out] * len(values))),
    }
    zero, every = np.zeros(1, np.int32), np.arange(len(values), dtype=np.int32)
    index = np.arange(n, dtype=np.int32)
    step = Step("mlp", "mlp", (Access("x", zero, index),), Access("y", zero, every))
    ports = (Port("x", "x", index, (n,), quantiser),), (Port("y", "y", every, (len(values),)),)
    return Program("mlp", arrays, {"mlp": kernel}, (step,), *ports)
