"""A KAN layer whose edges are tables, from the first epoch on.

An edge of A bits is a function of 2^A codes: free values, or piecewise linear on `grid` intervals where 2^A is larger.
A hidden layer normalises its sums (BatchNorm, folded into the integers when frozen) and emits the next layer's codes:
one bit by a step with a triangular surrogate gradient of half-width 1, more bits by rounding with a learned step (LSQ).
Six one-bit inputs, the sum, the normalisation and the step together are one LUT6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pymodel.errors import ModelError
from pymodel.quant import best_step, fake_quantize, replace, round_half_up
from pymodel.quant._ste import edge_linear

__all__ = ["TableIntegers", "TableLayer", "step_code"]

_EPS = 1e-5
_MOMENTUM = 0.02
#: Multi-bit codes start covering this many deviations on either side.
_SPAN = 2.0
#: The finest unit of a hidden layer's sum is 2^-16 codes.
_MAX_SHIFT = 16


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        by_u: Tensor = grad * (1 - u.abs()).clamp_min_(0)
        return by_u


def step_code(u: Tensor) -> Tensor:
    """Return 1 where `u >= 0`, else 0; going back, the derivative is `max(0, 1 - |u|)`."""
    result: Tensor = _Step.apply(u)  # type: ignore[no-untyped-call]
    return result


class _Code(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, n_codes: int) -> Tensor:
        ctx.n_codes = n_codes
        ctx.save_for_backward(v)
        return round_half_up(v).clamp_(0, n_codes - 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grad * ((v >= -0.5) & (v < ctx.n_codes - 0.5)), None


def _round_code(v: Tensor, n_codes: int) -> Tensor:
    """Return `clip(floor(v + 1/2), 0, n_codes - 1)`, straight through where nothing is clipped."""
    result: Tensor = _Code.apply(v, n_codes)  # type: ignore[no-untyped-call]
    return result


@dataclass(frozen=True)
class TableIntegers:
    """A layer in edge-table form: `Y = sat((sum_i tables[i, c_i] + bias + half) >> shift)`.

    Attributes:
        tables: (I, C, N) int64.
        bias: (N,) int64.
        shift: of the rescale.
        lsb: what one unit of Y is worth (last layer; 1 elsewhere).
    """

    tables: Tensor
    bias: Tensor
    shift: int
    lsb: float


def _hats(n_codes: int, grid: int) -> Tensor:
    """Return (C, F): what each code reads of the F values at equally spaced knots; a bit reads -1/2 or 1/2."""
    if n_codes == 2:
        return torch.tensor([[-0.5], [0.5]])
    n = min(n_codes, grid + 1)
    at = torch.arange(n_codes) * ((n - 1) / (n_codes - 1))
    return (1 - (at[:, None] - torch.arange(n)[None, :]).abs()).clamp(min=0)


class TableLayer(nn.Module):
    """One layer of a :class:`~pymodel.fabric.TableKAN`.

    Args:
        in_features, out_features: I and N.
        bits: A, of the codes at the input.
        edge_bits: e, of a table's entries (signed, the most negative level unused).
        out_bits: of the codes that it emits; None for the last layer, which emits scores.
        grid: intervals of an edge's function, where there are more codes.
        fan_in: inputs that a node keeps in the end; None leaves the choice to the pruning of the whole model.

    Attributes:
        weight: parameter (N, I, F), the functions' values at their knots.
        mask: bool buffer (N, I); False removes an edge.
        quantized: whether entries are rounded.
    """

    features: Tensor
    slopes: Tensor
    mask: Tensor
    mean: Tensor
    var: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bits: int,
        edge_bits: int,
        out_bits: int | None,
        grid: int,
        fan_in: int | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.bits, self.edge_bits, self.out_bits, self.fan_in = bits, edge_bits, out_bits, fan_in
        self.n_codes = 1 << bits
        self.high = (1 << (edge_bits - 1)) - 1
        self.quantized = False
        features = _hats(self.n_codes, grid)
        n = features.shape[1]
        self.register_buffer("features", features, persistent=False)
        slopes = torch.gradient(features, dim=0)[0] if n > 1 else torch.ones(2, 1)
        self.register_buffer("slopes", slopes, persistent=False)
        size = (2.0 if out_bits is None else 1.0) / math.sqrt(in_features)
        ramp = torch.linspace(-1.0, 1.0, n) if n > 1 else torch.ones(1)
        first = torch.randn(out_features, in_features, 1) * size
        self.weight = nn.Parameter(
            first * ramp + (0.1 * size * torch.randn(out_features, in_features, n) if n > 1 else 0)
        )
        self.register_buffer("mask", torch.ones(out_features, in_features, dtype=torch.bool))
        self.bias = nn.Parameter(torch.zeros(out_features))
        if out_bits is None:
            self.log_step = nn.Parameter(torch.zeros(()))
            return
        self.gain = nn.Parameter(torch.ones(out_features))
        self.register_buffer("mean", torch.zeros(out_features))
        self.register_buffer("var", torch.ones(out_features))
        if out_bits > 1:
            self.log_step = nn.Parameter(torch.tensor(math.log(2 * _SPAN / ((1 << out_bits) - 1))))

    @property
    def binary(self) -> bool:
        """Whether the inputs are single bits: an edge is then its difference, `E(1) - E(0)`."""
        return self.n_codes == 2

    def functions(self) -> Tensor:
        """Return what is rounded, with removed edges 0: differences (N, I), or tables (N, I, C)."""
        weight = self.weight * self.mask.unsqueeze(-1)
        return weight[..., 0] if self.binary else weight @ self.features.T

    def variances(self, shares: Tensor) -> Tensor:
        """Return the variance of every edge's function, (N, I), over codes that occur with `shares` (I, C)."""
        tables = (self.weight * self.mask.unsqueeze(-1)) @ self.features.T
        mean = (tables * shares).sum(-1)
        return ((tables - mean.unsqueeze(-1)).square() * shares).sum(-1)

    def apply_mask(self, mask: Tensor) -> None:
        """Keep the edges where `mask` (N, I) is True.

        Raises:
            ModelError: if the shape differs.
        """
        if mask.shape != self.mask.shape:
            raise ModelError(f"a mask of shape {tuple(self.mask.shape)} was expected, not {tuple(mask.shape)}")
        self.mask.copy_(mask.to(torch.bool))

    def _sums(self, u: Tensor, edges: Tensor) -> Tensor:
        """Return the sums (B, N) of `edges` at the codes `u`; a bit counts as -1/2 or 1/2."""
        if self.binary:
            return (u - 0.5) @ edges.T
        one, zero = u.new_ones(()), u.new_zeros(())
        tables = edges.permute(1, 2, 0).contiguous()
        return edge_linear(u, one, zero, tables, (self.weight * self.mask.unsqueeze(-1)).detach(), self.slopes)

    def _row_steps(self, edges: Tensor) -> Tensor:
        """Return one step per node, (N, 1) or (N, 1, 1): its largest entry takes the highest level."""
        largest = edges.detach().abs().flatten(1).amax(1).clamp_min(1e-12) / self.high
        return largest.view(-1, *[1] * (edges.dim() - 1))

    def _shift(self, scaled: Tensor) -> int:
        """Return n: entries are multiples of 2^-n codes, and the largest fits in the entry's bits."""
        largest = max(float(scaled.detach().abs().max()), 2.0**-40)
        return min(max(math.floor(math.log2((self.high + 0.5) / largest)), 0), _MAX_SHIFT)

    def _folded(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """Return `edges` in units of the next codes and the constant (N,) that joins their sum."""
        assert self.out_bits is not None
        factor = self.gain / ((self.var + _EPS).sqrt() * self.log_step.exp())
        middle = ((1 << self.out_bits) - 1) / 2
        constant = self.bias / self.log_step.exp() - factor * self.mean + middle
        return edges * factor.view(-1, *[1] * (edges.dim() - 1)), constant

    def forward(self, u: Tensor) -> Tensor:
        """Return the next codes, or real scores (last layer), (B, N), for codes `u` (B, I)."""
        edges = self.functions()
        if self.out_bits is None:
            if not self.quantized:
                return self._sums(u, edges) + self.bias
            step = self.log_step.exp()
            rounded = fake_quantize(edges, step, -self.high, self.high)
            bias = replace(self.bias, self._score_bias(rounded.detach(), step.detach()))
            y = self._sums(u, rounded) + bias
            return replace(y, round_half_up(y.detach() / step.detach()) * step.detach())  # equal scores are equal
        if self.quantized and self.out_bits > 1:
            scaled, constant = self._folded(edges)
            unit = 2.0 ** -self._shift(scaled)
            entries = replace(scaled, round_half_up(scaled.detach() / unit).clamp_(-self.high, self.high) * unit)
            halves = entries.detach().sum(1) / 2 if self.binary else torch.zeros_like(constant)
            fixed = round_half_up((constant.detach() - halves) / unit) * unit + halves
            return _round_code(self._sums(u, entries) + replace(constant, fixed), 1 << self.out_bits)
        if self.quantized:
            steps = self._row_steps(edges)
            edges = replace(edges, round_half_up(edges.detach() / steps) * steps)
        z = self._sums(u, edges)
        normal = self._normalise(z) * self.gain + self.bias
        if self.out_bits == 1:
            return step_code(normal)
        middle = ((1 << self.out_bits) - 1) / 2
        return _round_code(normal / self.log_step.exp() + middle, 1 << self.out_bits)

    def _normalise(self, z: Tensor) -> Tensor:
        if not self.training:
            return (z - self.mean) * (self.var + _EPS).rsqrt()
        mean, var = z.mean(0), z.var(0, unbiased=False)
        with torch.no_grad():
            self.mean.lerp_(mean.detach(), _MOMENTUM)
            self.var.lerp_(var.detach(), _MOMENTUM)
        return (z - mean) * (var + _EPS).rsqrt()

    def _score_bias(self, rounded: Tensor, step: Tensor) -> Tensor:
        halves = rounded.sum(1) / 2 if self.binary else 0.0
        return round_half_up((self.bias.detach() - halves) / step) * step + halves

    @torch.no_grad()
    def start_quantized(self) -> None:
        """Round entries from now on; the last layer's step starts at the least squared error."""
        if self.out_bits is None:
            edges = self.functions()
            self.log_step.fill_(math.log(best_step(edges[edges != 0], self.high)))
        self.quantized = True

    @torch.no_grad()
    def integers(self) -> TableIntegers:
        """Return the integers that :meth:`forward` stands for in eval mode."""
        edges = self.functions().double()
        if self.out_bits is None:
            step = self.log_step.double().exp()
            levels = round_half_up(edges / step).clamp_(-self.high, self.high)
            halves = levels.sum(1) / 2 if self.binary else 0.0
            bias = round_half_up(self.bias.double() / step - halves)
            return TableIntegers(self._tables(levels), bias.long(), 0, float(step))
        if self.out_bits > 1:
            scaled, constant = self._folded(edges)
            shift = self._shift(scaled)
            levels = round_half_up(scaled * 2.0**shift).clamp_(-self.high, self.high)
            halves = levels.sum(1) / 2 if self.binary else 0.0
            bias = round_half_up(constant.double() * 2.0**shift - halves)
            return TableIntegers(self._tables(levels), bias.long(), shift, 1.0)
        return self._step_integers(edges)

    def _step_integers(self, edges: Tensor) -> TableIntegers:
        """Return a layer of steps: a node is 1 iff its sum reaches a threshold, so its bias is 1 - threshold."""
        steps = self._row_steps(edges)
        levels = round_half_up(edges / steps)
        gain, bias = self.gain.double(), self.bias.double()
        sign = torch.sign(gain)
        level = self.mean.double() - bias * (self.var.double() + _EPS).sqrt() / torch.where(sign == 0, 1.0, gain)
        threshold = sign * level / steps.flatten()
        levels = levels * sign.view(-1, *[1] * (edges.dim() - 1))
        if self.binary:
            threshold = threshold + levels.sum(1) / 2
        limit = levels.abs().flatten(1).sum(1) + 1
        threshold = torch.ceil(torch.minimum(torch.maximum(threshold, -limit), limit))
        constant = (bias >= 0).double()  # where the gain is 0
        return TableIntegers(self._tables(levels), torch.where(sign == 0, constant, 1 - threshold).long(), 0, 1.0)

    def _tables(self, levels: Tensor) -> Tensor:
        """Return (I, C, N) int64 of differences (N, I) or tables (N, I, C)."""
        if self.binary:
            levels = torch.stack((torch.zeros_like(levels), levels), dim=-1)
        return levels.permute(1, 2, 0).contiguous().long()

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        after = "scores" if self.out_bits is None else f"{self.out_bits} bits"
        return f"{self.in_features}, {self.out_features}, {self.bits} bits -> {after}, entries of {self.edge_bits} bits"
