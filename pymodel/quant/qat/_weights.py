"""Weight quantizers of the QAT methods: levels without zero point, times a step, whatever the method.

A method says how a weight becomes a level `q` and which gradient it gets; the weight is `q * step`. Every one of them
keeps what the contract needs: levels are `-(2^(b-1) - 1) … 2^(b-1) - 1`, and a weight of 0 (a removed edge) has level 0.
The papers of DoReFa and QIL end with levels in [-1, 1] and leave the scale to the batch normalisation that follows; a KAN
layer has none, so the scale is a step here, learned with LSQ's gradient: it costs nothing, since the rescale multiplies
by it anyway.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from pymodel.quant._calibrate import best_step, best_steps
from pymodel.quant._functions import round_half_up
from pymodel.quant._quantizers import TensorQuantizer
from pymodel.quant._ste import replace, scale_gradient
from pymodel.quant.qat._soft import alpha_of, raw_alpha, soft_staircase

__all__ = ["DorefaWeights", "DsqWeights", "LsqPlusWeights", "QilWeights"]

#: Below this a power's gradient is cut off: `x^gamma` has an infinite one at 0 for gamma < 1.
_SMALL = 1e-6
#: QIL's gamma starts at 1, a straight line, and stays above this.
_MIN_GAMMA = 0.1


class LsqPlusWeights(TensorQuantizer):
    """LSQ+ (Bhalgat et al. 2020, arXiv:2004.09576) for weights: LSQ whose step starts from the weights' statistics.

    `step = max(|mu - 3 sigma|, |mu + 3 sigma|) / 2^(b-1)` (section 3.2). Weights have no offset, as in the paper's choice
    (symmetric, signed); the offset of the codes is learned (:class:`~pymodel.quant.ActivationQuantizer`, equations 4
    to 6). The weights of removed edges do not count.
    """

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Set the step from mean and deviation of `values` (any shape; zeros are ignored)."""
        rows = values.flatten(1) if self.log_step.dim() else values.reshape(1, -1)
        steps = []
        for row in rows:
            w = row[row != 0].double()
            mean, deviation = (float(w.mean()), float(w.std(correction=0))) if w.numel() else (0.0, 0.0)
            bound = max(abs(mean - 3 * deviation), abs(mean + 3 * deviation))
            steps.append((bound or 1.0) / (self.high + 1))
        self.set_step(torch.tensor(steps, dtype=torch.float64) if self.log_step.dim() else steps[0])

    @torch.no_grad()
    def start_at(self, step: Tensor, values: Tensor) -> None:  # noqa: ARG002
        """Start from the statistics of the lattice's weights."""
        self.calibrate(values)


class _Soft(TensorQuantizer):
    """A quantizer that rounds a soft level: `step * replace(soft, clip(round(soft)))`."""

    @abstractmethod
    def soft(self, w: Tensor) -> Tensor:
        """Return real levels whose gradient is the method's; rounded, they are the levels."""

    def _hard(self, soft: Tensor) -> Tensor:
        return round_half_up(soft.detach()).clamp_(self.low, self.high)

    @torch.no_grad()
    def integers(self, w: Tensor) -> Tensor:
        """Return the levels (int64) that :meth:`forward` uses for `w`."""
        return self._hard(self.soft(w)).long()

    def forward(self, w: Tensor) -> Tensor:
        """Return the quantized tensor, with the method's gradient for `w` and LSQ's for the step."""
        soft = self.soft(w)
        return replace(soft, self._hard(soft)) * scale_gradient(self.step_for(w), self._factor(w))

    def _factor(self, w: Tensor) -> float:
        """Return LSQ's gradient scale for a parameter that one step's weights share."""
        return 1.0 / math.sqrt(max(1, w.numel() // self.log_step.numel()) * max(1, self.high))

    def _over(self, parameter: Tensor, w: Tensor) -> Tensor:
        """Return a parameter, one or one per output, in a shape that broadcasts over `w`."""
        return parameter.view(-1, *([1] * (w.dim() - 1))) if parameter.dim() else parameter

    def _best_steps(self, w: Tensor) -> Tensor:
        """Return the step of least squared error, () or (N,), float64."""
        if self.log_step.dim():
            return best_steps(w.flatten(1), self.high)
        return torch.tensor(best_step(w[w != 0], self.high), dtype=torch.float64)

    @torch.no_grad()
    def start_at(self, step: Tensor, values: Tensor) -> None:  # noqa: ARG002
        """Calibrate on the lattice's weights: their levels come out as the method's own."""
        self.calibrate(values)

    def _fit_step(self, w: Tensor) -> None:
        """Set the step with which the levels, as they are, are closest to `w` (least squares)."""
        rows = w.flatten(1) if self.log_step.dim() else w.reshape(1, -1)
        q, v = self.integers(w).view(rows.shape).double(), rows.double()
        energy = q.square().sum(dim=1)
        fit = (q * v).sum(dim=1) / energy.clamp_min(1.0)
        best = self._best_steps(w).to(fit).view(-1)
        steps = torch.where(fit > 0, fit, best)
        self.set_step(steps if self.log_step.dim() else steps[0])


class DorefaWeights(_Soft):
    """DoReFa-Net (Zhou et al. 2016, arXiv:1606.06160), equation 9: the weights' tanh, normalised by its largest value.

    `q = round(L * tanh(w) / max|tanh(w)|)`, `L = 2^(b-1) - 1`. The paper's `2 * quantize_b(t / 2 + 1/2) - 1` has `2^b`
    odd levels and no 0; a level of 0 is what a removed edge needs, and it saves the bit that odd levels would cost. The
    gradient is that of the tanh and its maximum, straight through the rounding.
    """

    def soft(self, w: Tensor) -> Tensor:
        """Return `L * tanh(w) / max|tanh(w)|`."""
        t = torch.tanh(w)
        largest = t.abs().flatten(1).amax(dim=1) if self.log_step.dim() else t.abs().max()
        return t * (self.high / self._over(largest.clamp_min(_SMALL), w))

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Set the step of least squared error, given the levels."""
        self._fit_step(values)


class QilWeights(_Soft):
    """QIL (Jung et al. 2019, arXiv:1808.05779): a learned interval of |w|, pruned below it and clipped above.

    `t = clip(0.5 * (|w| - c) / d + 0.5, 0, 1)^gamma`, `q = sign(w) * round(L * t)` (equations 2 to 4). Centre c, half width
    d and gamma learn through the rounding; they start where the quantizer is the uniform one of least squared error:
    nothing pruned, `gamma = 1`. The centre is kept in units of d, so that a learning rate means the same whatever the size
    of the weights: those of a layer with a folded batch normalisation are ten times smaller than others.

    Attributes:
        ratio: parameter, `c / d`, () or (N,) as the step.
        log_distance: parameter, the natural logarithm of d, of the same shape.
        log_gamma: scalar parameter.
    """

    def __init__(self, bits: int, *, symmetric: bool = True, channels: int | None = None) -> None:
        super().__init__(bits, symmetric=symmetric, channels=channels)
        self.ratio = nn.Parameter(torch.ones_like(self.log_step))
        self.log_distance = nn.Parameter(torch.zeros_like(self.log_step))
        self.log_gamma = nn.Parameter(torch.zeros(()))

    def soft(self, w: Tensor) -> Tensor:
        """Return `sign(w) * L * t`."""
        inner = 0.5 * (w.abs() / self._over(self.log_distance.exp(), w) - self._over(self.ratio, w)) + 0.5
        gamma = self.log_gamma.exp().clamp_min(_MIN_GAMMA)
        grown = torch.where(inner > _SMALL, inner.clamp(_SMALL, 1.0) ** gamma, 0.0)
        return torch.sign(w) * grown * self.high

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Set interval and step to the uniform quantizer of least squared error."""
        self.start_at(self._best_steps(values), values)

    @torch.no_grad()
    def start_at(self, step: Tensor, values: Tensor) -> None:  # noqa: ARG002
        """Set interval and step to the uniform quantizer of that step."""
        self.ratio.fill_(1.0)
        self.log_distance.copy_((step * self.high / 2).log())
        self.log_gamma.zero_()
        self.set_step(step)


class DsqWeights(_Soft):
    """DSQ: hard levels forward, the gradient of a tanh staircase back (:func:`soft_staircase`).

    The clipping ends are `+-L * step`, so that the lattice has no zero point; the step learns through them and alpha
    through the staircase (the paper's equations 14 to 16 by automatic differentiation).

    Attributes:
        raw_alpha: scalar parameter; alpha is its sigmoid times 1/2.
    """

    def __init__(self, bits: int, *, symmetric: bool = True, channels: int | None = None) -> None:
        super().__init__(bits, symmetric=symmetric, channels=channels)
        self.raw_alpha = nn.Parameter(raw_alpha())

    def soft(self, w: Tensor) -> Tensor:
        """Return the soft staircase of `w / step`."""
        factor = self._factor(w)
        v = w / scale_gradient(self.step_for(w), factor)
        return soft_staircase(v, alpha_of(scale_gradient(self.raw_alpha, factor)), self.low, self.high)

    @torch.no_grad()
    def start_at(self, step: Tensor, values: Tensor) -> None:  # noqa: ARG002
        """Set the step."""
        self.set_step(step)
