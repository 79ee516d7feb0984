"""Proof for all inputs: the emitted Verilog, read back, equals the program (docs/prove.md)."""

from hwgen.prove._mutants import Mutant, mutants
from hwgen.prove._prove import LayerProof, Proof, prove, prove_folder
from hwgen.prove._witness import Counterexample

__all__ = ["Counterexample", "LayerProof", "Mutant", "Proof", "mutants", "prove", "prove_folder"]
