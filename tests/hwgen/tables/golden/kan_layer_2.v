// Layer y: 4 edges, 3 tables, latency 2 cycles.
// y[o] = sat((sum of edges + bias[o] + 0) >> 0); constants are part of the tables.
`default_nettype none
module kan_layer_2 (
  /* verilator lint_off UNUSEDSIGNAL */ // pruned inputs are not read
  input wire clk,
  input wire [8:0] x,
  /* verilator lint_on UNUSEDSIGNAL */
  output wire [7:0] y
);
// Sums are shifted and clipped: the bits below the point are dropped on purpose.
/* verilator lint_off UNUSEDSIGNAL */

wire [2:0] c0 = x[2:0];
wire [2:0] c1 = x[5:3];

// y: input 0 -> output 0: t0_0 + 2
reg [4:0] t0_0;
always @*
  case (c0)
    3'd0: t0_0 = 5'h15; 3'd1: t0_0 = 5'h18; 3'd2: t0_0 = 5'h1b; 3'd3: t0_0 = 5'h1e;
    3'd4: t0_0 = 5'h1f; 3'd5: t0_0 = 5'd2; 3'd6: t0_0 = 5'd7; default: t0_0 = 5'd14;
  endcase

// y: input 0 -> output 1: t0_1 - 2
reg [1:0] t0_1;
always @*
  case (c0)
    3'd0: t0_1 = 2'd2; 3'd1: t0_1 = 2'd2; 3'd2: t0_1 = 2'd2; 3'd3: t0_1 = 2'd2;
    3'd4: t0_1 = 2'd3; 3'd5: t0_1 = 2'd3; 3'd6: t0_1 = 2'd3; default: t0_1 = 2'd3;
  endcase

// y: input 1 -> output 0: t1_0 + 1
reg [1:0] t1_0;
always @*
  case (c1)
    3'd0: t1_0 = 2'd0; 3'd1: t1_0 = 2'd0; 3'd2: t1_0 = 2'd1; 3'd3: t1_0 = 2'd2;
    3'd4: t1_0 = 2'd3; 3'd5: t1_0 = 2'd3; 3'd6: t1_0 = 2'd3; default: t1_0 = 2'd3;
  endcase

reg [5:0] s0_1_0;
always @(posedge clk) s0_1_0 <= {4'd0, t1_0} + {{1{t0_0[4]}}, t0_0};
wire [5:0] r0 = s0_1_0[5:0];
wire r0_over = ~r0[5] & (|r0[4:3]);
wire r0_under = r0[5] & ~(&r0[4:3]);
reg [3:0] y0_0;
always @(posedge clk) y0_0 <= r0_under ? 4'h8 : r0_over ? 4'd7 : r0[3:0];
wire [1:0] r1 = t0_1[1:0];
reg [1:0] y1_0;
always @(posedge clk) y1_0 <= r1;
reg [1:0] y1_1;
always @(posedge clk) y1_1 <= y1_0;

// output 0: -8 ... 7
assign y[3:0] = y0_0;
// output 1: 2 ... 3
assign y[7:4] = {2'd0, y1_1};

/* verilator lint_on UNUSEDSIGNAL */
endmodule
`default_nettype wire
