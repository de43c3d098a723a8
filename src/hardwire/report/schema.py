"""What `report.json` holds, and who writes which part.

`compile` writes everything down to `estimate`; `synthesize` adds `synthesis` and `timing` and re-checks `contract`;
`verify` adds `verification`. Nothing here depends on the time of day: equal compiles give equal bytes.

The fields are listed in `docs/reports.md`; a test holds that list against a real report.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from hardwire import __version__
from hardwire.calibrate import Calibration
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Program
from hardwire.network.graph import Network
from hardwire.quantiser import Quantiser
from hardwire.schedule import Circuit, layer_profile
from hardwire.schedule.fit import fits, rough_luts
from hardwire.targets import Target
from hardwire.targets._facts import adder_count


def compile_report(
    network: Network,
    program: Program,
    circuit: Circuit | None,
    target: Target,
    calibration: Calibration | None,
    options: Mapping[str, Any],
    files: list[str],
) -> dict[str, Any]:
    """Return the report of a finished compile; without a circuit it says nothing of hardware but a rough estimate."""
    report: dict[str, Any] = {
        "name": network.name,
        "source": {"format": None, "sha256": None, **network.source},
        "options": dict(options),
        **hardware_report(program, circuit, target, options),
        "network": network_rows(network),
        "verification": {},
        "files": files,
        "versions": versions(),
    }
    report.update(program.notes)
    if calibration is not None:
        report["calibration"] = calibration.as_dict()
    return report


def hardware_report(
    program: Program, circuit: Circuit | None, target: Target, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parts that depend on the target and the schedule; without a circuit, what is known before one."""
    if circuit is None:
        return {
            "target": target.name,
            "clock_mhz": options["clock_mhz"] or target.clock_mhz,
            "contract": {key: options[key] for key in ("clock_mhz", "latency_ns", "latency_cycles")},
            "program": _looped(program),
            "estimate": {"lut": round(rough_luts(program, target)), "rough": True},
        }
    return {
        **circuit_report(circuit, target, options),
        "inputs": [_port(bus) for bus in circuit.inputs],
        "outputs": [_port(bus) for bus in circuit.outputs],
        "program": program_report(program, circuit),
    }


def circuit_report(circuit: Circuit, target: Target, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that depend on the target and the schedule."""
    return {
        "target": target.name,
        "clock_mhz": circuit.clock_mhz,
        "latency": {"cycles": circuit.latency, "ns": circuit.latency_ns},
        "initiation_interval": circuit.initiation_interval,
        "contract": _contract(circuit, options),
        "estimate": circuit.estimate(),
        "fit": fits(circuit.estimate(), target),
        "layers": layer_profile(circuit),
    }


def contract_after_route(report: dict[str, Any]) -> None:
    """Hold the contract against the Fmax that place & route reached; changes `report` in place.

    The cycles are the circuit's, or those that an HLS tool reported.
    """
    timing = report.get("timing")
    latency = report.get("latency") or report.get("hls", {}).get("latency") or {}
    cycles = latency.get("cycles")
    if not timing or timing.get("fmax_mhz") is None or cycles is None:
        return
    contract = report["contract"]
    achieved = cycles * 1000.0 / timing["fmax_mhz"]
    timing["latency_ns"] = achieved
    checks = []
    if contract.get("latency_cycles") is not None:
        checks.append(cycles <= contract["latency_cycles"])
    if contract.get("latency_ns") is not None:
        checks.append(achieved <= contract["latency_ns"])
    if contract.get("clock_mhz") is not None:
        checks.append(timing["fmax_mhz"] >= contract["clock_mhz"])
    contract["routed"] = {"fmax_mhz": timing["fmax_mhz"], "latency_ns": achieved, "met": all(checks)}


def network_rows(network: Network) -> list[dict[str, Any]]:
    """A row a node: name, kind, output shape, parameters, non-zero ones, and the quantiser's type if it is one."""
    rows = []
    for node in network.nodes:
        quantiser = node.attrs.get("quantiser") or node.attrs.get("output")
        rows.append(
            {
                "name": node.name,
                "kind": node.kind,
                "shape": list(network.shapes[node.outputs[0]]),
                "parameters": int(sum(np.size(p) for p in node.params.values())),
                "nonzero": int(sum(np.count_nonzero(p) for p in node.params.values())),
                "type": quantiser.describe() if isinstance(quantiser, Quantiser) else None,
                "bits": float(np.mean(quantiser.bits)) if isinstance(quantiser, Quantiser) else None,
            }
        )
    return rows


def versions() -> dict[str, str]:
    """Versions of what a compile depends on."""
    found = {"hardwire": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "llvmlite"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _contract(circuit: Circuit, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = {key: options[key] for key in ("clock_mhz", "latency_ns", "latency_cycles")}
    met = (
        (asked["latency_ns"] is None or circuit.latency_ns <= asked["latency_ns"])
        and (asked["latency_cycles"] is None or circuit.latency <= asked["latency_cycles"])
        and (asked["clock_mhz"] is None or circuit.fmax_mhz >= asked["clock_mhz"])
    )
    return {**asked, "predicted": {"fmax_mhz": circuit.fmax_mhz, "latency_ns": circuit.latency_ns, "met": met}}


def _port(bus: Any) -> dict[str, Any]:
    quantiser = bus.port.quantiser
    return {
        "bus": bus.name,
        "name": bus.port.name,
        "shape": list(bus.port.shape),
        "bits": bus.width,
        "type": quantiser.describe() if quantiser is not None else None,
    }


def _looped(program: Program) -> dict[str, Any]:
    neurons = sum(step.positions * program.kernels[step.kernel].count(OpCode.LINEAR) for step in program.steps)
    widest = max((int(kernel.widths.max(initial=0)) for kernel in program.kernels.values()), default=0)
    return {
        "neurons": neurons,
        "kernels": len(program.kernels),
        "steps": len(program.steps),
        "multiplications": sum(step.positions * len(program.kernels[step.kernel].term_arg) for step in program.steps),
        "widest": widest,
    }


def program_report(program: Program, circuit: Circuit) -> dict[str, Any]:
    """Return the `program` part: what the looped Program holds and what its circuit does."""
    kernel = circuit.kernel
    return {
        **_looped(program),
        "ops": len(kernel) - kernel.n_inputs - kernel.count(OpCode.CONST),
        "adders": adder_count(kernel),
        "tables": kernel.count(OpCode.TABLE),
        "multipliers": kernel.count(OpCode.MUL),
        "widest": int(kernel.widths.max(initial=0)),
        "register_bits": int(circuit.register_bits.sum()),
        "by_kind": {code.name.lower(): kernel.count(code) for code in OpCode if kernel.count(code)},
    }
