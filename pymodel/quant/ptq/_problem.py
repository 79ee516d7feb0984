"""What every PTQ method sees of a layer: a linear map of features, its steps, and what it should have put out.

A KAN layer is linear in its weights, of all branches together: its features are `[S, B_0, B_1, …]` of every input, expanded
from the window to the whole basis, (R, I*F), and its weights (N, I*F). That makes the layer the natural unit of every
method that was made for linear layers: GPTQ's and AdaRound's Hessian is `H = 2 sum b b'` over those feature vectors, for
base and spline weights jointly, so that a rounding error of one branch can be made good by the other. The bias of the
rescale is free in hardware, so the mean of the features is left out of it (the Schur complement of the bias): the splines
of an input sum to 1, and what is the same in all rows the bias takes.

A convolution is the same map on every window: its rows are windows of all images, a sample of them; taps without a pixel
have features 0. Each of its G groups has a Hessian of its own. Behind a LayerNorm the features are those of the codes that
the integer norm gives. Where sums are multiplied, they are what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._norm import QuantNormedLinear, QuantNormLinear
from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant._ste import codes_of, rows_of
from pymodel.quant.ptq._unrounded import float_sums, row_blocks
from pymodel.quant.ptq._windows import Windows, sample_windows, window_features, window_values

__all__ = ["Problem", "branch_quantizers", "set_levels", "weights_of"]

#: Feature values per block of rows.
_BLOCK_VALUES = 1 << 25


def branch_quantizers(layer: QuantKANLinear) -> tuple[TensorQuantizer, TensorQuantizer]:
    """Return the quantizers of base and spline weights."""
    assert layer.base_quantizer is not None
    assert layer.spline_quantizer is not None
    return layer.base_quantizer, layer.spline_quantizer


def weights_of(layer: QuantKANLinear) -> Tensor:
    """Return the masked weights, (N, I, F), a detached copy."""
    base, spline = layer.masked_weights()
    return torch.cat((base.unsqueeze(-1), spline), dim=-1).detach().clone()


@dataclass(frozen=True, eq=False)
class Problem:
    """A layer to be rounded.

    Attributes:
        layer: the layer; its codes are settled.
        u: (B, n_inputs), its inputs in units of codes, as the quantized layers before it give them.
        here: what the codes stand for.
        target: (R, N), what the sums are in the float network.
        mean: (N,), the mean of those over all rows, or windows, of the data.
        at: the windows of a convolution that the rows are; None where they are those of `u`.
    """

    layer: QuantKANLinear
    u: Tensor
    here: Codes
    target: Tensor
    mean: Tensor
    at: Windows | None = None

    @staticmethod
    @torch.no_grad()
    def of(layer: QuantKANLinear, unrounded: QuantKANLinear, u: Tensor, x: Tensor) -> Problem:
        """Return the problem of `layer`.

        Args:
            layer: whose codes are settled.
            unrounded: the same layer with float weights.
            u: (B, n_inputs), its inputs in units of codes.
            x: (B, n_inputs), its inputs in the float network.
        """
        here = Codes(*layer.quantizer.scaled(1))
        at, n = None, 1
        if isinstance(layer, QuantKANConv):
            at, n = sample_windows(layer.geometry, len(x), x.device), layer.geometry.n_windows
        parts, total = [], x.new_zeros(layer.out_features)
        for block in row_blocks(layer, len(x)):
            sums = float_sums(unrounded, x[block])
            total += sums.sum(dim=0)
            if at is not None:
                first, last = torch.searchsorted(at.image, at.image.new_tensor([block.start, block.stop])).tolist()
                inside = at.part(slice(first, last))
                sums = sums[(inside.image - block.start) * n + inside.window]
            parts.append(sums)
        return Problem(layer, u, here, torch.cat(parts), total / (len(x) * n), at)

    @property
    def count(self) -> int:
        """R, how many rows there are."""
        return len(self.target)

    @property
    def n_features(self) -> int:
        """F, of one input."""
        return self.layer.n_basis + 1

    @property
    def groups(self) -> int:
        """G, into which the outputs are divided; each has inputs of its own."""
        return self.layer.geometry.groups if isinstance(self.layer, QuantKANConv) else 1

    @property
    def width(self) -> int:
        """K = I*F, features of a row and group."""
        return self.layer.in_features * self.n_features

    def part(self, rows: Tensor) -> Problem:
        """Return the problem with some of the rows, (R,) bool."""
        target = self.target[rows]
        if self.at is None:
            return replace(self, u=self.u[rows], target=target)
        return replace(self, at=self.at.part(rows), target=target)

    def features(self, rows: slice = slice(None)) -> Tensor:
        """Return the features of some rows, (R, G, K), rounded as in hardware."""
        layer, table = self.layer, self.layer.tables().rounded
        if self.at is not None:
            assert isinstance(layer, QuantKANConv)
            g = layer.geometry
            u, exists = window_values(self.u, self.at.part(rows), g)
            return window_features(codes_of(u, len(table)), exists, table, g.groups)
        u = self.u[rows]
        if not isinstance(layer, QuantNormLinear):
            return rows_of(codes_of(u, table.shape[-2]), table).flatten(1).unsqueeze(1)
        after = Codes(*layer.normal.scaled(1))
        fine = layer.normal_tables().rounded
        phi = rows_of(codes_of(layer.normal_codes(u, self.here, after), fine.shape[-2]), fine)
        if not isinstance(layer, QuantNormedLinear):
            base = rows_of(codes_of(u, table.shape[-2]), table[:, :1])
            phi = torch.cat((base, phi[..., 1:]), dim=-1)
        return phi.flatten(1).unsqueeze(1)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, target) of all rows, block by block."""
        block = max(1, _BLOCK_VALUES // (self.groups * self.width))
        for start in range(0, self.count, block):
            rows = slice(start, start + block)
            yield self.features(rows), self.target[rows]

    def products(self, b: Tensor, weight: Tensor) -> Tensor:
        """Return the sums (R, N) of features (R, G, K) and weights (N, K)."""
        return torch.einsum("rgk,gnk->rgn", b, self.grouped(weight)).flatten(1)

    def grouped(self, weight: Tensor) -> Tensor:
        """Return (N, …) as (G, N/G, …)."""
        return weight.reshape(self.groups, -1, *weight.shape[1:])

    def steps(self) -> Tensor:
        """Return the step of every weight, (N or 1, F)."""
        base, spline = (q.step.detach().view(-1, 1) for q in branch_quantizers(self.layer))
        return torch.cat((base, spline.expand(-1, self.layer.n_basis)), dim=1)

    def highs(self) -> Tensor:
        """Return the largest level of every feature's weights, (F,)."""
        base, spline = branch_quantizers(self.layer)
        highs = [base.high] + [spline.high] * self.layer.n_basis
        return self.layer.base_weight.new_tensor(highs)

    @torch.no_grad()
    def power(self) -> Tensor:
        """Return the sum of every feature's squares, (G, I, F)."""
        total = self.layer.base_weight.new_zeros(self.groups, self.width)
        for b, _ in self.blocks():
            total += b.square().sum(dim=0)
        return total.view(self.groups, -1, self.n_features)

    @torch.no_grad()
    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mean features (G, K) and targets (N,), and the sums `b b'` (G, K, K) and `y b'` (N, K) of centred ones."""
        like = self.layer.base_weight
        groups, width, n = self.groups, self.width, self.layer.out_features
        mean_b, mean_y = like.new_zeros(groups, width), like.new_zeros(n)
        for b, y in self.blocks():
            mean_b += b.sum(dim=0) / self.count
            mean_y += y.sum(dim=0) / self.count
        hessian, cross = like.new_zeros(groups, width, width), like.new_zeros(groups, n // groups, width)
        for b, y in self.blocks():
            centred = (b - mean_b).transpose(0, 1)
            wanted = (y - mean_y).view(len(y), groups, -1).permute(1, 2, 0)
            for g in range(groups):
                hessian[g].addmm_(centred[g].T, centred[g])
                cross[g].addmm_(wanted[g], centred[g])
        return mean_b, mean_y, hessian, cross.flatten(0, 1)


@torch.no_grad()
def set_levels(layer: QuantKANLinear, levels: Tensor) -> None:
    """Store integer levels (N, I, F) as weights: `level * step`, which the quantizers round to the same levels."""
    base, spline = branch_quantizers(layer)
    layer.base_weight.copy_(levels[..., 0] * base.step_for(levels[..., 0]))
    layer.spline_weight.copy_(levels[..., 1:] * spline.step_for(levels[..., 1:]))
