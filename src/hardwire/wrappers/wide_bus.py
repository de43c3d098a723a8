"""One wide port in and one out, an element a field of the user's choice; the core's fixed latency, or a longer one."""

from __future__ import annotations

from string import Template

from hardwire.schedule.circuit import Circuit
from hardwire.wrappers import _parts as parts
from hardwire.wrappers._bench import wide_bench
from hardwire.wrappers._fields import pack, unpack, word_of
from hardwire.wrappers._interface import FILE, HdlPort, Interface, Parameter, Stream, interface_json
from hardwire.wrappers._options import RESETS, Options

NAME = "wide_bus"
TITLE = "one wide input and output port, an element a field (int8, int16, ...), fixed latency"
OPTIONS = ("field", "in_field", "out_field", "latency", "reset")

_MODULE = Template("""\
$headline
// Where each element lies in in_data and out_data is in wrapper_ports.json.
module $top #(
    parameter LATENCY = $latency,  // clock cycles from in_valid to out_valid, $least or more
    parameter RESET_ACTIVE_LOW = $active_low,
    parameter RESET_ASYNCHRONOUS = $asynchronous
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    // verilator lint_off UNUSEDSIGNAL
    // Bits of a field above its element have no reader.
    input  wire [$in_top:0] in_data,
    // verilator lint_on UNUSEDSIGNAL
    output wire out_valid,
    output wire [$out_top:0] out_data
);

$check

wire reset;
${top}_reset #(.ACTIVE_LOW(RESET_ACTIVE_LOW), .ASYNCHRONOUS(RESET_ASYNCHRONOUS)) reset_pin (
    .clk(clk), .pin(rst), .rst(reset)
);

$wires
$unpack

wire core_valid;
$module core (
    .clk(clk),
    .rst(reset),
    .in_valid(in_valid),
    .out_valid(core_valid),
$connections
);

wire [$out_top:0] core_data;
$pack

${top}_delay #(.WIDTH(1), .CYCLES(LATENCY - $least)) pad_valid (
    .clk(clk), .rst(reset), .d(core_valid), .q(out_valid)
);
${top}_delay #(.WIDTH($out_width), .CYCLES(LATENCY - $least)) pad_data (
    .clk(clk), .rst(1'b0), .d(core_data), .q(out_data)
);

endmodule
""")


def top(module: str) -> str:
    """Name of the wrapped module."""
    return f"{module}_wide"


def emit(circuit: Circuit, module: str, options: Options | None = None) -> dict[str, str]:
    """Write the wrapper of the core `module`; file name → text.

    Fields are `array` (8, 16, 32 or 64 bits, the least that holds every element) unless chosen.
    Raises `WrapperError` for a field that is too narrow or a latency that is too low.
    """
    options = options or Options()
    name = top(module)
    words = word_of(circuit.inputs, options.in_field or "array"), word_of(circuit.outputs, options.out_field or "array")
    least = circuit.latency
    latency = parts.chosen_latency(options.latency, least, NAME)
    asynchronous, active_low = RESETS[options.reset or "sync-high"]
    text = _MODULE.substitute(
        headline=parts.headline(circuit, f"{module} with one wide input and output port, a vector every cycle."),
        top=name,
        module=module,
        latency=latency,
        least=least,
        active_low=int(active_low),
        asynchronous=int(asynchronous),
        in_top=words[0].width - 1,
        out_top=words[1].width - 1,
        out_width=words[1].width,
        check=parts.latency_check(least),
        wires=parts.wires((*circuit.inputs, *circuit.outputs)),
        unpack="\n".join(unpack(words[0], "in_data")),
        connections=parts.connections(circuit),
        pack="\n".join(pack(words[1], "core_data")),
    )
    interface = Interface(
        module=name,
        core=module,
        wrapper=NAME,
        clock="clk",
        clock_mhz=circuit.clock_mhz,
        reset="rst",
        reset_active_low=active_low,
        reset_asynchronous=asynchronous,
        latency_cycles=latency,
        parameters=(
            Parameter("LATENCY", latency, f"Clock cycles from in_valid to out_valid, {least} or more", least),
            *reset_parameters(active_low, asynchronous),
        ),
        ports=(
            HdlPort("clk", "in"),
            HdlPort("rst", "in"),
            HdlPort("in_valid", "in"),
            HdlPort("in_data", "in", words[0].width),
            HdlPort("out_valid", "out"),
            HdlPort("out_data", "out", words[1].width),
        ),
        streams=(
            Stream("in", "slave", "valid", {"VALID": "in_valid", "DATA": "in_data"}),
            Stream("out", "master", "valid", {"VALID": "out_valid", "DATA": "out_data"}),
        ),
    )
    return {
        f"{name}.v": text,
        **parts.reset_file(name),
        **parts.delay_file(name),
        FILE: interface_json(interface, [("in_data", words[0])], [("out_data", words[1])]),
        **parts.constraint_files(
            circuit,
            name,
            clock="clk",
            reset="rst",
            asynchronous=asynchronous,
            inputs=["in_valid", "in_data"],
            outputs=["out_valid", "out_data"],
        ),
        **wide_bench(name, module),
    }


def reset_parameters(active_low: bool, asynchronous: bool) -> tuple[Parameter, Parameter]:
    """The parameters that say what kind of reset the port takes."""
    return (
        Parameter("RESET_ACTIVE_LOW", int(active_low), "1: the reset is active low"),
        Parameter("RESET_ASYNCHRONOUS", int(asynchronous), "1: the reset may change at any time"),
    )
