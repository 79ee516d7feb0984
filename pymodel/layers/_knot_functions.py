"""The edge functions of a layer whose splines have any knots, one grid per input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.ir import BasisKind
from pymodel.layers._activations import activate
from pymodel.layers._functions import Functions, with_slope
from pymodel.layers._knots import knot_basis, knot_slopes

__all__ = ["KnotFunctions"]


@dataclass(frozen=True)
class KnotFunctions(Functions):
    """B-splines of order `order` on given knots.

    Attributes:
        grids: non-decreasing knots, (T, n_basis + k + 1): one grid per input, or one for all.
        order: k.
        activation: of the base branch.
    """

    kind: ClassVar[BasisKind] = BasisKind.BSPLINE
    before: ClassVar[str] = "identity"  # type: ignore[misc]

    grids: tuple[tuple[float, ...], ...]
    order: int
    activation: str = "silu"

    @property
    def n_tables(self) -> int:
        """T."""
        return len(self.grids)

    @property
    def n_basis(self) -> int:
        """Basis functions per input."""
        return len(self.grids[0]) - self.order - 1

    @property
    def knots(self) -> npt.NDArray[np.float64]:
        """All knots in float64, one grid after the other."""
        return np.array(self.grids, dtype=np.float64).reshape(-1)

    def _grid(self, like: Tensor) -> Tensor:
        return torch.tensor(self.grids, dtype=like.dtype, device=like.device)

    def basis(self, z: Tensor) -> Tensor:
        """Return the B-splines at `z` (…, I), as (…, I, n_basis)."""
        rows = z.reshape(-1, z.shape[-1])
        grid = self._grid(z).expand(rows.shape[1], -1)
        return knot_basis(rows, grid, self.order).reshape(*z.shape, self.n_basis)

    def table(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at `points` (C,) and their derivatives, (T, C, 1 + n_basis), or (C, …) if T = 1."""
        x = points.detach().unsqueeze(-1).expand(-1, self.n_tables)
        grid = self._grid(points)
        base, base_slope = with_slope(lambda z: activate(self.activation, z).unsqueeze(-1), points, 1)
        parts = []
        for basis, first in ((knot_basis, base), (knot_slopes, base_slope)):
            values = basis(x, grid, self.order).transpose(0, 1)
            parts.append(torch.cat((first.expand(self.n_tables, -1, -1), values), dim=-1))
        return (parts[0], parts[1]) if self.n_tables > 1 else (parts[0][0], parts[1][0])
