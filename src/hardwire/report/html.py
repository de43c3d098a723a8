"""The report as one HTML file: inline SVG and CSS, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hardwire.design import write_text


def render_html(report: Mapping[str, Any]) -> str:
    """Return a report (see `hardwire.report.schema`) as a self-contained HTML page; equal reports give equal text."""
    environment = Environment(
        loader=PackageLoader("hardwire.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(report=report)


def write_html(report: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page to `path`, as a whole or not at all; returns the path."""
    target = Path(path)
    write_text(target, render_html(report))
    return target
