"""The product node: PyKAN's multiplication nodes, exact products of integers with one rescale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._common import MAX_SHIFT, integers
from pymodel.ir._fixed import FixedPoint, IntArray
from pymodel.ir._nodes import Node, NodeKind, check_out_type

__all__ = ["MAX_ARITY", "Product"]

#: Factors of one multiplication node.
MAX_ARITY = 16


@dataclass(frozen=True, eq=False)
class Product(Node):
    """Products of consecutive inputs: `Y[o] = sat((P[o]*mult[o] + bias[o] + half) >> shift)`, `half = 2^(shift-1)` or 0.

    `P[o]` is the exact product of the `arity[o]` inputs from number `first[o]` on; an arity of 1 lets an input pass. Every
    input is a factor of exactly one output, in order.

    Attributes:
        arity: (N,) factors per output, 1 … 16.
        mult: (N,) signed dyadic multipliers (a node's scale is folded in).
        bias: (N,) integers in units of `2^-shift` output LSBs (a node's bias is folded in).
        shift: 0 … 62.

    Raises:
        IRError: if the arrays do not fit each other or a number is out of range.
    """

    kind: ClassVar[NodeKind] = NodeKind.PRODUCT
    arity: IntArray = field(kw_only=True)
    mult: IntArray = field(kw_only=True)
    bias: IntArray = field(kw_only=True)
    shift: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        for name in ("arity", "mult", "bias"):
            object.__setattr__(self, name, integers(getattr(self, name), f"layer {self.name}: {name}", 1))
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if not self.arity.shape == self.mult.shape == self.bias.shape:
            raise IRError(
                f"layer {self.name}: one arity, multiplier and bias per output expected; lower the model again"
            )
        if self.arity.min() < 1 or self.arity.max() > MAX_ARITY:
            raise IRError(
                f"layer {self.name}: a multiplication node has 1 … {MAX_ARITY} factors, not {self.arity.min()} … "
                f"{self.arity.max()}; multiply in several layers"
            )
        if not 0 <= self.shift <= MAX_SHIFT:
            raise IRError(f"layer {self.name}: the shift must be 0 … {MAX_SHIFT}, not {self.shift}")

    @property
    def half(self) -> int:
        """The rounding constant."""
        return 1 << (self.shift - 1) if self.shift else 0

    @property
    def n_in(self) -> int:
        """I, the factors of all outputs."""
        return int(self.arity.sum())

    @property
    def n_out(self) -> int:
        """N, the number of outputs."""
        return int(self.arity.size)

    @property
    def first(self) -> IntArray:
        """(N,) the first factor of each output."""
        return np.asarray(np.cumsum(self.arity) - self.arity, dtype=np.int64)

    def ranges(self, in_type: FixedPoint) -> Mapping[str, tuple[int, int]]:
        """Return the intervals that inputs of `in_type` imply.

        `product` (of every partial product) and `total` (of every partial sum of scaled product, bias and rounding
        constant).
        """
        low = high = 0
        lows, highs = [0], [self.half]
        power = (1, 1)
        hulls: dict[int, tuple[int, int]] = {}
        for arity in range(1, int(self.arity.max()) + 1):
            corners = [a * b for a in power for b in (in_type.min_int, in_type.max_int)]
            power = min(corners), max(corners)
            hulls[arity] = power
            low, high = min(low, power[0]), max(high, power[1])
        for arity, m, b in zip(self.arity.tolist(), self.mult.tolist(), self.bias.tolist(), strict=True):
            ends = [p * m for p in hulls[arity]]
            lows.append(min(0, *ends) + min(0, b, b + self.half))
            highs.append(max(0, *ends) + max(0, self.half, b, b + self.half))
        return {"product": (low, high), "total": (min(lows), max(highs))}

    def absolute(self, in_type: FixedPoint) -> int:
        """Return the largest sum of absolute values of terms."""
        largest = max(-in_type.min_int, in_type.max_int)
        terms = (
            largest**a * max(1, abs(m)) + abs(b) + self.half
            for a, m, b in zip(self.arity.tolist(), self.mult.tolist(), self.bias.tolist(), strict=True)
        )
        return int(max(terms))
