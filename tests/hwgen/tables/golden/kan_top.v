// kan_top: small, one sample per clock cycle, latency 6 cycles.
//
// A sample with in_valid = 1 is captured at a rising edge E0; out_valid and out_data are sampled 6 rising
// edges later. Feature 0 and output 0 are in the LSBs. rst is synchronous and resets the valid bits only.
`default_nettype none
module kan_top (
  input wire clk,
  input wire rst,
  input wire in_valid,
  input wire [11:0] in_data, // 4 x 3 bits
  output wire out_valid,
  output wire [7:0] out_data // 2 x 4 bits
);
  // x: stage 0
  reg [11:0] y_x;
  always @(posedge clk) y_x <= in_data;

  // case: stage 3
  wire [8:0] y_case;
  kan_layer_1 layer_1 (
    .clk(clk),
    .x(y_x),
    .y(y_case)
  );

  // y: stage 5
  wire [7:0] y_y;
  kan_layer_2 layer_2 (
    .clk(clk),
    .x(y_case),
    .y(y_y)
  );

  // valid[s] belongs to the sample whose integers are at stage s.
  reg [5:0] valid;
  always @(posedge clk) valid <= rst ? 6'd0 : {valid[4:0], in_valid};
  assign out_valid = valid[5];
  assign out_data = y_y;
endmodule
`default_nettype wire
