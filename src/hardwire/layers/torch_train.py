"""Operators of hardwire's own training modules (`hardwire.nn`) in exported PyTorch programs."""

from __future__ import annotations

import numpy as np

from hardwire.fixed import Overflow, Rounding
from hardwire.layers import _torch as torch
from hardwire.layers._base import imports
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser


@imports("torch", "hardwire.quantise.default")
def _quantise(record: Record, net: NetworkBuilder) -> str:
    """A quantiser with constant grid."""
    x = torch.single(record)
    rank = len(net.shape(x))
    scale, lo, hi = (torch.constant(record, k, rank).astype(np.float64) for k in (1, 2, 3))
    rounding, overflow = Rounding[record.take("rounding")], Overflow[record.take("overflow")]
    quantiser = Quantiser(scale, lo.astype(np.int64), hi.astype(np.int64), rounding, overflow)
    return net.add("quantise", record.name, [x], {"quantiser": quantiser})
