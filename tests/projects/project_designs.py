"""Designs to write projects from: a small network in Verilog and VHDL, wrapped or not; and sources of their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardwire import wrappers
from hardwire.backends import Source, backend
from hardwire.ir.builder import KernelBuilder
from hardwire.ir.program import Access, Array, Port, Program, Step
from hardwire.projects import Project
from hardwire.schedule import Circuit
from hardwire.schedule.pipeline import Timing, build
from hardwire.targets import target


def small_program() -> Program:
    from fractions import Fraction

    builder = KernelBuilder("net", [-8, 0], [7, 15], origin="x")
    builder.origin = "fc1"
    kernel = builder.build([builder.clamp(builder.add(0, 1, 1, 0), 0, 15), builder.max(0, 1)])
    one, zero = np.array([Fraction(1)], object), np.zeros(1, np.int32)
    ids = np.arange(2, dtype=np.int32)
    arrays = {
        "in": Array("in", kernel.lo[:2], kernel.hi[:2], one),
        "out": Array("out", kernel.lo[kernel.outputs], kernel.hi[kernel.outputs], one),
    }
    step = Step("all", kernel.name, (Access("in", zero, ids),), Access("out", zero, ids))
    ports = (Port("in0", "in", ids, (2,)),), (Port("out0", "out", ids, (2,)),)
    return Program("net", arrays, {kernel.name: kernel}, (step,), *ports)


VHDL = {
    "net.vhd": """\
library ieee;
use ieee.std_logic_1164.all;
use work.net_types.all;

entity net is
    port (
        clk : in std_logic; -- the clock
        rst, in_valid : in std_logic;
        x : in std_logic_vector(7 downto 0);
        out_valid : out std_logic;
        y : out std_logic_vector(0 downto 0)
    );
end entity net;

architecture rtl of net is
begin
    process (clk)
    begin
        if rising_edge(clk) then
            y <= x(7 downto 7);
            out_valid <= in_valid and not rst;
        end if;
    end process;
end architecture rtl;
""",
    "net_types.vhd": "package net_types is\n    constant LATENCY : natural := 1;\nend package net_types;\n",
    "tb/net_tb.vhd": "entity net_tb is\nend entity net_tb;\n",
    "net.sdc": "create_clock -name clk -period 5.000 [get_ports clk]\n",
}

WRAPPER = """\
module other (input wire a, output reg b);
    always @(*) b = a;
endmodule

module net_axis #(parameter integer IN_BITS = 8, parameter OUT_BITS = 4 * 2) (
    (* X_INTERFACE_INFO = "clock" *) input  wire aclk, input wire aresetn,  /* reset, low */
    input  wire [IN_BITS-1:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
    output wire [OUT_BITS - 1:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready
);
    // The core itself is of no matter here.
    wire unused;
    other first (.a(aclk), .b(unused)); // A star of @(*) begins no attribute.
    assign m_axis_tdata = s_axis_tdata, m_axis_tvalid = s_axis_tvalid, s_axis_tready = m_axis_tready | ~aresetn;
endmodule
"""


def design(
    files: Mapping[str, str] | None = None, *, backend: str = "verilog", top: str = "net", **changes: object
) -> Project:
    """A design of the back end's own files, in the wrapper whose top is asked for."""
    program = small_program()
    timing = Timing.of(program, target())
    circuit = build(timing, timing.least_budget(1), 200.0)
    if files is None:
        files = core_files(backend, program, circuit)
        for name in wrappers.wrappers():
            wrapper = wrappers.wrapper(name)
            if wrapper.top("net") == top:
                files = {**files, **wrapper.emit(circuit, "net")}
    fields: dict[str, object] = {"part": None, "clock_mhz": 200.0, "target": target(), **changes}
    return Project(
        name="net",
        top=top,
        files=files,
        backend=backend,
        circuit=circuit,
        program=program,
        version="1.0.0",
        **fields,  # type: ignore[arg-type]
    )


def core_files(name: str, program: Program, circuit: Circuit) -> dict[str, str]:
    return backend(name).emit(Source.scheduled("net", program, circuit))
