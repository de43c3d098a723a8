"""Shift registers around a design, for tools that cannot place a bare core: its buses have more bits than any package
has pins.

Every bit of an input comes from a register, and every output goes into one, as with the logic around the core in use.
The registers are reached through four pins: `scan_in` shifts a vector in, `capture` takes the outputs over, `scan_out`
shifts them out. For W bits in and V bits out it adds 2 (W + V) flip-flops and V LUTs to what the tool reports.
"""

from __future__ import annotations

from hardwire.projects import Project, ProjectError
from hardwire.projects._sources import Pin, clock_pin, pins, sources


def harness_name(project: Project) -> str:
    """The harness's module; raises `ProjectError` if a name of the design is in its way."""
    name = f"{project.top}_pins"
    if any(hdl.name.rpartition("/")[2].rpartition(".")[0] == name for hdl in sources(project)):
        raise ProjectError(f"module {name!r} is the harness's, and the design has one", hint="rename the model")
    return name


def harness(project: Project) -> tuple[str, str]:
    """File name and text of the harness, in VHDL if the top is, else in Verilog. Its clock is named as the top's."""
    name, clock = harness_name(project), clock_pin(project)
    inputs = [pin for pin in pins(project) if not pin.output and pin.name != clock]
    outputs = [pin for pin in pins(project) if pin.output]
    if not inputs or not outputs:
        raise ProjectError(
            f"top {project.top!r} has no {'outputs' if inputs else 'inputs'} to shift", hint="another top"
        )
    if project.backend == "vhdl" and not any(hdl.language != "vhdl" for hdl in sources(project)):
        return f"{name}.vhd", _vhdl(project.top, name, clock, inputs, outputs)
    return f"{name}.v", _verilog(project.top, name, clock, inputs, outputs)


def _places(pins_: list[Pin]) -> tuple[list[tuple[Pin, int]], int]:
    """Each port with its lowest bit in one register for all, and the bits of that."""
    placed, low = [], 0
    for pin in pins_:
        placed.append((pin, low))
        low += pin.width
    return placed, low


def _verilog(top: str, name: str, clock: str, inputs: list[Pin], outputs: list[Pin]) -> str:
    (given, width_in), (taken, width_out) = _places(inputs), _places(outputs)
    connections = [f"        .{clock}({clock})"]
    connections += [f"        .{pin.name}(given[{low + pin.width - 1}:{low}])" for pin, low in given]
    connections += [f"        .{pin.name}(answer[{low + pin.width - 1}:{low}])" for pin, low in taken]
    text = [
        f"// {name}: {top} between shift registers, so that four pins and a clock reach all of its ports.",
        f"module {name} (input wire {clock}, input wire scan_in, input wire capture, output wire scan_out);",
        f"    reg [{width_in - 1}:0] shifted, given;",
        f"    reg [{width_out - 1}:0] taken, leaving;",
        f"    wire [{width_out - 1}:0] answer;",
        f"    always @(posedge {clock}) begin",
        f"        shifted <= {_shift('shifted', width_in, 'scan_in')};",
        "        given <= shifted;",
        "        taken <= answer;",
        f"        leaving <= capture ? taken : {_shift('leaving', width_out, f'shifted[{width_in - 1}]')};",
        "    end",
        f"    assign scan_out = leaving[{width_out - 1}];",
        f"    {top} core (",
        ",\n".join(connections),
        "    );",
        "endmodule",
    ]
    return "\n".join(text) + "\n"


def _shift(register: str, width: int, entering: str) -> str:
    return entering if width == 1 else f"{{{register}[{width - 2}:0], {entering}}}"


def _vhdl(top: str, name: str, clock: str, inputs: list[Pin], outputs: list[Pin]) -> str:
    (given, width_in), (taken, width_out) = _places(inputs), _places(outputs)

    def place(register: str, pin: Pin, low: int) -> str:
        return f"{register}({low + pin.width - 1} downto {low})" if pin.vector else f"{register}({low})"

    connections = [f"            {clock} => {clock}"]
    connections += [f"            {pin.name} => {place('given', pin, low)}" for pin, low in given]
    connections += [f"            {pin.name} => {place('answer', pin, low)}" for pin, low in taken]

    def shift(register: str, width: int, entering: str) -> str:
        return f"(0 => {entering})" if width == 1 else f"{register}({width - 2} downto 0) & {entering}"

    text = [
        f"-- {name}: {top} between shift registers, so that four pins and a clock reach all of its ports.",
        "library ieee;",
        "use ieee.std_logic_1164.all;",
        "",
        f"entity {name} is",
        f"    port ({clock} : in std_logic; scan_in : in std_logic; capture : in std_logic; scan_out : out std_logic);",
        f"end entity {name};",
        "",
        f"architecture rtl of {name} is",
        f"    signal shifted, given : std_logic_vector({width_in - 1} downto 0);",
        f"    signal taken, leaving, answer : std_logic_vector({width_out - 1} downto 0);",
        "begin",
        "    process (" + clock + ")",
        "    begin",
        f"        if rising_edge({clock}) then",
        f"            shifted <= {shift('shifted', width_in, 'scan_in')};",
        "            given <= shifted;",
        "            taken <= answer;",
        "            if capture = '1' then",
        "                leaving <= taken;",
        "            else",
        f"                leaving <= {shift('leaving', width_out, f'shifted({width_in - 1})')};",
        "            end if;",
        "        end if;",
        "    end process;",
        "",
        f"    scan_out <= leaving({width_out - 1});",
        "",
        f"    core : entity work.{top}",
        "        port map (",
        ",\n".join(connections),
        "        );",
        "end architecture rtl;",
    ]
    return "\n".join(text) + "\n"
