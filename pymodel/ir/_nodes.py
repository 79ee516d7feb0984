"""The nodes of the KAN IR: frozen integer programs over integer tensors (docs/design.md, section 2).

Shapes use `N` for `n_out`, `I` for `n_in`, `C` for the number of codes, `K` for the window (basis values per code).
All arrays are int64 and read-only. A node validates itself on its own; what needs the type of its input (intervals,
the 2^53 bound) is checked when the node becomes part of a :class:`~pymodel.ir.KanIR`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir._basis import Basis
from pymodel.ir._common import MAX_CODES, MAX_SHIFT, ByValue, check_name, integers
from pymodel.ir._fixed import FixedPoint, IntArray, Overflow, Rounding

__all__ = [
    "AffineCoder",
    "BaseBranch",
    "EdgeTable",
    "KanLinear",
    "Node",
    "NodeKind",
    "Quantize",
    "Rescale",
    "SplineBranch",
    "check_out_type",
]


class NodeKind(IntEnum):
    """What a node computes; the name appears in `ir.json`."""

    QUANTIZE = 1
    KAN_LINEAR = 2
    EDGE_TABLE = 3
    KAN_CONV = 4
    POOL = 5
    PRODUCT = 6
    NORM = 7


@dataclass(frozen=True, eq=False)
class AffineCoder(ByValue):
    """Input integer to code: `c = clip((X*mult + offset) >> shift, 0, n_codes - 1)`; `>>` floors.

    Attributes:
        mult: (1,) or (I,) multipliers.
        offset: (1,) or (I,) offsets, rounding constant included.
        shift: 0 … 62.
        n_codes: C, 1 … 4096.
        low, step: code `c` represents the real input `low + c*step`; documentation that tables are tested against.
    """

    mult: IntArray
    offset: IntArray
    shift: int
    n_codes: int
    low: float
    step: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mult", integers(self.mult, "a coder's mult", 1))
        object.__setattr__(self, "offset", integers(self.offset, "a coder's offset", 1))
        if self.mult.shape != self.offset.shape:
            raise IRError(
                f"a coder needs as many offsets as multipliers, not {self.offset.shape} for {self.mult.shape}"
            )
        if not 0 <= self.shift <= MAX_SHIFT:
            raise IRError(f"a coder's shift must be 0 … {MAX_SHIFT}, not {self.shift}; lower the model again")
        if not 1 <= self.n_codes <= MAX_CODES:
            raise IRError(
                f"a coder must have 1 … {MAX_CODES} codes, not {self.n_codes}; use at most 12 activation bits"
            )
        if not (np.isfinite(self.low) and np.isfinite(self.step) and self.step > 0):
            raise IRError(f"a coder's step must be positive and finite, not low={self.low}, step={self.step}")

    @property
    def is_identity(self) -> bool:
        """True if the code is the input integer itself (the previous layer already emits codes)."""
        return self.shift == 0 and bool((self.mult == 1).all() and (self.offset == 0).all())

    @property
    def representatives(self) -> npt.NDArray[np.float64]:
        """(C,) real inputs that the codes stand for."""
        return np.asarray(self.low + self.step * np.arange(self.n_codes, dtype=np.float64))

    def codes(self, X: IntArray) -> IntArray:
        """Return the codes of integers `X` of shape (…, I). Plain numpy, for tables and checks; not a station."""
        return np.asarray(np.clip((X * self.mult + self.offset) >> self.shift, 0, self.n_codes - 1))


@dataclass(frozen=True, eq=False)
class SplineBranch(ByValue):
    """Coder, basis unit (of any kind) and weights (N, I, n_basis) of the spline branch."""

    coder: AffineCoder
    basis: Basis
    weights: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", integers(self.weights, "spline weights", 3))
        if self.weights.shape[2] != self.basis.n_basis:
            raise IRError(
                f"spline weights for {self.basis.n_basis} basis functions were expected, not {self.weights.shape}"
            )
        if self.coder.n_codes != self.basis.n_codes:
            raise IRError(f"the basis ROM has {self.basis.n_codes} rows but its coder {self.coder.n_codes} codes")
        if self.basis.n_tables not in (1, self.weights.shape[1]):
            raise IRError(
                f"a basis for 1 or {self.weights.shape[1]} inputs was expected, not {self.basis.n_tables}; lower the model "
                "again"
            )


@dataclass(frozen=True, eq=False)
class BaseBranch(ByValue):
    """Coder, activation table `S` (C,) and weights (N, I) of the base branch; `lsb` is the real LSB of `S`."""

    coder: AffineCoder
    activation: str
    table: IntArray
    lsb: float
    weights: IntArray

    def __post_init__(self) -> None:
        check_name(self.activation, "base activation")
        object.__setattr__(self, "table", integers(self.table, "a base table", 1))
        object.__setattr__(self, "weights", integers(self.weights, "base weights", 2))
        if self.coder.n_codes != self.table.shape[0]:
            raise IRError(f"the base table has {self.table.shape[0]} entries but its coder {self.coder.n_codes} codes")


@dataclass(frozen=True, eq=False)
class Rescale(ByValue):
    """`Y = sat((acc_spline*spline_mult + acc_base*base_mult + bias + half) >> shift)`, `half = 2^(shift-1)` or 0.

    Attributes:
        spline_mult, base_mult: (N,) signed dyadic multipliers (all 0 for a branch that is absent).
        bias: (N,) integers in units of `2^-shift` output LSBs.
        shift: 0 … 62.
    """

    spline_mult: IntArray
    base_mult: IntArray
    bias: IntArray
    shift: int

    def __post_init__(self) -> None:
        for name in ("spline_mult", "base_mult", "bias"):
            object.__setattr__(self, name, integers(getattr(self, name), f"a rescale's {name}", 1))
        if not self.spline_mult.shape == self.base_mult.shape == self.bias.shape:
            raise IRError("a rescale needs one spline_mult, base_mult and bias per output; lower the model again")
        if not 0 <= self.shift <= MAX_SHIFT:
            raise IRError(f"a rescale's shift must be 0 … {MAX_SHIFT}, not {self.shift}; lower the model again")

    @property
    def half(self) -> int:
        """The rounding constant."""
        return 1 << (self.shift - 1) if self.shift else 0


def check_out_type(out_type: FixedPoint) -> None:
    """Raise IRError unless `out_type` rounds and saturates as a rescale does."""
    if out_type.rounding is not Rounding.RND or out_type.overflow is not Overflow.SAT:
        raise IRError("a layer's output type must be RND, SAT: that is what its rescale does; lower the model again")


@dataclass(frozen=True, eq=False)
class Node(ByValue, ABC):
    """A node: name, names of its inputs, output type, and the real meaning of its integers.

    `value = value_offset + value_lsb * Y`. `value_lsb` equals `out_type.lsb` and `value_offset` is 0 unless the
    consumer is a coder, which may read codes of any step.
    """

    kind: ClassVar[NodeKind]

    name: str
    inputs: tuple[str, ...]
    out_type: FixedPoint
    value_lsb: float
    value_offset: float

    def __post_init__(self) -> None:
        check_name(self.name)
        if not (np.isfinite(self.value_lsb) and np.isfinite(self.value_offset) and self.value_lsb > 0):
            raise IRError(f"layer {self.name}: the value of an LSB must be positive and finite; lower the model again")

    @property
    @abstractmethod
    def n_in(self) -> int:
        """Number of input integers, of all sources together."""

    @property
    @abstractmethod
    def n_out(self) -> int:
        """Number of output integers."""


@dataclass(frozen=True, eq=False)
class Quantize(Node):
    """The input: real features to integers of `out_type` (RND, SAT). It has no inputs."""

    kind: ClassVar[NodeKind] = NodeKind.QUANTIZE
    size: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        if self.size < 1 or self.inputs:
            raise IRError(f"layer {self.name}: an input needs at least one feature and no source, not {self.size}")

    @property
    def n_in(self) -> int:
        """None: it has no source."""
        return 0

    @property
    def n_out(self) -> int:
        """Number of features."""
        return self.size


@dataclass(frozen=True, eq=False)
class KanLinear(Node):
    """A KAN layer (dense): coder, basis unit, base branch, MAC array and rescale (docs/design.md, section 2)."""

    kind: ClassVar[NodeKind] = NodeKind.KAN_LINEAR
    spline: SplineBranch = field(kw_only=True)
    base: BaseBranch | None = field(kw_only=True)
    rescale: Rescale = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        n_out, n_in = self.spline.weights.shape[:2]
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if self.base is not None and self.base.weights.shape != (n_out, n_in):
            raise IRError(
                f"layer {self.name}: base weights of shape {(n_out, n_in)} expected, not {self.base.weights.shape}"
            )
        if self.rescale.bias.shape != (n_out,):
            raise IRError(f"layer {self.name}: a rescale for {n_out} outputs expected, not {self.rescale.bias.shape}")
        for coder in self.coders:
            if coder.mult.shape[0] not in (1, n_in):
                raise IRError(f"layer {self.name}: a coder for 1 or {n_in} inputs expected, not {coder.mult.shape[0]}")

    @property
    def coders(self) -> tuple[AffineCoder, ...]:
        """The coders of the branches present."""
        return (self.spline.coder,) if self.base is None else (self.spline.coder, self.base.coder)

    @property
    def n_in(self) -> int:
        """I, the number of inputs."""
        return int(self.spline.weights.shape[1])

    @property
    def n_out(self) -> int:
        """N, the number of outputs."""
        return int(self.spline.weights.shape[0])

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """(N, I): edges with at least one non-zero weight. The others are pruned and cost nothing."""
        alive = (self.spline.weights != 0).any(axis=2)
        return np.asarray(alive if self.base is None else alive | (self.base.weights != 0))

    @property
    def alive_inputs(self) -> npt.NDArray[np.bool_]:
        """(I,): inputs with at least one edge that was not pruned."""
        return np.asarray(self.alive.any(axis=0))

    @property
    def n_edges(self) -> int:
        """Edges that were not pruned."""
        return int(self.alive.sum())

    @property
    def n_edges_total(self) -> int:
        """Edges, pruned ones included."""
        return self.n_in * self.n_out


@dataclass(frozen=True, eq=False)
class EdgeTable(Node):
    """A KAN layer in edge-table form: `Y[o] = sat((sum_i tables[i, c_i, o] + bias[o] + half) >> shift)`.

    Attributes:
        coder: one coder for the whole edge.
        tables: (I, C, N) integers.
        bias: (N,) integers, in the units of the tables.
        shift: 0 … 62; `half = 2^(shift-1)`, or 0 when the shift is 0.
    """

    kind: ClassVar[NodeKind] = NodeKind.EDGE_TABLE
    coder: AffineCoder = field(kw_only=True)
    tables: IntArray = field(kw_only=True)
    bias: IntArray = field(kw_only=True)
    shift: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_out_type(self.out_type)
        object.__setattr__(self, "tables", integers(self.tables, f"layer {self.name}: edge tables", 3))
        object.__setattr__(self, "bias", integers(self.bias, f"layer {self.name}: bias", 1))
        n_in, n_codes, n_out = self.tables.shape
        if len(self.inputs) != 1:
            raise IRError(f"layer {self.name} needs exactly one input, not {len(self.inputs)}")
        if self.bias.shape != (n_out,) or self.coder.n_codes != n_codes or self.coder.mult.shape[0] not in (1, n_in):
            raise IRError(
                f"layer {self.name}: tables of shape {self.tables.shape} (inputs, codes, outputs) need a bias of "
                f"({n_out},) and a coder with {n_codes} codes for 1 or {n_in} inputs; lower the model again"
            )
        if not 0 <= self.shift <= MAX_SHIFT:
            raise IRError(f"layer {self.name}: the shift must be 0 … {MAX_SHIFT}, not {self.shift}")

    @property
    def coders(self) -> tuple[AffineCoder, ...]:
        """The coder, as a layer with branches has several."""
        return (self.coder,)

    @property
    def half(self) -> int:
        """The rounding constant."""
        return 1 << (self.shift - 1) if self.shift else 0

    @property
    def n_in(self) -> int:
        """I, the number of inputs."""
        return int(self.tables.shape[0])

    @property
    def n_out(self) -> int:
        """N, the number of outputs."""
        return int(self.tables.shape[2])

    @property
    def alive(self) -> npt.NDArray[np.bool_]:
        """(N, I): edges whose table is not all zero."""
        return np.asarray((self.tables != 0).any(axis=1).T)

    @property
    def alive_inputs(self) -> npt.NDArray[np.bool_]:
        """(I,): inputs with at least one edge that was not pruned."""
        return np.asarray(self.alive.any(axis=0))

    @property
    def n_edges(self) -> int:
        """Edges that were not pruned."""
        return int(self.alive.sum())

    @property
    def n_edges_total(self) -> int:
        """Edges, pruned ones included."""
        return self.n_in * self.n_out
