"""Simulated 1 TeV jets with the 16 high-level features of the hls4ml jet benchmark.

Five kinds: gluon, light quark, top, W, Z. The physics is Pythia 8's, the detector and the observables are hardwire's
(`hardwire.datasets.physics`); they follow Coleman et al., JINST 13 (2018) T01003, and Duarte et al., JINST 13 (2018)
P07027. They resemble the public "hls4ml LHC jet" set closely and are not that set.
"""

from __future__ import annotations

import json
import os
import platform
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire import __version__
from hardwire.datasets._files import write_npz
from hardwire.datasets._parallel import Progress, Tick, run_chunks
from hardwire.datasets._split import split_indices
from hardwire.datasets.physics.detector import detect
from hardwire.datasets.physics.features import FEATURE_NAMES, event_features
from hardwire.datasets.physics.pythia import JetEvents, generator_versions
from hardwire.errors import DataError

CLASS_NAMES = ("g", "q", "t", "w", "z")
FORMAT = "hardwire jets 1"

# Jets of a chunk are made in order from one seed, so these two numbers are part of what a seed means.
CHUNK_JETS = 500
BATCH_EVENTS = 25

# What numpy, zipfile, zlib and json raise on files that are something else, cut short or damaged.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


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
        except _UNREADABLE as error:
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
    seeds = np.random.SeedSequence(seed, spawn_key=(kind, index))
    source = JetEvents(CLASS_NAMES[kind], int(seeds.generate_state(1, np.uint64)[0]))
    rng = np.random.Generator(np.random.PCG64(seeds))
    rows = np.empty((count, len(FEATURE_NAMES)), dtype=np.float32)
    made = 0
    while made < count:
        events = source.batch(BATCH_EVENTS)
        normals = rng.standard_normal(len(events.momenta))
        before = made
        for i in range(len(events)):
            if made == count:
                break
            part = slice(int(events.offsets[i]), int(events.offsets[i + 1]))
            objects = detect(events.momenta[part], events.seen_by[part], normals[part])
            row = event_features(objects, events.partons[i])
            if row is not None:
                rows[made] = row
                made += 1
        tick(made - before)
    return rows


def _recipe(n: int, seed: int) -> dict[str, Any]:
    return {
        "command": f"hardwire data jets -n {n} --seed {seed}",
        "n": n,
        "seed": seed,
        "chunk_jets": CHUNK_JETS,
        "batch_events": BATCH_EVENTS,
        "versions": {
            **generator_versions(),
            "hardwire": __version__,
            "numpy": metadata.version("numpy"),
            "numba": metadata.version("numba"),
            "python": platform.python_version(),
        },
        "machine": platform.machine(),
        "process": "pp at 13 TeV, Pythia 8 Monash, partons of 995-1005 GeV in pT (gluons: from 995 GeV)",
        "jets": "leading anti-kT R = 0.4 within 0.4 of a parton, mMDT z_cut = 0.1, at least 3 groomed constituents",
    }


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
    workers = (os.cpu_count() or 1) if processes is None else processes
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("processes", workers, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DataError(
                f"jets cannot be generated with {name} = {value!r}: it must be an integer of at least {least}"
            )
    n, seed = int(n), int(seed)
    recipe = _recipe(n, seed)
    kinds = len(CLASS_NAMES)
    chunks: Sequence[tuple[int, int, int, int]] = [
        (kind, start // CHUNK_JETS, min(CHUNK_JETS, wanted - start), seed)
        for kind, wanted in enumerate((n - kind + kinds - 1) // kinds for kind in range(kinds))
        for start in range(0, wanted, CHUNK_JETS)
    ]
    parts = run_chunks(_chunk, chunks, total=n, processes=int(workers), progress=progress)
    x = np.empty((n, len(FEATURE_NAMES)), dtype=np.float32)
    y = np.arange(n, dtype=np.int64) % kinds
    for (kind, index, count, _), part in zip(chunks, parts, strict=True):
        first = kind + kinds * CHUNK_JETS * index
        x[first : first + kinds * count : kinds] = part
    return Jets(x, y, FEATURE_NAMES, CLASS_NAMES, recipe)


load = load_jets
generate = generate_jets
