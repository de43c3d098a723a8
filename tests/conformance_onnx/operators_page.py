"""The page docs/onnx.md: every standard ONNX operator, supported or refused and why, with the node cases that pass.

`python tests/conformance_onnx/operators_page.py` writes it; a test holds it against what the code says.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import onnx
import onnx.defs

from hardwire.frontends._onnx_rewrite import WRITTEN_OUT, refusal
from hardwire.layers import supported

sys.path.insert(0, str(Path(__file__).parent))
from onnx_cases import DATA, PASSING, cases

PAGE = Path(__file__).parents[2] / "docs/onnx.md"

WALK = ("Cast", "CastLike", "Constant", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear", "Shape", "Size")
"""Operators that the frontend imports itself."""

CONSTANTS = ("ConstantOfShape", "EyeLike", "Range")
"""Operators that are evaluated on constants and shapes alone."""

HEAD = """# ONNX operators

Written by `python tests/conformance_onnx/operators_page.py` with onnx {version}; a test holds it against the code.

Models of opset 7 to {newest} are read, with local functions, external data, float16 and bfloat16 weights, integer
inputs (64-bit ones as 32-bit ports that saturate) and QDQ or integer operators (`QLinear…`, `…Integer`, also those of
`com.microsoft`). The batch is axis 0 (or followed to another axis and back); an operator that works along it is
refused, since events are independent. Everything that is not listed as supported ends in an error that names the node.

The column *cases* counts ONNX's own node cases (`onnx.backend.test`) with that operator alone that pass through the
frontend against their stored outputs, of all there are. The others are strings, sequences, training, or work along the
batch. Their names stand [below](#cases-that-pass).

| operator | newest version | state | cases |
|---|---|---|---|
"""


def newest() -> dict[str, int]:
    """Newest version of every operator of the standard domain that is no training operator."""
    found: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not schema.deprecated:
            found[schema.name] = max(found.get(schema.name, 0), int(schema.since_version))
    return dict(sorted(found.items()))


def state(op: str) -> str:
    """What the page says of an operator."""
    if op in supported("onnx") or op in WALK:
        return "supported"
    if op in WRITTEN_OUT:
        return "supported, as standard operators on real numbers"
    if op in CONSTANTS:
        return "on constants and shapes"
    why = refusal(op)
    return "refused by name" if why is None else f"refused: {why[0]}; instead: {why[1]}"


def by_operator() -> tuple[dict[str, list[str]], dict[str, int]]:
    """Names of passing cases, and the number of all, by their only operator; several operators count as `functions`."""
    listed = set(PASSING.read_text(encoding="utf-8").split())
    passing, total = defaultdict(list), defaultdict(int)
    for name in cases():
        nodes = onnx.load(str(DATA / name / "model.onnx"), load_external_data=False).graph.node
        op = nodes[0].op_type if len(nodes) == 1 else "functions"
        total[op] += 1
        if name in listed:
            passing[op].append(name)
    return dict(passing), dict(total)


def page() -> str:
    """The whole page."""
    passing, total = by_operator()
    versions = newest()
    lines = [HEAD.format(version=onnx.__version__, newest=max(versions.values()))]
    for op, version in versions.items():
        count = f"{len(passing.get(op, []))} of {total[op]}" if op in total else "–"
        lines.append(f"| {op} | {version} | {state(op)} | {count} |\n")
    found = len(passing.get("functions", []))
    lines.append(
        f"\nOf the {total.get('functions', 0)} cases of several operators (functions written out) {found} pass.\n"
    )
    lines.append("\n## Cases that pass\n\n")
    lines.append(f"{sum(map(len, passing.values()))} cases.\n")
    for op in sorted(passing):
        names = ", ".join(f"`{name.removeprefix('test_')}`" for name in passing[op])
        lines.append(f"\n**{op}**: {names}\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
