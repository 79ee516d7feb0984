"""Circuits that the table road is measured against, written as plain pipelined Verilog; not a part of the product."""
