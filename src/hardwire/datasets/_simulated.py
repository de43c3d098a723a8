"""Jets from the simulation, in chunks with a seed each: what the data sets of jets share.

A data set says what it keeps of an event; which events there are follows from the seed alone, so that row i of every
such data set is the same jet.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire import __version__
from hardwire.datasets._parallel import Progress, Tick, run_chunks
from hardwire.datasets.physics.detector import detect
from hardwire.datasets.physics.pythia import JetEvents
from hardwire.errors import DataError

CLASS_NAMES = ("g", "q", "t", "w", "z")

# Jets of a chunk are made in order from one seed, so these two numbers are part of what a seed means.
CHUNK_JETS = 500
BATCH_EVENTS = 25

Describe = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64] | None]
"""What is kept of an event's objects (n, 4) and partons (2, 4); None where it has no jet."""


def simulated_rows(
    kind: int, index: int, count: int, seed: int, tick: Tick, describe: Describe, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """The first `count` jets of one chunk of one kind, (count, *shape)."""
    seeds = np.random.SeedSequence(seed, spawn_key=(kind, index))
    source = JetEvents(CLASS_NAMES[kind], int(seeds.generate_state(1, np.uint64)[0]))
    rng = np.random.Generator(np.random.PCG64(seeds))
    rows = np.empty((count, *shape), dtype=np.float32)
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
            row = describe(objects, events.partons[i])
            if row is not None:
                rows[made] = row
                made += 1
        tick(made - before)
    return rows


def checked_request(what: str, n: int, seed: int, processes: int | None) -> tuple[int, int, int]:
    """`n`, `seed` and the number of processes, all cores if None; raises `DataError` for what cannot be."""
    workers = (os.cpu_count() or 1) if processes is None else processes
    for name, value, least in (("n", n, 1), ("seed", seed, 0), ("processes", workers, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DataError(
                f"{what} cannot be generated with {name} = {value!r}: it must be an integer of at least {least}"
            )
    return int(n), int(seed), int(workers)


def simulate(
    chunk: Callable[..., NDArray[np.float32]],
    n: int,
    seed: int,
    shape: tuple[int, ...],
    processes: int,
    progress: Progress | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows (n, *shape) and kinds (n,): jet i is of kind i mod 5, made by `chunk(kind, index, count, seed, tick)`."""
    kinds = len(CLASS_NAMES)
    chunks: Sequence[tuple[int, int, int, int]] = [
        (kind, start // CHUNK_JETS, min(CHUNK_JETS, wanted - start), seed)
        for kind, wanted in enumerate((n - kind + kinds - 1) // kinds for kind in range(kinds))
        for start in range(0, wanted, CHUNK_JETS)
    ]
    parts = run_chunks(chunk, chunks, total=n, processes=processes, progress=progress)
    x = np.empty((n, *shape), dtype=np.float32)
    y = np.arange(n, dtype=np.int64) % kinds
    for (kind, index, count, _), part in zip(chunks, parts, strict=True):
        first = kind + kinds * CHUNK_JETS * index
        x[first : first + kinds * count : kinds] = part
    return x, y


def recorded(data_set: str, n: int, seed: int, generator: dict[str, str]) -> dict[str, Any]:
    """How a data set was made: the command, the versions, the physics."""
    return {
        "command": f"hardwire data {data_set} -n {n} --seed {seed}",
        "n": n,
        "seed": seed,
        "chunk_jets": CHUNK_JETS,
        "batch_events": BATCH_EVENTS,
        "versions": {
            **generator,
            "hardwire": __version__,
            "numpy": metadata.version("numpy"),
            "numba": metadata.version("numba"),
            "python": platform.python_version(),
        },
        "machine": platform.machine(),
        "process": "pp at 13 TeV, Pythia 8 Monash, partons of 995-1005 GeV in pT (gluons: from 995 GeV)",
        "jets": "leading anti-kT R = 0.4 within 0.4 of a parton, mMDT z_cut = 0.1, at least 3 groomed constituents",
    }
