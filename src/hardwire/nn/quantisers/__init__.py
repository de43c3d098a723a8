"""Quantisers of tensors in training. One file a way to choose the grid; each is a `Quantiser`."""

from __future__ import annotations

from hardwire.nn.quantisers._base import Quantiser, WeightQuantiser, granules
from hardwire.nn.quantisers.bound import LearnedBound, LearnedStep
from hardwire.nn.quantisers.digits import Binary, PowerOfTwo, Ternary
from hardwire.nn.quantisers.estimators import STRAIGHT, Estimator, Noise, Soft, Stochastic
from hardwire.nn.quantisers.fixed import Fixed
from hardwire.nn.quantisers.learned import LearnedRange, LearnedWeight
from hardwire.nn.quantisers.ranges import Average, Percentile, Tracker, Widest
from hardwire.nn.quantisers.stated import Stated

__all__ = [
    "STRAIGHT",
    "Average",
    "Binary",
    "Estimator",
    "Fixed",
    "LearnedBound",
    "LearnedRange",
    "LearnedStep",
    "LearnedWeight",
    "Noise",
    "Percentile",
    "PowerOfTwo",
    "Quantiser",
    "Soft",
    "Stated",
    "Stochastic",
    "Ternary",
    "Tracker",
    "WeightQuantiser",
    "Widest",
    "granules",
]
