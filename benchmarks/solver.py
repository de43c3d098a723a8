"""Adders, depth and CPU seconds of the constant-matrix solver on seeded random matrices.

    python benchmarks/solver.py --sizes 16,32 --bits 4,6,8 --depth none,0,2 --json OUT [--peer PYTHON]

The matrix of size n and b bits is `numpy.random.default_rng(0).integers(-2**(b-1), 2**(b-1), size=(n, n))`, the
inputs are signed 8-bit integers that all arrive at level 0. `--depth` is what is allowed beyond the least possible
depth; for the peer it is its own parameter of the same purpose (`hard_dc`, -1 for none).

`--peer PYTHON` names the interpreter of an environment that holds alkaid 0.8; it runs in the same run, case by case
between ours, on one thread. Its time, like ours, is CPU seconds of the solve alone, the median of `--repeats`, after
a warm-up. Bits are full-adder bits by the model of `hardwire.solver.FullAdderCost`, for the peer from its own ranges.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hardwire.solver import AdderCount, FullAdderCost, solve

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

def figures(stages):
    adders = bits = 0
    levels_in = None
    for comb in stages:
        level = []
        for op in comb.ops:
            addr = tuple(getattr(op, 'addr', ()))
            if op.opcode == -1:
                index = op.data[0] if isinstance(op.data, tuple) else op.id0
                level.append(levels_in[index] if levels_in else 0)
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
    n, b, dc, repeats = json.loads(line)
    w = np.random.default_rng(0).integers(-2 ** (b - 1), 2 ** (b - 1), size=(n, n)).astype(np.float32)
    q = [QInterval(-128.0, 127.0, 1.0)] * n
    times = []
    for _ in range(repeats):
        start = time.process_time()
        solution = cmvm_solve(w, hard_dc=dc, qintervals=q, latencies=[0.0] * n)
        times.append(time.process_time() - start)
    x = np.random.default_rng(1).integers(-128, 128, size=n).astype(np.float64)
    y = x
    for stage in solution:
        y = np.asarray(stage(y, quantize=False), dtype=np.float64)
    row = figures(list(solution))
    row.update(cpu_s=statistics.median(times), correct=bool(np.array_equal(y, x @ w.astype(np.float64))),
               version=version('alkaid'))
    print(json.dumps(row), flush=True)
"""

Case = tuple[int, int, int | None]


def ours(effort: int, repeats: int) -> Callable[[Case, bool], dict[str, Any]]:
    """A function that solves one case, for few adders or for few bits."""

    def run(case: Case, count_adders: bool) -> dict[str, Any]:
        n, bits, depth = case
        matrix = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), size=(n, n))
        cost = AdderCount() if count_adders else FullAdderCost()
        times = []
        for _ in range(repeats):
            start = time.process_time()
            graph = solve(matrix, depth_limit=depth, effort=effort, cost=cost)
            times.append(time.process_time() - start)
        return {
            "adders": graph.n_adders,
            "bits": int(graph.cost(None, -128, 127)),
            "depth": graph.depth(),
            "cpu_s": statistics.median(times),
            "correct": bool(np.array_equal(graph.matrix(), matrix)),
        }

    return run


def ask_peer(peer: subprocess.Popen[str], case: Case, repeats: int) -> dict[str, Any]:
    assert peer.stdin is not None
    assert peer.stdout is not None
    n, bits, depth = case
    peer.stdin.write(json.dumps([n, bits, -1 if depth is None else depth, repeats]) + "\n")
    peer.stdin.flush()
    answer = peer.stdout.readline()
    if not answer:
        sys.exit("the peer's process ended; its own message is above")
    row: dict[str, Any] = json.loads(answer)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,32")
    parser.add_argument("--bits", default="4,6,8")
    parser.add_argument("--depth", default="none,0,2", help="levels beyond the least possible; none: no limit")
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--peer", help="Python interpreter of an environment with alkaid")
    options = parser.parse_args()
    cases: list[Case] = [
        (int(n), int(b), None if d == "none" else int(d))
        for n in options.sizes.split(",")
        for b in options.bits.split(",")
        for d in options.depth.split(",")
    ]
    run = ours(options.effort, options.repeats)
    start = time.process_time()
    run((4, 4, None), True)
    print(f"first solve of this process (compiled code loaded or made): {time.process_time() - start:.2f} CPU s")
    peer = None
    if options.peer:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        peer = subprocess.Popen(
            [options.peer, "-c", PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread
        )
        ask_peer(peer, (4, 4, None), 1)
    print(f"{'case':>14}  {'least adders':>25}  {'least bits':>25}  {'peer':>25}  peer/ours (adders, bits, CPU)")
    rows = []
    for case in cases:
        row: dict[str, Any] = dict(zip(("n", "bits", "depth_limit"), case, strict=True))
        row["adders_first"], row["bits_first"] = run(case, True), run(case, False)
        row["peer"] = ask_peer(peer, case, options.repeats) if peer else None
        rows.append(row)
        cells = [
            f"{r['adders']:>6}/{r['bits']:>7}/{r['depth']:>2} {r['cpu_s']:>7.3f}" if r else f"{'-':>25}"
            for r in (row["adders_first"], row["bits_first"], row["peer"])
        ]
        ratio = ""
        if row["peer"]:
            few, narrow, other = row["adders_first"], row["bits_first"], row["peer"]
            ratio = (
                f"{other['adders'] / few['adders']:.3f}  {other['bits'] / narrow['bits']:.3f}"
                f"  {other['cpu_s'] / few['cpu_s']:.1f}"
            )
        limit = "none" if case[2] is None else case[2]
        print(f"{case[0]:>4} {case[1]:>2} {limit:>6}  {'  '.join(cells)}  {ratio}", flush=True)
        if not all(r["correct"] for r in (row["adders_first"], row["bits_first"], row["peer"]) if r):
            sys.exit(f"wrong result in case {case}")
        if options.json:
            partial = options.json.with_name(options.json.name + ".part")
            partial.write_text(json.dumps({"effort": options.effort, "rows": rows}, indent=1))
            os.replace(partial, options.json)
    if peer and peer.stdin:
        peer.stdin.close()
        peer.wait()


if __name__ == "__main__":
    main()
