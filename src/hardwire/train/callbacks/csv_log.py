"""A table of the epochs' metrics."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hardwire.errors import TrainingError
from hardwire.folders import write_text
from hardwire.train.callbacks._base import Callback, Run


class CsvLog(Callback):
    """Write `path` (the run's folder's `log.csv` if None): a row an epoch, a column a metric.

    The file is written anew each epoch, beside and renamed, so that a resumed run's has each epoch once.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)

    def on_start(self, run: Run) -> None:
        """Find the folder; raises `TrainingError` where there is none."""
        if self.path is None:
            if run.folder is None:
                raise TrainingError("CsvLog: no path, and the run has no folder", hint="CsvLog('log.csv')")
            self.path = run.folder / "log.csv"

    def log(self, run: Run) -> None:
        """Write all epochs."""
        assert self.path is not None
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in run.history for name in row)), restval="")
        table.writeheader()
        table.writerows({name: f"{value:.9g}" for name, value in row.items()} for row in run.history)
        write_text(self.path, text.getvalue())
