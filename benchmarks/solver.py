"""Adders, bits of adders, depth and CPU seconds of the constant-matrix solver.

    python benchmarks/solver.py --sizes 16,32 --bits 4,6,8 --table2 8,16 --reference --models FILE… \
        --depth none,0,2 --efforts 0,1,2 --json OUT [--peer PYTHON]

Matrices: of size n and b bits `numpy.random.default_rng(0).integers(-2**(b-1), 2**(b-1), size=(n, n))` on signed 8-bit
inputs that arrive at level 0; with `--table2` the setting of da4ml's paper, entries floor(127 u) + 129; with
`--reference` the layers of the reference network; with `--models` every constant matrix, as the passes hand it to the
solver (biases as rows, proven input ranges and arrival levels), of models in files. `--depth` is what is allowed
beyond the least possible depth; for the peer it is its own parameter of the same purpose (`hard_dc`, -1 for none).

`--peer PYTHON` names the interpreter of an environment that holds alkaid 0.8; it runs in the same run, case by case
between ours, on one thread. Its time, like ours, is CPU seconds of the solve alone, the median of `--repeats`, after
a warm-up. Bits are full-adder bits by the model of `hardwire.solver.FullAdderCost`, for the peer from its own ranges.
Ratios are ours / the peer's, at the first of `--efforts`; below 1 is better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import looped_program, mlp

from hardwire import compiler, frontends
from hardwire.fixed import Ints
from hardwire.ir.program import Program
from hardwire.layers._lowering import lower
from hardwire.passes.pipelines import flatten, simplify
from hardwire.solver import AdderGraph, FullAdderCost, solve, solve_cached

PEER = r"""
import json, math, sys, time, statistics
import numpy as np
from importlib.metadata import version
from alkaid.cmvm import cmvm_solve
from alkaid.types import QInterval

def place(step):
    return int(round(math.log2(step)))

def top(q):
    # position above the highest bit of a number in min ... max
    lo, hi = float(q.min), float(q.max)
    m = max(hi, -lo - float(q.step), 0.0)
    bits = (math.floor(math.log2(m)) + 1) if m > 0 else place(q.step)
    return bits + (1 if lo < 0 else 0)

def figures(stages, arrival):
    adders = bits = 0
    levels_in = list(arrival)
    for comb in stages:
        level = []
        for op in comb.ops:
            addr = tuple(getattr(op, 'addr', ()))
            if op.opcode == -1:
                index = op.data[0] if isinstance(op.data, tuple) else op.id0
                level.append(levels_in[index])
            elif op.opcode in (0, 1):
                level.append(1 + max(level[i] for i in addr))
                adders += 1
                a, b = (comb.ops[i].qint for i in addr)
                shift = op.data[0] if isinstance(op.data, tuple) else op.data
                la, lb = place(a.step), place(b.step) + shift
                start = max(la, lb) if op.opcode == 0 else lb
                apart = op.opcode == 0 and ((a.min >= 0 and top(a) <= lb) or (b.min >= 0 and top(b) + shift <= la))
                bits += 0 if apart else max(top(op.qint) - start, 0)
            else:
                level.append(max([level[i] for i in addr] + [0]))
        levels_in = [level[i] if i >= 0 else 0 for i in comb.out_idxs]
    return dict(adders=adders, bits=bits, depth=max(levels_in))

for line in sys.stdin:
    case, dc, repeats = json.loads(line)
    w = np.array(case['matrix'], dtype=np.float32)
    q = [QInterval(float(a), float(b), 1.0) for a, b in zip(case['lo'], case['hi'])]
    arrival = [float(t) for t in case['arrival']]
    times = []
    for _ in range(repeats):
        start = time.process_time()
        solution = cmvm_solve(w, hard_dc=dc, qintervals=q, latencies=arrival)
        times.append(time.process_time() - start)
    x = np.random.default_rng(1).integers(case['lo'], np.array(case['hi']) + 1).astype(np.float64)
    y = x
    for stage in solution:
        y = np.asarray(stage(y, quantize=False), dtype=np.float64)
    row = figures(list(solution), case['arrival'])
    row.update(cpu_s=statistics.median(times), correct=bool(np.array_equal(y, x @ w.astype(np.float64))),
               version=version('alkaid'))
    print(json.dumps(row), flush=True)
"""


@dataclass(frozen=True)
class Case:
    """A matrix, its inputs' ranges and arrival levels."""

    name: str
    matrix: Ints
    lo: Ints
    hi: Ints
    arrival: Ints

    def data(self) -> dict[str, Any]:
        return {key: getattr(self, key).tolist() for key in ("matrix", "lo", "hi", "arrival")}


def square(name: str, matrix: Ints) -> Case:
    n = matrix.shape[0]
    return Case(name, matrix, np.full(n, -128), np.full(n, 127), np.zeros(n, np.int64))


def of_program(name: str, program: Program, least: int = 8) -> Iterator[Case]:
    """The matrices of at least `least` weights, in the order in which they are solved."""
    found: list[Case] = []

    def note(matrix: Ints, lo: Ints, hi: Ints, arrival: Ints) -> AdderGraph:
        if np.count_nonzero(matrix) >= least:
            found.append(Case(f"{name} {len(found)}", matrix, lo, hi, arrival))
        return solve_cached(matrix, lo=lo, hi=hi, input_depth=arrival, depth_limit=0, effort=0)

    flatten(simplify(program), note)
    yield from found


def of_file(file: Path) -> Iterator[Case]:
    network = compiler.prepare(frontends.load(file))
    yield from of_program(file.parent.name, lower(network, compiler.input_quantisers(network, None)))


def cases(options: argparse.Namespace) -> Iterator[Case]:
    for n in numbers(options.sizes):
        for bits in numbers(options.bits):
            rng = np.random.default_rng(0)
            yield square(f"{n}x{n} {bits}b", rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), size=(n, n)))
    for n in numbers(options.table2):
        rng = np.random.default_rng(n)
        for trial in range(options.trials):
            yield square(f"table2 {n} #{trial}", (np.floor(rng.random((n, n)) * 127) + 129).astype(np.int64))
    if options.reference:
        yield from of_program("reference", looped_program(mlp()))
    for file in options.models:
        yield from of_file(file)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def ours(case: Case, limit: int | None, effort: int, repeats: int) -> dict[str, Any]:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        graph = solve(case.matrix, lo=case.lo, hi=case.hi, input_depth=case.arrival, depth_limit=limit, effort=effort)
        times.append(time.process_time() - start)
    return {
        "adders": graph.n_adders,
        "bits": int(graph.cost(FullAdderCost(), case.lo, case.hi)),
        "depth": graph.depth(case.arrival),
        "cpu_s": statistics.median(times),
        "correct": bool(np.array_equal(graph.matrix(), case.matrix)),
    }


def ask_peer(peer: subprocess.Popen[str], case: Case, limit: int | None, repeats: int) -> dict[str, Any]:
    assert peer.stdin is not None
    assert peer.stdout is not None
    peer.stdin.write(json.dumps([case.data(), -1 if limit is None else limit, repeats]) + "\n")
    peer.stdin.flush()
    answer = peer.stdout.readline()
    if not answer:
        sys.exit("the peer's process ended; its own message is above")
    row: dict[str, Any] = json.loads(answer)
    return row


def cells(row: dict[str, Any]) -> str:
    return f"{row['adders']:>6} {row['bits']:>7} {row['depth']:>3} {row['cpu_s']:>8.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,32")
    parser.add_argument("--bits", default="4,6,8")
    parser.add_argument("--table2", default="", help="sizes of the matrices in the setting of da4ml's Table 2")
    parser.add_argument("--trials", type=int, default=3, help="matrices of each size of --table2")
    parser.add_argument("--reference", action="store_true", help="the layers of the reference network")
    parser.add_argument("--models", nargs="*", type=Path, default=[], help="model files that state all their types")
    parser.add_argument("--depth", default="none,0,2", help="levels beyond the least possible; none: no limit")
    parser.add_argument("--efforts", default="1")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--peer", help="Python interpreter of an environment with alkaid")
    options = parser.parse_args()
    efforts = numbers(options.efforts)
    limits = [None if d == "none" else int(d) for d in options.depth.split(",")]
    start = time.process_time()
    tiny = square("warm", np.random.default_rng(0).integers(-8, 8, size=(5, 5)))
    ours(tiny, 0, efforts[0], 1)
    print(f"first solve of this process (compiled code loaded or made): {time.process_time() - start:.2f} CPU s")
    peer = None
    if options.peer:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        peer = subprocess.Popen(
            [options.peer, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread
        )
        ask_peer(peer, tiny, None, 1)
    head = f"{'adders':>6} {'bits':>7} {'lvl':>3} {'CPU s':>8}"
    titles = [*(f"effort {effort}" for effort in efforts), *(["peer"] if peer else [])]
    print(f"{'':32}" + "  ".join(f"{title:^27}" for title in titles))
    print(f"{'matrix':<26}{'spare':>5} " + "  ".join([head] * len(titles)) + ("  adders  bits   CPU" if peer else ""))
    rows = []
    for case in cases(options):
        for limit in limits:
            mine = [ours(case, limit, effort, options.repeats) for effort in efforts]
            other = ask_peer(peer, case, limit, options.repeats) if peer else None
            spare = "none" if limit is None else limit
            text = f"{case.name:<26}{spare:>5} " + "  ".join(cells(row) for row in [*mine, *([other] if other else [])])
            if other:
                adders, bits, cpu = (mine[0][key] / max(other[key], 1e-9) for key in ("adders", "bits", "cpu_s"))
                deeper = " deeper" if mine[0]["depth"] > other["depth"] else ""
                text += f"  {adders:6.3f} {bits:5.3f} {cpu:5.2f}{deeper}"
            print(text, flush=True)
            if not all(row["correct"] for row in [*mine, other or mine[0]]):
                sys.exit(f"wrong result in case {case.name!r}, depth {spare}")
            ran = dict(zip(map(str, efforts), mine, strict=True))
            rows.append({"matrix": case.name, "depth_limit": limit, "effort": ran, "peer": other})
            if options.json:
                partial = options.json.with_name(options.json.name + ".part")
                partial.write_text(json.dumps({"efforts": efforts, "rows": rows}, indent=1))
                os.replace(partial, options.json)
    if peer and rows:
        for key in ("adders", "bits", "cpu_s"):
            ratios = [row["effort"][str(efforts[0])][key] / max(row["peer"][key], 1e-9) for row in rows]
            total = sum(row["effort"][str(efforts[0])][key] for row in rows) / sum(row["peer"][key] for row in rows)
            print(f"ours / peer, {key:>6}: median {statistics.median(ratios):.3f}, most {max(ratios):.3f}, "
                  f"sums {total:.3f}")  # fmt: skip
    if len(efforts) > 1:
        for effort in efforts:
            ran = [row["effort"][str(effort)] for row in rows]
            bits, cpu = sum(r["bits"] for r in ran), sum(r["cpu_s"] for r in ran)
            print(f"effort {effort}: {bits:,} bits, {sum(r['adders'] for r in ran):,} adders, {cpu:.2f} CPU s")
    if peer and peer.stdin:
        peer.stdin.close()
        peer.wait()


if __name__ == "__main__":
    main()
