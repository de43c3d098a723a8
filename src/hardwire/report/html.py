"""The report as one HTML file: inline SVG and CSS, no script, nothing fetched.

`render_html` gathers plain data for the template (`templates/report.html`), which holds every word and all style.
A section appears where its part of the report is there; figures are formatted in the template's filters.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from hardwire.errors import HardwireError
from hardwire.report import plots, summary
from hardwire.report.svg import inline_svg

NOTHING = "–"

COMPARED = (
    ("accuracy_float", "accuracy, float", "share"),
    ("accuracy_fixed", "accuracy, fixed point", "share"),
    ("lut", "LUT", "count"),
    ("ff", "flip-flops", "count"),
    ("dsp", "DSP", "count"),
    ("bram", "block RAM", "count"),
    ("cycles", "latency, cycles", "count"),
    ("ns", "latency, ns", "tenth"),
    ("fmax_mhz", "Fmax, MHz", "tenth"),
    ("mismatches", "mismatches", "count"),
    ("from", "figures from", "word"),
)
"""Rows of the comparison: key, words, filter."""


class ReportWriteError(HardwireError):
    """The report's file cannot be written."""


def render_html(report: Mapping[str, Any]) -> str:
    """Return a report (see `hardwire.report.schema`) as a self-contained HTML page; equal reports give equal text.

    Only `name`, `target`, `clock_mhz`, `latency` and `initiation_interval` are required.
    """
    environment = Environment(
        loader=PackageLoader("hardwire.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    text = environment.get_template("report.html").render(_view(report))
    # A name of broken Unicode (a lone surrogate) must not keep the page from being written.
    return text.encode("utf-8", "replace").decode("utf-8")


def write_html(report: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page to `path`, as a whole or not at all; returns the path. Raises `ReportWriteError`."""
    target = Path(path)
    text = render_html(report)
    beside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        beside = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        beside.chmod(0o644)
        beside.replace(target)
    except OSError as error:
        raise ReportWriteError(
            f"the HTML report {str(target)!r} cannot be written: {error.strerror or error}",
            hint="another path with --html",
        ) from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)
    return target


def _view(report: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template asks for; absent parts are empty."""
    found: dict[str, Any] = {part: report.get(part) or {} for part in _PARTS}
    rungs, meaning = summary.rungs(found["verification"]), found["verification"].get("meaning")
    own = summary.own_model(report)
    models = found["physics"].get("models") or {}
    return {
        **found,
        "name": report["name"],
        "target": report["target"],
        "clock_mhz": report["clock_mhz"] if report.get("latency") else None,
        "latency": report.get("latency"),
        "interval": report.get("initiation_interval"),
        "asked": summary.asked(report),
        "stages": summary.stages(report),
        "routed": summary.routed(report),
        "own": own,
        "own_model": models.get(own) if own is not None else None,
        "models": models,
        "classes": found["physics"].get("classes") or [],
        "rungs": rungs,
        "meaning": meaning,
        "meaning_text": summary.meaning(meaning) if meaning else "",
        "simulated": _simulated(found["verification"].get("formal") or {}, rungs),
        "mismatches": summary.mismatches(found["verification"]),
        "foreseen": summary.foreseen(found["hls"]),
        "used": {key: summary.used(report, key) for key in summary.SITES},
        "compared": _compared(found["comparison"]),
        "layer_rows": plots.shown_layers(report.get("layers") or []),
        "typed": plots.typed_rows(report),
        "path": summary.path_totals(found["timing"]),
        "plots": dict(_plots(report)),
        "provenance": _provenance(report),
        "nothing": NOTHING,
    }


_PARTS = (
    "contract",
    "source",
    "options",
    "network",
    "inputs",
    "outputs",
    "calibration",
    "program",
    "estimate",
    "synthesis",
    "hls",
    "timing",
    "verification",
    "physics",
    "comparison",
    "versions",
    "files",
)


def _plots(report: Mapping[str, Any]) -> Iterator[tuple[str, Markup]]:
    """SVG by name, of every plot whose data is there."""

    def plot(name: str, title: str, figure: Figure) -> tuple[str, Markup]:
        return name, Markup(inline_svg(figure, name, title))

    physics, timing = report.get("physics") or {}, report.get("timing") or {}
    for index, (model, found) in enumerate((physics.get("models") or {}).items()):
        if found.get("roc"):
            figure = plots.roc_curves(found, physics.get("classes") or list(found["roc"]), model)
            yield plot(f"roc{index}", f"ROC curves of {model}", figure)
        if found.get("scatter") and found.get("residuals"):
            yield plot(f"fixed{index}", f"fixed point against float, {model}", plots.float_against_fixed(found))
    if plots.typed_rows(report):
        yield plot("bits", "bits per layer", plots.bits_per_layer(report))
    if plots.shown_layers(report.get("layers") or []):
        yield plot("layers", "logic and time by layer", plots.layer_resources(report["layers"]))
    if summary.stages(report):
        yield plot("contract", "the contract as asked, predicted and reached", plots.contract(report))
    if summary.path_totals(timing):
        yield plot("path", "the critical path", plots.critical_path(timing))
    if len(timing.get("fmax_by_seed") or {}) > 1:
        yield plot("seeds", "Fmax by placement", plots.fmax_by_seed(timing))


def _compared(rows: Any) -> list[tuple[str, list[str]]]:
    """Rows of the comparison, a cell a model; rows that no model has are left out."""
    return [
        (title, [_FILTERS[form](row.get(key)) for row in rows])
        for key, title, form in COMPARED
        if any(row.get(key) is not None for row in rows)
    ]


def _simulated(formal: Mapping[str, Any], rungs: list[summary.Rung]) -> list[tuple[str, str]]:
    """What the proof leaves to simulation, and how far simulation went."""
    done = {rung.key: rung for rung in rungs if rung.mismatches is not None}
    found = []
    for what in formal.get("by_simulation") or ():
        rung = done.get(summary.SIMULATED.get(what, ""))
        state = "not simulated yet" if rung is None else f"{rung.vectors:,} vectors, {rung.mismatches:,} mismatches"
        found.append((what, state))
    return found


def _provenance(report: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Tables of name and value: source, options, tools, versions."""
    rungs = report.get("verification") or {}
    tools = {
        "high-level synthesis": (report.get("hls") or {}).get("tool"),
        "synthesis": (report.get("synthesis") or {}).get("tool"),
        "place & route": (report.get("timing") or {}).get("tool"),
        "simulation": (rungs.get("emulator_rtl") or {}).get("tool"),
        "C simulation": (rungs.get("csim") or {}).get("tool"),
    }
    tables = (
        ("model", report.get("source") or {}),
        ("options", report.get("options") or {}),
        ("tools", tools),
        ("versions", report.get("versions") or {}),
    )
    found = []
    for title, values in tables:
        rows = [(name, text) for name, value in _flat(values) if (text := _words(value))]
        if rows:
            found.append((title, rows))
    return found


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key} ")
        else:
            yield f"{before}{key}".replace("_", " "), value


def _words(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _form(form: str) -> Callable[[Any], str]:
    return lambda value: NOTHING if value is None else form.format(value)


_FILTERS: dict[str, Callable[[Any], str]] = {
    "count": _form("{:,.0f}"),
    "halves": lambda value: NOTHING if value is None else f"{value:,.1f}".removesuffix(".0"),
    "tenth": _form("{:,.1f}"),
    "hundredth": _form("{:,.2f}"),
    "share": _form("{:.2%}"),
    "percent": _form("{:.1%}"),
    "signed": _form("{:+.1%}"),
    "short": _form("{:.4g}"),
    "word": _form("{}"),
    "shape": lambda value: " × ".join(str(size) for size in value) if value else "scalar",
}
