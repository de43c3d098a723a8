"""hls4ml's generated functions, to the bit: a cast for each element (HGQ), and sums of shifts (distributed arithmetic).

Such a function is a list of steps, each a type and a sum of shifted names. They become casts of the inputs and one
matrix; a step whose type does not hold its sum exactly is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log2

import numpy as np

from hardwire.errors import ModelError, UnsupportedError
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.layers._scales import lsb_exponent
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


@dataclass(frozen=True)
class Step:
    """`target = kind(constant + Σ factor · name)`; without a kind the sum is kept as it is."""

    target: str
    kind: Fixed | None
    terms: tuple[tuple[float, str], ...]
    constant: float


@dataclass(frozen=True)
class Code:
    """A generated function: steps from `inp[i]` to `out[i]`."""

    name: str
    steps: tuple[Step, ...]
    outputs: int


@dataclass
class _Value:
    """A sum over channels (casts of inputs) with the interval it lies in and its bits behind the point."""

    factors: dict[int, float] = field(default_factory=dict)
    constant: float = 0.0
    lo: float = 0.0
    hi: float = 0.0
    frac: int = -64


class _Trace:
    """Evaluates the steps of a function over inputs of a type."""

    def __init__(self, layer: Layer, code: Code, kind: Fixed, width: int) -> None:
        self.layer, self.code, self.kind, self.width = layer, code, kind, width
        self.channels: dict[tuple[int, Fixed], int] = {}
        self.values: dict[str, _Value] = {}
        for step in code.steps:
            self.values[step.target] = self._step(step)
        self.outputs = [self.values.get(f"out[{i}]", _Value()) for i in range(code.outputs)]

    def _channel(self, place: int, kind: Fixed) -> _Value:
        if not 0 <= place < self.width:
            raise ModelError(f"layer {self.layer.name!r}: {self.code.name} reads element {place} of {self.width}")
        number = self.channels.setdefault((place, kind), len(self.channels))
        lo, hi = bounds(kind)
        return _Value({number: 1.0}, 0.0, lo, hi, kind.frac)

    def _step(self, step: Step) -> _Value:
        if len(step.terms) == 1 and step.constant == 0.0 and step.terms[0][1].startswith("inp["):
            factor, name = step.terms[0]
            kind = self.kind if step.kind is None or step.kind.holds(self.kind) else step.kind
            if factor == 1.0:
                return self._channel(int(name[4:-1]), kind)
        total = _Value(constant=step.constant, lo=step.constant, hi=step.constant)
        if step.constant:
            total.frac = -int(lsb_exponent(np.array([step.constant]))[0])
        for factor, name in step.terms:
            value = self._channel(int(name[4:-1]), self.kind) if name.startswith("inp[") else self.values.get(name)
            if value is None:
                raise ModelError(f"layer {self.layer.name!r}: {self.code.name} reads {name!r} before it is computed")
            for channel, other in value.factors.items():
                total.factors[channel] = total.factors.get(channel, 0.0) + factor * other
            ends = sorted((factor * value.lo, factor * value.hi))
            total.constant += factor * value.constant
            total.lo, total.hi = total.lo + ends[0], total.hi + ends[1]
            total.frac = max(total.frac, value.frac - int(log2(abs(factor))))
        if step.kind is not None and (total.factors or total.constant):
            lo, hi = bounds(step.kind)
            if total.frac > step.kind.frac or total.lo < lo or total.hi > hi:
                raise UnsupportedError(
                    f"layer {self.layer.name!r}: {step.target!r} of the generated function {self.code.name} loses bits "
                    f"of a sum in [{total.lo}, {total.hi}]",
                    hint="write the project with strategy latency; its results are the same",
                )
        return total


def bounds(kind: Fixed) -> tuple[float, float]:
    """Lowest and highest value of a type."""
    top = 2.0 ** (kind.integer - int(kind.signed))
    return (-top if kind.signed else 0.0), top - 2.0**-kind.frac


def computed(layer: Layer, code: Code, x: Term) -> Term:
    """Apply a generated function over the last axis of `x`."""
    shape = layer.shape(x)
    trace = _Trace(layer, code, x.type, shape[-1])
    keys = list(trace.channels)
    if not keys:
        raise UnsupportedError(f"layer {layer.name!r}: the generated function {code.name} reads nothing")
    y = layer.taken(x, len(shape) - 1, [place for place, _ in keys])
    kinds = [kind for _, kind in keys]
    if not all(kind.holds(x.type) for kind in kinds):
        y = Term(_casts(layer, y, kinds), x.type)
    kernel = np.zeros((len(keys), code.outputs))
    for i, value in enumerate(trace.outputs):
        for channel, factor in value.factors.items():
            kernel[channel, i] = factor
    bias = np.array([value.constant for value in trace.outputs])
    order = np.argmax(kernel, axis=0)
    alone = np.all((kernel != 0).sum(axis=0) == 1) and np.all(kernel[order, np.arange(code.outputs)] == 1)
    hull = _hull(trace.outputs)
    if alone and not bias.any():
        return Term(layer.taken(y, len(shape) - 1, order.tolist()).tensor, hull)
    return Term(layer.node("dense", "", [y.tensor], {}, {"kernel": kernel, "bias": bias}), hull)


def _casts(layer: Layer, x: Term, kinds: Sequence[Fixed]) -> str:
    """Cast every element of the last axis to its own type."""
    modes = {(kind.rounding, kind.overflow) for kind in kinds if not kind.holds(x.type)}
    if len(modes) != 1:
        raise UnsupportedError(f"layer {layer.name!r}: elements of one tensor with different roundings")
    ((rounding, overflow),) = modes
    signed, bits, frac = (np.array([getattr(kind, key) for kind in kinds]) for key in ("signed", "width", "frac"))
    rule = Quantiser.of_arrays(signed, bits, frac, rounding, overflow)
    return layer.node("quantise", "casts", [x.tensor], {"quantiser": rule})


def _hull(values: Sequence[_Value]) -> Fixed:
    """Smallest type of all values."""
    lo, hi = min(value.lo for value in values), max(value.hi for value in values)
    frac = max(value.frac for value in values)
    most = max(-lo, hi + 2.0**-frac, 2.0**-frac)
    signed = lo < 0
    integer = ceil(log2(most)) + int(signed)
    return Fixed(signed, max(1, integer + frac), integer)


def code_of(record: Record) -> Code:
    """Return the generated function that a call, or its config, names."""
    code = record.versions["code"]
    if not isinstance(code, Code):
        raise UnsupportedError(
            f"layer {record.name!r} ({record.kind}): its generated function is not found",
            hint="keep firmware/nnet_utils/nnet_code_gen.h, which holds the weights of such a project",
        )
    return code


@imports("hls4ml", "generated")
def _generated(record: Record, net: NetworkBuilder) -> str:
    """`function(data, res)`."""
    layer = Layer(record, net)
    record.ignore("n_in", "n_out", "strategy", "dense_da")
    code = code_of(record)
    x = layer.x
    flat = int(np.prod(layer.shape(x)))
    return layer.assign(computed(layer, code, layer.view(x, (flat,))))


@imports("hls4ml", "conv1d_cl", "conv2d_cl")
def _generated_conv(record: Record, net: NetworkBuilder) -> str:
    """`convNd_cl<config, data_T, res_T>(data, res)` of distributed arithmetic over the windows of `fill_buffer`."""
    layer = Layer(record, net)
    code = code_of(record)
    config = record.rest()
    places = record.versions["windows"]
    if places is None:
        raise UnsupportedError(f"layer {layer.name!r} ({record.kind}): its fill_buffer is not found")
    sizes = [config.get(key, 1) for key in ("filt_height", "filt_width", "out_height", "out_width")]
    if not all(isinstance(size, int) for size in (*sizes, config.get("n_chan"))):
        raise record.unsupported("filt_width", sizes, "expected integers")
    height, width, *out = (max(size, 1) for size in sizes)  # -1 stands for no height
    taps = height * width * int(config["n_chan"])
    if len(places) != out[0] * out[1] or any(len(row) != taps for row in places):
        raise ModelError(f"layer {layer.name!r} ({record.kind}): fill_buffer fills no {out} windows of {taps} elements")
    rows = np.asarray(places)
    x = layer.x
    size = int(np.prod(layer.shape(x)))
    if rows.max() >= size:
        raise ModelError(f"layer {layer.name!r} ({record.kind}): a window reads element {rows.max()} of {size}")
    if rows.min() < 0:
        attrs = {"padding": ((0, 1),), "mode": "constant", "value": 0.0}
        x = Term(layer.node("pad", "padded", [x.tensor], attrs), x.type)
        rows = np.where(rows < 0, size, rows)
    y = layer.view(layer.taken(x, 0, rows.ravel().tolist()), rows.shape)
    return layer.assign(computed(layer, code, y))
