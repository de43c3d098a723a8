"""Layer by layer: what the model computes against the compiled integers, to find where a difference starts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hardwire.design import Design
from hardwire.errors import DataError
from hardwire.fixed import Floats, width_of
from hardwire.ir.program import Program, Tap, fraction_bits
from hardwire.meaning import affordable_rows, tap_values
from hardwire.network.graph import Network, typed
from hardwire.network.reference import forward_all


@dataclass(frozen=True)
class LayerDifference:
    """A tensor in the model and in the build.

    `fidelity` is the share of the float values' variance that the build keeps (1: equal), `type` the fixed-point type
    it has there, `bad` whether the fidelity is below what was asked.
    """

    layer: str
    kind: str
    type: str
    largest_value: float
    largest_difference: float
    rms_difference: float
    fidelity: float
    bad: bool


@dataclass(frozen=True)
class Comparison:
    """Rows in the model's order; `first_bad` is the first layer whose fidelity is below `asked`."""

    rows: tuple[LayerDifference, ...]
    vectors: int
    asked: float
    first_bad: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `hardwire compare --json` prints it."""
        return asdict(self)


def compare(model: Network, design: Design, x: Any, *, fidelity: float = 0.99) -> Comparison:
    """Hold a build against the model (its Network, prepared) on inputs `x`, layer by layer.

    `x`: float arrays `(N, *shape)`, one per input, as many rows of it as can be interpreted in seconds. Tensors that
    only one of the two has (folded or split layers) are left out. Raises `DataError` for a build of another model.
    """
    arrays = design.check_inputs(x)
    rows = min(len(arrays[0]), affordable_rows(design.program))
    arrays = [array[:rows] for array in arrays]
    if not rows:
        raise DataError("no inputs to compare on: the arrays are empty")
    if [model.shapes[name] for name in model.inputs] != [port.shape for port in design.program.inputs]:
        raise DataError(
            f"the model {model.name!r} and the build {design.name!r} have inputs of different shapes",
            hint="give the model that the build was compiled from",
        )
    fixed = tap_values(design.program, [code[:rows] for code in design.codes(tuple(arrays))])
    taps = {tap.name: tap for tap in design.program.taps}
    floats = forward_all(model, arrays)
    found = []
    for tensor, kind in [*((name, "input") for name in model.inputs), *((n.outputs[0], n.kind) for n in model.nodes)]:
        name = typed(tensor) if typed(tensor) in taps else tensor
        if name in taps and taps[name].shape == tuple(model.shapes[tensor]):
            found.append(_difference(tensor, kind, design.program, taps[name], floats[tensor], fixed[name], fidelity))
    if len(found) <= len(model.inputs):
        raise DataError(
            f"the model {model.name!r} and the build {design.name!r} have no layer in common",
            hint="give the model that the build was compiled from",
        )
    return Comparison(tuple(found), rows, fidelity, next((row.layer for row in found if row.bad), None))


def _difference(
    tensor: str, kind: str, program: Program, tap: Tap, floats: Floats, fixed: Floats, asked: float
) -> LayerDifference:
    difference = floats - fixed
    error = float(np.mean(difference**2))
    spread = float(np.mean((floats - floats.mean()) ** 2))
    kept = 1.0 - error / spread if spread else float(error == 0)
    return LayerDifference(
        tensor,
        kind,
        _type(program, tap),
        float(np.abs(floats).max(initial=0.0)),
        float(np.abs(difference).max(initial=0.0)),
        error**0.5,
        kept,
        kept < asked,
    )


def _type(program: Program, tap: Tap) -> str:
    """The type that holds the tensor: `s12.6`; `s12.…` where elements differ in scale, `s12.×` for no power of two."""
    array = program.arrays[tap.array]
    low, high = int(array.lo[tap.index].min(initial=0)), int(array.hi[tap.index].max(initial=0))
    sign = "s" if low < 0 else "u"
    scales = set(tap.scale.tolist())
    if len(scales) > 1:
        return f"{sign}{width_of(low, high)}.…"
    frac = fraction_bits(scales.pop())
    return f"{sign}{width_of(low, high)}" + (".×" if frac is None else f".{frac}")
