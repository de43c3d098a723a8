"""AXI4-Stream on both sides (Arm IHI 0051): a vector is one beat, or several of a narrower bus.

TLAST ends a frame of any number of vectors and comes out with its vector; so does TUSER, a tag for the user's own use
(a bunch crossing, say). There is no TKEEP on the way in (every byte counts), all its bits are up on the way out.
"""

from __future__ import annotations

from string import Template

from hardwire.schedule.circuit import Circuit
from hardwire.wrappers import _parts as parts
from hardwire.wrappers._beats import gather_file, scatter_file
from hardwire.wrappers._bench import axis_bench
from hardwire.wrappers._fields import pack, unpack, word_of
from hardwire.wrappers._interface import FILE, HdlPort, Interface, Parameter, Stream, interface_json
from hardwire.wrappers._options import RESETS, Options, WrapperError
from hardwire.wrappers.valid_ready import depth_parameter

NAME = "axi_stream"
TITLE = "AXI4-Stream in and out, with back-pressure, frames (TLAST) and tags (TUSER)"
OPTIONS = (
    "field",
    "in_field",
    "out_field",
    "data_width",
    "in_width",
    "out_width",
    "user_width",
    "latency",
    "reset",
)

_MODULE = Template("""\
$headline
// Where each element lies in a vector's word is in wrapper_ports.json; a narrower bus takes the word's low bits first.
module $top #(
    parameter LATENCY = $latency,  // clock cycles from a vector's last beat to its answer's first, $least or more
    parameter DEPTH = LATENCY + 1,  // vectors that may be inside; fewer than LATENCY + 1 make the stream slower
    parameter S_DATA_WIDTH = $in_beat,  // whole bytes; a vector takes $in_bits bits
    parameter M_DATA_WIDTH = $out_beat,  // whole bytes; an answer takes $out_bits bits
    parameter USER_WIDTH = $user_width,
    parameter RESET_ASYNCHRONOUS = $asynchronous
) (
    input  wire aclk,
    input  wire aresetn,

    input  wire [S_DATA_WIDTH-1:0] s_axis_tdata,
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    input  wire [USER_WIDTH-1:0] s_axis_tuser,  // of a vector's last beat

    output wire [M_DATA_WIDTH-1:0] m_axis_tdata,
    output wire [M_DATA_WIDTH/8-1:0] m_axis_tkeep,
    output wire m_axis_tvalid,
    input  wire m_axis_tready,
    output wire m_axis_tlast,
    output wire [USER_WIDTH-1:0] m_axis_tuser
);

localparam IN_BEATS = ($in_bits + S_DATA_WIDTH - 1) / S_DATA_WIDTH;
localparam OUT_BEATS = ($out_bits + M_DATA_WIDTH - 1) / M_DATA_WIDTH;
localparam SIDE = USER_WIDTH + 1;  // TUSER and TLAST

$check

generate
    if (S_DATA_WIDTH % 8 != 0 || M_DATA_WIDTH % 8 != 0) begin : check_widths
        S_DATA_WIDTH_and_M_DATA_WIDTH_are_whole_bytes stop ();
    end
endgenerate

wire reset;
${top}_reset #(.ACTIVE_LOW(1), .ASYNCHRONOUS(RESET_ASYNCHRONOUS)) reset_pin (
    .clk(aclk), .pin(aresetn), .rst(reset)
);

// In: beats to vectors.
wire accept;
// verilator lint_off UNUSEDSIGNAL
// Bits above a vector, and above an element in its field, have no reader.
wire [IN_BEATS*S_DATA_WIDTH-1:0] in_word;
// verilator lint_on UNUSEDSIGNAL
${top}_gather #(.WIDTH(S_DATA_WIDTH), .BEATS(IN_BEATS)) gather (
    .clk(aclk), .rst(reset),
    .beat(s_axis_tvalid & s_axis_tready), .data(s_axis_tdata), .last(s_axis_tlast),
    .complete(accept), .word(in_word)
);
$wires
$unpack

wire core_valid;
$module core (
    .clk(aclk),
    .rst(reset),
    .in_valid(accept),
    .out_valid(core_valid),
$connections
);
wire [$out_top:0] core_word;
$pack

// Registers that only lengthen the latency.
wire push;
wire [$out_top:0] push_word;
${top}_delay #(.WIDTH(1), .CYCLES(LATENCY - $least)) pad_valid (
    .clk(aclk), .rst(reset), .d(core_valid), .q(push)
);
${top}_delay #(.WIDTH($out_bits), .CYCLES(LATENCY - $least)) pad_word (
    .clk(aclk), .rst(1'b0), .d(core_word), .q(push_word)
);

// TUSER and TLAST go along.
wire [SIDE-1:0] push_side;
${top}_delay #(.WIDTH(SIDE), .CYCLES(LATENCY - 1)) side (
    .clk(aclk), .rst(1'b0), .d({s_axis_tuser, s_axis_tlast}), .q(push_side)
);

wire head_valid;
wire [SIDE+$out_top:0] head;
wire pop;
wire deliver;
${top}_queue #(.WIDTH(SIDE + $out_bits), .DEPTH(DEPTH)) queue (
    .clk(aclk), .rst(reset),
    .accept(accept), .ready(s_axis_tready),
    .push(push), .push_data({push_side, push_word}),
    .head_valid(head_valid), .head_data(head), .pop(pop),
    .deliver(deliver)
);

// Out: vectors to beats.
wire [OUT_BEATS*M_DATA_WIDTH-1:0] head_word;
assign head_word[$out_top:0] = head[$out_top:0];
generate
    if (OUT_BEATS * M_DATA_WIDTH > $out_bits) begin : fill
        assign head_word[OUT_BEATS*M_DATA_WIDTH-1:$out_bits] = {(OUT_BEATS*M_DATA_WIDTH-$out_bits){1'b0}};
    end
endgenerate
wire last_beat;
${top}_scatter #(.WIDTH(M_DATA_WIDTH), .BEATS(OUT_BEATS)) scatter (
    .clk(aclk), .rst(reset),
    .head_valid(head_valid), .head_word(head_word), .pop(pop), .deliver(deliver),
    .valid(m_axis_tvalid), .ready(m_axis_tready), .data(m_axis_tdata), .last_beat(last_beat)
);
reg [SIDE-1:0] out_side;
always @(posedge aclk) if (pop) out_side <= head[SIDE+$out_top:$out_bits];
assign m_axis_tlast = out_side[0] & last_beat;
assign m_axis_tuser = out_side[SIDE-1:1];
assign m_axis_tkeep = {(M_DATA_WIDTH/8){1'b1}};

endmodule
""")


def top(module: str) -> str:
    """Name of the wrapped module."""
    return f"{module}_axis"


def emit(circuit: Circuit, module: str, options: Options | None = None) -> dict[str, str]:
    """Write the wrapper of the core `module`; file name → text.

    Fields are `packed` and a vector is one beat of whole bytes unless chosen. Raises `WrapperError` for a field that
    is too narrow, a bus that is not of whole bytes, a latency that is too low, or a reset that is active high.
    """
    options = options or Options()
    name = top(module)
    into, out = (
        word_of(circuit.inputs, options.in_field or "packed"),
        word_of(circuit.outputs, options.out_field or "packed"),
    )
    in_beat, out_beat = options.in_width or 8 * into.bytes, options.out_width or 8 * out.bytes
    for width in (in_beat, out_beat):
        if width % 8:
            raise WrapperError(
                f"wrapper {NAME}: a data width of {width} bits is not of whole bytes", hint=f"{8 * (width // 8 + 1)}"
            )
    least = circuit.latency + 1
    latency = parts.chosen_latency(options.latency, least, NAME)
    asynchronous, active_low = RESETS[options.reset or "sync-low"]
    if not active_low:
        raise WrapperError(
            f"wrapper {NAME}: reset {options.reset!r} is active high, aresetn is active low", hint="sync-low, async-low"
        )
    user_width = options.user_width or 1
    text = _MODULE.substitute(
        headline=parts.headline(circuit, f"{module} between two AXI4-Streams, up to a vector every cycle."),
        top=name,
        module=module,
        latency=latency,
        least=least,
        asynchronous=int(asynchronous),
        in_beat=in_beat,
        out_beat=out_beat,
        in_bits=into.width,
        out_bits=out.width,
        out_top=out.width - 1,
        user_width=user_width,
        check=parts.latency_check(least),
        wires=parts.wires((*circuit.inputs, *circuit.outputs)),
        unpack="\n".join(unpack(into, "in_word")),
        connections=parts.connections(circuit),
        pack="\n".join(pack(out, "core_word")),
    )
    meaning = "Clock cycles from a vector's last beat to its answer's first"
    interface = Interface(
        module=name,
        core=module,
        wrapper=NAME,
        clock="aclk",
        clock_mhz=circuit.clock_mhz,
        reset="aresetn",
        reset_active_low=True,
        reset_asynchronous=asynchronous,
        latency_cycles=latency,
        parameters=(
            Parameter("LATENCY", latency, f"{meaning}, {least} or more", least),
            depth_parameter(latency),
            Parameter("S_DATA_WIDTH", in_beat, "Bits of an input beat, whole bytes", 8),
            Parameter("M_DATA_WIDTH", out_beat, "Bits of an output beat, whole bytes", 8),
            Parameter("USER_WIDTH", user_width, "Bits of TUSER", 1),
            Parameter("RESET_ASYNCHRONOUS", int(asynchronous), "1: the reset may change at any time"),
        ),
        ports=(
            HdlPort("aclk", "in"),
            HdlPort("aresetn", "in"),
            HdlPort("s_axis_tdata", "in", in_beat, "S_DATA_WIDTH"),
            HdlPort("s_axis_tvalid", "in"),
            HdlPort("s_axis_tready", "out"),
            HdlPort("s_axis_tlast", "in"),
            HdlPort("s_axis_tuser", "in", user_width, "USER_WIDTH"),
            HdlPort("m_axis_tdata", "out", out_beat, "M_DATA_WIDTH"),
            HdlPort("m_axis_tkeep", "out", out_beat // 8, "M_DATA_WIDTH / 8"),
            HdlPort("m_axis_tvalid", "out"),
            HdlPort("m_axis_tready", "in"),
            HdlPort("m_axis_tlast", "out"),
            HdlPort("m_axis_tuser", "out", user_width, "USER_WIDTH"),
        ),
        streams=(
            _stream("s_axis", "slave", ("TDATA", "TVALID", "TREADY", "TLAST", "TUSER")),
            _stream("m_axis", "master", ("TDATA", "TKEEP", "TVALID", "TREADY", "TLAST", "TUSER")),
        ),
    )
    return {
        f"{name}.v": text,
        **parts.reset_file(name),
        **parts.delay_file(name),
        **gather_file(name),
        **parts.queue_file(name),
        **scatter_file(name),
        FILE: interface_json(interface, [("s_axis_tdata", into)], [("m_axis_tdata", out)]),
        **parts.constraint_files(
            circuit,
            name,
            clock="aclk",
            reset="aresetn",
            asynchronous=asynchronous,
            inputs=[port.name for port in interface.ports[2:] if port.direction == "in"],
            outputs=[port.name for port in interface.ports if port.direction == "out"],
        ),
        **axis_bench(name, module),
    }


def _stream(name: str, role: str, signals: tuple[str, ...]) -> Stream:
    return Stream(name, role, "axi4-stream", {signal: f"{name}_{signal.lower()}" for signal in signals})
