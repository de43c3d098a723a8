"""Draw the README's pictures from a demo's report: `python docs/make_images.py build/demo`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hardwire.report import plots

IMAGES = Path(__file__).parent / "images"


def write(figure: Figure, name: str) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(IMAGES / name, dpi=130, metadata={"Software": None})


def main() -> None:
    report = json.loads((Path(sys.argv[1]) / "report.json").read_text())
    IMAGES.mkdir(exist_ok=True)
    physics = report["physics"]
    write(plots.roc_curves(physics["models"]["compact"], physics["classes"], "compact tagger"), "roc.png")
    write(plots.layer_resources(report["layers"]), "layers.png")


if __name__ == "__main__":
    main()
