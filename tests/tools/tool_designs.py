"""Small Verilog designs with a Python meaning, for the tests of the tools: adder trees, tables, multipliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hardwire.tools.bits import pack, unpack

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Design:
    """A pipelined module `top`: one bus `x`, one bus `y`, latency in cycles, and what it computes on integers."""

    top: str
    verilog: str
    x_widths: tuple[int, ...]
    y_widths: tuple[int, ...]
    latency: int
    meaning: Callable[[Ints], Ints]

    @property
    def widths(self) -> dict[str, int]:
        return {"x": sum(self.x_widths), "y": sum(self.y_widths)}

    def write(self, folder: Path) -> list[Path]:
        path = folder / f"{self.top}.v"
        path.write_text(self.verilog)
        return [path]

    def random(self, count: int, seed: int = 0) -> Ints:
        rng = np.random.default_rng(seed)
        columns = [rng.integers(-(1 << (w - 1)), 1 << (w - 1), count) for w in self.x_widths]
        return np.stack(columns, axis=1).astype(np.int64)

    def words(self, values: Ints) -> dict[str, Words]:
        return {"x": pack(values, self.x_widths)}

    def integers(self, outputs: dict[str, Words]) -> Ints:
        return unpack(outputs["y"], self.y_widths, True)

    def expected(self, values: Ints) -> Ints:
        return self.meaning(values)


class Pipeline:
    """Writes a pipelined module; every `reg_` call is a register, the caller keeps the stages aligned."""

    def __init__(self, top: str, x_widths: tuple[int, ...]) -> None:
        self.top, self.x_widths = top, x_widths
        self.declarations: list[str] = []
        self.clocked: list[str] = []
        self.stages = 0
        self.now: list[tuple[str, int]] = []
        low = 0
        for i, width in enumerate(x_widths):
            self.declarations.append(f"wire signed [{width - 1}:0] x_{i} = x[{low + width - 1}:{low}];")
            self.now.append((f"x_{i}", width))
            low += width

    def register(self, name: str, width: int, expression: str) -> tuple[str, int]:
        self.declarations.append(f"reg signed [{width - 1}:0] {name};")
        self.clocked.append(f"{name} <= {expression};")
        return name, width

    def finish(self) -> tuple[str, tuple[int, ...]]:
        y_widths = tuple(width for _, width in self.now)
        total = sum(y_widths)
        lines = [
            f"module {self.top}(input clk, input rst, input in_valid, input [{sum(self.x_widths) - 1}:0] x,",
            f"  output out_valid, output [{total - 1}:0] y);",
            *self.declarations,
            f"reg [{self.stages - 1}:0] valid;" if self.stages else "",
            "always @(posedge clk) begin",
            *self.clocked,
        ]
        if self.stages > 1:
            lines.append(f"if (rst) valid <= 0; else valid <= {{valid[{self.stages - 2}:0], in_valid}};")
        elif self.stages == 1:
            lines.append("if (rst) valid <= 0; else valid <= in_valid;")
        lines += [
            "end",
            f"assign out_valid = {f'valid[{self.stages - 1}]' if self.stages else 'in_valid'};",
            f"assign y = {{{', '.join(name for name, _ in reversed(self.now))}}};",
            "endmodule",
        ]
        return "\n".join(line for line in lines if line) + "\n", y_widths


def adder_trees(outputs: int, *, inputs: int = 16, width: int = 8, seed: int = 0, top: str = "adders") -> Design:
    """Every output a signed, shifted sum of all inputs, one adder a stage: `outputs * (inputs - 1)` adders."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([-2, -1, 1, 2], size=(inputs, outputs)).astype(np.int64)
    pipe = Pipeline(top, (width,) * inputs)
    trees = []
    for o in range(outputs):
        order = rng.permutation(inputs)
        trees.append([(f"x_{i}", width, int(weights[i, o])) for i in order])
    level = 0
    while any(len(tree) > 1 for tree in trees) or level == 0:
        grown = []
        for o, tree in enumerate(trees):
            done = []
            for j in range(0, len(tree), 2):
                pair = tree[j : j + 2]
                # Two lowest values negated need a bit more: -(-2**n) - (-2**n) = 2**(n + 1).
                wide = max(w + (abs(c) == 2) for _, w, c in pair) + (2 if all(c < 0 for _, _, c in pair) else 1)
                terms = [f"{'-' if c < 0 else '+'} ({n} <<< {int(abs(c) == 2)})" for n, _, c in pair]
                name, _ = pipe.register(f"s{level}_{o}_{j}", wide, " ".join(["0", *terms]))
                done.append((name, wide, 1))
            grown.append(done)
        trees, level = grown, level + 1
    pipe.stages = level
    pipe.now = [(tree[0][0], tree[0][1]) for tree in trees]
    text, y_widths = pipe.finish()
    return Design(top, text, pipe.x_widths, y_widths, level, lambda values: values @ weights)


def tables(count: int, *, bits: int = 6, seed: int = 0, top: str = "tables") -> Design:
    """Each of `count` inputs through its own random table (a case statement), registered twice."""
    rng = np.random.default_rng(seed)
    content = rng.integers(-128, 128, size=(count, 1 << bits))
    pipe = Pipeline(top, (bits,) * count)
    pipe.stages = 2
    pipe.now = []
    for i in range(count):
        cases = "\n".join(f"    {bits}'d{a}: r{i} <= {int(content[i, a])};" for a in range(1 << bits))
        pipe.declarations.append(f"reg signed [7:0] r{i};")
        pipe.clocked.append(f"case (x_{i})\n{cases}\n  endcase")
        pipe.now.append(pipe.register(f"q{i}", 8, f"r{i}"))
    text, y_widths = pipe.finish()

    def meaning(values: Ints) -> Ints:
        return np.stack([content[i][values[:, i] & ((1 << bits) - 1)] for i in range(count)], axis=1)

    return Design(top, text, pipe.x_widths, y_widths, 2, meaning)


def multipliers(pairs: int, *, a: int = 11, b: int = 9, top: str = "products") -> Design:
    """Signed products of pairs of inputs, in three stages (inputs, product, output)."""
    pipe = Pipeline(top, (a, b) * pairs)
    pipe.stages = 3
    pipe.now = []
    for i in range(pairs):
        left, _ = pipe.register(f"a{i}", a, f"x_{2 * i}")
        right, _ = pipe.register(f"b{i}", b, f"x_{2 * i + 1}")
        product, _ = pipe.register(f"p{i}", a + b, f"{left} * {right}")
        pipe.now.append(pipe.register(f"o{i}", a + b, product))
    text, y_widths = pipe.finish()
    return Design(top, text, pipe.x_widths, y_widths, 3, lambda values: values[:, 0::2] * values[:, 1::2])
