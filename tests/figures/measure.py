"""Sizes that must not grow unseen: of Programs, of the emulator's machine code and of synthesised netlists.

    python tests/figures/measure.py            measures all and shows what differs from figures.json
    python tests/figures/measure.py --write    takes the new figures as those to hold; names behind it: of these alone

Every figure is an exact count that the same versions of the tools give on every machine: no times. The networks are
small, so that Yosys takes a few seconds for each; `benchmarks/` has those that are compared with peers.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

import hardwire as hw
from hardwire.emulate._host import Host
from hardwire.emulate._module import assemble
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.ir.ops import OpCode
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser
from hardwire.targets import target
from hardwire.tools.yosys import synthesise

HERE = Path(__file__).resolve().parent
HELD = HERE / "figures.json"
MODELS = HERE.parent / "conformance" / "hgq_models"
UPDATE = "python tests/figures/measure.py --write"
PARTS = {"ecp5": "ecp5-85k", "xcup": "xcup-vu13p"}
FAMILIES = tuple(PARTS)
CLOCK_MHZ = 150

Figures = dict[str, int]

_TRIPLE = "x86_64-unknown-linux-gnu"
HOSTS = {
    "avx2": Host(_TRIPLE, "x86-64-v3", "", 16, False, "avx2"),
    "avx512": Host(_TRIPLE, "x86-64-v4", "+avx512vnni", 32, True, "vnni"),
}
"""Machines that code is written for here, whatever this one is."""


def perceptron(sizes: tuple[int, ...], *, keep: float = 1.0, relu: bool = True) -> Network:
    """Seeded weights s6.5, hidden layers ReLU to u8.5, rounded half up and saturated."""
    rng = np.random.default_rng(11)
    b = NetworkBuilder("mlp")
    x = b.input("x", sizes[:1])
    hidden = Quantiser.of_type(FixedType(False, 8, 5), Rounding.RND, Overflow.SAT)
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        w = np.clip(np.round(rng.normal(0, np.sqrt(2 / n), (n, m)) * 32), -32, 31) / 32 * (rng.random((n, m)) < keep)
        x = b.add("dense", f"fc{i}", [x], {}, {"kernel": w, "bias": np.round(rng.normal(0, 0.1, m) * 32) / 32})
        if relu and i < len(sizes) - 2:
            x = b.add("relu", f"relu{i}", [x])
            x = b.add("quantise", f"q{i}", [x], {"quantiser": hidden})
    return b.build([x])


def _of_file(name: str) -> Callable[[], Any]:
    return lambda: MODELS / f"{name}.keras"


CASES: dict[str, Callable[[], Any]] = {
    "matrix": lambda: perceptron((8, 8)),
    "perceptron": lambda: perceptron((8, 8, 6, 4)),
    "pruned": lambda: perceptron((16, 16, 8, 5), keep=0.25),
    "hgq_sequential": _of_file("sequential"),
    "hgq_conv1d": _of_file("conv1d"),
    "hgq_tables": _of_file("table_dense"),
}
"""Name → network or file."""


@cache
def design(name: str, family: str) -> hw.Design:
    model = CASES[name]()
    options = {} if isinstance(model, Path) else {"input_type": "s8.4", "exact": True}
    return hw.compile(model, **options, target=PARTS[family], clock_mhz=CLOCK_MHZ, name="net")


def program(name: str) -> Figures:
    """Ops and adders of the flat Program, bits of its adders' carry chains, register bits and cycles on ECP5."""
    found = design(name, "ecp5")
    kernel = found.flat.flat
    adders = np.isin(kernel.op, [int(OpCode.ADD), int(OpCode.SUB)]) & (kernel.lo != kernel.hi)
    part = target(PARTS["ecp5"])
    bits = replace(part, costs=replace(part.costs, adder_overhead=0.0)).cost(kernel).lut
    return {
        "ops": len(kernel),
        "adders": int(adders.sum()),
        "adder_bits": round(bits[adders].sum()),
        "register_bits": int(found.circuit.register_bits.sum()),
        "cycles": found.circuit.latency,
    }


def instructions(name: str) -> Figures:
    """Machine instructions that the emulator runs for one vector of events (16 with AVX2, 32 with AVX-512)."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    found = {}
    for kind, host in HOSTS.items():
        module = llvm.parse_assembly(assemble(design(name, "ecp5").program, host).kernels)
        machine = llvm.Target.from_triple(host.triple).create_target_machine(
            cpu=host.cpu, features=host.features, opt=1, reloc="pic", codemodel="small"
        )
        module.triple, module.data_layout = host.triple, str(machine.target_data)
        lines = machine.emit_assembly(module).splitlines()
        # An instruction is indented; a label is not, and a directive begins with a dot.
        found[kind] = sum(line.startswith("\t") and not line.startswith(("\t.", "\t#")) for line in lines)
    return found


def netlist(name: str, family: str) -> Figures:
    """Cells after Yosys: on ECP5 logic sites (a carry cell takes two), on Xilinx LUTs without inverters."""
    built = design(name, family)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "net.v"
        source.write_text(built.files["net.v"])
        done = synthesise([source], "net", family=family, workdir=Path(folder) / "synthesis", dsp=False)
    lut, carry, ff = (round(done.resources[key]) for key in ("lut", "carry", "ff"))
    return (
        {"sites": lut + 2 * carry, "ff": ff} if family == "ecp5" else {"lut": lut - done.cells.get("INV", 0), "ff": ff}
    )


KINDS: dict[str, Callable[[str], Figures]] = {
    "program": program,
    "instructions": instructions,
    **{family: (lambda name, family=family: netlist(name, family)) for family in FAMILIES},
}


def tool_of(kind: str) -> str:
    """The version that the counts of a kind depend on, beside hardwire's own."""
    if kind == "instructions":
        return f"llvmlite {version('llvmlite')}"
    return f"pyosys {version('pyosys')}" if kind in FAMILIES else ""


def changes(held: Figures, found: Figures) -> list[str]:
    """What differs, in words; a rise is marked."""
    return [
        f"{key} {held.get(key, 0):,} → {value:,} ({value - held.get(key, 0):+,})"
        for key, value in found.items()
        if value != held.get(key, 0)
    ]


def risen(held: Figures, found: Figures) -> bool:
    """Whether any figure is greater than the one held."""
    return any(value > held.get(key, 0) for key, value in found.items())


def main() -> None:
    """Measure all; with --write keep the figures."""
    held = json.loads(HELD.read_text()) if HELD.is_file() else {"tools": {}, "figures": {}}
    figures: dict[str, dict[str, Figures]] = dict(held["figures"])
    chosen = [word for word in sys.argv[1:] if not word.startswith("-")]
    unknown = set(chosen) - set(CASES)
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: one of {', '.join(CASES)}")
    for name in chosen or CASES:
        for kind, measure in KINDS.items():
            found = measure(name)
            for line in changes(held["figures"].get(name, {}).get(kind, {}), found):
                print(f"{name}, {kind}: {line}", flush=True)
            figures[name] = {**figures.get(name, {}), kind: found}
    if "--write" in sys.argv[1:]:
        text = json.dumps(
            {"tools": {kind: tool_of(kind) for kind in KINDS}, "figures": {name: figures[name] for name in CASES}},
            indent=1,
        )
        beside = HELD.with_name(f"{HELD.name}.part")
        beside.write_text(text + "\n")
        os.replace(beside, HELD)


if __name__ == "__main__":
    main()
