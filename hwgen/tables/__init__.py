"""The table RTL generator: a KAN IR to Verilog in which every edge is a small table (docs/design.md, section 3)."""

from hwgen.tables._design import NodeSignal, TablesDesign, generate
from hwgen.tables._npz import TableFile, load_tables
from hwgen.tables._passes import Passes

__all__ = ["NodeSignal", "Passes", "TableFile", "TablesDesign", "generate", "load_tables"]
