"""What open tools say of an engine's RTL: estimates (not a vendor's report), and the mapped netlist simulated bit by bit."""

from hwgen.synth._ecp5 import Ecp5Timing, place_ecp5, require_nextpnr
from hwgen.synth._energy import Activity, measure_activity
from hwgen.synth._equivalence import netlist_border
from hwgen.synth._estimate import Synthesis, SynthEstimate, estimate, require_yosys, synthesise
from hwgen.synth._layers import layer_resources
from hwgen.synth._mapped import MappedNetlist, NetlistRun
from hwgen.synth._netlist import Cell, Netlist
from hwgen.synth._pairing import paired_sites
from hwgen.synth._parts import yosys_family

__all__ = [
    "Activity",
    "Cell",
    "Ecp5Timing",
    "MappedNetlist",
    "Netlist",
    "NetlistRun",
    "SynthEstimate",
    "Synthesis",
    "estimate",
    "layer_resources",
    "measure_activity",
    "netlist_border",
    "paired_sites",
    "place_ecp5",
    "require_nextpnr",
    "require_yosys",
    "synthesise",
    "yosys_family",
]
