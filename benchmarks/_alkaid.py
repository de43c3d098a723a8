"""A network through alkaid, which runs in an environment of its own, and what its netlists answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _cases import Case, Floats
from _synthesis import digest
from numpy.typing import NDArray

from hardwire.tools.bits import pack, unpack
from hardwire.tools.netlist import NetlistSimulator

DRIVER = Path(__file__).resolve().parent / "peers" / "alkaid_network.py"
DEPTHS = "-1,0,2"
Row = dict[str, Any]
Kif = Sequence[Sequence[int]]


def solved(
    case: Case,
    x: Floats,
    python: str,
    levels: Sequence[int],
    store: Path,
    *,
    repeats: int = 3,
    inputs: Kif | None = None,
    solver: Row | None = None,
    environment: Mapping[str, str] | None = None,
) -> tuple[Row, Path]:
    """Run the driver, or take up what it wrote for the very same network, inputs and driver.

    Returns its figures and the folder of its projects. `repeats` are of the solver, for the medians of its seconds;
    `inputs` are bits (sign, integer, fraction) that the inputs of a model from a file already have; `solver` are
    further options of its solver.
    """
    scratch = store / f"part_{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    file = case.write(scratch)
    stages = ",".join(map(str, levels))
    given = {"inputs": inputs, "solver": solver}
    told = [json.dumps(value) for value in given.values() if value is not None]
    key = digest(file.read_bytes(), x.tobytes(), DRIVER.read_bytes(), stages, DEPTHS, *told)
    folder = store / f"alkaid_{key}"
    if not (folder / "figures.json").is_file():
        np.save(scratch / "x.npy", x)
        command = [python, str(DRIVER), str(file), str(scratch), "--levels", stages, f"--depth={DEPTHS}"]
        command += ["--repeats", str(repeats)]
        if inputs is not None:
            (scratch / "inputs.json").write_text(json.dumps(inputs))
            command += ["--inputs", str(scratch / "inputs.json")]
        command += [] if solver is None else ["--solver", json.dumps(solver)]
        variables = os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {})
        log = store / f"alkaid_{os.getpid()}.log"
        with log.open("w") as output:
            done = subprocess.run(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
        if done.returncode:
            sys.exit(f"{case.name}: {' '.join(command)} failed:\n{log.read_text()[-2000:]}")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    return json.loads((folder / "figures.json").read_text()), folder


def emulated(folder: Path) -> Floats:
    """What alkaid's own emulator answers, (N, outputs)."""
    found: Floats = np.load(folder / "y.npy")
    return found


def chosen(figures: Row, levels: int) -> list[Row]:
    """Its projects with the least cost by its own estimate: without ternary adders, and with them."""
    found = []
    for ternary in (False, True):
        rows = [r for r in figures["projects"] if r["levels"] == levels and r["ternary"] == ternary]
        found.append(min(rows, key=lambda r: (r["cost"], r["cycles"])))
    return found


def _codes(values: Floats, kif: Kif) -> NDArray[np.int64]:
    scaled = values * 2.0 ** np.array([f for _, _, f in kif])
    found = np.rint(scaled).astype(np.int64)
    used = np.array([k + i + f > 0 for k, i, f in kif])
    if (found != scaled)[:, used].any():
        raise SystemExit("inputs are no codes of alkaid's input types")
    return found


def answers(netlist: Path, x: Floats, figures: Row, cycles: int) -> Floats:
    """What a netlist of its Verilog answers, (N, outputs); its module has neither reset nor valid bits."""
    widths = {side: [max(k + i + f, 0) for k, i, f in figures[f"{side}_kif"]] for side in ("in", "out")}
    used = [place for place, width in enumerate(widths["in"]) if width]
    codes = _codes(x.reshape(len(x), -1), figures["in_kif"])
    words = pack(codes[:, used], [widths["in"][place] for place in used])
    words = np.concatenate([words, np.zeros((cycles, words.shape[1]), np.uint64)])
    found = NetlistSimulator(netlist, "mlp").trace({"model_inp": words})["model_out"][cycles:]
    kept = [place for place, width in enumerate(widths["out"]) if width]
    signed = [bool(figures["out_kif"][place][0]) for place in kept]
    values = unpack(np.ascontiguousarray(found), [widths["out"][place] for place in kept], signed)
    result = np.zeros((len(x), len(widths["out"])))
    result[:, kept] = values * 2.0 ** -np.array([figures["out_kif"][place][2] for place in kept], np.float64)
    return result
