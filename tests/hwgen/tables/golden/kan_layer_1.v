// Layer case: 5 edges, 4 tables, latency 3 cycles.
// y[o] = sat((sum of edges + bias[o] + 1) >> 1); constants are part of the tables.
`default_nettype none
module kan_layer_1 (
  /* verilator lint_off UNUSEDSIGNAL */ // pruned inputs are not read
  input wire clk,
  input wire [11:0] x,
  /* verilator lint_on UNUSEDSIGNAL */
  output wire [8:0] y
);
// Sums are shifted and clipped: the bits below the point are dropped on purpose.
/* verilator lint_off UNUSEDSIGNAL */

wire [1:0] c0 = x[2:1];
wire [1:0] c1 = x[5:4];
wire [1:0] c3 = x[11:10];

// case: input 0 -> output 0: t0_0 + 8
reg [3:0] t0_0;
always @*
  case (c0)
    2'd0: t0_0 = 4'ha; 2'd1: t0_0 = 4'hf; 2'd2: t0_0 = 4'hd; default: t0_0 = 4'h9;
  endcase

// case: input 0 -> output 1: t0_1
reg [3:0] t0_1;
always @*
  case (c0)
    2'd0: t0_1 = 4'd3; 2'd1: t0_1 = 4'd8; 2'd2: t0_1 = 4'd6; default: t0_1 = 4'd2;
  endcase

// case: input 1 -> output 0: t1_0 * 8 - 8
reg [1:0] t1_0;
always @*
  case (c1)
    2'd0: t1_0 = 2'd2; 2'd1: t1_0 = 2'd3; 2'd2: t1_0 = 2'd0; default: t1_0 = 2'd1;
  endcase

// case: input 3 -> output 0: t3_0 - 1
reg [1:0] t3_0;
always @*
  case (c3)
    2'd0: t3_0 = 2'd0; 2'd1: t3_0 = 2'd1; 2'd2: t3_0 = 2'd1; default: t3_0 = 2'd2;
  endcase

reg [3:0] s0_1_0;
always @(posedge clk) s0_1_0 <= {2'd0, t3_0} + t0_0;
reg [1:0] s0_1_1;
always @(posedge clk) s0_1_1 <= t1_0;
reg [5:0] s0_2_0;
always @(posedge clk) s0_2_0 <= {{2{s0_1_0[3]}}, s0_1_0} + {1'd0, s0_1_1, 3'd0};
wire [4:0] r0 = s0_2_0[5:1];
wire r0_over = ~r0[4] & (|r0[3:3]);
wire r0_under = r0[4];
reg [2:0] y0_0;
always @(posedge clk) y0_0 <= r0_under ? 3'd0 : r0_over ? 3'd7 : r0[2:0];
wire [2:0] r1 = t0_1[3:1];
reg [2:0] y1_0;
always @(posedge clk) y1_0 <= r1;
reg [2:0] y1_1;
always @(posedge clk) y1_1 <= y1_0;
reg [2:0] y1_2;
always @(posedge clk) y1_2 <= y1_1;

// output 0: 0 ... 7
assign y[2:0] = y0_0;
// output 1: 1 ... 4
assign y[5:3] = y1_2;
// output 2: 5 ... 5
assign y[8:6] = 3'd5;

/* verilator lint_on UNUSEDSIGNAL */
endmodule
`default_nettype wire
