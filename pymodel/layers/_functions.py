"""What the edges of a layer are made of: a base activation and a family of basis functions, without any weights.

Frozen, so that tables can be computed from it; evaluated in the dtype of its argument, so that layers can train on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pymodel.ir import BasisKind
from pymodel.layers._activations import activate
from pymodel.layers._bspline import feature_table, features, support, uniform_knots
from pymodel.layers._code_functions import activation_pair, gram_pair, rbf_pair, spline_pair

__all__ = ["BSplineFunctions", "Functions", "GramFunctions", "RbfFunctions", "gram_factor", "gram_values", "with_slope"]

_Reals = npt.NDArray[np.float64]


def with_slope(function: Callable[[Tensor], Tensor], points: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return `function(points)`, (C, width), and its derivatives, each row of which depends on its own point only.

    One backward pass: every column gets a copy of the points of its own, and only that column's value is kept.
    """
    with torch.enable_grad():
        x = points.detach().unsqueeze(-1).repeat(1, width).requires_grad_()
        values = function(x).diagonal(dim1=1, dim2=2)
        if not values.requires_grad:  # a constant function
            return values, torch.zeros_like(values)
        (slopes,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), slopes


class Functions(ABC):
    """The functions of a layer: `[act(z), B_0(z), B_1(z), …]` with `z = before(x)`.

    Attributes:
        kind: the family of the basis.
        activation: of the base branch, by name.
        before: activation that every input passes first, by name.
    """

    kind: ClassVar[BasisKind]
    #: Whether basis values can be negative.
    signed: ClassVar[bool] = False

    activation: str
    before: str

    @property
    def n_tables(self) -> int:
        """1, or the number of inputs if each has functions of its own."""
        return 1

    @property
    @abstractmethod
    def n_basis(self) -> int:
        """Number of basis functions."""

    @property
    @abstractmethod
    def knots(self) -> _Reals:
        """The real numbers that define the basis, as the IR keeps them."""

    @abstractmethod
    def basis(self, z: Tensor) -> Tensor:
        """Return the basis functions at `z` (…), as (…, n_basis)."""

    def features(self, x: Tensor) -> Tensor:
        """Return `[act(z), B_0(z), …]` at `x` (…), as (…, 1 + n_basis)."""
        z = activate(self.before, x)
        return torch.cat((activate(self.activation, z).unsqueeze(-1), self.basis(z)), dim=-1)

    def table(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at `points` (C,) and their derivatives, each (C, 1 + n_basis); no gradient."""
        return with_slope(self.features, points, 1 + self.n_basis)

    def basis_pair(self, z: _Reals) -> tuple[_Reals, _Reals] | None:  # noqa: ARG002 - families have it
        """Return the basis at `z` (C,) and its derivatives, each (C, n_basis), where there is a closed form."""
        return None

    def code_table(self, points: _Reals) -> tuple[_Reals, _Reals]:
        """Return what :meth:`table` does at `points` (C,), within a few roundings, as fast as possible for few points."""
        z, by_z = activation_pair(self.before, points)
        pair = self.basis_pair(z)
        if pair is None:
            both = self.table(torch.from_numpy(points))
            return both[0].numpy(), both[1].numpy()
        base, base_slope = activation_pair(self.activation, z)
        values, slopes = (
            np.concatenate((first[:, None], rest), axis=1) for first, rest in zip((base, base_slope), pair, strict=True)
        )
        return values, slopes if self.before == "identity" else slopes * by_z[:, None]


@dataclass(frozen=True)
class BSplineFunctions(Functions):
    """B-splines of order `order` on a uniform grid: `grid` cells on [low, high].

    Attributes:
        low, high: ends of the grid.
        grid: G.
        order: k.
        activation: of the base branch.
    """

    kind: ClassVar[BasisKind] = BasisKind.BSPLINE
    before: ClassVar[str] = "identity"  # type: ignore[misc]

    low: float
    high: float
    grid: int
    order: int
    activation: str = "silu"

    @property
    def n_basis(self) -> int:
        """G + k."""
        return self.grid + self.order

    @property
    def step(self) -> float:
        """Length of a cell."""
        return (self.high - self.low) / self.grid

    @property
    def knots(self) -> _Reals:
        """The G + 2k + 1 knots in float64."""
        return uniform_knots(self.low, self.high, self.grid, self.order)

    def basis(self, z: Tensor) -> Tensor:
        """Return the B-splines at `z` (…), as (…, G + k); no gradient."""
        x = z.detach().reshape(-1, 1)
        columns, position = support(x, self.low, self.step, self.grid, self.order)
        values = features(x, columns, position, self.order, self.n_basis + 1)[:, 1:]
        return values.reshape(*z.shape, self.n_basis)

    def table(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features at `points` (C,) and their derivatives, each (C, 1 + G + k); no gradient."""
        values, slopes = feature_table(points, self.low, self.step, self.grid, self.order)
        if self.activation != "silu":
            base = with_slope(lambda z: activate(self.activation, z).unsqueeze(-1), points, 1)
            values[:, 0], slopes[:, 0] = base[0][:, 0], base[1][:, 0]
        return values, slopes

    def basis_pair(self, z: _Reals) -> tuple[_Reals, _Reals]:
        """Return the B-splines at `z` (C,) and their derivatives, each (C, G + k)."""
        return spline_pair(z, self.low, self.step, self.grid, self.order)


@dataclass(frozen=True)
class RbfFunctions(Functions):
    """Gaussians `exp(-((z - g_j) / h)^2)` on `n_centres` equidistant centres from `low` to `high`.

    Attributes:
        low, high: the first and the last centre.
        n_centres: how many, at least 2.
        width: h.
        activation: of the base branch.
    """

    kind: ClassVar[BasisKind] = BasisKind.RBF
    before: ClassVar[str] = "identity"  # type: ignore[misc]

    low: float
    high: float
    n_centres: int
    width: float
    activation: str = "silu"

    @property
    def n_basis(self) -> int:
        """The number of centres."""
        return self.n_centres

    @property
    def spacing(self) -> float:
        """Between two centres."""
        return (self.high - self.low) / (self.n_centres - 1)

    @property
    def knots(self) -> _Reals:
        """The centres in float64."""
        return self.low + self.spacing * np.arange(self.n_centres, dtype=np.float64)

    def basis(self, z: Tensor) -> Tensor:
        """Return the Gaussians at `z` (…), as (…, n_centres)."""
        return torch.exp(-(((z.unsqueeze(-1) - self.centres(z)) / self.width) ** 2))

    def centres(self, like: Tensor) -> Tensor:
        """Return the centres in the dtype and on the device of `like`."""
        return _centres(self, like.dtype, like.device)

    def basis_pair(self, z: _Reals) -> tuple[_Reals, _Reals]:
        """Return the Gaussians at `z` (C,) and their derivatives, each (C, n_centres)."""
        return rbf_pair(z, self.knots, self.width)


@cache
def _centres(functions: RbfFunctions, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(functions.knots).to(dtype=dtype, device=device)


def gram_factor(n: int) -> float:
    """Return what the learned `beta_weights[n - 1]` is multiplied with in the recurrence for `P_n`, n >= 2.

    `beta(m, n) = (m + n)(n - m) m^2 (4 m^2 - 1) / n^2` with m = n - 1, as torch-conv-kan's `GRAMLayer` has it.
    """
    m = n - 1
    return (m + n) * (n - m) * m**2 * (4 * m**2 - 1) / n**2


def gram_values(t: Tensor, factors: Sequence[float] | Tensor, degree: int) -> Tensor:
    """Return `P_0(t) … P_degree(t)`, (…, degree + 1): `P_n = t*P_(n-1) - factors[n]*P_(n-2)`."""
    values = [torch.ones_like(t), t]
    for n in range(2, degree + 1):
        values.append(t * values[-1] - factors[n] * values[-2])
    return torch.stack(values[: degree + 1], dim=-1)


@dataclass(frozen=True)
class GramFunctions(Functions):
    """`SiLU(P_n(tanh z))`, n = 0 … degree, `P_n` by the three-term recurrence with `factors`.

    Attributes:
        factors: (degree + 1,) multipliers of `P_(n-2)`; the first two are 0.
        activation: of the base branch.
        before: of every input.
    """

    kind: ClassVar[BasisKind] = BasisKind.GRAM
    signed: ClassVar[bool] = True

    factors: tuple[float, ...]
    activation: str = "silu"
    before: str = "identity"

    @property
    def degree(self) -> int:
        """The largest degree."""
        return len(self.factors) - 1

    @property
    def n_basis(self) -> int:
        """Degree + 1."""
        return len(self.factors)

    @property
    def knots(self) -> _Reals:
        """The factors."""
        return np.array(self.factors, dtype=np.float64)

    def basis(self, z: Tensor) -> Tensor:
        """Return the functions at `z` (…), as (…, degree + 1)."""
        return activate("silu", gram_values(torch.tanh(z), self.factors, self.degree))

    def basis_pair(self, z: _Reals) -> tuple[_Reals, _Reals]:
        """Return the functions at `z` (C,) and their derivatives, each (C, degree + 1)."""
        return gram_pair(z, self.factors)
