"""What happens in a run beside the gradient of its loss. One file a callback."""

from __future__ import annotations

from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.callbacks.calibration import Calibration
from hardwire.train.callbacks.constraint import Constraint, Ramp
from hardwire.train.callbacks.csv_log import CsvLog
from hardwire.train.callbacks.distillation import Distillation
from hardwire.train.callbacks.early_stopping import EarlyStopping
from hardwire.train.callbacks.pareto import ParetoFront, Point
from hardwire.train.callbacks.tensorboard import TensorBoard

__all__ = [
    "Calibration",
    "Callback",
    "Constraint",
    "CsvLog",
    "Distillation",
    "EarlyStopping",
    "ParetoFront",
    "Point",
    "Ramp",
    "Run",
    "TensorBoard",
]
