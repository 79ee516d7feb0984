"""Coders of hidden layers for the QAT methods: what a code stands for is `low + step * code` in all of them.

A KAN has no ReLU, so the inputs of a hidden layer are signed and skewed, and the basis is a function of their real value:
a code must be expanded to it again. PACT's and QIL's unsigned intervals therefore get two learned ends. With the
expansion QIL's `[c - d, c + d]` is a step and an offset, which LSQ+ learns: it shares that coder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pymodel.quant._quantizers import MIN_STEP, ActivationQuantizer
from pymodel.quant._ste import codes_of, replace, scale_gradient
from pymodel.quant.qat._soft import alpha_of, raw_alpha, soft_staircase

__all__ = ["DsqActivations", "FixedActivations", "PactActivations"]


class FixedActivations(ActivationQuantizer):
    """DoReFa's: a fixed range, straight through inside it (equation 11); the range of least squared error here.

    The paper clips to [0, 1] and lets the layers adapt; the grid of a KAN's basis is fixed, so calibration finds it.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.log_step.requires_grad_(False)
        self.low.requires_grad_(False)


class _WithoutResidual(torch.autograd.Function):
    """Identity that cancels the step's gradient inside the range, `code - u`, and leaves the one outside."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, step: Tensor, n_codes: int) -> Tensor:
        ctx.n_codes = n_codes
        ctx.save_for_backward(u, step)
        return u.view_as(u)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        u, step = ctx.saved_tensors  # grad is 0 outside the range
        by_step = -(grad * (codes_of(u, ctx.n_codes).to(u.dtype) - u)).sum() / step
        return grad, by_step.reshape(step.shape), None


class PactActivations(ActivationQuantizer):
    """PACT (Choi et al. 2018, arXiv:1805.06085) with both ends learned: values beyond an end move it, others do not.

    The gradient by an end is 1 for an input beyond it and 0 otherwise (equation 3), the ends have the weights' decay (the
    paper's lambda), and the input's gradient is straight through inside. The weights are DoReFa's, as in the paper.

    Attributes:
        low, high: scalar parameters, the inputs of the first and the last code.
    """

    #: The ends take the weight decay, unlike other quantizers' parameters.
    decayed = True

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        del self.log_step
        self.high = nn.Parameter(torch.ones(()))

    @property
    def step(self) -> Tensor:
        """The step, a positive scalar."""
        return ((self.high - self.low) / (self.n_codes - 1)).clamp_min(MIN_STEP)

    @torch.no_grad()
    def set_range(self, low: float, step: float) -> None:
        """Make code c stand for `low + c*step`."""
        self.low.fill_(low)
        self.high.fill_(low + step * (self.n_codes - 1))

    def scaled(self, n: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - PACT does not scale gradients
        """Return step and low with their plain gradients."""
        return self.step, self.low

    def shaped(self, u: Tensor, step: Tensor) -> Tensor:
        """Return `u`; going back, the rounding inside the range gives the ends no gradient."""
        result: Tensor = _WithoutResidual.apply(u, step, self.n_codes)  # type: ignore[no-untyped-call]
        return result


class DsqActivations(ActivationQuantizer):
    """DSQ's soft staircase between the codes (:func:`soft_staircase`); its ends are learned as step and offset.

    Attributes:
        raw_alpha: scalar parameter; alpha is its sigmoid times 1/2.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.raw_alpha = nn.Parameter(raw_alpha())

    def shaped(self, u: Tensor, step: Tensor) -> Tensor:  # noqa: ARG002
        """Return `u` with the staircase's gradient."""
        n = u.shape[-1]
        alpha = alpha_of(scale_gradient(self.raw_alpha, 1.0 / (n * (self.n_codes - 1)) ** 0.5))
        # Where the codes end the staircase is flat; half a code beyond, straight-through is not.
        soft = soft_staircase(u, alpha, 0, self.n_codes - 1)
        return replace(soft, u.detach())
