// AXI4-Stream around kan_top: a beat is accepted only if a place in the output FIFO is free for its result.
module kan_axis (
    input  wire        aclk,
    input  wire        aresetn,
    input  wire [23:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    output wire        s_axis_tready,
    output wire [15:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    output wire        m_axis_tlast,
    input  wire        m_axis_tready
);
  localparam integer DEPTH = 8;
  reg [13:0] fifo[0:DEPTH-1];
  reg [2:0] head, tail;
  reg [3:0] credits, used;
  wire out_valid;
  wire [13:0] out_data;
  wire accept = s_axis_tvalid && s_axis_tready;
  wire pop = m_axis_tvalid && m_axis_tready;

  assign s_axis_tready = credits != 4'd0;
  assign m_axis_tvalid = used != 4'd0;
  assign m_axis_tlast  = 1'b1;
  assign m_axis_tdata  = {{1{fifo[head][13]}}, fifo[head][13:7], {1{fifo[head][6]}}, fifo[head][6:0]};

  kan_top core (
      .clk(aclk),
      .rst(!aresetn),
      .in_valid(accept),
      .in_data({s_axis_tdata[19:16], s_axis_tdata[11:8], s_axis_tdata[3:0]}),
      .out_valid(out_valid),
      .out_data(out_data)
  );

  always @(posedge aclk) begin
    if (!aresetn) begin
      head <= 3'd0;
      tail <= 3'd0;
      used <= 4'd0;
      credits <= DEPTH;
    end else begin
      if (out_valid) begin
        fifo[tail] <= out_data;
        tail <= tail + 3'd1;
      end
      if (pop) head <= head + 3'd1;
      used <= used + {3'd0, out_valid} - {3'd0, pop};
      credits <= credits - {3'd0, accept} + {3'd0, pop};
    end
  end
endmodule
