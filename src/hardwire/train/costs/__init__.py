"""What a model costs in hardware, differentiable, for the loss. One file a cost model; each is a `Cost`.

A cost reads what the layers of `hardwire.nn` say of themselves (`hardwire.nn.work`) and no layer.
"""

from __future__ import annotations

from hardwire.train.costs._base import Cost
from hardwire.train.costs._calibrated import Calibrated
from hardwire.train.costs.cycles import Cycles
from hardwire.train.costs.ebops import Ebops
from hardwire.train.costs.luts import Luts
from hardwire.train.costs.nanoseconds import Nanoseconds

__all__ = ["Calibrated", "Cost", "Cycles", "Ebops", "Luts", "Nanoseconds"]
