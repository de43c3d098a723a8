// act: 2 clock cycles of latency, a new vector every cycle.
// Made for Lattice ECP5 LFE5U-85F, speed 8 at 100 MHz.
// A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.

// Rounding and wrapping leave bits unread, and spare bits of buses have no reader.
/* verilator lint_off UNUSEDSIGNAL */
module act (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    input  wire [2:0] x0,
    input  wire [3:0] x1,
    output wire out_valid,
    output wire [7:0] y0,
    output wire [19:0] y1
);

reg [1:0] valid;
always @(posedge clk) valid <= rst ? 2'd0 : {valid[0], in_valid};
assign out_valid = valid[1];

function [2:0] table_0;
    input [2:0] code;
    case (code)
        3'd4: table_0 = 3'd0;
        3'd7: table_0 = 3'd2;
        3'd0: table_0 = 3'd4;
        3'd1: table_0 = 3'd6;
        3'd2: table_0 = 3'd7;
        3'd3: table_0 = 3'd7;
        default: table_0 = 3'd1;
    endcase
endfunction

// Input x0: in0
reg [2:0] x0_0;
always @(posedge clk) begin
    x0_0 <= x0[2:0];
end

// Input x1: in1
reg [3:0] x1_0;
always @(posedge clk) begin
    x1_0 <= x1[3:0];
end

// Layer sigmoid
wire [2:0] sigmoid_0 = table_0(x0_0);

// Layer top
wire [4:0] top_0_d = {{2{x0_0[2]}}, x0_0} - {x1_0[3], x1_0};
wire [3:0] top_0 = top_0_d[4] ? x1_0 : {x0_0[2], x0_0};
wire [4:0] top_1_d = {{2{x0_0[2]}}, x0_0} - {x1_0[3], x1_0};
wire top_1 = top_1_d[4];
/* verilator lint_off WIDTHEXPAND */ /* verilator lint_off WIDTHTRUNC */
wire [6:0] top_2 = $signed(x0_0) * $signed(x1_0);
/* verilator lint_on WIDTHEXPAND */ /* verilator lint_on WIDTHTRUNC */
wire [3:0] top_3 = top_1 ? {x0_0[2], x0_0} : x1_0;
wire [2:0] top_4 = {x1_0[3], ((x1_0[3] & ~(&x1_0[2])) | (~x1_0[3] & (|x1_0[2]))) ? {2{~x1_0[3]}} : x1_0[1:0]};
wire [2:0] top_5 = x1_0[2:0];

// Output y0: out0
reg [2:0] y0_0;
reg [3:0] y0_1;
reg y0_2;
always @(posedge clk) begin
    y0_0 <= sigmoid_0;
    y0_1 <= top_0;
    y0_2 <= top_1;
end
assign y0[2:0] = y0_0;
assign y0[6:3] = y0_1;
assign y0[7] = y0_2;

// Output y1: out1
reg [6:0] y1_0;
reg [3:0] y1_2;
reg [2:0] y1_3;
reg [2:0] y1_4;
always @(posedge clk) begin
    y1_0 <= top_2;
    y1_2 <= top_3;
    y1_3 <= top_4;
    y1_4 <= top_5;
end
assign y1[6:0] = y1_0;
assign y1[9:7] = 3'd5;
assign y1[13:10] = y1_2;
assign y1[16:14] = y1_3;
assign y1[19:17] = y1_4;

endmodule
