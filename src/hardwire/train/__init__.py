"""Training in PyTorch (the `train` extra): the loop, what happens beside it, what it costs, and recipes."""

from __future__ import annotations

from hardwire import nn as _nn  # noqa: F401  (says what is missing without PyTorch)
from hardwire.train import callbacks, costs, pruning
from hardwire.train.callbacks import (
    Calibration,
    Callback,
    Constraint,
    CsvLog,
    Distillation,
    EarlyStopping,
    ParetoFront,
    Ramp,
    Run,
    TensorBoard,
)
from hardwire.train.convert import quantize
from hardwire.train.ensemble import Ensemble, fit_seeds
from hardwire.train.evaluation import evaluate
from hardwire.train.finetune import load
from hardwire.train.loop import History, fit
from hardwire.train.losses import Metric
from hardwire.train.options import Options
from hardwire.train.pipeline import Result, run

__all__ = [
    "Calibration",
    "Callback",
    "Constraint",
    "CsvLog",
    "Distillation",
    "EarlyStopping",
    "Ensemble",
    "History",
    "Metric",
    "Options",
    "ParetoFront",
    "Ramp",
    "Result",
    "Run",
    "TensorBoard",
    "callbacks",
    "costs",
    "evaluate",
    "fit",
    "fit_seeds",
    "load",
    "pruning",
    "quantize",
    "run",
]
