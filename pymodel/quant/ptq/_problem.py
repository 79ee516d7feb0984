"""What every PTQ method sees of a layer: a linear map of features, its steps, and what it should have put out.

A KAN layer is linear in its weights, of all branches together: its features are `[S, B_0, B_1, …]` of every input, expanded
from the window to the whole basis, (B, I*F), and its weights (N, I*F). That makes the layer the natural unit of every
method that was made for linear layers: GPTQ's and AdaRound's Hessian is `H = 2 sum b b'` over those feature vectors, for
base and spline weights jointly, so that a rounding error of one branch can be made good by the other. The bias of the
rescale is free in hardware, so the mean of the features is left out of it (the Schur complement of the bias): the splines
of an input sum to 1, and what is the same in all rows the bias takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant._ste import codes_of, rows_of

__all__ = ["Problem", "branch_quantizers", "set_bias", "set_levels", "weights_of"]

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
        u: (B, I), its inputs in units of codes, as the quantized layers before it give them.
        here: what the codes stand for.
        target: (B, N), what the float network has at this layer's output.
    """

    layer: QuantKANLinear
    u: Tensor
    here: Codes
    target: Tensor

    @property
    def n_features(self) -> int:
        """F, of one input."""
        return self.layer.n_basis + 1

    def features(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Return the features of some rows, (B, I*F), rounded as in hardware."""
        table = self.layer.tables().rounded
        return rows_of(codes_of(self.u[rows], table.shape[-2]), table).flatten(1)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features, target) of all rows, block by block."""
        width = self.layer.in_features * self.n_features
        block = max(1, _BLOCK_VALUES // width)
        for start in range(0, self.u.shape[0], block):
            rows = slice(start, start + block)
            yield self.features(rows), self.target[rows]

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
    def moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return mean features (K,) and targets (N,), and the sums `b b'` (K, K) and `y b'` (N, K) of centred ones."""
        like = self.layer.base_weight
        width = self.layer.in_features * self.n_features
        count = self.u.shape[0]
        mean_b, mean_y = like.new_zeros(width), like.new_zeros(self.layer.out_features)
        for b, y in self.blocks():
            mean_b += b.sum(dim=0) / count
            mean_y += y.sum(dim=0) / count
        hessian, cross = like.new_zeros(width, width), like.new_zeros(self.layer.out_features, width)
        for b, y in self.blocks():
            centred = b - mean_b
            hessian.addmm_(centred.T, centred)
            cross.addmm_((y - mean_y).T, centred)
        return mean_b, mean_y, hessian, cross


@torch.no_grad()
def set_levels(layer: QuantKANLinear, levels: Tensor) -> None:
    """Store integer levels (N, I, F) as weights: `level * step`, which the quantizers round to the same levels."""
    base, spline = branch_quantizers(layer)
    layer.base_weight.copy_(levels[..., 0] * base.step_for(levels[..., 0]))
    layer.spline_weight.copy_(levels[..., 1:] * spline.step_for(levels[..., 1:]))


@torch.no_grad()
def set_bias(problem: Problem) -> None:
    """Set the layer's bias so that the mean output error over the rows is 0 (Finkelstein et al. 2019)."""
    layer = problem.layer
    layer.bias = nn.Parameter(layer.base_weight.new_zeros(layer.out_features))
    error = layer.base_weight.new_zeros(layer.out_features)
    count = problem.u.shape[0]
    block = max(1, _BLOCK_VALUES // (layer.in_features * problem.n_features))
    for start in range(0, count, block):
        rows = slice(start, start + block)
        error += (problem.target[rows] - layer(problem.u[rows], problem.here, None)).sum(dim=0)
    layer.bias.copy_(error / count)
