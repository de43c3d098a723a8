"""A small task that a small network learns in a second."""

from __future__ import annotations

import numpy as np
import torch

from hardwire import nn


def rings(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 4) in three rings of their first two coordinates, and the ring of each."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, np.digitize(np.hypot(x[:, 0], x[:, 1]), (0.8, 1.5)).astype(np.int64)


FIXED = nn.Scheme.fixed("s10.6", "s8.5")


def dense(seed: int = 0, dropout: float = 0.0, scheme: nn.Scheme | None = None) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    scheme = scheme or nn.Scheme.learned(5.0)
    return torch.nn.Sequential(
        nn.Dense(4, 12, scheme=scheme), torch.nn.ReLU(), torch.nn.Dropout(dropout), nn.Dense(12, 3, scheme=scheme)
    )


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
