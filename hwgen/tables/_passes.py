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
    """

    grouping: bool = True
    ternary: bool = True

    @classmethod
    def none(cls) -> Passes:
        """Return the plain circuit."""
        return cls(grouping=False, ternary=False)
