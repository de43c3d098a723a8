"""Metrics for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardwire.errors import MissingToolError, TrainingError
from hardwire.train.callbacks._base import Callback, Run


class TensorBoard(Callback):
    """Write each epoch's metrics as scalars to `folder` (`tensorboard` in the run's folder if None).

    Raises `MissingToolError` at once where the package `tensorboard` is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingToolError(
                "the TensorBoard log needs the package tensorboard, which is not installed",
                hint="pip install tensorboard, or CsvLog, which needs nothing",
            ) from error
        self._make: Any = SummaryWriter
        self.folder = None if folder is None else Path(folder)
        self._writer: Any = None

    def on_start(self, run: Run) -> None:
        """Open the log; a resumed run's takes the place of what a killed one wrote beyond its checkpoint."""
        if self.folder is None:
            if run.folder is None:
                raise TrainingError("TensorBoard: no folder, and the run has none", hint="TensorBoard('logs')")
            self.folder = run.folder / "tensorboard"
        self._writer = self._make(str(self.folder), purge_step=run.epoch + 1)

    def log(self, run: Run) -> None:
        """Write the epoch's metrics."""
        for name, value in run.metrics.items():
            self._writer.add_scalar(name, value, run.epoch)
        self._writer.flush()

    def on_end(self, run: Run) -> None:
        """Close the log."""
        self._writer.close()
