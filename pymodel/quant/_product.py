"""QAT of PyKAN's multiplication nodes: factors on a power-of-two grid, exact products, one rescale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.ir import FixedPoint, IntArray, Product
from pymodel.layers import PyKANLinear
from pymodel.quant._functions import MULTIPLIER_BITS, dyadic, round_exact, round_half_up
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._ste import replace

__all__ = ["QuantProductLinear", "SubnodeQuantizer", "products"]

#: Multipliers of a product node have at most this many bits, however different the nodes' magnitudes are.
_MAX_BITS = 24
#: Codes that training sees lie within this; the next layer's coder clips them anyway.
_LARGEST = float(1 << 20)
_MIN_EXPONENT = -64


class SubnodeQuantizer(nn.Module):
    """Signed integers of `bits` bits in units of `2^exponent`, which calibration chooses; nothing is learned.

    Args:
        bits: M.

    Attributes:
        exponent: int64 buffer, scalar.
    """

    exponent: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("exponent", torch.zeros((), dtype=torch.int64))

    @property
    def kind(self) -> FixedPoint:
        """Type of the integers."""
        return FixedPoint(self.bits, self.bits + int(self.exponent), signed=True)

    @property
    def lsb(self) -> float:
        """The value of one unit."""
        return 2.0 ** int(self.exponent)

    @torch.no_grad()
    def calibrate(self, values: Tensor) -> None:
        """Choose the exponent of least squared error for `values`, any shape.

        Raises:
            ModelError: if a value is not finite.
        """
        v = values.detach().double().flatten()
        if not bool(torch.isfinite(v).all()):
            raise ModelError("expected finite activations, found NaN or infinity; train with a lower rate")
        largest = float(v.abs().max()) if v.numel() else 0.0
        top = (math.frexp(largest)[1] if largest > 0 else 0) - (self.bits - 1)
        high = 2 ** (self.bits - 1)
        choices = [max(_MIN_EXPONENT, top - k) for k in range(4)]
        errors = [
            float((v - 2.0**e * round_half_up(v * 2.0**-e).clamp_(-high, high - 1)).square().sum()) for e in choices
        ]
        self.exponent.fill_(choices[min(range(len(choices)), key=errors.__getitem__)])

    def forward(self, v: Tensor) -> Tensor:
        """Return the integers of `v` (in units of the LSB), with the gradient of a clipped identity."""
        low, high = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        return replace(v.clamp(low, high), round_half_up(v.detach()).clamp_(low, high))


def products(values: Tensor, arity: Sequence[int]) -> Tensor:
    """Return the products of consecutive columns, (B, nodes)."""
    return torch.stack([part.prod(dim=1) for part in torch.split(values, list(arity), dim=1)], dim=1)


class QuantProductLinear(QuantKANLinear):
    """A layer some of whose sums are multiplied: its sums are rounded to factors, whose products are rescaled.

    Args:
        source: the float layer, with at least one node that multiplies.
        quantizer: of the inputs.
        product_bits: of the factors.
        **bits: as :class:`QuantKANLinear`.

    Attributes:
        arity: factors of every node.
        node_scale, node_bias: parameters (nodes,).
        subnodes: quantizer of the factors.
        settled: bool buffer, whether its exponent is chosen.
    """

    settled: Tensor

    def __init__(self, source: PyKANLinear, quantizer: Any, *, product_bits: int, **bits: Any) -> None:
        super().__init__(source, quantizer, **bits)
        self.arity = source.arity
        trains = source.node_scale.requires_grad
        self.node_scale = nn.Parameter(source.node_scale.detach().clone(), requires_grad=trains)
        self.node_bias = nn.Parameter(source.node_bias.detach().clone(), requires_grad=trains)
        self.subnodes = SubnodeQuantizer(product_bits)
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def calibrate_weights(self) -> None:
        """Set the weights' steps; the factors' exponent follows from the first rows after that."""
        super().calibrate_weights()
        self.settled.fill_(False)

    @property
    def n_nodes(self) -> int:
        """Outputs of :meth:`forward`."""
        return len(self.arity)

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per factor, (N,): that of its node."""
        return scores.repeat_interleave(torch.tensor(self.arity, device=scores.device))

    def factor_codes(self) -> Codes:
        """Return what a factor's integer stands for: `2^exponent` times it."""
        like = self.base_weight.detach()
        return Codes(like.new_tensor(self.subnodes.lsb), like.new_zeros(()))

    def forward(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return the nodes, (B, nodes): real numbers, or in units of the next layer's codes; see the base class."""
        if not bool(self.settled):
            self.subnodes.calibrate(super().forward(u, here, None))
            self.settled.fill_(True)
        integers = self.subnodes(super().forward(u, here, self.factor_codes()))
        real = products(integers * self.subnodes.lsb, self.arity) * self.node_scale + self.node_bias
        if after is None:
            return real
        with torch.no_grad():
            mult, bias, shift = self.constants(float(after.step.detach()), float(after.low.detach()))
            total = products(integers.double(), self.arity) * torch.tensor(mult).to(integers.device).double()
            total += torch.tensor(bias).to(integers.device).double() + float(1 << shift >> 1)
            hard = torch.floor(total * 2.0**-shift).clamp_(-_LARGEST, _LARGEST)
        return replace((real - after.low) / after.step, hard.to(real))

    @torch.no_grad()
    def constants(self, step: float, low: float) -> tuple[list[int], list[int], int]:
        """Return multipliers, biases and shift of the rescale to integers that stand for `low + step*Y`.

        Nodes of different arities differ much in the size of a unit; multipliers are wide enough for the smallest.
        """
        scale, bias = self.node_scale.double().tolist(), self.node_bias.double().tolist()
        factors = [s * self.subnodes.lsb**a / step for s, a in zip(scale, self.arity, strict=True)]
        if not all(map(math.isfinite, [*factors, *bias, low])):
            raise ModelError("expected finite node scales and biases, found NaN or infinity; train with a lower rate")
        sizes = [abs(f) for f in factors if f != 0.0] or [1.0]
        bits = min(_MAX_BITS, MULTIPLIER_BITS + math.ceil(math.log2(max(sizes) / min(sizes))))
        mult, shift = dyadic(factors, bits)
        offsets = [round_exact((Fraction(b) - Fraction(low)) / Fraction(step) * 2**shift) for b in bias]
        return mult, offsets, shift

    def product_node(self, name: str, source: str, kind: FixedPoint, step: float, low: float) -> Product:
        """Return the product node that emits integers of type `kind` which stand for `low + step*Y`."""
        mult, bias, shift = self.constants(step, low)
        return Product(
            name=name,
            inputs=(source,),
            out_type=kind,
            value_lsb=step,
            value_offset=low,
            arity=_array(self.arity),
            mult=_array(mult),
            bias=_array(bias),
            shift=shift,
        )

    @torch.no_grad()
    def largest_output(self) -> float:
        """Return a bound of the nodes' magnitudes, whatever the factors are."""
        most = self.subnodes.lsb * 2.0 ** (self.subnodes.bits - 1)
        bounds: list[float] = [
            abs(s) * most**a + abs(b)
            for s, a, b in zip(self.node_scale.tolist(), self.arity, self.node_bias.tolist(), strict=True)
        ]
        return max(bounds)


def _array(values: Sequence[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
