"""Which passes may change the plain circuit (a table per edge, adders in pairs); all keep every output integer."""

from __future__ import annotations

from dataclasses import dataclass

from pymodel.errors import ConfigError

__all__ = ["Passes"]

_ALL_LEVELS = 64


@dataclass(frozen=True)
class Passes:
    """Switches; all on unless a comparison wants otherwise.

    Attributes:
        grouping: inputs of one output share a table if their bits fit into one LUT.
        ternary: how many of the last levels of an adder tree add three terms at once; each saves registers.
        fusing: adders take a table as their second operand and hold it in their own LUTs, as often as that is cheap.
        residuals: a table of one bit too many for that is split: what its neighbours differ by goes to carry inputs.
        split_clip: an output that is ready early is clipped in two cycles, by set and reset of its registers.
        folding: an output of a single small table has its shift and clip in the table.
        chains: sums take one table per level where there are levels to spare; a layer whose outputs are all saturated by
            tables, or not at all, has one to spare, because these tables are read in the cycle of the last adders.
        register_tables: every table has registers of its own, as in the standard form of a LUT network.
        levels_per_stage: levels of adders between two registers.
    """

    grouping: bool = True
    ternary: int = 1
    fusing: bool = True
    residuals: bool = True
    split_clip: bool = True
    folding: bool = True
    chains: bool = True
    register_tables: bool = False
    levels_per_stage: int = 1

    def __post_init__(self) -> None:
        if self.ternary < 0 or self.levels_per_stage < 1:
            raise ConfigError(
                f"ternary must be 0 or more and levels_per_stage 1 or more, not {self.ternary} and "
                f"{self.levels_per_stage}; correct the passes"
            )

    @classmethod
    def none(cls) -> Passes:
        """Return the plain circuit: unregistered tables in front of binary adders."""
        return cls(
            grouping=False,
            ternary=0,
            fusing=False,
            residuals=False,
            split_clip=False,
            folding=False,
            chains=False,
        )

    @classmethod
    def standard(cls) -> Passes:
        """Return what every published generator starts from: a registered table per edge, then ternary adder trees."""
        return cls(
            grouping=False,
            ternary=_ALL_LEVELS,
            fusing=False,
            residuals=False,
            split_clip=False,
            folding=False,
            chains=False,
            register_tables=True,
        )
