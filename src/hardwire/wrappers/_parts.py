"""Verilog that several wrappers share: reset, delay lines, the queue behind the core, and timing constraints."""

from __future__ import annotations

from string import Template

from hardwire.backends._names import comment
from hardwire.schedule.circuit import Bus, Circuit
from hardwire.wrappers._options import WrapperError

_RESET = Template("""\
// The reset pin as `rst`: active high, in step with the clock.
module ${top}_reset #(
    parameter ACTIVE_LOW = 0,
    parameter ASYNCHRONOUS = 0
) (
    input  wire clk,
    input  wire pin,
    output wire rst
);

wire asserted = (ACTIVE_LOW != 0) ? ~pin : pin;

generate
    if (ASYNCHRONOUS != 0) begin : asynchronous
        // A pulse of any length is caught and kept for two edges; two more registers bring it into the clock's step.
        (* ASYNC_REG = "TRUE" *) reg [1:0] caught;
        (* ASYNC_REG = "TRUE" *) reg [1:0] stepped;
        always @(posedge clk or posedge asserted)
            if (asserted) caught <= 2'b11;
            else caught <= {caught[0], 1'b0};
        always @(posedge clk) stepped <= {stepped[0], caught[1]};
        assign rst = stepped[1];
    end else begin : synchronous
        // verilator lint_off UNUSEDSIGNAL
        wire unused_clock = clk;
        // verilator lint_on UNUSEDSIGNAL
        assign rst = asserted;
    end
endgenerate

endmodule
""")

_DELAY = Template("""\
// `q` is `d`, CYCLES clock cycles later. Reset clears it; where `rst` is tied to 0 it takes no reset.
module ${top}_delay #(
    parameter WIDTH = 1,
    parameter CYCLES = 1
) (
    // verilator lint_off UNUSEDSIGNAL
    // Without cycles there is nothing to clock.
    input  wire clk,
    input  wire rst,
    // verilator lint_on UNUSEDSIGNAL
    input  wire [WIDTH-1:0] d,
    output wire [WIDTH-1:0] q
);

generate
    if (CYCLES == 0) begin : through
        assign q = d;
    end else begin : registers
        reg [CYCLES*WIDTH-1:0] line;
        // verilator lint_off UNUSEDSIGNAL
        // The oldest word leaves.
        wire [(CYCLES+1)*WIDTH-1:0] chain = {line, d};
        // verilator lint_on UNUSEDSIGNAL
        always @(posedge clk) line <= rst ? {(CYCLES*WIDTH){1'b0}} : chain[CYCLES*WIDTH-1:0];
        assign q = line[CYCLES*WIDTH-1 -: WIDTH];
    end
endgenerate

endmodule
""")

_QUEUE = Template("""\
// Lets a pipeline that cannot be stopped serve a reader that may stop at any time.
//
// Every vector on its way, from `accept` to `deliver`, has a place kept for it: `ready` is down while DEPTH of them are
// inside, so what leaves the pipeline always finds room. An empty queue passes a vector on in the same cycle.
module ${top}_queue #(
    parameter WIDTH = 8,
    parameter DEPTH = 4  // vectors between `accept` and `deliver`, 2 or more
) (
    input  wire clk,
    input  wire rst,
    input  wire accept,      // a vector enters the pipeline at this edge
    output reg  ready,       // there is room for one
    input  wire push,        // a vector leaves the pipeline at this edge
    input  wire [WIDTH-1:0] push_data,
    output wire head_valid,  // the vector that is next in turn
    output wire [WIDTH-1:0] head_data,
    input  wire pop,         // the reader's register is free at this edge
    input  wire deliver      // the reader's register is done with a vector
);

generate
    if (DEPTH < 2) begin : check_depth
        DEPTH_is_below_2_the_least stop ();
    end
endgenerate

function integer bits_for;
    input integer value;
    integer rest;
    begin
        bits_for = 0;
        for (rest = value; rest > 0; rest = rest >> 1) bits_for = bits_for + 1;
    end
endfunction

// The reader's register is one of the places.
localparam PLACES = DEPTH - 1;
localparam COUNT_BITS = bits_for(DEPTH);
localparam [COUNT_BITS-1:0] FULL = DEPTH[COUNT_BITS-1:0];
localparam [COUNT_BITS-1:0] ZERO = {COUNT_BITS{1'b0}};
localparam [COUNT_BITS-1:0] ONE = {{(COUNT_BITS-1){1'b0}}, 1'b1};
localparam PLACE_BITS = (PLACES > 1) ? bits_for(PLACES - 1) : 1;
localparam [31:0] LAST_PLACE = PLACES - 1;
localparam [PLACE_BITS-1:0] LAST = LAST_PLACE[PLACE_BITS-1:0];

reg [WIDTH-1:0] memory [0:PLACES-1];
reg [COUNT_BITS-1:0] held;     // accepted and not yet delivered
reg [COUNT_BITS-1:0] waiting;  // in the memory
reg [PLACE_BITS-1:0] oldest;
reg [PLACE_BITS-1:0] free;

wire empty = waiting == ZERO;
wire store = push & ~(pop & empty);
wire fetch = pop & ~empty;
wire [COUNT_BITS-1:0] held_next = held + (accept ? ONE : ZERO) - (deliver ? ONE : ZERO);

assign head_valid = push | ~empty;
assign head_data = empty ? push_data : memory[oldest];

always @(posedge clk) begin
    if (store) memory[free] <= push_data;
    if (rst) begin
        held <= ZERO;
        ready <= 1'b0;
        waiting <= ZERO;
        oldest <= {PLACE_BITS{1'b0}};
        free <= {PLACE_BITS{1'b0}};
    end else begin
        held <= held_next;
        ready <= held_next != FULL;
        waiting <= waiting + (store ? ONE : ZERO) - (fetch ? ONE : ZERO);
        if (fetch) oldest <= (oldest == LAST) ? {PLACE_BITS{1'b0}} : oldest + 1'b1;
        if (store) free <= (free == LAST) ? {PLACE_BITS{1'b0}} : free + 1'b1;
    end
end

endmodule
""")

_CONSTRAINTS = Template("""\
# Timing of $top: the clock that it was made for. The last lines are for a design in which its ports are pins.
create_clock -name $clock -period $period [get_ports $clock]

# The reset may come at any time: its synchroniser takes it, no path from the pin is timed.
${off}set_false_path -from [get_ports $reset]

# Pins: replace 0.0 by what the board takes, in ns.
# set_input_delay -clock $clock -max 0.0 [get_ports {$inputs}]
# set_input_delay -clock $clock -min 0.0 [get_ports {$inputs}]
# set_output_delay -clock $clock -max 0.0 [get_ports {$outputs}]
# set_output_delay -clock $clock -min 0.0 [get_ports {$outputs}]
""")


def reset_file(top: str) -> dict[str, str]:
    """File name → text of the module `<top>_reset`."""
    return {f"{top}_reset.v": _RESET.substitute(top=top)}


def delay_file(top: str) -> dict[str, str]:
    """File name → text of the module `<top>_delay`."""
    return {f"{top}_delay.v": _DELAY.substitute(top=top)}


def queue_file(top: str) -> dict[str, str]:
    """File name → text of the module `<top>_queue`."""
    return {f"{top}_queue.v": _QUEUE.substitute(top=top)}


def constraint_files(
    circuit: Circuit,
    top: str,
    *,
    clock: str,
    reset: str,
    asynchronous: bool,
    inputs: list[str],
    outputs: list[str],
) -> dict[str, str]:
    """`<top>.xdc`, `<top>.sdc` and `<top>.lpf`: the clock, the reset's false path, pins as comments."""
    text = _CONSTRAINTS.substitute(
        top=top,
        clock=clock,
        reset=reset,
        period=f"{1000.0 / circuit.clock_mhz:.3f}",
        off="" if asynchronous else "# ",
        inputs=" ".join(inputs),
        outputs=" ".join(outputs),
    )
    lpf = f'FREQUENCY PORT "{clock}" {circuit.clock_mhz:g} MHZ;\n'
    if asynchronous:
        lpf += f'BLOCK PATH FROM PORT "{reset}";\n'
    return {f"{top}.xdc": text, f"{top}.sdc": text, f"{top}.lpf": lpf}


def headline(circuit: Circuit, what: str) -> str:
    """The first lines of a wrapper's Verilog."""
    return f"// {what}\n// Made for {comment(circuit.target.title)} at {circuit.clock_mhz:g} MHz."


def wires(buses: tuple[Bus, ...]) -> str:
    """Declarations of the core's buses."""
    return "\n".join(f"wire [{bus.width - 1}:0] {bus.name};" for bus in buses)


def connections(circuit: Circuit) -> str:
    """The core's buses, by name, for its instance."""
    return ",\n".join(f"    .{bus.name}({bus.name})" for bus in (*circuit.inputs, *circuit.outputs))


def chosen_latency(wanted: int | None, least: int, wrapper: str) -> int:
    """The default of LATENCY. Raises `WrapperError` if it is below what the core and the wrapper need."""
    if wanted is not None and wanted < least:
        raise WrapperError(
            f"wrapper {wrapper}: a latency of {wanted} cycles is less than the {least} that it takes",
            hint=f"latency={least} or more, or compile for a lower latency",
        )
    return least if wanted is None else wanted


def latency_check(least: int) -> str:
    """Verilog that ends the elaboration when LATENCY is too low: it names a module that cannot exist."""
    return (
        "generate\n"
        f"    if (LATENCY < {least}) begin : check_latency\n"
        f"        LATENCY_is_below_{least}_the_least_of_this_design stop ();\n"
        "    end\n"
        "endgenerate"
    )
