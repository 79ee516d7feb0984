"""Which passes may change the plain circuit (a table per edge, adders in pairs); all keep every output integer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Passes"]


@dataclass(frozen=True)
class Passes:
    """Switches; all on unless a comparison wants otherwise.

    Attributes:
        grouping: inputs of one output share a table if their bits fit into one LUT.
        ternary: the last three terms of an output are added at once, which saves a level of registers.
        pairing: an adder's second operand is a table that the adder's own LUTs absorb, wherever there is one.
        split_clip: an output that is ready early is clipped in two cycles, by set and reset of its registers.
    """

    grouping: bool = True
    ternary: bool = True
    pairing: bool = True
    split_clip: bool = True

    @classmethod
    def none(cls) -> Passes:
        """Return the plain circuit."""
        return cls(grouping=False, ternary=False, pairing=False, split_clip=False)
