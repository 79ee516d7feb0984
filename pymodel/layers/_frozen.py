"""Frozen KAN layers: torch modules that compute the KAN IR's integers exactly.

Everything is an int64 buffer; `forward` gathers and multiplies in float64, where every sum is exact because the sum of
the absolute values of its terms is below 2^53 (docs/design.md, section 2). Nothing here is shared with
`pymodel.reference`: two stations that share code prove nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import IRError, ModelError
from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    Basis,
    BasisKind,
    EdgeTable,
    FixedPoint,
    HostSpec,
    Implementation,
    IntArray,
    KanIR,
    KanLinear,
    Node,
    NodeKind,
    Norm,
    Product,
    Rescale,
    SplineBranch,
    check_name,
    make_basis,
)
from pymodel.layers._frozen_arithmetic import FrozenNorm, FrozenProduct
from pymodel.layers._frozen_layer import FrozenLayer, as_array, type_name
from pymodel.layers._units import dense_basis

__all__ = ["INPUT_NAME", "BasisFacts", "CoderFacts", "FrozenKAN", "FrozenKANLinear", "frozen_layer"]

#: Name of the input node of a lowered model; hls4ml names its input likewise, after `forward`'s argument.
INPUT_NAME = "x"


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
        codes = _codes(X, self.coder, self.coder_mult, self.coder_offset)
        half = 1 << (self.shift - 1) if self.shift else 0
        if self.form is NodeKind.EDGE_TABLE:
            n_in, n_codes, n_out = self.tables.shape
            rows = codes + torch.arange(n_in, device=codes.device) * n_codes
            acc = functional.embedding_bag(rows, self.tables.double().reshape(n_in * n_codes, n_out), mode="sum")
            total = acc + (self.bias + half).double()
        else:
            dense = self._dense_basis()
            assert self.basis is not None
            if self.basis.n_tables > 1:
                codes = codes + torch.arange(self.in_features, device=codes.device) * self.coder.n_codes
            weights = self.spline_weights.double().flatten(1)
            total = (functional.linear(dense[codes].flatten(1), weights)) * self.spline_mult.double()
            if self.base_coder is not None:
                base_codes = _codes(X, self.base_coder, self.base_coder_mult, self.base_coder_offset)
                acc = functional.linear(self.base_table.double()[base_codes], self.base_weights.double())
                total = total + acc * self.base_mult.double()
            total = total + (self.bias + half).double()
        Y = torch.floor(total * 2.0**-self.shift)
        return Y.clamp(self.out_type.min_int, self.out_type.max_int).long()

    def _basis_buffers(self) -> dict[str, Tensor]:
        assert self.basis is not None
        return {name: self.get_buffer(f"basis_{name}") for name in self.basis.arrays}

    def _dense_basis(self) -> Tensor:
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


def frozen_layer(node: Node, in_type: FixedPoint) -> FrozenLayer | None:
    """Return the torch module that computes `node` on integers of `in_type`, or None for a kind that has none."""
    match node:
        case KanLinear() | EdgeTable():
            return FrozenKANLinear(node, in_type)
        case Product():
            return FrozenProduct(node, in_type)
        case Norm():
            return FrozenNorm(node, in_type)
        case _:
            return None


class FrozenKAN(nn.Module):
    """A chain of frozen layers, with what the host does around it.

    Attributes:
        name: of the model, a plain identifier.
        host: what the host applies before and after.
        layers: `nn.Sequential` of :class:`FrozenLayer`; their names in the IR are `layers_0`, `layers_1`, …

    Raises:
        ModelError: if there is no layer, or the layers' shapes or types do not meet.
    """

    def __init__(self, name: str, host: HostSpec, layers: Iterable[FrozenLayer]) -> None:
        super().__init__()
        self.name = check_name(name, "model")
        self.host = host
        chain = list(layers)
        if not chain:
            raise ModelError("a frozen KAN needs at least one layer; freeze a model that has one")
        for index, (first, second) in enumerate(pairwise(chain)):
            if first.out_features != second.in_features or first.out_type != second.in_type:
                raise ModelError(
                    f"layers_{index} gives {first.out_features} outputs of {type_name(first.out_type)}, but "
                    f"layers_{index + 1} reads {second.in_features} of {type_name(second.in_type)}; freeze again"
                )
        if len(host.features) != chain[0].in_features:
            raise ModelError(
                f"{len(host.features)} feature names for {chain[0].in_features} inputs; give one name per input"
            )
        self.layers = nn.Sequential(OrderedDict((str(i), layer) for i, layer in enumerate(chain)))

    @classmethod
    def from_ir(cls, ir: KanIR) -> FrozenKAN:
        """Return the torch model of a chain of layers; they are renamed by position.

        Raises:
            ModelError: if the program is not a chain.
        """
        layers: list[FrozenLayer] = []
        source = ir.input
        name = source.name
        for node in ir.nodes[1:]:
            layer = frozen_layer(node, ir.in_type(node)) if node.inputs == (name,) else None
            if layer is None:
                raise ModelError(
                    f"layer {node.name} does not continue a chain of KAN layers; only chains are supported"
                )
            layers.append(layer)
            name = node.name
        return cls(ir.name, ir.host, layers)

    def named_layers(self) -> Iterator[tuple[str, FrozenLayer]]:
        """Yield (IR name, layer) in order."""
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, FrozenLayer)
            yield f"layers_{index}", layer

    @property
    def in_type(self) -> FixedPoint:
        """Type of the input integers."""
        return next(self.named_layers())[1].in_type

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (…, N), float64, of prepared features (…, I)."""
        for layer in self.layers:
            x = layer(x)
        return x

    def run(self, X: IntArray) -> dict[str, IntArray]:
        """Return the integers (rows, n) of every node by IR name, the input's own included.

        Raises:
            DataError: if `X` is not an integer array of shape (rows, I) within the input type.
        """
        values = {INPUT_NAME: np.asarray(X)}
        current = X
        for name, layer in self.named_layers():
            current = layer.run(current)
            values[name] = current
        values[INPUT_NAME] = values[INPUT_NAME].astype(np.int64)
        return values


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


def _codes(X: Tensor, facts: CoderFacts, mult: Tensor, offset: Tensor) -> Tensor:
    """Return `clip((X*mult + offset) >> shift, 0, C-1)`; `>>` of int64 floors."""
    return ((X * mult + offset) >> facts.shift).clamp(0, facts.n_codes - 1)
