// kan_axis: AXI4-Stream wrapper of kan_top; one beat is one sample, so tlast is always 1.
//
// s_axis_tdata: 4 features, each in 8 bits, feature 0 in the LSBs; the bits above the 3 of a feature are ignored.
// m_axis_tdata: 2 outputs, each sign-extended from 4 to 8 bits, output 0 in the LSBs.
// The pipeline never stalls. A sample is accepted only if a word of the output FIFO (8 words) can be reserved for it:
// `used` counts the samples in flight and in the FIFO. So the FIFO cannot overflow, and with a sink that is always
// ready a sample is accepted every cycle.
`default_nettype none
module kan_axis (
  input wire aclk,
  input wire aresetn,
  /* verilator lint_off UNUSEDSIGNAL */ // padding bits are ignored
  input wire [31:0] s_axis_tdata,
  /* verilator lint_on UNUSEDSIGNAL */
  input wire s_axis_tvalid,
  output wire s_axis_tready,
  output wire [15:0] m_axis_tdata,
  output wire m_axis_tvalid,
  input wire m_axis_tready,
  output wire m_axis_tlast
);
  localparam [3:0] DEPTH = 4'd8;
  localparam [3:0] ONE = 4'd1;

  wire rst = ~aresetn;
  wire accept = s_axis_tvalid & s_axis_tready;
  wire deliver = m_axis_tvalid & m_axis_tready;

  reg [3:0] used;
  assign s_axis_tready = aresetn & (used != DEPTH);
  always @(posedge aclk)
    if (rst) used <= 4'd0;
    else if (accept & ~deliver) used <= used + ONE;
    else if (deliver & ~accept) used <= used - ONE;

  wire [11:0] in_data;
  wire out_valid;
  wire [7:0] out_data;
  wire [7:0] result;

  genvar i;
  generate
    for (i = 0; i < 4; i = i + 1) begin : unpack
      assign in_data[3*i +: 3] = s_axis_tdata[8*i +: 3];
    end
    for (i = 0; i < 2; i = i + 1) begin : pack
      assign m_axis_tdata[8*i +: 8] =
        {{4{result[4*i + 3]}}, result[4*i +: 4]};
    end
  endgenerate
  assign m_axis_tlast = 1'b1;

  kan_top engine (
    .clk(aclk),
    .rst(rst),
    .in_valid(accept),
    .in_data(in_data),
    .out_valid(out_valid),
    .out_data(out_data)
  );

  kan_fifo #(
    .WIDTH(8),
    .ADDRESS(3)
  ) fifo (
    .clk(aclk),
    .rst(rst),
    .write(out_valid),
    .write_data(out_data),
    .read_valid(m_axis_tvalid),
    .read_data(result),
    .read_ready(m_axis_tready)
  );
endmodule
`default_nettype wire
