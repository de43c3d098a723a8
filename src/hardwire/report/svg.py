"""Figures as SVG elements for an HTML page: deterministic, without namespaces, in the page's own colours and font."""

from __future__ import annotations

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.figure import Figure

from hardwire.report import plots

VARIABLES = {
    plots.INK: "--ink",
    plots.MUTED: "--muted",
    plots.GRID: "--line",
    plots.PAPER: "--paper",
    plots.BLUE: "--blue",
    plots.VERMILION: "--vermilion",
    plots.GREEN: "--green",
    plots.ORANGE: "--orange",
    plots.PURPLE: "--purple",
    plots.SKY: "--sky",
}
"""Colour of the figures → CSS variable of the page, so that a dark page gets plots for a dark page."""

_COLOUR = re.compile("|".join(VARIABLES))
_FONT = re.compile(r"(font: (?:[\w.]+ )*?[\d.]+px) [^;]*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """Return `figure` as an `<svg>` element for an HTML page.

    `name` (an identifier, unique in the page) salts and prefixes all ids; `title` is what a screen reader says.
    """
    settings = {**plots.STYLE, "svg.hashsalt": f"hardwire {name}"}
    text = io.StringIO()
    with matplotlib.style.context(settings, after_reset=True), warnings.catch_warnings():
        # Text stays text: the reader's browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(text.getvalue())
    for parent in root.iter():
        for child in list(parent):
            # matplotlib's style sheet would hold for the whole page; metadata name a vocabulary by its address.
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        attributes = {_local(key): value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            element.set(key, _rewritten(key, value, name))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    root.tail = None
    return ElementTree.tostring(root, encoding="unicode")


def _rewritten(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    if key in ("style", "fill", "stroke", "clip-path"):
        value = _REFERENCE.sub(lambda found: f"url(#{name}-{found[1]})", value)
        value = _FONT.sub(r"\1 var(--font)", value)
        return _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", value)
    return value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
