"""The jets of `hardwire.datasets.jets` as their 16 hardest particles, three numbers each: input of sets and attention.

Row i of a generation with the same seed is the same jet there and here. Particles are the ungroomed jet's, ordered by
transverse momentum, with zeros where a jet has fewer (as in Moreno et al., Eur. Phys. J. C 80 (2020) 58, and the
"hls4ml LHC jet" set's constituents).
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
from hardwire.datasets._simulated import CLASS_NAMES, checked_request, recorded, simulate, simulated_rows
from hardwire.datasets._split import split_indices
from hardwire.datasets.physics.features import jet_features, matched_jet
from hardwire.datasets.physics.pythia import generator_versions
from hardwire.errors import DataError

PARTICLES = 16
PARTICLE_FEATURES = ("pt", "deta", "dphi")
FORMAT = "hardwire particles 1"


@dataclass(frozen=True, eq=False)
class Particles:
    """Jets as sets of particles, with their kinds.

    `X` (N, 16, 3) float32: transverse momentum in GeV, pseudorapidity and azimuth (radians) relative to the jet's axis,
    hardest first, zeros where there is no particle. `y` (N,) int64 indexes `class_names`.

    Raises:
        DataError: shapes or values do not fit each other.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    feature_names: tuple[str, ...] = PARTICLE_FEATURES
    class_names: tuple[str, ...] = CLASS_NAMES
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.X.ndim != 3 or self.X.shape[2] != len(self.feature_names):
            raise DataError(f"jets of particles need X (N, particles, {len(self.feature_names)}), not {self.X.shape}")
        if self.y.shape != self.X.shape[:1]:
            raise DataError(f"jets need one class for each of {len(self.X)} rows, not y of shape {self.y.shape}")
        if not np.isfinite(self.X).all():
            raise DataError("the particles hold a NaN or an infinity")
        if len(self.y) and not 0 <= int(self.y.min()) <= int(self.y.max()) < len(self.class_names):
            raise DataError(
                f"y must lie within 0 … {len(self.class_names) - 1}, not {int(self.y.min())} … {int(self.y.max())}"
            )

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | ArrayLike) -> Particles:
        """Some of the jets, by slice, indices or mask."""
        index = rows if isinstance(rows, slice) else np.asarray(rows)
        return Particles(self.X[index], self.y[index], self.feature_names, self.class_names, self.recipe)

    def split(self, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> tuple[Particles, ...]:
        """Shuffled training, validation and test jets, the same for the same arguments; see `split_indices`."""
        return tuple(self[part] for part in split_indices(len(self), validation=validation, test=test, seed=seed))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed .npz in float16, whole or not at all; the same jets give the same bytes.

        Values are kept to 11 significant bits. Raises `DataError` if the file cannot be written there.
        """
        write_npz(
            path,
            {
                # One array a feature compresses better than all of them in turn.
                **{name: self.X[..., k].astype(np.float16) for k, name in enumerate(self.feature_names)},
                "y": self.y.astype(np.uint8),
                "feature_names": np.array(self.feature_names),
                "class_names": np.array(self.class_names),
                "recipe": np.array(json.dumps(dict(self.recipe), sort_keys=True)),
                "format": np.array(FORMAT),
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Particles:
        """Read what `save` wrote; nothing in the file is executed. Raises `DataError` for any other file."""
        name = os.fspath(path)
        again = "a file that Particles.save wrote"
        try:
            with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                if "format" not in file.files or str(file["format"]) != FORMAT:
                    raise DataError(f"{name} does not hold jets of the format '{FORMAT}'", hint=again)
                features, classes = (tuple(map(str, file[key])) for key in ("feature_names", "class_names"))
                x = np.stack([file[key].astype(np.float32) for key in features], axis=-1)
                y = file["y"].astype(np.int64)
                recipe = dict(json.loads(str(file["recipe"])))
        except FileNotFoundError as error:
            raise DataError(f"there is no file {name}", hint=again) from error
        except UNREADABLE as error:
            raise DataError(f"{name} cannot be read as jets of particles: {error}", hint=again) from error
        try:
            return cls(x, y, features, classes, recipe)
        except DataError as error:
            raise DataError(f"{name} cannot be read as jets of particles: {error.what}", hint=again) from error


def particles_of(jet: NDArray[np.float64], most: int = PARTICLES) -> NDArray[np.float64]:
    """The hardest particles (most, 3) of a jet's constituents (n, 4) px py pz E [GeV], relative to the jet's axis."""
    pt = np.hypot(jet[:, 0], jet[:, 1])
    order = np.argsort(-pt, kind="stable")[:most]
    axis = jet.sum(axis=0)
    eta, phi = np.arcsinh(jet[order, 2] / pt[order]), np.arctan2(jet[order, 1], jet[order, 0])
    deta = eta - np.arcsinh(axis[2] / np.hypot(axis[0], axis[1]))
    turn = phi - np.arctan2(axis[1], axis[0])
    rows = np.zeros((most, 3))
    rows[: len(order)] = np.stack([pt[order], deta, (turn + np.pi) % (2.0 * np.pi) - np.pi], axis=1)
    return rows


def _describe(objects: NDArray[np.float64], partons: NDArray[np.float64]) -> NDArray[np.float64] | None:
    jet = matched_jet(objects, partons)
    # A jet whose features have no value is none there, and so none here.
    return None if jet is None or jet_features(jet) is None else particles_of(jet)


def _chunk(kind: int, index: int, count: int, seed: int, tick: Tick) -> NDArray[np.float32]:
    return simulated_rows(kind, index, count, seed, tick, _describe, (PARTICLES, len(PARTICLE_FEATURES)))


def load() -> Particles:
    """The sample that ships with hardwire: the particles of the first 8,000 jets of `generate(…, seed=1)`.

    It is saved in float16 (3 significant digits); `recipe` holds the versions.
    """
    with resources.as_file(resources.files("hardwire.datasets") / "samples" / "particles.npz") as path:
        return Particles.load(path)


def generate(n: int, seed: int = 0, *, processes: int | None = None, progress: Progress | None = None) -> Particles:
    """Simulate n jets; see `hardwire.datasets.jets.generate_jets`, whose jets of the same seed these are."""
    n, seed, workers = checked_request("particles", n, seed, processes)
    recipe = recorded("particles", n, seed, generator_versions())
    x, y = simulate(_chunk, n, seed, (PARTICLES, len(PARTICLE_FEATURES)), workers, progress)
    return Particles(x, y, recipe=recipe)
