// A hand-written engine that obeys the port contract: it proves that the bench serves RTL of any origin.
//   hidden[0] = max(x0, 0) + |x1|   hidden[1] = (x1 + x2 + 16) >> 1   hidden[2] = x0 ^ x2 (unsigned 4 bits)
//   y[0] = hidden[0] - hidden[1]    y[1] = 3 * hidden[2] - hidden[0] - 7
// x: 3 signed integers of 4 bits; hidden: 3 unsigned integers of 5 bits, stored minus 2 in element order; y: 2 signed of 7.
module kan_top (
    input  wire        clk,
    input  wire        rst,
    input  wire        in_valid,
    input  wire [11:0] in_data,
    output wire        out_valid,
    output wire [13:0] out_data
);
  reg [11:0] x_q;
  reg [14:0] hidden_q;  // raw = value - 2, signed
  reg [13:0] y_q;
  reg [2:0] valid;
  wire signed [3:0] x0 = x_q[3:0];
  wire signed [3:0] x1 = x_q[7:4];
  wire signed [3:0] x2 = x_q[11:8];
  wire signed [7:0] relu = x0 < 0 ? 8'sd0 : {{4{x0[3]}}, x0};
  wire signed [7:0] x1w = {{4{x1[3]}}, x1};
  wire signed [7:0] x2w = {{4{x2[3]}}, x2};
  wire signed [7:0] magnitude = x1 < 0 ? -x1w : x1w;
  wire signed [7:0] h0 = relu + magnitude - 8'sd2;
  wire signed [7:0] h1 = ((x1w + x2w + 8'sd16) >>> 1) - 8'sd2;
  wire signed [7:0] h2 = {4'd0, x_q[3:0] ^ x_q[11:8]} - 8'sd2;
  wire signed [9:0] g0 = {{5{hidden_q[4]}}, hidden_q[4:0]} + 10'sd2;
  wire signed [9:0] g1 = {{5{hidden_q[9]}}, hidden_q[9:5]} + 10'sd2;
  wire signed [9:0] g2 = {{5{hidden_q[14]}}, hidden_q[14:10]} + 10'sd2;
  wire signed [9:0] y0 = g0 - g1;
  wire signed [9:0] y1 = 10'sd3 * g2 - g0 - 10'sd7;

  always @(posedge clk) begin
    x_q      <= in_data;
    hidden_q <= {h2[4:0], h1[4:0], h0[4:0]};
    y_q      <= {y1[6:0], y0[6:0]};
    if (rst) valid <= 3'b000;
    else valid <= {valid[1:0], in_valid};
  end

  assign out_valid = valid[2];
  assign out_data  = y_q;
endmodule
