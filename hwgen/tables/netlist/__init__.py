"""The circuit of a layer as data, between the plan and the Verilog: to be read, evaluated and checked."""

from hwgen.tables.netlist._emit import emit_layer
from hwgen.tables.netlist._evaluate import evaluate, stages
from hwgen.tables.netlist._nodes import (
    Adder,
    Clip,
    Code,
    LayerNetlist,
    NetlistError,
    NetNode,
    Operand,
    Output,
    Register,
    Shift,
    Slice,
    Table,
    Wire,
    bits,
)

__all__ = [
    "Adder", "Clip", "Code", "LayerNetlist", "NetNode", "NetlistError", "Operand", "Output", "Register", "Shift",
    "Slice", "Table", "Wire", "bits", "emit_layer", "evaluate", "stages",
]  # fmt: skip
