"""One case of the table layer × frontend × engine: a tiny model of a format, and its framework's own answers.

`cases/<frontend>.py` has `cases() -> Iterator[Case]` (cheap: the model is made in `build`); it is found by its
presence.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import hardwire as hw
from hardwire import frontends
from hardwire.calibrate import calibrate
from hardwire.network.graph import Network
from hardwire.network.prepare import prepare

ROWS = (
    "dense", "einsum dense", "embedding", "conv 1d", "conv 2d", "conv 3d", "depthwise conv", "separable conv",
    "transposed conv", "max pooling", "average pooling", "global pooling", "zero padding", "cropping", "up-sampling",
    "batch norm", "layer norm", "other norms", "simple RNN", "LSTM", "GRU", "bidirectional", "time distributed",
    "multi-head attention", "Linformer attention", "add", "subtract", "multiply", "average", "minimum", "maximum",
    "concatenate", "dot", "matmul", "slice", "split", "reshape", "flatten", "transpose", "sum", "mean", "max over axes",
    "relu", "leaky relu", "prelu", "clip", "sigmoid", "tanh", "softmax", "argmax", "gelu", "silu", "mish",
    "hard sigmoid", "hard tanh", "hard swish", "softplus", "softsign", "selu", "elu", "other activations", "thresholds",
    "binary and ternary", "quantisers", "lookup tables", "trees", "nested model", "shared layer", "several inputs",
    "several outputs", "other",
)  # fmt: skip
"""Rows of the table, in its order."""


def grid(*shape: int, seed: int = 0, bits: int = 5, frac: int = 2) -> Any:
    """Float32 numbers of few bits, on which float32 arithmetic is exact."""
    rng = np.random.default_rng(seed)
    return (rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape) / (1 << frac)).astype(np.float32)


@dataclass(frozen=True)
class Built:
    """A model with inputs and the outputs of its framework's own forward, one array each, batch first.

    `model` is what `hw.compile` takes. A float model has an `input_type` and is compiled exactly (give it weights and
    inputs of few bits, so that float32 is exact too), or `calibrated` on its inputs. `tolerance` is the largest
    difference allowed between framework and hardware; 0: every bit. What is over 0 says `why`.
    """

    model: Any
    inputs: Sequence[Any]
    expected: Sequence[Any]
    input_type: str | None = None
    calibrated: bool = False
    tolerance: float = 0.0
    why: str = ""
    load: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `frontends.load`: example, weights."""


@dataclass(frozen=True)
class Case:
    """`row`: one of `ROWS`; `name`: what is particular, unique in its frontend; `build(folder)` makes the model."""

    row: str
    name: str
    build: Callable[[Path], Built]

    def __post_init__(self) -> None:
        assert self.row in ROWS, self.row


RecordCase = Callable[[str, Case, str, float], None]
"""Notes that a case of a frontend passed on an engine, with the largest difference from the framework."""


@dataclass(frozen=True)
class Ready:
    """A built case as a Network with a type for every input."""

    case: Case
    built: Built
    network: Network
    types: dict[str, str]


def ready(case: Case, folder: Path) -> Ready:
    """Import the case's model and give it types."""
    built = case.build(folder)
    network = prepare(frontends.load(built.model, **built.load))
    if built.calibrated:
        network = prepare(calibrate(network, [np.asarray(x, np.float64) for x in built.inputs]).network)
    types = {} if built.input_type is None else dict.fromkeys(network.inputs, built.input_type)
    return Ready(case, built, network, types)


def check(found: Ready) -> float:
    """Assert that the emulator's outputs are the framework's; return the largest difference by the outputs' span."""
    assert not found.built.tolerance or found.built.why, "a tolerance needs its reason"
    exact = not found.network.quantised
    design = hw.compile(found.network, exact=exact, input_type=found.types or None, backend="emulator")
    outputs = design.predict(tuple(found.built.inputs) if len(found.built.inputs) > 1 else found.built.inputs[0])
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert len(outputs) == len(found.built.expected)
    worst = share = 0.0
    for ours, theirs in zip(outputs, found.built.expected, strict=True):
        theirs = np.asarray(theirs, np.float64)
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        assert np.ptp(theirs) > 0, "the model's answer never changes: the case shows nothing"
        largest = float(np.abs(ours - theirs).max())
        worst, share = max(worst, largest), max(share, largest / float(np.ptp(theirs)))
    assert worst <= found.built.tolerance, f"{found.case.name}: differs by {worst:.3g}"
    return share


@cache
def frontend_modules() -> dict[str, ModuleType]:
    """The files of cases, by the frontend's name."""
    found = {}
    for path in sorted((Path(__file__).parent / "cases").glob("[!_]*.py")):
        spec = importlib.util.spec_from_file_location(f"conformance_cases_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        found[path.stem] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return found


@cache
def cases(frontend: str) -> dict[str, Case]:
    """Cases of a frontend by name."""
    found = list(frontend_modules()[frontend].cases())
    assert len({case.name for case in found}) == len(found), f"{frontend}: two cases of one name"
    return {case.name: case for case in found}
