"""The core's buses with valid and ready on both sides: the reader may stop at any time, nothing is lost."""

from __future__ import annotations

from string import Template

from hardwire.schedule.circuit import Circuit
from hardwire.wrappers import _parts as parts
from hardwire.wrappers._bench import stream_bench
from hardwire.wrappers._fields import bus_words
from hardwire.wrappers._interface import FILE, HdlPort, Interface, Parameter, Stream, interface_json
from hardwire.wrappers._options import RESETS, Options
from hardwire.wrappers.wide_bus import reset_parameters

NAME = "valid_ready"
TITLE = "the core's buses with valid and ready on both sides"
OPTIONS = ("latency", "reset")

_MODULE = Template("""\
$headline
// A vector goes over at a clock edge with valid and ready up; out_valid waits for out_ready, and so do the buses.
module $top #(
    parameter LATENCY = $latency,  // clock cycles from a vector's edge to its answer's first, $least or more
    parameter DEPTH = LATENCY + 1,  // vectors that may be inside; fewer than LATENCY + 1 make the stream slower
    parameter RESET_ACTIVE_LOW = $active_low,
    parameter RESET_ASYNCHRONOUS = $asynchronous
) (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
$in_ports
    output reg  out_valid,
    input  wire out_ready,
$out_ports
);

$check

wire reset;
${top}_reset #(.ACTIVE_LOW(RESET_ACTIVE_LOW), .ASYNCHRONOUS(RESET_ASYNCHRONOUS)) reset_pin (
    .clk(clk), .pin(rst), .rst(reset)
);

wire accept = in_valid & in_ready;
wire core_valid;
$core_wires
$module core (
    .clk(clk),
    .rst(reset),
    .in_valid(accept),
    .out_valid(core_valid),
$core_connections
);

// Registers that only lengthen the latency.
wire push;
wire [$out_top:0] push_data;
${top}_delay #(.WIDTH(1), .CYCLES(LATENCY - $least)) pad_valid (
    .clk(clk), .rst(reset), .d(core_valid), .q(push)
);
${top}_delay #(.WIDTH($out_width), .CYCLES(LATENCY - $least)) pad_data (
    .clk(clk), .rst(1'b0), .d($core_word), .q(push_data)
);

reg [$out_top:0] answer;
wire head_valid;
wire [$out_top:0] head_data;
wire deliver = out_valid & out_ready;
wire pop = deliver | ~out_valid;
${top}_queue #(.WIDTH($out_width), .DEPTH(DEPTH)) queue (
    .clk(clk), .rst(reset),
    .accept(accept), .ready(in_ready),
    .push(push), .push_data(push_data),
    .head_valid(head_valid), .head_data(head_data), .pop(pop),
    .deliver(deliver)
);

always @(posedge clk) begin
    if (reset) out_valid <= 1'b0;
    else if (pop) out_valid <= head_valid;
    if (pop) answer <= head_data;
end
$answers

endmodule
""")


def top(module: str) -> str:
    """Name of the wrapped module."""
    return f"{module}_stream"


def emit(circuit: Circuit, module: str, options: Options | None = None) -> dict[str, str]:
    """Write the wrapper of the core `module`; file name → text. Raises `WrapperError` for a latency that is too low."""
    options = options or Options()
    name = top(module)
    least = circuit.latency + 1
    latency = parts.chosen_latency(options.latency, least, NAME)
    asynchronous, active_low = RESETS[options.reset or "sync-high"]
    out_width = sum(bus.width for bus in circuit.outputs)
    ins, outs = [bus.name for bus in circuit.inputs], [bus.name for bus in circuit.outputs]
    core_buses = [f"    .{bus}({bus})" for bus in ins] + [f"    .{bus}(core_{bus})" for bus in outs]
    answers, offset = [], 0
    for bus in circuit.outputs:
        answers.append(f"assign {bus.name} = answer[{offset + bus.width - 1}:{offset}];")
        offset += bus.width
    text = _MODULE.substitute(
        headline=parts.headline(circuit, f"{module} between two streams with valid and ready, a vector every cycle."),
        top=name,
        module=module,
        latency=latency,
        least=least,
        active_low=int(active_low),
        asynchronous=int(asynchronous),
        in_ports="\n".join(f"    input  wire [{bus.width - 1}:0] {bus.name}," for bus in circuit.inputs),
        out_ports=",\n".join(f"    output wire [{bus.width - 1}:0] {bus.name}" for bus in circuit.outputs),
        check=parts.latency_check(least),
        core_wires="\n".join(f"wire [{bus.width - 1}:0] core_{bus.name};" for bus in circuit.outputs),
        core_connections=",\n".join(core_buses),
        core_word="{" + ", ".join(f"core_{bus}" for bus in reversed(outs)) + "}",
        out_top=out_width - 1,
        out_width=out_width,
        answers="\n".join(answers),
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
            Parameter("LATENCY", latency, f"Clock cycles from a vector to its answer, {least} or more", least),
            depth_parameter(latency),
            *reset_parameters(active_low, asynchronous),
        ),
        ports=(
            HdlPort("clk", "in"),
            HdlPort("rst", "in"),
            HdlPort("in_valid", "in"),
            HdlPort("in_ready", "out"),
            *(HdlPort(bus.name, "in", bus.width) for bus in circuit.inputs),
            HdlPort("out_valid", "out"),
            HdlPort("out_ready", "in"),
            *(HdlPort(bus.name, "out", bus.width) for bus in circuit.outputs),
        ),
        streams=(
            Stream("in", "slave", "valid-ready", {"VALID": "in_valid", "READY": "in_ready", **_data(ins)}),
            Stream("out", "master", "valid-ready", {"VALID": "out_valid", "READY": "out_ready", **_data(outs)}),
        ),
    )
    words = bus_words(circuit.inputs), bus_words(circuit.outputs)
    return {
        f"{name}.v": text,
        **parts.reset_file(name),
        **parts.delay_file(name),
        **parts.queue_file(name),
        FILE: interface_json(interface, list(zip(ins, words[0], strict=True)), list(zip(outs, words[1], strict=True))),
        **parts.constraint_files(
            circuit,
            name,
            clock="clk",
            reset="rst",
            asynchronous=asynchronous,
            inputs=["in_valid", *ins, "out_ready"],
            outputs=["in_ready", "out_valid", *outs],
        ),
        **stream_bench(name, module),
    }


def _data(buses: list[str]) -> dict[str, str]:
    return {f"DATA{k}" if len(buses) > 1 else "DATA": bus for k, bus in enumerate(buses)}


def depth_parameter(latency: int) -> Parameter:
    """The parameter that says how many vectors may be inside."""
    meaning = "Vectors that may be inside; fewer than LATENCY + 1 make the stream slower"
    return Parameter("DEPTH", latency + 1, meaning, 2, "LATENCY + 1")
