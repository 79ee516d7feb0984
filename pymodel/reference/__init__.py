"""The numba reference: the station that every other one is compared with.

One file per header of `hls/kan4ml/`, one kernel per unit, the same names: read the two side by side. Everything is
exact int64 arithmetic on the integers of the contract (docs/design.md, section 2).
"""

from pymodel.reference._reference import Reference

__all__ = ["Reference"]
