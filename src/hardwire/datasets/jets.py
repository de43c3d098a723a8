"""Simulated 1 TeV jets with the 16 high-level features of the hls4ml jet benchmark.

Five kinds: gluon, light quark, top, W, Z. The physics is Pythia 8's, the detector and the observables are hardwire's
(`hardwire.datasets.physics`); they follow Coleman et al., JINST 13 (2018) T01003, and Duarte et al., JINST 13 (2018)
P07027. They resemble the public "hls4ml LHC jet" set closely and are not that set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.datasets._files import UNREADABLE, write_npz
from hardwire.datasets._parallel import Progress, Tick
from hardwire.datasets._simulated import CHUNK_JETS, CLASS_NAMES, checked_request, recorded, simulate, simulated_rows
from hardwire.datasets._split import split_indices
from hardwire.datasets.physics.features import FEATURE_NAMES, event_features
from hardwire.datasets.physics.pythia import generator_versions
from hardwire.errors import DataError

__all__ = ["CHUNK_JETS", "CLASS_NAMES", "FORMAT", "Jets", "generate", "generate_jets", "load", "load_jets"]

FORMAT = "hardwire jets 1"


@dataclass(frozen=True, eq=False)
class Jets:
    """Jets with their features and kinds.

    `X` (N, 16) float32 in the order of `feature_names`: the groomed mass in GeV, the multiplicity a count, the rest
    dimensionless. `y` (N,) int64 indexes `class_names`. `recipe` says how they were made.

    Raises:
        DataError: shapes, names or values do not fit each other.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    feature_names: tuple[str, ...] = FEATURE_NAMES
    class_names: tuple[str, ...] = CLASS_NAMES
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.shape[1] != len(self.feature_names):
            raise DataError(
                f"jets need X of shape (N, {len(self.feature_names)}), one column a feature, not {self.X.shape}"
            )
        if self.y.shape != self.X.shape[:1]:
            raise DataError(f"jets need one class for each of {len(self.X)} rows, not y of shape {self.y.shape}")
        finite = np.isfinite(self.X).all(axis=0)
        if not finite.all():
            name = self.feature_names[int(np.argmin(finite))]
            raise DataError(f"feature {name} holds a NaN or an infinity")
        if len(self.y) and not 0 <= int(self.y.min()) <= int(self.y.max()) < len(self.class_names):
            raise DataError(
                f"y must lie within 0 … {len(self.class_names) - 1}, not {int(self.y.min())} … {int(self.y.max())}"
            )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | ArrayLike) -> Jets:
        """Some of the jets, by slice, indices or mask."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        return Jets(self.X[index], self.y[index], self.feature_names, self.class_names, self.recipe)

    def split(self, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> tuple[Jets, Jets, Jets]:
        """Shuffled training, validation and test jets, the same for the same arguments; see `split_indices`."""
        train, valid, tested = split_indices(len(self), validation=validation, test=test, seed=seed)
        return self[train], self[valid], self[tested]

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write a compressed .npz, whole or not at all; the same jets give the same bytes.

        It holds `X`, `y`, `feature_names`, `class_names`, `recipe` (JSON) and `scale_log2`. With `half`, X is float16:
        each feature times 2^scale_log2, the power of two that brings its largest magnitude to 2^14 … 2^15, since some
        features would vanish in float16 as they stand. That keeps 11 significant bits of any value above 2^-29 of
        the feature's largest; `load` undoes the scale exactly.

        Raises:
            DataError: the file cannot be written there.
        """
        shift = np.zeros(len(self.feature_names), dtype=np.int8)
        x = self.X
        if half and len(self):
            # frexp: |x| < 2^exponent, so x * 2^(15 - exponent) < 2^15, half of what float16 holds.
            shift = np.clip(15 - np.frexp(np.abs(self.X).max(axis=0))[1], -126, 126).astype(np.int8)
            x = np.ldexp(self.X, shift).astype(np.float16)
        write_npz(
            path,
            {
                "X": x,
                "y": self.y.astype(np.uint8),
                "scale_log2": shift,
                "feature_names": np.array(self.feature_names),
                "class_names": np.array(self.class_names),
                "recipe": np.array(json.dumps(dict(self.recipe), sort_keys=True)),
                "format": np.array(FORMAT),
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Jets:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            DataError: there is no such file, or it is not one of these, or it is damaged.
        """
        name = os.fspath(path)
        again = "a file that `hardwire data jets` or Jets.save wrote"
        try:
            # np.load leaves a file that it opens itself open where it is damaged.
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                if "format" not in file.files or str(file["format"]) != FORMAT:
                    raise DataError(f"{name} does not hold jets of the format '{FORMAT}'", hint=again)
                shift = file["scale_log2"].astype(np.int32)
                x = np.ldexp(file["X"].astype(np.float32), -shift)
                y = file["y"].astype(np.int64)
                features, classes = (tuple(map(str, file[key])) for key in ("feature_names", "class_names"))
                recipe = dict(json.loads(str(file["recipe"])))
        except FileNotFoundError as error:
            raise DataError(f"there is no file {name}", hint=again) from error
        except UNREADABLE as error:
            raise DataError(f"{name} cannot be read as jets: {error}", hint=again) from error
        try:
            return cls(x, y, features, classes, recipe)
        except DataError as error:
            raise DataError(f"{name} cannot be read as jets: {error.what}", hint=again) from error


def load_jets() -> Jets:
    """The sample that ships with hardwire: 60,000 jets, a fifth of each kind, in an order without meaning.

    It is `generate_jets(60_000, seed=1)` saved with half=True (4 significant digits); `recipe` holds the versions.
    """
    with resources.as_file(resources.files("hardwire.datasets") / "samples" / "jets.npz") as path:
        return Jets.load(path)


def _chunk(kind: int, index: int, count: int, seed: int, tick: Tick) -> NDArray[np.float32]:
    """The first `count` jets of one chunk of one kind, (count, 16)."""
    return simulated_rows(kind, index, count, seed, tick, event_features, (len(FEATURE_NAMES),))


def _recipe(n: int, seed: int) -> dict[str, Any]:
    return recorded("jets", n, seed, generator_versions())


def generate_jets(n: int, seed: int = 0, *, processes: int | None = None, progress: Progress | None = None) -> Jets:
    """Simulate n jets; jet i is of kind i mod 5, so that every prefix is balanced.

    The same n and seed give the same bytes whatever the number of processes (with the same versions of Pythia, numpy
    and numba on the same kind of machine), and the first jets of a larger n are those of a smaller one: jets are made
    in chunks of 500 of a kind, each with a seed of its own. About 100-150 jets per second and core.

    Args:
        n: how many, ≥ 1.
        seed: any integer ≥ 0.
        processes: worker processes, all cores if None; 1 stays in this process. More than one need the calling script
            to be importable (`if __name__ == "__main__":`).
        progress: called with (done, n) from this process.

    Raises:
        MissingToolError: the extra `physics` is not installed.
        DataError: an argument is out of range.
        ToolError: a worker process died.
    """
    n, seed, workers = checked_request("jets", n, seed, processes)
    recipe = _recipe(n, seed)
    x, y = simulate(_chunk, n, seed, (len(FEATURE_NAMES),), workers, progress)
    return Jets(x, y, FEATURE_NAMES, CLASS_NAMES, recipe)


load = load_jets
generate = generate_jets
