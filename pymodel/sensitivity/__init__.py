"""How accuracy falls with the bits of one branch at a time, measured on the integers that hardware would compute."""

from pymodel.sensitivity._plot import plot
from pymodel.sensitivity._sweep import BRANCHES, Curve, Point, Rows, Sensitivity, SweepSettings, branches_of, sweep

__all__ = [
    "BRANCHES",
    "Curve",
    "Point",
    "Rows",
    "Sensitivity",
    "SweepSettings",
    "branches_of",
    "plot",
    "sweep",
]
