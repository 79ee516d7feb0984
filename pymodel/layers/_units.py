"""Basis units in torch: int64 buffers to the basis values of every code, with the contract's stated roundings.

Each function returns the values of all basis functions at all codes, zeros outside the window. Nothing here is shared
with `pymodel.reference`; the formulas are those of the IR's basis classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pymodel.ir import BasisKind, Implementation

__all__ = ["dense_basis"]

_Facts = Mapping[str, Any]


def dense_basis(
    kind: BasisKind, implementation: Implementation, facts: _Facts, buffers: Mapping[str, Tensor], n_basis: int
) -> Tensor:
    """Return (T*C, n_basis) int64: row `c` (of table t: `t*C + c`) holds the basis values of code `c`.

    Args:
        kind: of the unit.
        implementation: of the unit.
        facts: its scalars, as in the IR.
        buffers: its int64 arrays, as in the IR.
        n_basis: basis functions per input.
    """
    if implementation is Implementation.ROM:
        return _rom(buffers["values"], buffers["start"], n_basis)
    if kind is BasisKind.BSPLINE:
        return _bspline(facts, buffers["position"], buffers["coefficients"], n_basis)
    if kind is BasisKind.RBF:
        return _rbf(facts, buffers["position"], buffers["samples"], n_basis)
    return _gram(facts, buffers["tanh"], buffers["factors"], buffers["silu"])


def _rom(values: Tensor, start: Tensor, n_basis: int) -> Tensor:
    columns = start[:, None] + torch.arange(values.shape[1], device=start.device)
    return values.new_zeros(values.shape[0], n_basis).scatter_(1, columns, values)


def _half(shift: int) -> int:
    return (1 << shift) >> 1


def _places(facts: _Facts, position: Tensor) -> Tensor:
    """Return the position of every code, (T*C, 1)."""
    codes = torch.arange(facts["n_codes"], device=position.device)
    place: Tensor = (position[:, :1] * codes + position[:, 1:]) >> facts["position_shift"]
    return place.reshape(-1, 1)


def _bspline(facts: _Facts, position: Tensor, coefficients: Tensor, n_basis: int) -> Tensor:
    fraction, guard = facts["fraction"], facts["guard"]
    place = _places(facts, position)
    cell = place >> fraction
    f = place - (cell << fraction)
    h = coefficients[-1].expand(place.shape[0], -1)
    for row in reversed(coefficients[:-1].unbind()):
        h = ((h * f + _half(fraction)) >> fraction) + row
    local = ((h + _half(guard)) >> guard).clamp_min(0)
    # Function j of cell q is the basis function q + j; those that do not exist go to a column that is dropped.
    columns = cell + torch.arange(local.shape[1], device=cell.device)
    columns = torch.where((columns >= 0) & (columns < n_basis), columns, n_basis)
    dense: Tensor = local.new_zeros(local.shape[0], n_basis + 1).scatter_(1, columns, local)
    return dense[:, :n_basis]


def _rbf(facts: _Facts, position: Tensor, samples: Tensor, n_basis: int) -> Tensor:
    fraction, remainder, window = facts["fraction"], facts["remainder"], facts["width"]
    place = _places(facts, position)
    first = ((place >> fraction) - facts["reach"]).clamp(0, n_basis - window)
    centre = torch.arange(n_basis, device=place.device)
    distance = (place - (centre << fraction)).abs()
    n = distance >> remainder
    down = remainder + facts["guard"]
    r = distance - (n << remainder)
    inside = (centre >= first) & (centre < first + window) & (n < samples.numel() - 1)
    n = n.clamp_max(samples.numel() - 2)
    values: Tensor = ((samples[n] << remainder) + (samples[n + 1] - samples[n]) * r + _half(down)) >> down
    return values.mul_(inside)


def _gram(facts: _Facts, tanh: Tensor, factors: Tensor, silu: Tensor) -> Tensor:
    fraction, factor_shift = facts["fraction"], facts["factor_shift"]
    polynomials = [torch.full_like(tanh, 1 << fraction), tanh]
    for factor in factors[2:]:
        first = (tanh * polynomials[-1] + _half(fraction)) >> fraction
        polynomials.append(first - ((factor * polynomials[-2] + _half(factor_shift)) >> factor_shift))
    index = (torch.stack(polynomials, dim=1) + facts["silu_offset"]) >> facts["silu_shift"]
    values: Tensor = silu[index.clamp(0, silu.numel() - 1)]
    return values
