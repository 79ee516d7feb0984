"""Quantizer modules: learned steps for weights and activations, and the bit slice at the input.

Steps are stored as logarithms (Jain et al. 2020, TQT): they stay positive, and an optimiser's learning rate means a
relative change, whatever the size of a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import AffineCoder, FixedPoint
from pymodel.quant._calibrate import best_range, best_step, best_steps
from pymodel.quant._functions import round_half_up
from pymodel.quant._lsq_linear import scaled_step
from pymodel.quant._ste import fake_quantize, scale_gradient

#: Steps stay above this, so that a diverging optimiser cannot make one 0.
MIN_STEP = 2.0**-60

__all__ = ["ActivationQuantizer", "InputQuantizer", "TensorQuantizer"]


class TensorQuantizer(nn.Module):
    """A learned step (LSQ) for a signed tensor, one per tensor or per output, without zero point.

    Args:
        bits: b; the levels are `-(2^(b-1) - 1) … 2^(b-1) - 1`, or from `-2^(b-1)` if not `symmetric`.
        symmetric: leave the most negative level out.
        channels: N for one step per output, the first dimension of the tensor; None for one step.

    Attributes:
        log_step: parameter, () or (N,), the natural logarithm of the step.
    """

    def __init__(self, bits: int, *, symmetric: bool = True, channels: int | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.high = (1 << (bits - 1)) - 1
        self.low = -self.high if symmetric else -self.high - 1
        self.log_step = nn.Parameter(torch.zeros(() if channels is None else (channels,)))

    @property
    def step(self) -> Tensor:
        """The step, positive, () or (N,)."""
        return self.log_step.exp().clamp_min(MIN_STEP)

    def step_for(self, w: Tensor) -> Tensor:
        """Return the step in a shape that broadcasts over `w`."""
        step = self.step
        return step.view(-1, *([1] * (w.dim() - 1))) if step.dim() else step

    @torch.no_grad()
    def set_step(self, step: float | Tensor) -> None:
        """Set the step: a number, or (N,)."""
        self.log_step.copy_(torch.as_tensor(step).double().clamp_min(MIN_STEP).log())

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Set the step that minimises the mean squared error of `values` (any shape; zeros are ignored)."""
        if self.log_step.dim():
            self.set_step(best_steps(values.flatten(1), self.high))
        else:
            self.log_step.fill_(math.log(best_step(values[values != 0], self.high)))

    @torch.no_grad()
    def start_at(self, step: Tensor, values: Tensor) -> None:  # noqa: ARG002 - what other methods need
        """Start from weights `values` that lie on the lattice of `step`, () or (N,); here the step is all there is."""
        self.set_step(step)

    @torch.no_grad()
    def integers(self, w: Tensor) -> Tensor:
        """Return the levels (int64) that :meth:`forward` uses for `w`."""
        return self.integers_at(w, self.step_for(w))

    @torch.no_grad()
    def integers_at(self, w: Tensor, step: Tensor) -> Tensor:
        """Return the levels (int64) that :meth:`quantize` uses for `w` and `step`."""
        return round_half_up(w / step).clamp_(self.low, self.high).long()

    def forward(self, w: Tensor) -> Tensor:
        """Return the quantized tensor, with gradients for `w` and the step."""
        return fake_quantize(w, self.step_for(w), self.low, self.high)

    def quantize(self, w: Tensor, step: Tensor) -> Tensor:
        """Return `w` quantized with a given step instead of the learned one."""
        return fake_quantize(w, step, self.low, self.high)


class ActivationQuantizer(nn.Module):
    """A learned step and offset (LSQ+, Bhalgat et al. 2020) for the inputs of a hidden layer.

    The previous layer's rescale emits the codes directly: `code = clip(floor(u + 1/2), 0, C - 1)`, with
    `u = (x - low) / step`.

    Args:
        bits: A; C = 2^A codes.

    Attributes:
        log_step: scalar parameter, the natural logarithm of the step.
        low: scalar parameter, the real input that code 0 stands for.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.n_codes = 1 << bits
        self.log_step = nn.Parameter(torch.zeros(()))
        self.low = nn.Parameter(torch.zeros(()))

    @property
    def step(self) -> Tensor:
        """The step, a positive scalar."""
        return self.log_step.exp().clamp_min(MIN_STEP)

    @property
    def in_type(self) -> FixedPoint:
        """Type of the integers that the layer reads: the codes."""
        return FixedPoint(self.bits, self.bits, signed=False)

    def scaled(self, n: int) -> tuple[Tensor, Tensor]:
        """Return step and low, their gradients scaled for sums over `n` inputs (LSQ's gradient scale)."""
        factor = 1.0 / math.sqrt(n * (self.n_codes - 1))
        return scaled_step(self.log_step, factor, MIN_STEP), scale_gradient(self.low, factor)

    def shaped(self, u: Tensor, step: Tensor) -> Tensor:  # noqa: ARG002 - what other methods need
        """Return `u` (B, I) unchanged going forward, with the method's gradient going back; here the plain one.

        Args:
            u: inputs in units of codes.
            step: of the codes, scalar.
        """
        return u

    @torch.no_grad()
    def set_range(self, low: float, step: float) -> None:
        """Make code c stand for `low + c*step`."""
        self.low.fill_(low)
        self.log_step.fill_(math.log(max(step, MIN_STEP)))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set step and low to those that minimise the mean squared error of inputs `x`."""
        self.set_range(*best_range(x, self.n_codes))

    def coder(self) -> AffineCoder:
        """Return the coder: the identity, since the integers are codes already."""
        return _coder(1, 0, 0, self.n_codes, float(self.low.detach()), float(self.step.detach()))


class InputQuantizer(nn.Module):
    """The first layer's coder: a bit slice of the input integer, which costs no hardware at all.

    The input type X is the signed fixed-point type of `width` bits whose range is the power of two that covers the
    grid's range; a code is the top `bits` bits of X, offset to be unsigned, and stands for the centre of its bin.
    There is no learned step, on purpose: with one, every feature would need a multiplier or a table at the input.

    Args:
        bits: A, the code's bits.
        width: bits of the input integers X.
        range: [low, high] of the grid, where the host maps the features to.

    Raises:
        ConfigError: if the input has fewer bits than the code.
    """

    low: Tensor
    step: Tensor

    def __init__(self, bits: int, width: int, range: tuple[float, float]) -> None:  # noqa: A002 - the setting's name
        super().__init__()
        if width < bits:
            raise ConfigError(
                f"quantize.input is {width}, but the first layer's codes have {bits} bits; raise it to at least {bits}"
            )
        bound = max(abs(range[0]), abs(range[1]))
        exponent = math.frexp(bound)[1] - (math.frexp(bound)[0] == 0.5)  # 2^exponent >= bound
        self.bits = bits
        self.n_codes = 1 << bits
        self.in_type = FixedPoint(width, exponent + 1, signed=True)
        self.shift = width - bits
        half_bin = ((1 << self.shift) - 1) / 2
        self.register_buffer("low", torch.tensor((self.in_type.min_int + half_bin) * self.in_type.lsb).double())
        self.register_buffer("step", torch.tensor((1 << self.shift) * self.in_type.lsb).double())

    def scaled(self, n: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - as ActivationQuantizer's
        """Return step and low, which are constants."""
        return self.step, self.low

    def shaped(self, u: Tensor, step: Tensor) -> Tensor:  # noqa: ARG002 - as ActivationQuantizer's
        """Return `u`: there is nothing to learn."""
        return u

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Let codes stand for what they mean in the rows `x` (rows, I): the line of least squares through (code, x).

        The bits that are cut off do not change. A bin's centre is its best representative for uniform features only:
        in an image, where most pixels are black, the lowest code should stand for black.

        Raises:
            ModelError: if a feature is not finite.
        """
        kind = self.in_type
        v = x.double().flatten()
        if not bool(torch.isfinite(v).all()):
            raise ModelError("expected finite features, found NaN or infinity; remove those rows")
        v = round_half_up(v * 2.0**kind.frac).clamp_(kind.min_int, kind.max_int) * kind.lsb
        c = self.codes(v)
        spread = (c - c.mean()).square().sum()
        if float(spread) == 0.0:
            return
        step = ((c - c.mean()) * (v - v.mean())).sum() / spread
        self.step.copy_(step)
        self.low.copy_(v.mean() - step * c.mean())

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of real features (…, I), as floating-point numbers."""
        kind = self.in_type
        X = round_half_up(x * 2.0**kind.frac).clamp_(kind.min_int, kind.max_int)
        return torch.floor((X - kind.min_int) * 2.0**-self.shift)

    def coder(self) -> AffineCoder:
        """Return the bit slice."""
        return _coder(
            1, -self.in_type.min_int, self.shift, self.n_codes, float(self.low.detach()), float(self.step.detach())
        )


def _coder(mult: int, offset: int, shift: int, n_codes: int, low: float, step: float) -> AffineCoder:
    as_array = torch.tensor([mult, offset]).numpy()
    return AffineCoder(as_array[:1], as_array[1:], shift, n_codes, low, step)
