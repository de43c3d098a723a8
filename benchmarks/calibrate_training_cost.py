"""Fit the training's estimates of LUTs and of time (`hardwire.train.costs`) to what compilation and synthesis give.

Random small networks of `hardwire.nn` layers, of many widths, bits and sparsities, are compiled for a part of each
family; every fourth and every one of tables, if small, is synthesised by Yosys too. The coefficients of
`train/costs/_fitted.py` are fitted to the LUTs of two thirds of the networks (where they were not synthesised, the
compiler's own count times what synthesis finds of it), and the ratio of estimate to found is told of the other third.
What was found is kept in the results: a fit alone takes seconds.

    python benchmarks/calibrate_training_cost.py [--families xcup,ecp5] [--networks 96] [--json FILE] [--fit-only]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _synthesis import PARTS, size, synthesised, write

import hardwire as hw
from hardwire import nn
from hardwire.train.costs import Cycles, Luts
from hardwire.train.costs._base import layers_of
from hardwire.train.costs._fitted import FAMILIES, Fitted

RESULTS = Path(__file__).parent / "results" / "training_cost.json"
SYNTHESISED = 4
"""One dense network in so many."""
HELD_OUT = 3
"""One network in so many is not fitted to."""

Row = dict[str, Any]


def specs(count: int) -> Iterator[Row]:
    """Sizes, mean bits and sparsities; drawn so that networks take about 100 to 3000 LUTs. A quarter has tables."""
    rng = np.random.default_rng(7)
    for seed in range(count):
        sizes = [int(rng.choice([6, 10, 16, 24])), int(rng.choice([5, 8, 16, 32]))]
        while len(sizes) < 5 and rng.random() < 0.5:
            sizes.append(int(rng.choice([5, 8, 16])))
        kind = "tables" if seed % 4 == 2 else "dense"
        yield {
            "kind": kind,
            "seed": seed,
            "sizes": sizes if kind == "dense" else [min(n, 10) for n in sizes[:3]],
            "weight_bits": float(rng.choice([1.5, 2.5, 4.0, 6.0])),
            "input_bits": float(rng.choice([2.0, 3.0, 4.5, 6.0])),
            "zeros": float(rng.choice([0.0, 0.3, 0.6, 0.8])),
        }


def dense(spec: Row) -> tuple[torch.nn.Module, torch.Tensor]:
    """A perceptron whose weights and activations differ in bits among each other, as trained ones do."""
    layers: list[torch.nn.Module] = []
    sizes = spec["sizes"]
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Dense(a, b), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        for layer in layers_of(model).values():
            w = layer.weight
            w.mul_(torch.rand_like(w) >= spec["zeros"])
            scale = -torch.log2(w.abs().mean())
            layer.weight_quantiser.f.copy_(spec["weight_bits"] - 1.0 + scale + 0.8 * torch.randn_like(w))
            layer.input_quantiser.f.copy_(spec["input_bits"] - 2.0 + 0.7 * torch.randn(w.shape[1]))
            layer.bias.normal_(0.0, 0.1)
    return model, torch.randn(2000, sizes[0])


def tables(spec: Row) -> tuple[torch.nn.Module, torch.Tensor]:
    """Layers of tables whose edges differ in address and output bits; a share of the edges is pruned."""
    sizes = spec["sizes"]
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    model = torch.nn.Sequential(*(nn.EdgeTables(a, b, port=k == 0) for k, (a, b) in enumerate(pairs)))
    with torch.no_grad():
        for layer in layers_of(model).values():
            address = (spec["input_bits"] + torch.randn_like(layer.address)).clamp(1.0, 8.0)
            layer.address.copy_(address * (torch.rand_like(address) >= max(spec["zeros"], 0.3)))
            layer.fraction.copy_(spec["weight_bits"] + 0.7 * torch.randn_like(layer.fraction))
    return model, torch.randn(2000, sizes[0])


KINDS: dict[str, Callable[[Row], tuple[torch.nn.Module, torch.Tensor]]] = {"dense": dense, "tables": tables}


def network(spec: Row) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network and data; ranges of a layer are those of what the layers before it, quantised, give."""
    torch.manual_seed(spec["seed"])
    model, x = KINDS[spec["kind"]](spec)
    with torch.no_grad():
        for _ in range(2):
            model(x)
    return model, x


def found(spec: Row, family: str, work: Path) -> Row:
    """Compile one network, and synthesise it if it is its turn."""
    model, x = network(spec)
    design = hw.compile(model, example=x[:1].numpy(), target=PARTS[family], name="net")
    circuit = design.circuit
    row: Row = {
        "family": family,
        "estimate": circuit.estimate()["lut"],
        "cycles": circuit.latency,
        "ns": round(circuit.latency * circuit.period_ns, 3),
    }
    small = row["estimate"] <= 1500
    if small and (spec["kind"] == "tables" or spec["seed"] % SYNTHESISED == 0):
        path = work / "net.v"
        write(path, design.files["net.v"])
        row["lut"] = size(synthesised([path], "net", family, "keep", work)[0])
    return row


def measure(families: Sequence[str], count: int, rows: list[Row], kept: Path) -> None:
    """Fill what is missing of `rows`."""
    with tempfile.TemporaryDirectory() as scratch:
        for spec in specs(count):
            for family in families:
                if any(row["spec"] == spec and row["family"] == family for row in rows):
                    continue
                rows.append({"spec": spec, **found(spec, family, Path(scratch))})
                print(json.dumps(rows[-1]), flush=True)
                write(kept, json.dumps({"rows": rows}, indent=1) + "\n")


def all_read(spec: Row) -> bool:
    """Whether a later layer reads every neuron; what is not read is not built, but it is counted."""
    layers = list(layers_of(network(spec)[0]).values())
    if spec["kind"] != "dense":
        return True
    weights = [layer.constants()["weight"].detach() for layer in layers[1:]]
    bits = [layer.input_quantiser.bits().detach() for layer in layers[1:]]
    return all(bool(((w != 0).any(0) & (b > 0)).all()) for w, b in zip(weights, bits, strict=True))


FREE = ("shared", "often", "carry", "grown", "row", "clamp")
"""Coefficients that dense networks tell; those of tables are of trained networks, and held against these here."""


def least_squares(off: Callable[[Any], Any], start: Any, lower: Any) -> Any:
    """Levenberg and Marquardt's method; what is off by more than a fifth counts less."""
    now, damping = np.maximum(start, lower), 1e-2

    def loss(at: Any) -> float:
        return float(np.sqrt(1.0 + (off(at) / 0.2) ** 2).sum())

    best = loss(now)
    for _ in range(30):
        rest = off(now)
        weight = 1.0 / np.sqrt(1.0 + (rest / 0.2) ** 2)
        step = 1e-2 * np.maximum(np.abs(now), 0.1)
        slope = np.stack([(off(now + step * one) - rest) / s for s, one in zip(step, np.eye(len(now)), strict=True)], 1)
        normal = slope.T @ (slope * weight[:, None])
        change = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-6), -slope.T @ (rest * weight))
        there = np.maximum(now + change, lower)
        value = loss(there)
        if value < best:
            done = best - value < 1e-4 * best
            now, best, damping = there, value, damping / 3
            if done:
                break
        else:
            damping *= 5
    return now


def fitted(family: str, rows: Sequence[Row]) -> Fitted:
    """Coefficients of least squares of the logarithm, outliers bounded."""
    now = FAMILIES[family]
    luts = Luts(PARTS[family])
    chosen = [row for row in rows if row["spec"]["kind"] == "dense" and row["spec"]["seed"] % HELD_OUT and row["read"]]
    works = [[list(layer.work()) for layer in layers_of(network(row["spec"])[0]).values()] for row in chosen]
    wanted = np.array([row["wanted"] for row in chosen])

    def changed(values: Any) -> Fitted:
        return replace(now, **{name: float(v) for name, v in zip(FREE, values, strict=True)})

    def off(values: Any) -> Any:
        luts.fitted = changed(values)
        with torch.no_grad():
            got = [sum(luts.of(work).item() for work in layers) for layers in works]
        return np.log((np.array(got) + 5.0) / (wanted + 5.0))

    lower = np.array([-2.0 if name == "carry" else 0.0 for name in FREE])
    return changed(np.round(least_squares(off, np.array([getattr(now, name) for name in FREE]), lower), 3))


def ratios(family: str, coefficients: Fitted, rows: Sequence[Row], against: str) -> Any:
    """Estimate over found."""
    luts = Luts(PARTS[family])
    luts.fitted = coefficients
    with torch.no_grad():
        return np.array([(luts(network(row["spec"])[0]).item() + 5.0) / (row[against] + 5.0) for row in rows])


def told(name: str, found: Any) -> str:
    """Median and spread."""
    low, median, high = np.percentile(found, [10, 50, 90])
    return f"| {name} | {len(found)} | {median:.3f} | {low:.2f} … {high:.2f} | {np.std(np.log(found)):.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default="xcup,ecp5")
    parser.add_argument("--networks", type=int, default=96)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--fit-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = json.loads(options.json.read_text())["rows"] if options.json.is_file() else []
    families = options.families.split(",")
    if not options.fit_only:
        measure(families, options.networks, rows, options.json)
    rows = [row | {"read": all_read(row["spec"])} for row in rows if row["estimate"] >= 20]
    for family in families:
        own = [row for row in rows if row["family"] == family]
        both = [row for row in own if "lut" in row]
        for kind in KINDS:
            shares = [row["lut"] / row["estimate"] for row in both if row["spec"]["kind"] == kind]
            truth = float(np.median(shares)) if shares else 1.0
            print(f"{family}, {kind}: synthesis finds {truth:.3f} of the compiler's own count ({len(shares)} networks)")
            for row in own:
                if row["spec"]["kind"] == kind:
                    row["wanted"] = row.get("lut", row["estimate"] * truth)
        cycles, read = Cycles(PARTS[family]), [row for row in own if row["read"] and row["spec"]["kind"] == "dense"]
        with torch.no_grad():
            late = [cycles(network(row["spec"])[0]).item() - row["cycles"] for row in read]
        low, high = np.percentile(late, [10, 90])
        print(f"{family}: cycles, estimate - found: mean {np.mean(late):.2f}, 10 … 90 % {low:.1f} … {high:.1f}")
        best = fitted(family, own)
        print(best)
        print("| estimate / found | networks | median | 10 … 90 % | standard deviation of the logarithm |")
        for kind in KINDS:
            held = [row for row in own if row["spec"]["kind"] == kind and row["spec"]["seed"] % HELD_OUT == 0]
            for name, chosen in (("", [row for row in held if row["read"]]), (", some not read", held)):
                if len(chosen) > 2 and (not name or len(chosen) > sum(row["read"] for row in held)):
                    told_name = f"{family}, {kind}, held out{name}"
                    print(told(told_name, ratios(family, best, chosen, "wanted")))
                    print(told(f"{told_name}, as shipped", ratios(family, FAMILIES[family], chosen, "wanted")))
            real = [row for row in both if row["spec"]["kind"] == kind]
            if real:
                print(told(f"{family}, {kind}, synthesised", ratios(family, best, real, "lut")))


if __name__ == "__main__":
    main()
