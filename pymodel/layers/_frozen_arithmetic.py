"""Frozen product and norm nodes in torch; nothing here is shared with `pymodel.reference`."""

from __future__ import annotations

import torch
from torch import Tensor

from pymodel.ir import AffineCoder, FixedPoint, Norm, Product
from pymodel.layers._frozen_layer import FrozenLayer, as_array, type_name

__all__ = ["FrozenNorm", "FrozenProduct", "normalised"]


def _rescaled(total: Tensor, shift: int, kind: FixedPoint) -> Tensor:
    """Return `sat((total + half) >> shift)` of exact float64 sums."""
    half = float(1 << (shift - 1)) if shift else 0.0
    return torch.floor((total + half) * 2.0**-shift).clamp(kind.min_int, kind.max_int).long()


class FrozenProduct(FrozenLayer):
    """PyKAN's multiplication nodes (`pymodel.ir.Product`): products of consecutive inputs, rescaled.

    Attributes:
        shift: of the rescale.
        arity, mult, bias: int64 buffers (N,).
    """

    arity: Tensor
    mult: Tensor
    bias: Tensor

    def __init__(self, node: Product, in_type: FixedPoint) -> None:
        super().__init__(node, in_type)
        self.shift = node.shift
        self._put(arity=node.arity, mult=node.mult, bias=node.bias)

    def ir_node(self, name: str, source: str) -> Product:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""
        return Product(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            arity=as_array(self.arity),
            mult=as_array(self.mult),
            bias=as_array(self.bias),
            shift=self.shift,
        )

    @torch.no_grad()
    def integers(self, X: Tensor) -> Tensor:
        """Return the outputs (rows, N) of input integers (rows, I), both int64."""
        groups = torch.split(X.double(), self.arity.tolist(), dim=1)
        products = torch.stack([group.prod(dim=1) for group in groups], dim=1)
        return _rescaled(products * self.mult.double() + self.bias.double(), self.shift, self.out_type)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        types = f"in={type_name(self.in_type)}, out={type_name(self.out_type)}"
        return f"{self.in_features}, {self.out_features}, arity={self.arity.tolist()}, {types}"


def normalised(X: Tensor, epsilon: int, table: Tensor, table_bits: int, table_fraction: int, fraction: int) -> Tensor:
    """Return `t` (rows, I), int64, of input integers (rows, I), by the formulas of `pymodel.ir.Norm`.

    Args:
        X: int64.
        epsilon: added to I^2 times the variance.
        table: reciprocal square roots.
        table_bits: B.
        table_fraction: r.
        fraction: of t.
    """
    n = X.shape[1]
    total = X.sum(dim=1, keepdim=True)
    variance = n * X.square().sum(dim=1, keepdim=True) - total.square() + epsilon
    length = torch.frexp(variance.double()).exponent.long()  # exact below 2^53
    # Twice the pairs of bits beyond the table's, rounded up: -floor(-x).
    exponent = -((table_bits - length) // 2) * 2
    mantissa = (variance >> exponent.clamp_min(0)) << (-exponent).clamp_min(0)
    root = table[mantissa - (1 << (table_bits - 2))]
    down = table_fraction - fraction + (table_bits + exponent) // 2
    half = torch.ones_like(down) << (down - 1)
    return ((X * n - total) * root + half) >> down


class FrozenNorm(FrozenLayer):
    """An integer LayerNorm (`pymodel.ir.Norm`), with the inputs' codes behind the normalised ones where they pass.

    Attributes:
        shift: of the rescale.
        epsilon, table_bits, table_fraction, fraction: scalars of the node.
        passed: shift, number of codes, low and step of the coder of the inputs that pass, or None.
        gamma (I,), bias (I,; the node's beta), table (3 * 2^(B-2),), passed_mult and passed_offset (1,) or (I,): int64
            buffers.
    """

    gamma: Tensor
    bias: Tensor
    table: Tensor
    passed_mult: Tensor
    passed_offset: Tensor

    def __init__(self, node: Norm, in_type: FixedPoint) -> None:
        super().__init__(node, in_type)
        self.shift, self.epsilon = node.shift, node.epsilon
        self.table_bits, self.table_fraction, self.fraction = node.table_bits, node.table_fraction, node.fraction
        self._put(gamma=node.gamma, bias=node.beta, table=node.table)
        self.passed: tuple[int, int, float, float] | None = None
        if node.passed is not None:
            coder = node.passed
            self.passed = coder.shift, coder.n_codes, float(coder.low), float(coder.step)
            self._put(passed_mult=coder.mult, passed_offset=coder.offset)

    def ir_node(self, name: str, source: str) -> Norm:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""
        passed = None
        if self.passed is not None:
            passed = AffineCoder(as_array(self.passed_mult), as_array(self.passed_offset), *self.passed)
        return Norm(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            gamma=as_array(self.gamma),
            beta=as_array(self.bias),
            shift=self.shift,
            epsilon=self.epsilon,
            table=as_array(self.table),
            table_bits=self.table_bits,
            table_fraction=self.table_fraction,
            fraction=self.fraction,
            passed=passed,
        )

    @torch.no_grad()
    def integers(self, X: Tensor) -> Tensor:
        """Return the outputs (rows, I or 2 I) of input integers (rows, I), both int64."""
        t = normalised(X, self.epsilon, self.table, self.table_bits, self.table_fraction, self.fraction)
        scaled = t.double() * self.gamma.double() + self.bias.double()
        Y = _rescaled(scaled, self.shift, self.out_type)
        if self.passed is None:
            return Y
        shift, n_codes = self.passed[:2]
        codes = ((X * self.passed_mult + self.passed_offset) >> shift).clamp(0, n_codes - 1)
        return torch.cat((Y, codes), dim=1)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        types = f"in={type_name(self.in_type)}, out={type_name(self.out_type)}"
        return f"{self.in_features}, {self.out_features}, table_bits={self.table_bits}, {types}"
