"""Scheduling: a flat Program becomes a Circuit, to a clock and a latency contract."""

from __future__ import annotations

from hardwire.schedule.circuit import Bus, Circuit, Element, layer_profile, verify_circuit
from hardwire.schedule.contract import schedule
from hardwire.schedule.pipeline import pipeline

__all__ = ["Bus", "Circuit", "Element", "layer_profile", "pipeline", "schedule", "verify_circuit"]
