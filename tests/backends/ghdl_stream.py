"""Simulates a written entity with GHDL, cycle by cycle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hardwire.backends import Source
from hardwire.backends.vhdl import emit
from hardwire.errors import MissingToolError
from hardwire.fixed import Ints
from hardwire.ir.program import Program
from hardwire.schedule.circuit import Circuit
from hardwire.tools import ghdl
from hardwire.verification import packed, unpacked


def need_ghdl() -> None:
    """Skip the test where GHDL is not installed."""
    try:
        ghdl.TOOL.find()
    except MissingToolError as error:
        pytest.skip(str(error))


def check(circuit: Circuit, program: Program, inputs: list[Ints], outputs: list[Ints], folder: Path) -> None:
    """Stream vectors with gaps and a reset on the way; every answer must come `latency` cycles after its vector."""
    need_ghdl()
    path = folder / "dut.vhd"
    path.write_text(emit(Source.scheduled("dut", program, circuit))["dut.vhd"])
    widths = {bus.name: bus.width for bus in (*circuit.inputs, *circuit.outputs)}
    result = ghdl.simulate(
        [path],
        "dut",
        packed(circuit.inputs, inputs),
        widths,
        circuit.latency,
        workdir=folder / "ghdl",
        gaps=0.2,
        reset_after=len(inputs[0]) // 3,
    )
    for bus, found, wanted in zip(circuit.outputs, unpacked(circuit.outputs, result.outputs), outputs, strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=bus.name)
    assert "dut.vhd" not in (folder / "ghdl" / "ghdl-analysis.log").read_text()
