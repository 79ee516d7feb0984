"""The table RTL generator: a KAN IR to Verilog in which every edge is a small table (docs/design.md, section 3)."""

from hwgen.tables._design import NodeSignal, TablesDesign, generate
from hwgen.tables._npz import TableFile, load_tables

__all__ = ["NodeSignal", "TableFile", "TablesDesign", "generate", "load_tables"]
