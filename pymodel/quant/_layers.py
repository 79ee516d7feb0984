"""KAN layers for quantization-aware training (QAT): they compute what the hardware will, and can still learn.

The inputs of a hidden layer travel in units of its codes, `u = (x - low) / step`, because the previous layer's rescale
emits codes directly. Tables depend on step and low only, so they are computed once per training step.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import MAX_TABLE_BITS, AffineCoder, Implementation, IntArray
from pymodel.layers import NO_BASE, KANLayer, ensure_layer_handlers
from pymodel.quant._feature_linear import feature_linear
from pymodel.quant._functions import dyadic, round_exact
from pymodel.quant._lsq_linear import LsqBranch, emit, lsq_facts, lsq_linear
from pymodel.quant._quantizers import MIN_STEP, ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.quant._ste import edge_linear, replace
from pymodel.quant._tables import CodeTables, code_tables

__all__ = ["Codes", "QuantKANLinear", "rescale_bias"]


class Codes(NamedTuple):
    """What a code stands for: `low + step * code`; scalars."""

    step: Tensor
    low: Tensor


class QuantKANLinear(nn.Module):
    """A KAN layer whose weights, codes and tables are quantized (or, with `edge`, its edge functions as a whole).

    Args:
        source: the float layer; its weights (with what follows the sum folded in) and mask are copied.
        quantizer: of the inputs.
        base_bits, spline_bits: of the weights.
        basis_bits: of basis values and base table.
        edge_bits: of an edge's table entries. If given, the layer is trained in edge-table form, and the other three
            have no effect: only the whole edge function is rounded.
        implementation: of the basis unit.
        weight_quantizer: class of the two branches' quantizers.
        channels: give them a step per output instead of one.

    Attributes:
        basis_scales: what each basis function is divided by in its ROM, (n_basis,) powers of two (AWQ), or None; the
            spline weights hold the other half of it.
        functions: of the edges; fixed from now on.
        base_weight: parameter (N, I).
        spline_weight: parameter (N, I, n_basis).
        bias: parameter (N,) or None.
        mask: bool buffer (N, I); False removes an edge.

    Raises:
        ConfigError: if the edge-table form is asked for with codes of more than 10 bits.
    """

    #: Whether LSQ weights, with one step each, are quantized and multiplied in one node of the autograd graph.
    lsq_in_one: ClassVar[bool] = True

    mask: Tensor
    branch: Tensor
    bias: Tensor | None

    def __init__(
        self,
        source: KANLayer,
        quantizer: InputQuantizer | ActivationQuantizer,
        *,
        base_bits: int,
        spline_bits: int,
        basis_bits: int,
        edge_bits: int | None = None,
        implementation: Implementation = Implementation.ROM,
        weight_quantizer: type[TensorQuantizer] = TensorQuantizer,
        channels: bool = False,
    ) -> None:
        super().__init__()
        ensure_layer_handlers()
        if edge_bits is not None and quantizer.bits > MAX_TABLE_BITS:
            raise ConfigError(
                f"quantize.edge trains tables, which codes of {quantizer.bits} bits are too wide for; use at most "
                f"{MAX_TABLE_BITS} activation bits or leave edge out"
            )
        self.in_features, self.out_features = source.in_features, source.out_features
        self.functions = source.functions
        self.implementation = implementation
        self.basis_bits = basis_bits
        self.quantizer = quantizer
        base_weight, spline_weight, bias = source.folded()
        if self.functions.activation == NO_BASE:
            base_weight.zero_()
        self.base_weight = nn.Parameter(base_weight)
        self.spline_weight = nn.Parameter(spline_weight)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))
        self.register_buffer("mask", source.mask.clone())
        self.register_buffer("branch", torch.tensor([0] + [1] * source.n_basis), persistent=False)
        self.base_quantizer: TensorQuantizer | None = None
        self.spline_quantizer: TensorQuantizer | None = None
        self.edge_quantizer: TensorQuantizer | None = None
        if edge_bits is None:
            n = self.out_features if channels else None
            self.base_quantizer = weight_quantizer(base_bits, channels=n)
            self.spline_quantizer = weight_quantizer(spline_bits, channels=n)
        else:
            self.edge_quantizer = TensorQuantizer(edge_bits, symmetric=False)
        self.basis_scales: tuple[float, ...] | None = None
        self._tables: CodeTables | None = None
        self._tables_key: tuple[object, ...] = ()
        self._mask_key: tuple[int, int] = (-1, -1)
        self._pruned = False

    @property
    def n_basis(self) -> int:
        """Number of basis functions per edge."""
        return int(self.spline_weight.shape[-1])

    def tables(self) -> CodeTables:
        """Return the tables of the layer's codes, computed anew only if step or low changed."""
        q = self.quantizer
        return self._tables_of(_number(q.low), _number(q.step))

    def _tables_of(self, low: float, step: float) -> CodeTables:
        q, like = self.quantizer, self.base_weight
        key = (low, step, like.dtype, like.device, self.basis_scales)
        if self._tables is None or key != self._tables_key:
            fixed = isinstance(q, InputQuantizer)
            bits = self.basis_bits
            self._tables = code_tables(
                self.functions,
                low,
                step,
                q.n_codes,
                bits,
                like.detach(),
                fixed=fixed,
                implementation=self.implementation,
                scales=self.basis_scales,
            )
            self._tables_key = key
        return self._tables

    @property
    def n_inputs(self) -> int:
        """Inputs of :meth:`forward`: I, unless the layer is applied to windows."""
        return self.in_features

    @property
    def n_nodes(self) -> int:
        """Outputs of :meth:`forward`: N, unless some of the sums are multiplied."""
        return self.out_features

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per sum, (N,), for scores of the nodes (n_nodes,) that the sums belong to."""
        return scores

    def coders(self) -> tuple[AffineCoder, AffineCoder]:
        """Return the coders of the spline branch and of the base branch in hardware."""
        coder = self.quantizer.coder()
        return coder, coder

    def side_by_side(self, base: IntArray, spline: IntArray) -> tuple[IntArray, IntArray]:
        """Return base (N, I) and spline weights (N, I, n_basis) for the inputs that the hardware's layer has."""
        return base, spline

    def masked_weights(self) -> tuple[Tensor, Tensor]:
        """Return base (N, I) and spline weights (N, I, n_basis); those of removed edges are 0."""
        return self.base_weight * self.mask, self.spline_weight * self.mask.unsqueeze(-1)

    def apply_mask(self, mask: Tensor) -> None:
        """Keep the edges where `mask` (N, I) is True; the others count as 0 from now on.

        Raises:
            ModelError: if the shape differs.
        """
        if mask.shape != self.mask.shape:
            raise ModelError(f"a mask of shape {tuple(self.mask.shape)} was expected, not {tuple(mask.shape)}")
        self.mask.copy_(mask.to(torch.bool))

    # --- the branch form --------------------------------------------------------------------------------------------

    def factors(self, out_step: float) -> tuple[list[float], list[float]]:
        """Return what one unit of the spline's and of the base's accumulator is worth, in units of `out_step`.

        One number each, or one per output.
        """
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        steps = _numbers(self.spline_quantizer.step), _numbers(self.base_quantizer.step)
        return self._factors_of(self.tables(), *steps, out_step)

    def _factors_of(
        self, tables: CodeTables, spline: list[float], base: list[float], out_step: float
    ) -> tuple[list[float], list[float]]:
        base_lsb = 0.0 if self.functions.activation == NO_BASE else tables.base_lsb
        return [tables.basis_lsb * s / out_step for s in spline], [base_lsb * s / out_step for s in base]

    def _branches(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        base_quantizer, spline_quantizer = self.base_quantizer, self.spline_quantizer
        assert base_quantizer is not None
        assert spline_quantizer is not None
        plain = type(base_quantizer) is type(spline_quantizer) is TensorQuantizer and not base_quantizer.log_step.dim()
        if plain and self.lsq_in_one:  # every scalar in one transfer from the device
            ends = () if after is None else (after.step, after.low)
            low, step, *found = _scalars(here.low, here.step, base_quantizer.step, spline_quantizer.step, *ends)
            tables, out = self._tables_of(low, step), (found[2], found[3]) if ends else (1.0, 0.0)
            base_steps, spline_steps = [found[0]], [found[1]]
        else:
            tables = self.tables()
            out = (1.0, 0.0) if after is None else (_number(after.step), _number(after.low))
            base_steps, spline_steps = _numbers(base_quantizer.step), _numbers(spline_quantizer.step)
        # The rescale will multiply by dyadic numbers; train with those. A power-of-two LSB (the last layer) leaves
        # the multipliers as they are.
        spline, base = self._factors_of(tables, spline_steps, base_steps, out[0])
        multipliers, shift = dyadic([*spline, *base])
        rounded = [m * 2.0**-shift / (f or 1.0) for m, f in zip(multipliers, [*spline, *base], strict=True)]
        ratios = rounded[len(spline) :], rounded[: len(spline)]
        if plain and self.lsq_in_one and tables.rounded.dim() == 2:
            y = self._lsq_product(u, here, tables, ratios, (base_steps[0], spline_steps[0]))
        else:
            y = self._product(u, here, tables, ratios)
        if after is None:
            return y if self.bias is None else y + self.bias
        unit = out[0] * 2.0**-shift
        return emit(self._add_bias(y, unit), after.step, after.low, unit, shift, _rescale_bias(*out, shift))

    def _lsq_product(
        self,
        u: Tensor,
        here: Codes,
        tables: CodeTables,
        ratios: tuple[list[float], list[float]],
        steps: tuple[float, float],
    ) -> Tensor:
        """Return the sum over both branches with LSQ weights and one step each, in one node of the autograd graph."""
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        weights, quantizers = (self.base_weight, self.spline_weight), (self.base_quantizer, self.spline_quantizer)
        base, spline = (
            LsqBranch(step, q.high, ratio[0], weight.numel())
            for weight, q, ratio, step in zip(weights, quantizers, ratios, steps, strict=True)
        )
        facts = lsq_facts(base, spline, self.branch, self.base_weight, MIN_STEP)
        logs = quantizers[0].log_step, quantizers[1].log_step
        mask = self.mask if self._is_pruned() else None
        return lsq_linear(u, here.step, here.low, weights, logs, mask, facts, (tables.rounded, tables.slopes))

    def _is_pruned(self) -> bool:
        """Return whether an edge is removed; the mask is looked at only where it may have changed."""
        key = (self.mask.data_ptr(), self.mask._version)  # noqa: SLF001 - torch's own counter of changes in place
        if key != self._mask_key:
            self._mask_key, self._pruned = key, not bool(self.mask.all())
        return self._pruned

    def _product(self, u: Tensor, here: Codes, tables: CodeTables, ratios: tuple[list[float], list[float]]) -> Tensor:
        """Return the same for weights of any method, with one step or one per output."""
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        base, spline = self.masked_weights()
        by_base, by_spline = (base.new_tensor(r).view(-1, 1) for r in ratios)
        base = self.base_quantizer(base) * by_base
        spline = self.spline_quantizer(spline) * by_spline.unsqueeze(-1)
        weight = torch.cat((base.unsqueeze(-1), spline), dim=-1)
        return self._linear(u, here, weight, tables)

    def _linear(self, u: Tensor, here: Codes, weight: Tensor, tables: CodeTables) -> Tensor:
        """Return the sums (B, N) of quantized weights (N, I, F) and the tables' rows."""
        return feature_linear(u, here.step, here.low, weight, tables.rounded, tables.slopes)

    def _add_bias(self, y: Tensor, unit: float) -> Tensor:
        """Return `y` (multiples of `unit`) plus the bias rounded to such a multiple."""
        if self.bias is None:
            return y
        return y + replace(self.bias, torch.floor(self.bias.detach() / unit + 0.5) * unit)

    @torch.no_grad()
    def bias_integers(self, unit: float) -> list[int]:
        """Return the bias per output in `unit`s, as :meth:`forward` rounds it; zeros where there is none."""
        if self.bias is None:
            return [0] * self.out_features
        return [int(b) for b in torch.floor(self.bias.detach() / unit + 0.5)]

    # --- the edge-table form ----------------------------------------------------------------------------------------

    def edge_step(self, after: Codes | None) -> tuple[Tensor, int]:
        """Return the edge tables' step (a scalar), `2^-n` of the next layer's (or of 1), and n."""
        assert self.edge_quantizer is not None
        soft = self.edge_quantizer.step
        unit = torch.ones_like(soft) if after is None else after.step.detach()
        shift = math.floor(math.log2(_number(unit) / _number(soft)) + 0.5)
        if after is not None:
            shift = max(shift, 0)
        return replace(soft, unit * 2.0**-shift), shift

    def edge_functions(self) -> Tensor:
        """Return (I, C, N): the edges' real functions at the representatives, not rounded."""
        base, spline = self.masked_weights()
        weight = torch.cat((base.unsqueeze(-1), spline), dim=-1)
        return self.tables().exact @ weight.permute(1, 2, 0)

    def _edges(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        assert self.edge_quantizer is not None
        step, shift = self.edge_step(after)
        entries = self.edge_quantizer.quantize(self.edge_functions(), step)
        base, spline = self.masked_weights()
        weight = torch.cat((base.unsqueeze(-1), spline), dim=-1).detach()
        y = self._edge_sum(u, here, entries, weight)
        unit = _number(step)
        y = self._add_bias(y, unit)
        if after is None:
            return _snap(y, unit)
        return emit(y, after.step, after.low, unit, shift, rescale_bias(after, shift))

    def _edge_sum(self, u: Tensor, here: Codes, entries: Tensor, weight: Tensor) -> Tensor:
        """Return the sums (B, N) of quantized table entries (I, C, N); real weights (N, I, F) give the gradient."""
        return edge_linear(u, here.step, here.low, entries, weight, self.tables().slopes)

    def forward(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return the outputs, (B, N): real numbers, or in units of the next layer's codes if there is one.

        Args:
            u: (B, I), inputs in units of codes.
            here: what this layer's codes stand for.
            after: what the next layer's codes stand for; None for the last layer.
        """
        u = self.quantizer.shaped(u, here.step)
        return self._branches(u, here, after) if self.edge_quantizer is None else self._edges(u, here, after)

    @torch.no_grad()
    def calibrate_weights(self) -> None:
        """Set the weights' steps (or the edge tables') from the weights as they are."""
        base, spline = self.masked_weights()
        if self.edge_quantizer is not None:
            self.edge_quantizer.calibrate(self.edge_functions())
            return
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        self.base_quantizer.calibrate(base)
        self.spline_quantizer.calibrate(spline)

    @torch.no_grad()
    def histogram(self, u: Tensor) -> Tensor:
        """Return how often input i has code c, (I, C) int64, for inputs `u` (B, I) in units of codes."""
        n_codes = self.quantizer.n_codes
        codes = torch.floor(u + 0.5).clamp_(0, n_codes - 1).long()
        flat = codes + torch.arange(self.in_features, device=codes.device) * n_codes
        return torch.bincount(flat.flatten(), minlength=self.in_features * n_codes).view(self.in_features, n_codes)

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{self.in_features}, {self.out_features}, codes={self.quantizer.n_codes}, basis_bits={self.basis_bits}"


def _number(scalar: Tensor) -> float:
    """Return a step or offset as a float.

    Raises:
        ModelError: if it is not finite: the training has diverged.
    """
    return _checked(float(scalar.detach()))


def _checked(value: float) -> float:
    if not math.isfinite(value):
        raise ModelError(f"expected finite steps and offsets, but one is {value}; train with a lower rate")
    return value


def _scalars(*scalars: Tensor) -> list[float]:
    """Return steps and offsets as floats, with one transfer where they are on a GPU; raises as :func:`_number`."""
    if scalars[0].is_cuda:
        return [_checked(value) for value in torch.stack([s.detach() for s in scalars]).tolist()]
    return [_number(scalar) for scalar in scalars]


def _numbers(steps: Tensor) -> list[float]:
    """Return a step, or one per output, as floats; raises as :func:`_number`."""
    return [_number(steps)] if steps.dim() == 0 else [_checked(value) for value in steps.detach().tolist()]


def rescale_bias(after: Codes, shift: int) -> int:
    """Return the bias of a rescale that emits the next layer's codes: `-low / step`, in units of `2^-shift`."""
    return _rescale_bias(_number(after.step), _number(after.low), shift)


def _rescale_bias(step: float, low: float, shift: int) -> int:
    return round_exact(-Fraction(low) / Fraction(step) * 2**shift)


def _snap(y: Tensor, unit: float) -> Tensor:
    """Return `y`, which is a multiple of `unit` but for float rounding, as that multiple."""
    return replace(y, torch.floor(y.detach() / unit + 0.5) * unit)
