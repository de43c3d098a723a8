// neuron: 4 clock cycles of latency, a new vector every cycle.
// Made for Lattice ECP5 LFE5U-85F, speed 8 at 100 MHz.
// A value is named after its layer; its suffix _r1, _r2, ... counts the registers behind it.

// Rounding and wrapping leave bits unread, and spare bits of buses have no reader.
/* verilator lint_off UNUSEDSIGNAL */
module neuron (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    input  wire [11:0] x,
    output wire out_valid,
    output wire [3:0] y
);

reg [3:0] valid;
always @(posedge clk) valid <= rst ? 4'd0 : {valid[2:0], in_valid};
assign out_valid = valid[3];

// Input x: in0
reg [3:0] x_0;
reg [3:0] x_1;
reg [3:0] x_2;
always @(posedge clk) begin
    x_0 <= x[3:0];
    x_1 <= x[7:4];
    x_2 <= x[11:8];
end

// Layer fc1
wire [7:0] fc1_0 = {{{4{x_0[3]}}, x_0[3:2]} + {2'd0, x_1}, x_0[1:0]};
wire [8:0] fc1_1 = {fc1_0, 1'd0} - {{5{x_2[3]}}, x_2};
reg [8:0] fc1_1_r1;
wire [8:0] fc1_2 = fc1_1_r1 + 9'd5;
reg [8:0] fc1_2_r1;
always @(posedge clk) begin
    fc1_1_r1 <= fc1_1;
    fc1_2_r1 <= fc1_2;
end

// Layer fc1/relu
wire [6:0] fc1_relu_0 = fc1_2_r1[8:2] + {6'd0, fc1_2_r1[1]};
wire [3:0] fc1_relu_1 = fc1_relu_0[6] ? 4'd0 : (~fc1_relu_0[6] & (|fc1_relu_0[5:4])) ? 4'hf : fc1_relu_0[3:0];

// Output y: out0
reg [3:0] y_0;
always @(posedge clk) begin
    y_0 <= fc1_relu_1;
end
assign y[3:0] = y_0;

endmodule
