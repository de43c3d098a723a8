"""What is compared: frozen networks that both tools take up from the same file, with inputs and exact answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from networks import Mlp, matrix, mlp, network, seeded
from numpy.typing import NDArray

from hardwire import frontends
from hardwire.network.graph import Network
from hardwire.network.prepare import input_quantisers, prepare

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """`model`: a network of `networks.py`; or `path`: a file of a trained model."""

    name: str
    model: Mlp | None = field(default=None, repr=False)
    path: Path | None = None

    def network(self) -> Network:
        """What hardwire compiles."""
        return network(self.model) if self.model is not None else frontends.load(self.path)

    @property
    def options(self) -> dict[str, Any]:
        """For `hardwire.compile`: what the network itself doesn't say."""
        return {} if self.model is None else {"input_type": "s8.4", "exact": True}

    def write(self, folder: Path) -> Path:
        """The file for the peer, in `folder` or where it lies."""
        if self.model is None:
            assert self.path is not None
            return self.path.resolve()
        arrays: dict[str, Any] = {
            f"{k}{i}": v for i, layer in enumerate(self.model.layers) for k, v in zip("wb", layer, strict=True)
        }
        hidden = [self.model.hidden.bits - self.model.hidden.frac, self.model.hidden.frac]
        np.savez(folder / "network.npz", hidden=hidden, **arrays)
        return folder / "network.npz"

    def data(self, count: int) -> Floats:
        """Inputs (count, features) on the grid and within the range of the input's types."""
        if self.model is not None:
            return self.model.data(count)
        prepared = prepare(self.network())
        if len(prepared.inputs) != 1:
            raise SystemExit(f"{self.name}: {len(prepared.inputs)} inputs; one is supported here")
        quantiser = input_quantisers(prepared, None)[prepared.inputs[0]]
        shape = prepared.shapes[prepared.inputs[0]]
        rng = np.random.default_rng(1)
        x = rng.normal(size=(count, *shape)) * np.exp(rng.normal(size=(count, 1)))[(...,) + (None,) * (len(shape) - 1)]
        return np.asarray(quantiser(x), np.float64)

    def expected(self, x: Floats) -> Floats | None:
        """Exact answers (N, outputs) by numpy; None for a model from a file, whose meaning is its framework's."""
        return None if self.model is None else self.model.reference(x)


SIZES = ("quick", "small", "middle", "full")
"""Sets of networks; each holds those before it."""


def _cases() -> Iterable[tuple[str, Case]]:
    """Each with the smallest set that it is part of."""

    def case(model: Mlp) -> Case:
        return Case(model.name, model)

    small, middle, whole = (16, 16, 8, 5), (16, 32, 16, 16, 5), (16, 64, 32, 32, 5)
    yield "quick", case(matrix(8, 6))
    yield "quick", case(seeded((16, 8, 5), 6))
    yield "small", case(matrix(16, 4))
    yield "small", case(matrix(16, 8))
    for bits in (6, 4, 8):
        yield "small", case(seeded(small, bits))
    yield "small", case(seeded(small, 6, seed=1))
    yield "small", case(seeded(small, 6, prune=0.5))
    yield "small", case(seeded(small, 6, prune=0.75))
    yield "middle", case(seeded(small, 6, seed=2))
    yield "middle", case(seeded(small, 4, prune=0.5))
    yield "middle", case(matrix(16, 6))
    yield "middle", case(seeded(middle, 6, prune=0.75))
    yield "middle", case(seeded(middle, 4, prune=0.5))
    yield "middle", case(seeded(middle, 6))
    yield "middle", case(seeded(middle, 6, seed=1))
    yield "middle", case(matrix(32, 4))
    yield "full", case(matrix(32, 8))
    yield "full", case(seeded(middle, 8))
    yield "full", case(seeded(whole, 6, prune=0.75))
    yield "full", case(seeded(whole, 6, prune=0.5))
    yield "full", case(seeded(whole, 4))
    for seed in range(3):
        yield "full", case(seeded(whole, 6, seed=seed))
    yield "full", case(seeded(whole, 8))


def cases(size: str, files: Sequence[Path] = (), networks: Sequence[Path] = ()) -> list[Case]:
    """The networks of a set (one of `SIZES`; none of another name), smallest first.

    `files`: models to add, `networks`: Python files that define further ones (see the README).
    """
    kept = SIZES[: SIZES.index(size) + 1] if size in SIZES else ()
    found = [case for least, case in _cases() if least in kept]
    found += [Case(model.name, model) for model in map(mlp, networks)]
    return found + [Case(path.stem if path.stem != "model" else path.parent.name, path=path) for path in files]
