"""Verilog that changes between a vector's word and the beats of a narrower stream."""

from __future__ import annotations

from string import Template

_GATHER = Template("""\
// Puts the beats of a vector side by side, the first in the lowest bits; `complete` comes with its last beat.
// A frame that ends within a vector ends the vector too: the beats that it lacks are zero.
module ${top}_gather #(
    parameter WIDTH = 8,
    parameter BEATS = 2
) (
    // verilator lint_off UNUSEDSIGNAL
    // One beat a vector goes straight through.
    input  wire clk,
    input  wire rst,
    input  wire last,  // this beat ends a frame
    // verilator lint_on UNUSEDSIGNAL
    input  wire beat,  // a beat goes over at this edge
    input  wire [WIDTH-1:0] data,
    output wire complete,
    output wire [BEATS*WIDTH-1:0] word
);

genvar k;
generate
    if (BEATS == 1) begin : through
        assign complete = beat;
        assign word = data;
    end else begin : several
        reg [BEATS-1:0] turn;  // one bit is up: that of the beat that comes next
        reg [(BEATS-1)*WIDTH-1:0] held;
        assign complete = beat & (turn[BEATS-1] | last);
        always @(posedge clk)
            if (rst | complete) turn <= {{(BEATS-1){1'b0}}, 1'b1};
            else if (beat) turn <= {turn[BEATS-2:0], 1'b0};
        for (k = 0; k < BEATS - 1; k = k + 1) begin : slot
            assign word[k*WIDTH +: WIDTH] = turn[k] ? data : held[k*WIDTH +: WIDTH];
            always @(posedge clk)
                if (rst | complete) held[k*WIDTH +: WIDTH] <= {WIDTH{1'b0}};
                else if (beat & turn[k]) held[k*WIDTH +: WIDTH] <= data;
        end
        assign word[(BEATS-1)*WIDTH +: WIDTH] = turn[BEATS-1] ? data : {WIDTH{1'b0}};
    end
endgenerate

endmodule
""")

_SCATTER = Template("""\
// Holds a vector and sends it beat by beat, its lowest bits first.
module ${top}_scatter #(
    parameter WIDTH = 8,
    parameter BEATS = 2
) (
    input  wire clk,
    input  wire rst,
    input  wire head_valid,  // a vector is there to be taken
    input  wire [BEATS*WIDTH-1:0] head_word,
    output wire pop,         // it is taken at this edge, if it is there
    output wire deliver,     // the last beat of the one before goes over at this edge
    output reg  valid,
    input  wire ready,
    output wire [WIDTH-1:0] data,
    output wire last_beat
);

reg [BEATS*WIDTH-1:0] word;
assign data = word[WIDTH-1:0];
assign deliver = valid & ready & last_beat;
assign pop = deliver | ~valid;

always @(posedge clk)
    if (rst) valid <= 1'b0;
    else if (pop) valid <= head_valid;

generate
    if (BEATS == 1) begin : through
        assign last_beat = 1'b1;
        always @(posedge clk) if (pop) word <= head_word;
    end else begin : several
        reg [BEATS-1:0] turn;  // one bit is up: that of the beat in `data`
        assign last_beat = turn[BEATS-1];
        always @(posedge clk)
            if (pop) begin
                word <= head_word;
                turn <= {{(BEATS-1){1'b0}}, 1'b1};
            end else if (ready) begin
                word <= {{WIDTH{1'b0}}, word[BEATS*WIDTH-1:WIDTH]};
                turn <= {turn[BEATS-2:0], 1'b0};
            end
    end
endgenerate

endmodule
""")


def gather_file(top: str) -> dict[str, str]:
    """File name → text of the module `<top>_gather`."""
    return {f"{top}_gather.v": _GATHER.substitute(top=top)}


def scatter_file(top: str) -> dict[str, str]:
    """File name → text of the module `<top>_scatter`."""
    return {f"{top}_scatter.v": _SCATTER.substitute(top=top)}
