"""Training, validation and test parts, and the scaling that is learnt from the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hardwire.errors import DataError


def split_indices(
    n: int, *, validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Shuffle 0 … n-1 and cut it: indices of training, validation and test, the same for the same arguments.

    Raises:
        DataError: a fraction or the seed is negative, no training part is left, or n is too small for one asked for.
    """
    if not (0.0 <= validation < 1.0 and 0.0 <= test < 1.0 and validation + test < 1.0):
        raise DataError(
            f"cannot split into validation = {validation} and test = {test}: both are fractions of the whole, from 0, "
            "whose sum stays below 1",
            hint="validation=0.1, test=0.2",
        )
    n_validation, n_test = round(n * validation), round(n * test)
    n_train = n - n_validation - n_test
    if n_train < 1 or (validation > 0 and n_validation < 1) or (test > 0 and n_test < 1):
        raise DataError(
            f"{n} rows are too few for validation = {validation} and test = {test}: a part would be empty",
            hint="take more rows or other fractions",
        )
    if seed < 0:
        raise DataError(f"cannot split with seed {seed}", hint="0 or more")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(n).astype(np.int64)
    return order[:n_train], order[n_train : n_train + n_validation], order[n_train + n_validation :]


@dataclass(frozen=True)
class Standardiser:
    """(x - mean) / std per feature, with `mean` and `std` (features,) float64 learnt from training data."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def fit(cls, x: ArrayLike) -> Standardiser:
        """Learn from x (N, features); a feature that never varies gets std 1.

        Raises:
            DataError: x is not a table with rows, or is not finite.
        """
        table = np.asarray(x, dtype=np.float64)
        if table.ndim != 2 or len(table) == 0:
            raise DataError(f"a standardiser is fitted to a table (rows, features), not to shape {table.shape}")
        if not np.isfinite(table).all():
            column = int(np.flatnonzero(~np.isfinite(table).all(axis=0))[0])
            raise DataError(f"a standardiser cannot be fitted: column {column} holds a NaN or an infinity")
        std = table.std(axis=0)
        return cls(table.mean(axis=0), np.where(std > 0.0, std, 1.0))

    def __call__(self, x: ArrayLike) -> NDArray[np.float32]:
        """Scale x (…, features); float32, computed in float64.

        Raises:
            DataError: the last axis has another number of features.
        """
        table = np.asarray(x, dtype=np.float64)
        if table.ndim == 0 or table.shape[-1] != len(self.mean):
            raise DataError(
                f"the standardiser was fitted to {len(self.mean)} features, the input has shape {table.shape}"
            )
        return np.asarray((table - self.mean) / self.std, dtype=np.float32)
