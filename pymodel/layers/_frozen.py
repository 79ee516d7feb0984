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

from pymodel.errors import DataError, IRError, ModelError
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
    NodeKind,
    Quantize,
    Rescale,
    SplineBranch,
    Task,
    check_name,
    make_basis,
)
from pymodel.layers._handlers import ensure_layer_handlers
from pymodel.layers._units import dense_basis

__all__ = ["INPUT_NAME", "BasisFacts", "CoderFacts", "FrozenKAN", "FrozenKANLinear"]

#: Name of the input node of a lowered model; hls4ml names its input likewise, after `forward`'s argument.
INPUT_NAME = "x"
#: Rows are processed in blocks of at most this many float64 basis values (32 MiB).
_BLOCK_VALUES = 1 << 22


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


class FrozenKANLinear(nn.Module):
    """One layer of the KAN IR, either as basis unit and weights (`KanLinear`) or as edge tables (`EdgeTable`).

    `forward` takes real inputs (…, in_features), rounds them to `in_type` (RND, SAT) and returns `Y * out_type.lsb`,
    float64, (…, out_features); between KAN layers the LSB is 1, so the real numbers are the next layer's codes.

    Attributes:
        form: `NodeKind.KAN_LINEAR` or `NodeKind.EDGE_TABLE`.
        in_type, out_type: fixed-point types of the input and output integers.
        in_features, out_features: I and N.
        value_lsb, value_offset: the output integer Y stands for the real `value_offset + value_lsb * Y`.
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
        super().__init__()
        ensure_layer_handlers()
        _check_bound(node, in_type)
        self.form = node.kind
        self.in_type, self.out_type = in_type, node.out_type
        self.in_features, self.out_features = node.n_in, node.n_out
        self.value_lsb, self.value_offset = float(node.value_lsb), float(node.value_offset)
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

    def _put(self, **arrays: IntArray) -> None:
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array.astype(np.int64, copy=True)))

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
        bias = _array(self.bias)
        if self.form is NodeKind.EDGE_TABLE:
            return EdgeTable(
                name=name,
                inputs=(source,),
                out_type=self.out_type,
                value_lsb=self.value_lsb,
                value_offset=self.value_offset,
                coder=coder,
                tables=_array(self.tables),
                bias=bias,
                shift=self.shift,
            )
        assert self.basis is not None
        parts = self.basis.scalars | {name: _array(buffer) for name, buffer in self._basis_buffers().items()}
        basis = make_basis(self.basis.kind, self.basis.implementation, parts | {"knots": np.array(self.basis.knots)})
        base = None
        if self.base_coder is not None:
            base = BaseBranch(
                coder=_coder_node(self.base_coder, self.base_coder_mult, self.base_coder_offset),
                activation=self.activation,
                table=_array(self.base_table),
                lsb=self.base_lsb,
                weights=_array(self.base_weights),
            )
        return KanLinear(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            spline=SplineBranch(coder=coder, basis=basis, weights=_array(self.spline_weights)),
            base=base,
            rescale=Rescale(
                spline_mult=_array(self.spline_mult), base_mult=_array(self.base_mult), bias=bias, shift=self.shift
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
    def _rows_per_block(self) -> int:
        per_input = self.out_features if self.form is NodeKind.EDGE_TABLE else self.spline_weights.shape[-1]
        return max(1, _BLOCK_VALUES // (self.in_features * int(per_input)))

    def _blocks(self, X: Tensor) -> Tensor:
        parts = [self.integers(block) for block in torch.split(X, self._rows_per_block)]
        return torch.cat(parts) if parts else X.new_zeros(0, self.out_features)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return `Y * out_type.lsb`, float64, (…, N), for real inputs (…, I) that are rounded to `in_type` first.

        Raises:
            DataError: if an input is NaN or infinite, or the last dimension is not I.
        """
        if x.shape[-1:] != (self.in_features,):
            raise DataError(f"inputs of {self.in_features} features were expected, not a shape of {tuple(x.shape)}")
        real = x.reshape(-1, self.in_features).double()
        if not bool(torch.isfinite(real).all()):
            raise DataError("expected finite inputs, found NaN or infinity; clean the data before the model reads it")
        exact = real * 2.0**self.in_type.frac
        scaled = torch.floor(exact)
        # Not floor(x + 0.5): in float64 that sum rounds 0.49999999999999994 up to 1.
        scaled = scaled + (exact - scaled >= 0.5)
        X = scaled.clamp(self.in_type.min_int, self.in_type.max_int).long()
        return (self._blocks(X).double() * self.out_type.lsb).reshape(*x.shape[:-1], self.out_features)

    def run(self, X: IntArray) -> IntArray:
        """Return the integers (rows, N) of input integers (rows, I), in blocks of bounded memory.

        Raises:
            DataError: if `X` is not an integer array of that shape within `in_type`.
        """
        array = np.asarray(X)
        if array.ndim != 2 or array.shape[1] != self.in_features or array.dtype.kind not in "iu":
            raise DataError(
                f"integers of shape (rows, {self.in_features}) were expected, not {array.dtype} of {array.shape}; "
                "quantize the features first"
            )
        low, high = self.in_type.min_int, self.in_type.max_int
        if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
            raise DataError(f"input integers must lie in {low} … {high}; quantize the features with the input type")
        tensor = torch.from_numpy(array.astype(np.int64)).to(self.bias.device)
        return _array(self._blocks(tensor))

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        types = f"in={_type_name(self.in_type)}, out={_type_name(self.out_type)}"
        return f"{self.in_features}, {self.out_features}, {self.form.name.lower()}, {types}, codes={self.coder.n_codes}"


class FrozenKAN(nn.Module):
    """A chain of frozen layers, with what the host does around it.

    Attributes:
        name: of the model, a plain identifier.
        host: what the host applies before and after.
        layers: `nn.Sequential` of :class:`FrozenKANLinear`; their names in the IR are `layers_0`, `layers_1`, …

    Raises:
        ModelError: if there is no layer, or the layers' shapes or types do not meet.
    """

    def __init__(self, name: str, host: HostSpec, layers: Iterable[FrozenKANLinear]) -> None:
        super().__init__()
        self.name = check_name(name, "model")
        self.host = host
        chain = list(layers)
        if not chain:
            raise ModelError("a frozen KAN needs at least one layer; freeze a model that has one")
        for index, (first, second) in enumerate(pairwise(chain)):
            if first.out_features != second.in_features or first.out_type != second.in_type:
                raise ModelError(
                    f"layers_{index} gives {first.out_features} outputs of {_type_name(first.out_type)}, but "
                    f"layers_{index + 1} reads {second.in_features} of {_type_name(second.in_type)}; freeze again"
                )
        if len(host.features) != chain[0].in_features:
            raise ModelError(
                f"{len(host.features)} feature names for {chain[0].in_features} inputs; give one name per input"
            )
        self.layers = nn.Sequential(OrderedDict((str(i), layer) for i, layer in enumerate(chain)))

    @classmethod
    def from_ir(cls, ir: KanIR) -> FrozenKAN:
        """Return the torch model of a chain of KAN layers; layers are renamed by position.

        Raises:
            ModelError: if the program is not a chain.
        """
        layers: list[FrozenKANLinear] = []
        source = ir.input
        name = source.name
        for node in ir.nodes[1:]:
            if not isinstance(node, KanLinear | EdgeTable) or node.inputs != (name,):
                raise ModelError(
                    f"layer {node.name} does not continue a chain of KAN layers; only chains are supported"
                )
            layers.append(FrozenKANLinear(node, ir.in_type(node)))
            name = node.name
        return cls(ir.name, ir.host, layers)

    def named_layers(self) -> Iterator[tuple[str, FrozenKANLinear]]:
        """Yield (IR name, layer) in order."""
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, FrozenKANLinear)
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


def _array(tensor: Tensor) -> IntArray:
    return np.asarray(tensor.detach().cpu().numpy(), dtype=np.int64)


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
        mult=_array(mult),
        offset=_array(offset),
        shift=facts.shift,
        n_codes=facts.n_codes,
        low=facts.low,
        step=facts.step,
    )


def _codes(X: Tensor, facts: CoderFacts, mult: Tensor, offset: Tensor) -> Tensor:
    """Return `clip((X*mult + offset) >> shift, 0, C-1)`; `>>` of int64 floors."""
    return ((X * mult + offset) >> facts.shift).clamp(0, facts.n_codes - 1)


def _type_name(kind: FixedPoint) -> str:
    return f"{'fixed' if kind.signed else 'ufixed'}<{kind.width},{kind.integer}>"


def _check_bound(node: KanLinear | EdgeTable, in_type: FixedPoint) -> None:
    """Raise IRError unless every sum of the layer is exact in float64 for inputs of `in_type`."""
    if not isinstance(node, KanLinear | EdgeTable):
        raise IRError(f"a frozen layer computes a KanLinear or EdgeTable node, not a {type(node).__name__}")
    n_in = node.n_in
    host = HostSpec(Task.REGRESSION, ("",) * n_in, (0.0,) * n_in, (1.0,) * n_in)
    source = Quantize(node.inputs[0], (), in_type, in_type.lsb, 0.0, size=n_in)
    KanIR(name="bound", nodes=(source, node), output=node.name, host=host)
