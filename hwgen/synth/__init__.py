"""Resource estimates of an engine's RTL with open tools. Every number is an estimate, not a vendor's report."""

from hwgen.synth._estimate import SynthEstimate, estimate, require_yosys
from hwgen.synth._netlist import Cell, Netlist
from hwgen.synth._pairing import paired_sites
from hwgen.synth._parts import yosys_family

__all__ = ["Cell", "Netlist", "SynthEstimate", "estimate", "paired_sites", "require_yosys", "yosys_family"]
