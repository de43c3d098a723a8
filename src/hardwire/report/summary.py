"""What a report says in a few words: shared by its renderings, so that they cannot disagree.

Every function takes the report (or a part of it) and returns plain data. Parts that a build does not have yet are
absent from the result, never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Report = Mapping[str, Any]

RUNGS = (
    ("interpreter", "interpreter = emulator", "the Program's definition against its compiled form"),
    ("emulator_rtl", "emulator = RTL", "the written Verilog or VHDL, a vector in every clock cycle"),
    ("netlist", "emulator = netlist", "the cells that synthesis made of it"),
    ("csim", "emulator = C simulation", "the written C++ compiled for the CPU"),
)
"""The ladder that ties the firmware to the model: key in `verification`, title, what is compared."""

SIMULATED = {"RTL text": "emulator_rtl", "synthesised netlist": "netlist"}
"""What the formal proof leaves to simulation, and the rung that covers it."""

SITES = {
    "lut": ("TRELLIS_COMB", "ICESTORM_LC", "LUT4"),
    "ff": ("TRELLIS_FF", "DFF"),
    "dsp": ("MULT18X18D", "ICESTORM_DSP"),
    "bram": ("DP16KD", "ICESTORM_RAM"),
}
"""Names that place & route gives to the sites of each resource."""


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder: `mismatches` is None where it was not run, and `why` says why."""

    key: str
    title: str
    compared: str
    vectors: int
    mismatches: int | None
    tool: str
    why: str


def rungs(verification: Mapping[str, Any]) -> list[Rung]:
    """The rungs that a `verification` part holds, lowest first."""
    found = []
    for key, title, compared in RUNGS:
        if key in verification:
            row = verification[key]
            why = str(row.get("why") or "") if row.get("mismatches") is None else ""
            found.append(Rung(key, title, compared, row["vectors"], row["mismatches"], str(row.get("tool") or ""), why))
    return found


def mismatches(verification: Mapping[str, Any]) -> tuple[int, int] | None:
    """Mismatches and vectors over all rungs that were run; None where none was."""
    run = [rung for rung in rungs(verification) if rung.mismatches is not None]
    if not run:
        return None
    return sum(rung.mismatches or 0 for rung in run), sum(rung.vectors for rung in run)


def meaning(row: Mapping[str, Any]) -> str:
    """What the comparison with the Network's float64 meaning found, in words."""
    if row["layer"] is None:
        return "equal in every layer"
    start = f"first in layer {row['layer']} (by up to {row['layer_difference']:.3g} there)"
    if row["equal"] == row["vectors"]:
        return f"equal outputs; {start}"
    return f"outputs differ by up to {row['largest_difference']:.3g}, {start}"


def routed(report: Report) -> bool:
    """Whether place & route gave an Fmax."""
    return (report.get("timing") or {}).get("fmax_mhz") is not None


def stages(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    """Contract as it stood at each stage: `predicted`, then `routed`; empty where nothing was asked."""
    contract = report.get("contract") or {}
    if not any(contract.get(key) is not None for key in ("latency_ns", "latency_cycles", "clock_mhz")):
        return []
    return [(stage, contract[stage]) for stage in ("predicted", "routed") if contract.get(stage)]


def asked(report: Report) -> str:
    """The contract in words, `at most 100 ns, at least 200 MHz`; empty where nothing was asked."""
    contract = report.get("contract") or {}
    words = []
    for key, form in (
        ("latency_ns", "at most {:g} ns"),
        ("latency_cycles", "at most {:g} cycles"),
        ("clock_mhz", "at least {:g} MHz"),
    ):
        if contract.get(key) is not None:
            words.append(form.format(contract[key]))
    return ", ".join(words)


def used(report: Report, resource: str) -> tuple[int, int] | None:
    """Sites of a resource (`lut`, `ff`, `dsp`, `bram`) used and available after place & route, harness included."""
    utilisation = (report.get("timing") or {}).get("utilisation") or {}
    for name in SITES[resource]:
        if name in utilisation:
            return utilisation[name]["used"], utilisation[name]["available"]
    return None


def own_model(report: Report) -> str | None:
    """The model of `physics` that this build is made of: the one that its name ends in, otherwise the last."""
    models = list((report.get("physics") or {}).get("models") or {})
    for model in models:
        if str(report.get("name", "")).endswith(model):
            return model
    return models[-1] if models else None


@dataclass(frozen=True)
class PathStep:
    """A step along the critical path: `kind` is logic, routing or register (clock to output, setup)."""

    kind: str
    ns: float
    layer: str


def path_steps(timing: Mapping[str, Any]) -> list[PathStep]:
    """The critical path with a layer a step: the last one that a wire's name told, since few wires keep a name.

    Before the first name, and where none is told at all, the layer is that of the first name, or empty.
    """
    plain = {"".join(c if c.isalnum() else "_" for c in layer): layer for layer in timing.get("layers") or ()}
    names = sorted(plain, key=lambda name: (-len(name), name))
    found: list[PathStep] = []
    current = ""
    for step in timing.get("critical_path") or ():
        for text in (step.get("net"), step.get("cell")):
            wire = "." + str(text or "").split(".", 1)[-1]
            told = next((name for name in names if f".{name}_" in wire), None)
            if told is not None:
                current = plain[told]
                break
        kind = step["kind"] if step["kind"] in ("logic", "routing") else "register"
        found.append(PathStep(kind, float(step["ns"]), current))
    first = next((step.layer for step in found if step.layer), "")
    return [step if step.layer else PathStep(step.kind, step.ns, first) for step in found]


def path_totals(timing: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Nanoseconds of the critical path by layer and kind, in the order of the path; layers of no time are left out."""
    totals: dict[str, dict[str, float]] = {}
    for step in path_steps(timing):
        row = totals.setdefault(step.layer, {"logic": 0.0, "routing": 0.0, "register": 0.0})
        row[step.kind] += step.ns
    return {layer: row for layer, row in totals.items() if sum(row.values()) > 0}


def resources(row: Mapping[str, Any]) -> str:
    """Counts of what a device has, in words."""
    keys = ("lut", "alm", "carry", "ff", "dsp", "bram")
    return ", ".join(f"{row[key]:,} {key.upper()}" for key in keys if key in row)


def foreseen(row: Mapping[str, Any]) -> str:
    """What high-level synthesis says of the hardware that it makes."""
    words = []
    if row.get("latency_cycles") is not None:
        words.append(f"{row['latency_cycles']} cycles")
    if row.get("initiation_interval") is not None:
        words.append(f"interval {row['initiation_interval']}")
    if row.get("fmax_mhz") is not None:
        words.append(f"{row['fmax_mhz']:.1f} MHz")
    if row.get("estimate"):
        words.append(resources(row["estimate"]))
    words += [f"{name} {found['status']}" for name, found in (row.get("cosimulation") or {}).items()]
    return ", ".join(words)
