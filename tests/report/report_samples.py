"""Reports for the report's tests: the least, a compiled design's own, and one with every part."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import Any

import numpy as np

import hardwire as hw
from hardwire import frontends
from hardwire.design import report_text
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.report.physics import float_against_fixed, roc_points

LEAST: dict[str, Any] = {
    "name": "least",
    "target": "ecp5-85k",
    "clock_mhz": 150.0,
    "latency": {"cycles": 3, "ns": 20.0},
    "initiation_interval": 1,
}


def small_network(name: str = "tagger_small", layer: str = "first") -> Network:
    rng = np.random.default_rng(3)
    build = NetworkBuilder(name, {"format": "test", "sha256": "00" * 32})
    x = build.input("x", (6,))
    x = build.add("dense", layer, [x], params={"kernel": rng.normal(0, 1, (6, 5)), "bias": rng.normal(0, 1, 5)})
    x = build.add("relu", "relu", [x])
    x = build.add("dense", "last", [x], params={"kernel": rng.normal(0, 1, (5, 3)), "bias": rng.normal(0, 1, 3)})
    return build.build([x])


def compiled(monkeypatch: Any, network: Network) -> dict[str, Any]:
    """The report of a real compile, as it is read back from report.json."""
    monkeypatch.setattr(frontends, "load", lambda *_args, **_kwargs: network)
    data = np.random.default_rng(4).normal(0, 1, (300, 6))
    return json.loads(report_text(hw.compile("unread", calibrate=data, fidelity=0.98, latency_ns=100).report()))


def full(report: dict[str, Any]) -> dict[str, Any]:
    """A compile's report with what synthesis, place & route, verification and the demo add."""
    report = copy.deepcopy(report)
    report["synthesis"] = {
        "lut": 196, "ff": 674, "carry": 1561, "dsp": 0, "bram": 0,
        "cells": {"CCU2C": 1561, "LUT4": 196}, "tool": "yosys 0.70", "netlist": "synthesis/small.json",
    }  # fmt: skip
    report["timing"] = {
        "fmax_mhz": 93.4, "constraint_mhz": 67.9, "seed": 2, "fmax_by_seed": {"1": 88.0, "2": 93.4},
        "critical_path": critical_path(), "layers": ["first", "last"],
        "utilisation": {
            "TRELLIS_COMB": {"used": 4672, "available": 83640},
            "TRELLIS_FF": {"used": 926, "available": 83640},
            "DCCA": {"used": 1, "available": 56},
        },
        "harness": "ports shifted in and out", "tool": "nextpnr-ecp5 0.11.1", "latency_ns": 53.5,
    }  # fmt: skip
    report["contract"]["routed"] = {"fmax_mhz": 93.4, "latency_ns": 53.5, "met": True}
    report["verification"] = {
        "interpreter": {"vectors": 2000, "mismatches": 0},
        "emulator_rtl": {"vectors": 12256, "mismatches": 0, "tool": "verilator 5.48", "cycles": 12267},
        "netlist": {"vectors": 12256, "mismatches": 0},
        "formal": {
            "proven": True, "neurons": 8, "neurons_proven": 8, "outputs": 3, "outputs_proven": 3,
            "values": 91, "values_without_overflow": 91, "latency_balanced": True, "failures": [],
            "by_proof": ["output functions", "no overflow"],
            "by_simulation": ["RTL text", "synthesised netlist"],
        },
    }  # fmt: skip
    report["physics"] = physics()
    report["comparison"] = [
        {
            "model": model, "accuracy_float": 0.76, "accuracy_fixed": 0.755, "lut": 4672, "ff": 674, "dsp": 0,
            "bram": 0, "cycles": 5, "ns": 53.5, "fmax_mhz": 93.4, "mismatches": wrong, "from": source,
        }
        for model, wrong, source in (("reference", None, "estimate"), ("tagger_small", 0, "place & route"))
    ]  # fmt: skip
    return report


def critical_path() -> list[dict[str, Any]]:
    steps = (
        ("clk-to-q", 0.4, "dut.first_3_FF", None),
        ("routing", 1.6, "dut.y_CCU2C", "dut.first_3"),
        ("logic", 0.3, "dut.y_CCU2C", None),
        ("routing", 0.0, "dut.y_CCU2C_1", "dut.y_CIN"),
        ("routing", 1.1, "dut.y_2", "dut.last_7"),
        ("logic", 0.5, "dut.y_2", None),
        ("setup", 0.1, "dut.y_FF", None),
    )
    return [{"kind": kind, "ns": ns, "cell": cell, "net": net, "source": []} for kind, ns, cell, net in steps]


@cache
def _physics() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 600)
    exact = rng.normal(0, 1, (600, 3))
    exact[np.arange(600), truth] += 1.5
    fixed = np.round(exact * 16) / 16
    names = ["g", "q", "t"]
    model: dict[str, Any] = {
        "accuracy_float": float(np.mean(exact.argmax(1) == truth)),
        "accuracy_fixed": float(np.mean(fixed.argmax(1) == truth)),
        "roc": {}, "auc_float": {}, "auc_fixed": {},
        **float_against_fixed(exact, fixed),
    }  # fmt: skip
    for index, name in enumerate(names):
        model["roc"][name] = {}
        for kind, scores in (("float", exact), ("fixed", fixed)):
            model["roc"][name][kind], model[f"auc_{kind}"][name] = roc_points(scores[:, index], truth == index)
    return {"classes": names, "models": {"reference": model, "tagger_small": model}}


def physics() -> dict[str, Any]:
    return copy.deepcopy(_physics())
