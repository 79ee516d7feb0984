"""The norm node: LayerNorm over the inputs of a layer, in integers.

For inputs `X_i`, i = 1 … I, with `B = table_bits` (even) and `r = table_fraction`, all of it exact but the roundings that
are written down; they are the definition, not an approximation that a station may improve on::

    S = sum_i X_i                  d_i = I*X_i - S
    V = I * sum_i X_i^2 - S^2 + epsilon          (I^2 times the biased variance, plus epsilon >= 1)
    L = bit length of V            e = 2*ceil((L - B) / 2), which is even and may be negative
    u = V >> e, or V << -e         2^(B-2) <= u < 2^B
    R = table[u - 2^(B-2)]         about 2^(r + B/2) / sqrt(u + 1/2)
    s = r + B/2 + e/2 - fraction
    t_i = (d_i*R + 2^(s-1)) >> s   about d_i / sqrt(V) * 2^fraction, the normalised input
    Y_i = sat((t_i*gamma_i + beta_i + half) >> shift)

With `passed`, I more outputs follow: the codes of the inputs themselves, for a base branch that sees them unnormalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._common import MAX_SHIFT, integers
from pymodel.ir._fixed import FixedPoint, IntArray
from pymodel.ir._nodes import AffineCoder, Node, NodeKind, check_out_type

__all__ = ["Norm", "rsqrt_table"]

#: Bits that index the table of the reciprocal square root.
_TABLE_BITS = range(4, 13, 2)


def rsqrt_table(bits: int, fraction: int) -> IntArray:
    """Return `2^(fraction + bits/2) / sqrt(u + 1/2)`, correctly rounded, for u = 2^(bits-2) … 2^bits - 1.

    With `N = 2^(2*fraction + bits + 1)` the entry is `sqrt(N / (2u + 1))`, and `floor(sqrt(q) + 1/2)` is
    `(isqrt(4q) + 1) >> 1`.

    Args:
        bits: B, even.
        fraction: r.
    """
    numerator = 4 << (2 * fraction + bits + 1)
    return np.array(
        [(math.isqrt(numerator // (2 * u + 1)) + 1) >> 1 for u in range(1 << (bits - 2), 1 << bits)], dtype=np.int64
    )


@dataclass(frozen=True, eq=False)
class Norm(Node):
    """LayerNorm over all inputs, in the integers of this module's formulas.

    Attributes:
        gamma: (I,) multipliers of the normalised inputs.
        beta: (I,) integers in units of `2^-shift` output LSBs.
        shift: 0 … 62.
        epsilon: added to I^2 times the variance, at least 1.
        table: (3 * 2^(B-2),) positive integers R.
        table_bits: B, even, 4 … 12.
        table_fraction: r; at least `fraction`, so that s is positive.
        fraction: bits behind the point of the normalised inputs.
        passed: coder of the inputs that follow the normalised ones, or None.

    Raises:
        IRError: if the arrays do not fit each other or a number is out of range.
    """

    kind: ClassVar[NodeKind] = NodeKind.NORM
    gamma: IntArray = field(kw_only=True)
    beta: IntArray = field(kw_only=True)
    shift: int = field(kw_only=True)
    epsilon: int = field(kw_only=True)
    table: IntArray = field(kw_only=True)
    table_bits: int = field(kw_only=True)
    table_fraction: int = field(kw_only=True)
    fraction: int = field(kw_only=True)
    passed: AffineCoder | None = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        for name in ("gamma", "beta", "table"):
            object.__setattr__(self, name, integers(getattr(self, name), f"layer {self.name}: {name}", 1))
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if self.gamma.shape != self.beta.shape or self.gamma.size < 2:
            raise IRError(f"layer {self.name}: a gamma and a beta for each of at least 2 inputs expected; lower again")
        if self.table_bits not in _TABLE_BITS or self.table.size != 3 << (self.table_bits - 2):
            raise IRError(
                f"layer {self.name}: a table of {self.table.size} entries is not one of an even number of 4 … 12 bits; lower "
                "the model again"
            )
        if not (self.table.min() >= 1 and 1 <= self.epsilon < 1 << 52):
            raise IRError(f"layer {self.name}: a norm's epsilon and table must be positive; lower the model again")
        if not (0 <= self.shift <= MAX_SHIFT and 1 <= self.fraction <= self.table_fraction <= 24):
            raise IRError(
                f"layer {self.name}: a norm's shift must be 0 … {MAX_SHIFT} and 1 <= fraction <= table_fraction <= 24, not "
                f"{self.shift}, {self.fraction} and {self.table_fraction}; lower the model again"
            )
        if self.passed is not None and self.passed.mult.shape[0] not in (1, self.n_in):
            raise IRError(f"layer {self.name}: a coder for 1 or {self.n_in} inputs expected; lower the model again")
        if self.passed is not None and self.passed.n_codes - 1 > self.out_type.max_int:
            raise IRError(
                f"layer {self.name}: {self.passed.n_codes} codes pass, more than its output type holds; widen the type"
            )

    @property
    def half(self) -> int:
        """The rounding constant of the rescale."""
        return 1 << (self.shift - 1) if self.shift else 0

    @property
    def n_in(self) -> int:
        """I, the number of inputs."""
        return int(self.gamma.size)

    @property
    def n_out(self) -> int:
        """I, or 2 I where the inputs pass as well."""
        return self.n_in * (1 if self.passed is None else 2)

    def exponent(self, length: int) -> int:
        """Return e for a V of `length` bits."""
        return -2 * ((self.table_bits - length) // 2)

    def down(self, exponent: int) -> int:
        """Return s for an exponent e."""
        return self.table_fraction + self.table_bits // 2 + exponent // 2 - self.fraction

    def _largest_t(self) -> int:
        """Return a bound of |t|: `d^2 <= (I - 1)*V`, because `sum d_i = 0`, and `V <= (u + 1)*2^e`."""
        first = 1 << (self.table_bits - 2)
        squares = (r * r * (u + 1) for u, r in enumerate(self.table.tolist(), first))
        up = 2 * self.fraction - 2 * self.table_fraction - self.table_bits
        largest = max(squares) * (self.n_in - 1)
        return math.isqrt(largest >> -up if up < 0 else largest << up) + 2

    def ranges(self, in_type: FixedPoint) -> Mapping[str, tuple[int, int]]:
        """Return the intervals that inputs of `in_type` imply, over all partial sums in any order.

        `sum` (S and I*X_i), `difference` (d), `square` (sum of X^2), `scaled` (I times it, and S^2), `variance` (V),
        `length` (L), `exponent` (e), `down` (s), `product` (d*R and its rounding constant), `normal` (t), `total` (the
        rescaled sum), `coder` (of the coder, if there is one).
        """
        n, low, high = self.n_in, in_type.min_int, in_type.max_int
        largest = max(-low, high)
        spread = n * (high - low)
        variance = spread * spread // 4 + self.epsilon
        lengths = (self.epsilon.bit_length(), variance.bit_length())
        exponents = (self.exponent(lengths[0]), self.exponent(lengths[1]))
        downs = (self.down(exponents[0]), self.down(exponents[1]))
        difference = max(spread, 1)
        product = difference * int(self.table.max())
        normal = min(self._largest_t(), product)
        ends = [
            (min(0, b, b + self.half) - abs(g) * normal, max(0, self.half, b, b + self.half) + abs(g) * normal)
            for g, b in zip(self.gamma.tolist(), self.beta.tolist(), strict=True)
        ]
        result = {
            "sum": (min(0, n * low), max(0, n * high)),
            "difference": (-difference, difference),
            "square": (0, n * largest**2),
            "scaled": (0, n * n * largest**2 + self.epsilon),
            "variance": (1, variance),
            "length": lengths,
            "exponent": exponents,
            "down": downs,
            "product": (-product, product + (1 << downs[1] >> 1)),
            "normal": (-normal, normal),
            "total": (min(e[0] for e in ends), max(e[1] for e in ends)),
        }
        if self.passed is not None:
            values = [
                m * x + b
                for m, c in zip(self.passed.mult.tolist(), self.passed.offset.tolist(), strict=True)
                for x in (low, high)
                for b in (0, c)
            ]
            result["coder"] = (min(values), max(values))
        return result

    def absolute(self, in_type: FixedPoint) -> int:
        """Return the largest sum of absolute values of terms."""
        n, largest = self.n_in, max(-in_type.min_int, in_type.max_int)
        ranges = self.ranges(in_type)
        normal = ranges["normal"][1]
        terms = [
            2 * n * largest,
            2 * n * n * largest**2 + self.epsilon,
            ranges["product"][1],
            *(
                abs(g) * normal + abs(b) + self.half
                for g, b in zip(self.gamma.tolist(), self.beta.tolist(), strict=True)
            ),
        ]
        if self.passed is not None:
            terms += [
                abs(m) * largest + abs(b)
                for m, b in zip(self.passed.mult.tolist(), self.passed.offset.tolist(), strict=True)
            ]
        return int(max(terms))
