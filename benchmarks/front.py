"""The front of accuracy against LUTs on the shipped jets: ours beside HGQ2's, through the very same synthesis.

    python benchmarks/front.py --out DIR [--peer-hgq2 PYTHON] [--quick] [--families …] [--seeds 0,1,2] [--epochs 500]
                               [--ecp5] [--only-report | --merge FRONT.json …]

Every family trains once a seed on the same rows with the same epochs and batch; a run gives a whole front, of which
about eight points are chosen by validation accuracy and the tool's own cost, compiled (HGQ2's by alkaid), cut at the
same number of adders between registers and synthesised by Yosys for UltraScale+ (with `--ecp5` for ECP5 too). The
accuracy of a row is that of its emulator on all 12,000 test rows; its netlist is simulated on the first `--events` of
them and must agree on every bit. Beside them stands the float network 16-64-32-32-5.

DIR keeps everything by content, so that a run that was interrupted goes on, and gets front.json, .md and .png.
`--merge` makes one front of those of seeds and families that were run apart, with the same budget.
`--quick` is a small front (three points, one seed, fewer epochs) in half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import _front_hgq2
import numpy as np
from _front import LEVELS, Budget, Candidate, Data, Row, Tool, accuracy, load
from _front_report import draw, markdown, summary
from _synthesis import digest, size, synthesised, write

FLOW = "keep"
QUICK_EPOCHS = 100
FLOAT = (16, 64, 32, 32, 5)
FLOAT_EPOCHS = 60


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def tools(options: argparse.Namespace) -> dict[str, Tool]:
    """Family → what makes its points; only those that can run here."""
    found: dict[str, Tool] = {}
    try:
        import _front_hardwire
    except ImportError as error:
        say(f"ours is left out: {error}")
    else:
        found |= dict.fromkeys(_front_hardwire.FAMILIES, _front_hardwire.Hardwire())
    if options.peer_hgq2:
        found |= dict.fromkeys(_front_hgq2.FAMILIES, _front_hgq2.Hgq2(options.peer_hgq2))
    unknown = set(options.families or ()) - set(found)
    if unknown:
        sys.exit(f"--families {','.join(sorted(unknown))}: one of {', '.join(found)}")
    return {family: tool for family, tool in found.items() if not options.families or family in options.families}


def measured(candidate: Candidate, tool: Tool, data: Data, options: argparse.Namespace) -> Row:
    """Compile and synthesise one point."""
    store = options.out / "kept"
    built = tool.built(candidate, data, store)
    row: Row = {
        "family": candidate.family,
        "seed": candidate.seed,
        "name": candidate.name,
        "accuracy": accuracy(built.outputs, data["y_test"]),
        "val_accuracy": candidate.val_accuracy,
        "lut": None,
        "lut_ecp5": None,
        "ff": None,
        "cycles": built.cycles,
        "mismatches": built.mismatches,
        "events": options.events,
        "epochs": candidate.epochs,
        "train_cpu_s": round(candidate.train_cpu_s, 1),
        "cost": candidate.cost,
        **built.told,
    }
    for target in ("xcup", *(["ecp5"] if options.ecp5 else [])):
        start = time.monotonic()
        found, netlist = synthesised(built.sources, built.top, target, FLOW, store)
        got = built.answers(netlist, options.events)
        wrong = (got.reshape(len(got), -1) != built.outputs[: options.events].reshape(len(got), -1)).any(axis=1)
        row["mismatches"] += int(wrong.sum())
        row |= (
            {"lut_ecp5": size(found)}
            if target == "ecp5"
            else {
                "lut": size(found),
                "ff": found["ff"],
                "inverters": found["inverters"],
                "carry": found["carry"],
            }
        )
        say(
            f"  {candidate.family}, seed {candidate.seed}, {candidate.name}: {target} {size(found):,} LUTs, "
            f"{row['cycles']} cycles, accuracy {row['accuracy']:.4f}, {int(wrong.sum())} differ; "
            f"{time.monotonic() - start:.0f} s"
        )
    return row


def float_reference(data: Data, seeds: Sequence[int], folder: Path) -> Row:
    """The network that the field compares on, in float: the epoch that is best on the validation rows."""
    rows = []
    for seed in seeds:
        path = folder / f"float_{digest(data.key, str((seed, FLOAT, FLOAT_EPOCHS)))}.json"
        if not path.is_file():
            say(f"float network, seed {seed}: training, {FLOAT_EPOCHS} epochs")
            write(path, json.dumps(_float_run(data, seed)) + "\n")
        rows.append(json.loads(path.read_text()))
    return {
        "network": "-".join(map(str, FLOAT)),
        "rows": rows,
        "accuracy": float(np.mean([row["accuracy"] for row in rows])),
    }


def _float_run(data: Data, seed: int) -> Row:
    import torch

    from hardwire.train.tagger import mlp

    torch.set_num_threads(1)
    model = mlp(FLOAT, seed)
    x = {name: torch.from_numpy(data[f"x_{name}"]) for name in ("train", "val", "test")}
    y = {name: torch.from_numpy(data[f"y_{name}"]) for name in x}
    batch = 256
    steps = -(-len(y["train"]) // batch)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, FLOAT_EPOCHS * steps)
    best: Row = {"val_accuracy": 0.0}
    start = time.process_time()
    for epoch in range(FLOAT_EPOCHS):
        model.train()
        for rows in torch.randperm(len(y["train"])).split(batch):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x["train"][rows]), y["train"][rows]).backward()
            optimiser.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            got = {name: float((model(x[name]).argmax(1) == y[name]).float().mean()) for name in ("val", "test")}
        if got["val"] > best["val_accuracy"]:
            best = {"seed": seed, "val_accuracy": got["val"], "accuracy": got["test"], "epoch": epoch}
    return {**best, "epochs": FLOAT_EPOCHS, "train_cpu_s": time.process_time() - start}


def words(text: str) -> list[str]:
    return text.split(",")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and of all that is kept")
    parser.add_argument("--peer-hgq2", metavar="PYTHON", help="interpreter of an environment with hgq2, JAX and alkaid")
    parser.add_argument("--families", type=words, help="of these; default all that can run")
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in words(text)])
    parser.add_argument("--epochs", type=int, help=f"default {Budget.epochs}, or {QUICK_EPOCHS} with --quick")
    parser.add_argument("--batch", type=int, default=Budget.batch)
    parser.add_argument("--points", type=int, help=f"of a run's front; default {Budget.points}, or 3 with --quick")
    parser.add_argument("--events", type=int, default=2000, help="that netlists are simulated on")
    parser.add_argument("--ecp5", action="store_true", help="synthesise for ECP5 too")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only-report", action="store_true", help="tables and picture of the figures that are there")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="figures to put together; trains nothing")
    parser.add_argument("--json", type=Path, help="the figures; default DIR/front.json, tables and picture beside it")
    options = parser.parse_args(argv)
    options.seeds = options.seeds or ([0] if options.quick else [0, 1, 2])
    options.epochs = options.epochs or (QUICK_EPOCHS if options.quick else Budget.epochs)
    options.points = options.points or (3 if options.quick else Budget.points)
    options.json = options.json or options.out / "front.json"
    return options


def command_line(options: argparse.Namespace) -> str:
    """The command without the paths of this machine."""
    line = ["python benchmarks/front.py --out DIR"]
    line += ["--peer-hgq2 PYTHON"] if options.peer_hgq2 else []
    line += ["--quick"] if options.quick else []
    usual = arguments(["--out", "DIR", *(["--quick"] if options.quick else [])])
    for name in ("families", "seeds"):
        if getattr(options, name) != getattr(usual, name):
            line.append(f"--{name} {','.join(map(str, getattr(options, name)))}")
    for name in ("epochs", "batch", "points", "events"):
        if getattr(options, name) != getattr(usual, name):
            line.append(f"--{name} {getattr(options, name)}")
    return " ".join([*line, *(["--ecp5"] if options.ecp5 else [])])


def report(result: Row, path: Path) -> None:
    result["summary"] = summary(result)
    write(path, json.dumps(result, indent=1) + "\n")
    write(path.with_suffix(".md"), markdown(result))
    if result["rows"]:
        draw(result, path.with_suffix(".png"))


def merged(results: Sequence[Row]) -> Row:
    """One front of several that differ in seeds and families alone."""
    first = results[0]
    apart = [{**r["budget"], "seeds": None, "machine": r["machine"]} for r in results]
    if any(found != apart[0] for found in apart):
        sys.exit("these fronts differ in budget or machine, so that they are no one front")
    rows = {(r["family"], r["seed"], r["name"]): r for found in results for r in found["rows"]}
    floats = {r["seed"]: r for found in results for r in found["float"]["rows"]}
    seeds = sorted({seed for _, seed, _ in rows})
    commands = list(dict.fromkeys(found["command"] for found in results))
    return {
        **first,
        "command": "; ".join(commands),
        "versions": {name: version for found in results for name, version in found["versions"].items()},
        "budget": {**first["budget"], "seeds": seeds},
        "float": {
            **first["float"],
            "rows": [floats[seed] for seed in sorted(floats)],
            "accuracy": float(np.mean([row["accuracy"] for row in floats.values()])),
        },
        "rows": [rows[key] for key in sorted(rows)],
    }


def machine() -> Row:
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {"cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(), "threads": 1}


def main(argv: Sequence[str] | None = None) -> None:
    options = arguments(argv)
    if options.only_report or options.merge:
        result = merged([json.loads(path.read_text()) for path in options.merge or [options.json]])
        report(result, options.json)
        print(markdown(result))
        return
    makers = tools(options)
    data = load(options.out)
    budget = replace(Budget(), epochs=options.epochs, batch=options.batch, points=options.points)
    result: Row = {
        "command": command_line(options),
        "versions": {name: version(name) for name in ("hardwire", "pyosys", "torch")},
        "machine": machine(),
        "budget": {
            **asdict(budget),
            "seeds": options.seeds,
            "rows": {name: len(data[f"y_{name}"]) for name in ("train", "val", "test")},
            "levels": LEVELS,
            "flow": FLOW,
        },
        "float": float_reference(data, options.seeds, options.out),
        "rows": [],
    }
    result["versions"]["Python"] = platform.python_version()
    for seed in options.seeds:
        for family, tool in makers.items():
            for candidate in tool.points(family, seed, budget, data, options.out, say):
                result["rows"].append(measured(candidate, tool, data, options))
                result["versions"] |= tool.versions()
                report(result, options.json)
    report(result, options.json)
    print(markdown(result))
    wrong = sum(row["mismatches"] for row in result["rows"])
    if wrong:
        sys.exit(f"{wrong} answers differ from the reference")


if __name__ == "__main__":
    main()
