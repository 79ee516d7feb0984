"""Frozen KAN layers: torch modules that compute the KAN IR's integers exactly.

Everything is an int64 buffer; `forward` gathers and multiplies in float64, where every sum is exact because the sum of
the absolute values of its terms is below 2^53 (docs/design.md, section 2). Nothing here is shared with
`pymodel.reference`: two stations that share code prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pymodel.errors import IRError
from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    Basis,
    BasisKind,
    EdgeTable,
    FixedPoint,
    Implementation,
    KanLinear,
    NodeKind,
    Rescale,
    SplineBranch,
    make_basis,
)
from pymodel.layers._frozen_layer import FrozenLayer, as_array, type_name
from pymodel.layers._units import dense_basis

__all__ = ["BasisFacts", "CoderFacts", "FrozenKANLinear", "codes_of"]


@dataclass(frozen=True)
class CoderFacts:
    """The scalars of an affine coder; its multipliers and offsets are buffers."""

    shift: int
    n_codes: int
    low: float
    step: float


@dataclass(frozen=True)
class BasisFacts:
    """What a basis unit is, but for its arrays, which are buffers called `basis_NAME`.

    Attributes:
        kind, implementation: which unit.
        scalars: of the unit, by the names of the IR.
        arrays: names of its arrays.
        knots: real numbers that the unit was computed from.
        n_basis, n_tables: basis functions per input, and 1 or I.
    """

    kind: BasisKind
    implementation: Implementation
    scalars: dict[str, str | int | float]
    arrays: tuple[str, ...]
    knots: tuple[float, ...]
    n_basis: int
    n_tables: int


class FrozenKANLinear(FrozenLayer):
    """One layer of the KAN IR, either as basis unit and weights (`KanLinear`) or as edge tables (`EdgeTable`).

    Attributes:
        form: `NodeKind.KAN_LINEAR` or `NodeKind.EDGE_TABLE`.
        in_features, out_features: I and N.
        coder, base_coder: scalars of the coders (`base_coder` is None without a base branch).
        shift: of the rescale.
        basis: the basis unit (None in the EdgeTable form).
        activation, base_lsb: what the base table was computed from (KanLinear form).
        coder_mult, coder_offset: int64 buffers (1,) or (I,).
        basis_NAME (a ROM's basis_values (T*C, K) and basis_start (T*C,), or the constants of arithmetic), spline_weights
            (N, I, n_basis), base_coder_mult, base_coder_offset, base_table (C,), base_weights (N, I), spline_mult,
            base_mult, bias (N,): int64 buffers of the KanLinear form.
        tables (I, C, N), bias (N,): int64 buffers of the EdgeTable form.

    Raises:
        IRError: if the node and the input type break the contract (the 2^53 bound, for instance).
    """

    coder_mult: Tensor
    coder_offset: Tensor
    spline_weights: Tensor
    base_coder_mult: Tensor
    base_coder_offset: Tensor
    base_table: Tensor
    base_weights: Tensor
    spline_mult: Tensor
    base_mult: Tensor
    bias: Tensor
    tables: Tensor

    def __init__(self, node: KanLinear | EdgeTable, in_type: FixedPoint) -> None:
        if not isinstance(node, KanLinear | EdgeTable):
            raise IRError(f"a frozen layer computes a KanLinear or EdgeTable node, not a {type(node).__name__}")
        super().__init__(node, in_type)
        self.form = node.kind
        self.base_coder: CoderFacts | None = None
        self.basis: BasisFacts | None = None
        self.activation, self.base_lsb = "", 1.0
        if isinstance(node, EdgeTable):
            self.coder = self._put_coder("coder", node.coder)
            self.shift = node.shift
            self._put(tables=node.tables, bias=node.bias)
            return
        basis, rescale = node.spline.basis, node.rescale
        self.coder = self._put_coder("coder", node.spline.coder)
        self.basis = _basis_facts(basis)
        self._put(**{f"basis_{name}": array for name, array in basis.arrays().items()})
        self._put(spline_weights=node.spline.weights)
        if node.base is not None:
            self.base_coder = self._put_coder("base_coder", node.base.coder)
            self.activation, self.base_lsb = node.base.activation, float(node.base.lsb)
            self._put(base_table=node.base.table, base_weights=node.base.weights)
        self.shift = rescale.shift
        self._put(spline_mult=rescale.spline_mult, base_mult=rescale.base_mult, bias=rescale.bias)

    def _put_coder(self, name: str, coder: AffineCoder) -> CoderFacts:
        self._put(**{f"{name}_mult": coder.mult, f"{name}_offset": coder.offset})
        return CoderFacts(coder.shift, coder.n_codes, float(coder.low), float(coder.step))

    @classmethod
    def from_ir_node(cls, node: KanLinear | EdgeTable, in_type: FixedPoint) -> FrozenKANLinear:
        """Return the layer that computes `node` on integers of `in_type`."""
        return cls(node, in_type)

    def ir_node(self, name: str, source: str) -> KanLinear | EdgeTable:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""
        coder = _coder_node(self.coder, self.coder_mult, self.coder_offset)
        bias = as_array(self.bias)
        if self.form is NodeKind.EDGE_TABLE:
            return EdgeTable(
                name=name,
                inputs=(source,),
                out_type=self.out_type,
                value_lsb=self.value_lsb,
                value_offset=self.value_offset,
                coder=coder,
                tables=as_array(self.tables),
                bias=bias,
                shift=self.shift,
            )
        assert self.basis is not None
        parts = self.basis.scalars | {name: as_array(buffer) for name, buffer in self._basis_buffers().items()}
        basis = make_basis(self.basis.kind, self.basis.implementation, parts | {"knots": np.array(self.basis.knots)})
        base = None
        if self.base_coder is not None:
            base = BaseBranch(
                coder=_coder_node(self.base_coder, self.base_coder_mult, self.base_coder_offset),
                activation=self.activation,
                table=as_array(self.base_table),
                lsb=self.base_lsb,
                weights=as_array(self.base_weights),
            )
        return KanLinear(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            spline=SplineBranch(coder=coder, basis=basis, weights=as_array(self.spline_weights)),
            base=base,
            rescale=Rescale(
                spline_mult=as_array(self.spline_mult), base_mult=as_array(self.base_mult), bias=bias, shift=self.shift
            ),
        )

    # --- the integer program --------------------------------------------------------------------------------------

    @torch.no_grad()
    def integers(self, X: Tensor) -> Tensor:
        """Return the layer's integers (rows, N) for input integers (rows, I), both int64; `X` is within `in_type`."""
        codes = codes_of(X, self.coder, self.coder_mult, self.coder_offset)
        half = 1 << (self.shift - 1) if self.shift else 0
        if self.form is NodeKind.EDGE_TABLE:
            n_in, n_codes, n_out = self.tables.shape
            rows = codes + torch.arange(n_in, device=codes.device) * n_codes
            acc = functional.embedding_bag(rows, self.tables.double().reshape(n_in * n_codes, n_out), mode="sum")
            total = acc + (self.bias + half).double()
        else:
            dense = self.dense_basis()
            assert self.basis is not None
            if self.basis.n_tables > 1:
                codes = codes + torch.arange(self.in_features, device=codes.device) * self.coder.n_codes
            weights = self.spline_weights.double().flatten(1)
            total = (functional.linear(dense[codes].flatten(1), weights)) * self.spline_mult.double()
            if self.base_coder is not None:
                base_codes = codes_of(X, self.base_coder, self.base_coder_mult, self.base_coder_offset)
                acc = functional.linear(self.base_table.double()[base_codes], self.base_weights.double())
                total = total + acc * self.base_mult.double()
            total = total + (self.bias + half).double()
        Y = torch.floor(total * 2.0**-self.shift)
        return Y.clamp(self.out_type.min_int, self.out_type.max_int).long()

    def _basis_buffers(self) -> dict[str, Tensor]:
        assert self.basis is not None
        return {name: self.get_buffer(f"basis_{name}") for name in self.basis.arrays}

    def dense_basis(self) -> Tensor:
        """Return (T*C, n_basis) float64: row `c` holds the basis values of code `c`, zeros outside its window."""
        assert self.basis is not None
        basis = self.basis
        buffers = self._basis_buffers()
        return dense_basis(basis.kind, basis.implementation, basis.scalars, buffers, basis.n_basis).double()

    @property
    def _values_per_row(self) -> int:
        per_input = self.out_features if self.form is NodeKind.EDGE_TABLE else self.spline_weights.shape[-1]
        return self.in_features * int(per_input)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        types = f"in={type_name(self.in_type)}, out={type_name(self.out_type)}"
        return f"{self.in_features}, {self.out_features}, {self.form.name.lower()}, {types}, codes={self.coder.n_codes}"


def _basis_facts(basis: Basis) -> BasisFacts:
    return BasisFacts(
        kind=basis.kind,
        implementation=basis.implementation,
        scalars=basis.facts(),
        arrays=basis.ARRAYS,
        knots=tuple(map(float, basis.knots)),
        n_basis=basis.n_basis,
        n_tables=basis.n_tables,
    )


def _coder_node(facts: CoderFacts, mult: Tensor, offset: Tensor) -> AffineCoder:
    return AffineCoder(
        mult=as_array(mult),
        offset=as_array(offset),
        shift=facts.shift,
        n_codes=facts.n_codes,
        low=facts.low,
        step=facts.step,
    )


def codes_of(X: Tensor, facts: CoderFacts, mult: Tensor, offset: Tensor) -> Tensor:
    """Return `clip((X*mult + offset) >> shift, 0, C-1)`; `>>` of int64 floors."""
    return ((X * mult + offset) >> facts.shift).clamp(0, facts.n_codes - 1)
