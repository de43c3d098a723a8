"""The whole story on real physics: simulated jets, a reference and a compact tagger, firmware, proof, place & route."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hardwire.calibrate import Metric
from hardwire.compiler import compile as compile_model
from hardwire.datasets import Standardiser
from hardwire.datasets.jets import Jets, load_jets
from hardwire.design import Design
from hardwire.fixed import Floats
from hardwire.report.html import write_html
from hardwire.report.physics import float_against_fixed, roc_points
from hardwire.train.tagger import REFERENCE, Recipe, logits, mlp, train
from hardwire.verification import check

COMPACT = (16, 32, 16, 5)
"""Layer sizes of the tagger that is built: the smallest found within half a point of the reference's accuracy."""

LATENCY_NS = 100.0
"""The contract: the reference's share of the Level-1 trigger's time."""

RTL_VECTORS = 100_000
NETLIST_VECTORS = 1_000_000
_TOLERANCE = 0.006
"""Log-likelihood per jet (nats) that calibration may give up: about a tenth of a point of accuracy."""


@dataclass(frozen=True)
class DemoResult:
    """The compact design's report (with `physics` and `comparison`) and the closing table."""

    design: Design
    report: dict[str, Any]
    table: Table


@dataclass
class _Story:
    """Prints each chapter with its time; the line in work is live on a terminal."""

    console: Console

    @contextmanager
    def chapter(self, title: str) -> Iterator[Any]:
        begin = time.monotonic()
        said: list[str] = []
        with self.console.status(title) as status:

            def say(text: str) -> None:
                status.update(f"{title}: {text}"[: max(20, self.console.width - 6)])

            yield _Chapter(say, said)
        told = f": {said[-1]}" if said else ""
        self.console.print(f"[green]✓[/] {title}{told} [dim]({time.monotonic() - begin:.0f} s)[/]", highlight=False)


@dataclass
class _Chapter:
    say: Any
    said: list[str]

    def result(self, text: str) -> None:
        self.said.append(text)


def run_demo(output: Path, *, seed: int = 0, console: Console | None = None) -> DemoResult:
    """Run the demo and leave the compact tagger's build, `report.json` and `report.html` in `output`.

    Raises `VerificationError` if any rung of the ladder disagrees; a missed contract is told in the table.
    """
    import torch

    story = _Story(console or Console(stderr=True))
    with story.chapter("jets simulated with Pythia 8") as chapter:
        training, _, test = load_jets().split(validation=0.1, test=0.2, seed=seed)
        scale = Standardiser.fit(training.X)
        x, x_test = scale(training.X), scale(test.X)
        chapter.result(f"{len(training):,} to train on, {len(test):,} to test on, classes {'/'.join(test.class_names)}")

    with story.chapter(f"training the reference {_sizes(REFERENCE)} in PyTorch") as chapter:
        reference = train(
            mlp(REFERENCE, seed), x, training.y, Recipe(epochs=40), seed=seed, progress=_epochs(chapter.say)
        )
        chapter.result(f"accuracy {_accuracy(logits(reference, x_test), test):.2%}")

    with story.chapter(f"training the compact {_sizes(COMPACT)}, taught by the reference and pruned") as chapter:
        recipe = Recipe(epochs=100, sparsity=0.65, decay=1e-5)
        compact = train(
            mlp(COMPACT, seed), x, training.y, recipe, teacher=reference, seed=seed, progress=_epochs(chapter.say)
        )
        weights = [p for name, p in compact.named_parameters() if name.endswith("weight")]
        kept = sum(int(torch.count_nonzero(w)) for w in weights)
        total = sum(w.numel() for w in weights)
        chapter.result(f"accuracy {_accuracy(logits(compact, x_test), test):.2%}, {kept} of {total} weights kept")

    designs: dict[str, Design] = {}
    for name, model, latency in (("reference", reference, None), ("compact", compact, LATENCY_NS)):
        contract = f" with the contract {latency:g} ns" if latency else " (estimate only)"
        with story.chapter(f"compiling the {name} tagger for ECP5{contract}") as chapter:
            designs[name] = compile_model(
                model,
                example=x[:1],
                calibrate=x,
                metric=_log_likelihood(training.y),
                tolerance=_TOLERANCE,
                latency_ns=latency,
                name=f"jet_tagger_{name}",
                progress=chapter.say,
            )
            found = designs[name].report_data
            chapter.result(
                f"{found['program']['adders']} adders, {found['latency']['cycles']} cycles, "
                f"about {found['estimate']['lut']:,} LUTs"
            )
    design = designs["compact"]
    design.save(output)

    physics: dict[str, Any] = {"classes": list(test.class_names), "models": {}}
    for name, model in (("reference", reference), ("compact", compact)):
        with story.chapter(f"emulating the {name} tagger on all {len(test):,} test jets") as chapter:
            begin = time.monotonic()
            fixed = designs[name].predict(x_test)
            seconds = time.monotonic() - begin
            physics["models"][name] = _physics(logits(model, x_test), fixed, test)
            chapter.result(
                f"accuracy {_accuracy(fixed, test):.2%} in fixed point, {seconds:.2f} s with its compilation"
            )

    with story.chapter("proving the circuit and simulating its Verilog") as chapter:
        check(design.verify(x_test, formal=True, vectors=RTL_VECTORS, progress=chapter.say))
        found = design.report_data["verification"]
        chapter.result(
            f"{found['formal']['neurons_proven']} of {found['formal']['neurons']} neurons proven, "
            f"{_rtl_words(found['emulator_rtl'])}"
        )
    with story.chapter("synthesis, place & route") as chapter:
        design.synthesize(progress=chapter.say)
        timing, used = design.report_data["timing"], design.report_data["synthesis"]
        chapter.result(
            f"{used['lut']} LUT4, {used['carry']} carry cells, Fmax {timing['fmax_mhz']:.1f} MHz, "
            f"{timing['latency_ns']:.1f} ns"
        )
    with story.chapter("simulating the synthesised netlist") as chapter:
        check(
            design.verify(
                x_test, formal=True, vectors=RTL_VECTORS, netlist_vectors=NETLIST_VECTORS, progress=chapter.say
            )
        )
        rung = design.report_data["verification"]["netlist"]
        chapter.result(f"{rung['vectors']:,} vectors, {rung['mismatches']} mismatches")

    report = design.report_data
    report["physics"] = physics
    report["comparison"] = [
        _row(name, designs[name].report_data, physics["models"][name]) for name in ("reference", "compact")
    ]
    design.save(output)
    with story.chapter("writing the report"):
        write_html(report, output / "report.html")
    return DemoResult(design, report, comparison_table(report["comparison"], report["contract"]))


def comparison_table(rows: list[dict[str, Any]], contract: dict[str, Any]) -> Table:
    """Return the closing table: a column a model."""
    routed = contract.get("routed")
    state = "not routed" if routed is None else "met" if routed["met"] else "missed"
    table = Table(title=f"contract {contract['latency_ns']:g} ns after place & route: {state}")
    table.add_column("")
    for row in rows:
        table.add_column(row["model"], justify="right")
    for key, title, form in (
        ("accuracy_float", "accuracy, float", "{:.2%}"),
        ("accuracy_fixed", "accuracy, fixed", "{:.2%}"),
        ("lut", "LUT", "{:,}"),
        ("ff", "FF", "{:,}"),
        ("dsp", "DSP", "{:,}"),
        ("bram", "BRAM", "{:,}"),
        ("cycles", "latency, cycles", "{:,}"),
        ("ns", "latency, ns", "{:.1f}"),
        ("fmax_mhz", "Fmax, MHz", "{:.1f}"),
        ("mismatches", "mismatches", "{:,}"),
        ("from", "figures from", "{}"),
    ):
        table.add_row(title, *("–" if row[key] is None else form.format(row[key]) for row in rows))
    return table


def _row(model: str, report: dict[str, Any], physics: dict[str, Any]) -> dict[str, Any]:
    """One column of the closing table. LUTs after place & route are logic cells: LUT4s and carry bits alike."""
    timing, verification = report.get("timing") or {}, report.get("verification") or {}
    routed = timing.get("fmax_mhz") is not None
    resources = report["synthesis"] if routed else report["estimate"]
    mismatches = [v["mismatches"] for v in verification.values() if v.get("mismatches") is not None]
    return {
        "model": model,
        "accuracy_float": physics["accuracy_float"],
        "accuracy_fixed": physics["accuracy_fixed"],
        "lut": timing["utilisation"]["TRELLIS_COMB"]["used"] if routed else resources["lut"],
        "ff": resources["ff"],
        "dsp": resources["dsp"],
        "bram": resources["bram"],
        "cycles": report["latency"]["cycles"],
        "ns": timing["latency_ns"] if routed else report["latency"]["ns"],
        "fmax_mhz": timing["fmax_mhz"] if routed else report["contract"]["predicted"]["fmax_mhz"],
        "mismatches": sum(mismatches) if mismatches else None,
        "from": "place & route" if routed else "estimate",
    }


def _physics(float_logits: Floats, fixed_logits: Floats, test: Jets) -> dict[str, Any]:
    result: dict[str, Any] = {
        "accuracy_float": _accuracy(float_logits, test),
        "accuracy_fixed": _accuracy(fixed_logits, test),
        "roc": {},
        "auc_float": {},
        "auc_fixed": {},
        **float_against_fixed(float_logits, fixed_logits),
    }
    scores = {"float": _softmax(float_logits), "fixed": _softmax(fixed_logits)}
    for index, name in enumerate(test.class_names):
        result["roc"][name] = {}
        for kind, score in scores.items():
            points, area = roc_points(score[:, index], test.y == index)
            result["roc"][name][kind] = points
            result[f"auc_{kind}"][name] = area
    return result


def _log_likelihood(labels: NDArray[np.int64]) -> Metric:
    """Mean log-likelihood of the true classes: smooth where accuracy jumps, so the search can follow it."""

    def metric(outputs: list[Floats]) -> float:
        (values,) = outputs
        shifted = values - values.max(axis=1, keepdims=True)
        own = shifted[np.arange(len(values)), labels[: len(values)]]
        return float(np.mean(own - np.log(np.exp(shifted).sum(axis=1))))

    return metric


def _softmax(values: Floats) -> Floats:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float64)


def _accuracy(outputs: Floats, jets: Jets) -> float:
    return float(np.mean(outputs.argmax(axis=1) == jets.y))


def _sizes(sizes: tuple[int, ...]) -> str:
    return "-".join(map(str, sizes))


def _rtl_words(rung: dict[str, Any]) -> str:
    if rung["mismatches"] is None:
        return "the Verilog was not simulated: " + str(rung["why"]).splitlines()[0]
    return f"{rung['vectors']:,} vectors, {rung['mismatches']} mismatches"


def _epochs(say: Any) -> Any:
    return lambda epoch, epochs, loss: say(f"epoch {epoch} of {epochs}, loss {loss:.4f}")
