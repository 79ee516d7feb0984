"""What open tools say of an engine's RTL: estimates (not a vendor's report), and the mapped netlist simulated bit by bit."""

from hwgen.synth._equivalence import netlist_border
from hwgen.synth._estimate import Synthesis, SynthEstimate, estimate, require_yosys, synthesise
from hwgen.synth._mapped import MappedNetlist, NetlistRun
from hwgen.synth._netlist import Cell, Netlist
from hwgen.synth._pairing import paired_sites
from hwgen.synth._parts import yosys_family

__all__ = [
    "Cell",
    "MappedNetlist",
    "Netlist",
    "NetlistRun",
    "SynthEstimate",
    "Synthesis",
    "estimate",
    "netlist_border",
    "paired_sites",
    "require_yosys",
    "synthesise",
    "yosys_family",
]
