"""hardwire: trained neural networks become FPGA firmware that answers in nanoseconds."""

from __future__ import annotations

__version__ = "0.1.0"
