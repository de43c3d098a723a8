"""ONNX's own node cases (`onnx/backend/test/data/node`) through the frontend: what each one gives.

Their inputs are all graph inputs; an importer of trained models needs parameters as constants. So a case is tried with
every input computed, then with every other choice of computed ones, from the first on: the rest become initialisers of
the case's own data; and where that fails, with its first output alone. The batch is axis 0 of the computed inputs.
Events with NaN in them are left out where others remain: no circuit can be given one.

`python tests/conformance_onnx/onnx_cases.py` writes `passing.txt` and prints what fails, and why.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from hardwire.errors import HardwireError
from hardwire.frontends import load
from hardwire.network.reference import forward

DATA = Path(onnx.__file__).parent / "backend/test/data/node"
PASSING = Path(__file__).with_name("passing.txt")
TOLERANCE = 1e-4
"""Largest difference to the expected values, relative and absolute; they are float32."""

FURTHEST = float(np.finfo(np.float32).max)


def cases() -> list[str]:
    """Names of all cases."""
    return sorted(path.name for path in DATA.iterdir() if (path / "model.onnx").is_file())


def _values(folder: Path, word: str) -> list[Any]:
    files = sorted(folder.glob(f"{word}_*.pb"), key=lambda path: int(path.stem.rpartition("_")[2]))
    return [numpy_helper.to_array(onnx.load_tensor(str(path))) for path in files]


def _choices(count: int) -> Iterator[tuple[int, ...]]:
    if count > 5:
        yield from [tuple(range(count)), *((k,) for k in range(count))]
        return
    for size in (count, *range(1, count)):
        yield from combinations(range(count), size)


def _bound(model: Any, arrays: list[Any], computed: tuple[int, ...]) -> Any:
    """The model with all inputs but the computed ones as initialisers."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    values = list(fixed.graph.input)
    del fixed.graph.input[:]
    for k, value in enumerate(values):
        if k in computed:
            fixed.graph.input.append(value)
        else:
            fixed.graph.initializer.append(numpy_helper.from_array(arrays[k], value.name))
    return fixed


def outcome(name: str) -> str:
    """`""` where the case passes, else why it does not."""
    folder = DATA / name
    model = onnx.load(str(folder / "model.onnx"))
    try:
        arrays, expected = _values(folder / "test_data_set_0", "input"), _values(folder / "test_data_set_0", "output")
    except (TypeError, ValueError, AttributeError, onnx.onnx_cpp2py_export.checker.ValidationError) as error:
        return f"data: {error}"
    except Exception as error:  # sequences and maps are no tensors
        return f"data: {type(error).__name__}"
    if len(arrays) != len(model.graph.input):
        return "data: inputs are absent"
    why = _tried(model, arrays, expected)
    if why and len(model.graph.output) > 1 and not why.startswith("WRONG"):
        # Masks, indices, means: outputs beside the result, which trained models do not read.
        del model.graph.output[1:]
        return _tried(model, arrays, expected)
    return why


def _tried(model: Any, arrays: list[Any], expected: list[Any]) -> str:
    why = "no inputs"
    for computed in _choices(len(arrays)):
        inputs = [arrays[k] for k in computed]
        if any(x.ndim == 0 or x.dtype.kind not in "fiub" for x in inputs):
            continue
        try:
            network = load(_bound(model, arrays, computed))
        except HardwireError as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        kept = _without_nan(inputs)
        try:
            results = forward(network, [(x if kept is None else x[kept]).astype(np.float64) for x in inputs])
        except HardwireError as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return _compared(results, expected if kept is None else [y[kept] for y in expected])
    return why


def _without_nan(inputs: list[Any]) -> Any:
    """Which events hold no NaN; None where all do not, or none would be left."""
    if len({len(x) for x in inputs}) > 1:
        return None
    clean = np.array([[not np.isnan(row).any() for row in x] for x in inputs]).all(axis=0)
    return None if clean.all() or not clean.any() else clean


def _compared(results: list[Any], expected: list[Any]) -> str:
    for ours, theirs in zip(results, expected, strict=False):
        if ours.shape != theirs.shape:
            return f"WRONG: shape {ours.shape}, expected {theirs.shape}"
        # Masks of -inf are float32's least number in a Network.
        ours, wanted = (np.clip(y.astype(np.float64), -FURTHEST, FURTHEST) for y in (ours, theirs))
        tolerance = 10 * TOLERANCE if theirs.dtype == np.float16 else TOLERANCE
        if not np.allclose(ours, wanted, rtol=tolerance, atol=tolerance, equal_nan=True):
            with np.errstate(invalid="ignore"):
                return f"WRONG: differs by {np.nanmax(np.abs(ours - wanted)):.3g}"
    return ""


def main() -> None:
    """Write the list of passing cases; print the others by reason."""
    found = {}
    for name in cases():
        try:
            found[name] = outcome(name)
        except Exception as error:  # what escapes is a defect, and is shown as one
            found[name] = f"ESCAPED {type(error).__name__}: {error}".splitlines()[0]
    PASSING.write_text("".join(f"{name}\n" for name, why in found.items() if not why), encoding="utf-8")
    for name, why in found.items():
        if why:
            print(f"{name}: {why}")
    print(Counter(why.partition(":")[0] if why else "passes" for why in found.values()), file=sys.stderr)


if __name__ == "__main__":
    main()
