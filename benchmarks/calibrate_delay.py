"""Refit a target's delay model against place & route, and hold its estimate of LUT sites against the placed ones.

Random quantised networks are cut at several depths, synthesised, placed and routed; the measured periods are set
against the model's, and `overhead` and a common factor of all op delays are fitted by least squares. For a target that
is not placed, only the counts of synthesis are held against the estimate.

    python benchmarks/calibrate_delay.py [--target ecp5-85k] [--layers 16,16,8,5] [--depths 8,12,20] [--seeds 1]
                                         [--work DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from hardwire.backends import Source
from hardwire.backends.verilog import emit
from hardwire.fixed import Rounding
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Port, Program, Step
from hardwire.passes.pipelines import flatten
from hardwire.schedule.pipeline import Timing, build
from hardwire.solver import FullAdderCost, solve_cached
from hardwire.targets import Target, target
from hardwire.tools.harness import add_harness
from hardwire.tools.placers import place_and_route
from hardwire.tools.yosys import synthesise

_SITES = {"ecp5": ("TRELLIS_COMB",), "ice40": ("ICESTORM_LC",), "gowin": ("LUT4", "ALU")}
"""Family → what of nextpnr's report are LUT sites."""


def network(sizes: list[int], seed: int, part: Target, bits: int = 6, density: float = 0.7) -> Program:
    """A random dense network: 6-bit weights, 6-bit rounded and saturated ReLU activations, 8-bit inputs."""
    rng = np.random.default_rng(seed)
    builder = KernelBuilder("net", [-128] * sizes[0], [127] * sizes[0], origin="x")
    values = list(range(sizes[0]))
    for layer, size in enumerate(sizes[1:]):
        builder.origin = f"fc{layer + 1}"
        half = 1 << (bits - 1)
        weights = rng.integers(-half + 1, half, (len(values), size)) * (rng.random((len(values), size)) < density)
        values = [builder.linear(values, weights[:, j].tolist(), int(rng.integers(-64, 64))) for j in range(size)]
        if layer < len(sizes) - 2:
            builder.origin = f"relu{layer + 1}"
            values = [builder.clamp(builder.round(v, 6, Rounding.RND), 0, 63) for v in values]
    kernel = builder.build(values)
    one, zero = np.array([Fraction(1)], object), np.zeros(1, np.int32)
    ids = np.arange(max(sizes), dtype=np.int32)
    arrays = {
        "x": Array("x", kernel.lo[: sizes[0]], kernel.hi[: sizes[0]], one),
        "y": Array("y", kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], one),
    }
    step = Step("net", "net", (Access("x", zero, ids[: sizes[0]]),), Access("y", zero, ids[: sizes[-1]]))
    ports = Port("x", "x", ids[: sizes[0]], (sizes[0],)), Port("y", "y", ids[: sizes[-1]], (sizes[-1],))
    program = Program("net", arrays, {"net": kernel}, (step,), ports[:1], ports[1:])
    solve = partial(_solve, cost=FullAdderCost(part.costs.adder_overhead))
    return flatten(program, solve)


def _solve(matrix, lo, hi, depth, *, cost):  # type: ignore[no-untyped-def]
    return solve_cached(matrix, lo=lo, hi=hi, input_depth=depth, cost=cost)


def measure(program: Program, part: Target, depth: int, seeds: list[int], work: Path) -> dict[str, float]:
    """Place and route one cut; periods in ns."""
    timing = Timing.of(program, part)
    budget = timing.least_budget(depth)
    circuit = build(timing, budget, 1000.0 / (timing.overhead + budget))
    folder = work / f"depth{depth}"
    for name, text in emit(Source.scheduled("net", program, circuit)).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    family = part.synthesis["family"]
    netlist = synthesise([folder / "net.v"], "net", family=family, workdir=folder)
    buses = [{bus.name: bus.width for bus in side} for side in (circuit.inputs, circuit.outputs)]
    found = {
        "depth": depth,
        "cycles": circuit.latency,
        "predicted_ns": circuit.period_ns,
        "estimated_lut": circuit.estimate()["lut"],
        "estimated_ff": circuit.ff,
        "lut": netlist.resources["lut"],
        "carry": netlist.resources["carry"],
        "ff": netlist.resources["ff"],
    }
    if not part.place:
        return found
    wrapped = add_harness(netlist, *buses, family=family, workdir=folder / "harness")
    periods = []
    for seed in seeds:
        routed = place_and_route(
            wrapped.json_path,
            part.place,
            freq_mhz=circuit.fmax_mhz,
            seed=seed,
            workdir=folder / f"seed{seed}",
        )
        periods.append(1000.0 / routed.fmax_mhz)
    used = {name: u.used for name, u in routed.utilisation.items() if u.used}
    stretch = part.stretch(circuit.estimate()["lut"])
    return found | {
        "measured_ns": float(np.mean(periods)),
        "worst_ns": max(periods),
        "logic_ns": budget / stretch,
        "stretch": stretch,
        "placed_sites": sum(used.get(name, 0) for name in _SITES[part.family]),
        "of_the_harness": _harness_sites(part, *(sum(side.values()) for side in buses)),
    }


def _table(rows: list[dict[str, float]]) -> str:
    """For people and for the documentation."""
    lines = ["| cycles | LUT sites, estimated | found | period in ns, predicted | placed |", "|---|---|---|---|---|"]
    for row in rows:
        sites = row["placed_sites"] - row["of_the_harness"] if "placed_sites" in row else row["lut"]
        placed = f"{row['measured_ns']:.2f}" if "measured_ns" in row else "not placed"
        lines.append(
            f"| {row['cycles']} | {row['estimated_lut']:,} | {sites:,} | {row['predicted_ns']:.2f} | {placed} |"
        )
    return "\n".join(lines)


def _harness_sites(part: Target, bits_in: int, bits_out: int) -> int:
    """LUT sites of the harness: a multiplexer a bit out, and what its registers take by themselves."""
    registers = 2 * bits_in + bits_out + 2
    return bits_out + (registers if part.costs.lone_ff else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="ecp5-85k")
    parser.add_argument("--layers", default="16,16,8,5")
    parser.add_argument("--depths", default="6,9,14,20")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    part = target(options.target)
    program = network([int(s) for s in options.layers.split(",")], 1, part)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for depth in (int(d) for d in options.depths.split(",")):
            rows.append(measure(program, part, depth, list(range(1, options.seeds + 1)), options.work or Path(scratch)))
            print(json.dumps(rows[-1]), flush=True)
    print(_table(rows))
    if not part.place:
        return
    stretch = np.array([row["stretch"] for row in rows])
    logic = np.array([row["logic_ns"] for row in rows])
    measured = np.array([row["measured_ns"] for row in rows])
    # measured = stretch · (overhead + factor · logic)
    (overhead, factor), *_ = np.linalg.lstsq(np.stack([stretch, stretch * logic], 1), measured, rcond=None)
    print(f"now {asdict(part.delays)}")
    print(f"fit: overhead {overhead:.3f} ns, every op delay × {factor:.3f}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "overhead": overhead, "factor": factor}, indent=1) + "\n")


if __name__ == "__main__":
    main()
