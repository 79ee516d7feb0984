"""KAN layers for quantization-aware training (QAT): they compute what the hardware will, and can still learn.

The inputs of a hidden layer travel in units of its codes, `u = (x - low) / step`, because the previous layer's rescale
emits codes directly. Tables depend on step and low only, so they are computed once per training step.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, ModelError
from pymodel.ir import MAX_TABLE_BITS, AffineCoder, Implementation, IntArray
from pymodel.layers import NO_BASE, KANLayer, ensure_layer_handlers
from pymodel.quant._feature_linear import feature_linear
from pymodel.quant._functions import dyadic, round_exact
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.quant._ste import Columns, edge_linear, replace, table_linear
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

    @property
    def n_basis(self) -> int:
        """Number of basis functions per edge."""
        return int(self.spline_weight.shape[-1])

    def tables(self) -> CodeTables:
        """Return the tables of the layer's codes, computed anew only if step or low changed."""
        q = self.quantizer
        like = self.base_weight
        low, step = _number(q.low), _number(q.step)
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
        tables = self.tables()
        spline, base = _numbers(self.spline_quantizer.step), _numbers(self.base_quantizer.step)
        base_lsb = 0.0 if self.functions.activation == NO_BASE else tables.base_lsb
        return [tables.basis_lsb * s / out_step for s in spline], [base_lsb * s / out_step for s in base]

    def _branches(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        tables = self.tables()
        # The rescale will multiply by dyadic numbers; train with those. A power-of-two LSB (the last layer) leaves
        # the multipliers as they are.
        spline, base = self.factors(1.0 if after is None else _number(after.step))
        multipliers, shift = dyadic([*spline, *base])
        rounded = [m * 2.0**-shift / (f or 1.0) for m, f in zip(multipliers, [*spline, *base], strict=True)]
        ratios = rounded[len(spline) :], rounded[: len(spline)]
        shared = tables.rounded.dim() == 2 and len(spline) == 1
        if shared and type(self.base_quantizer) is type(self.spline_quantizer) is TensorQuantizer:
            y = self._lsq_product(u, here, tables, (ratios[0][0], ratios[1][0]))
        else:
            y = self._product(u, here, tables, ratios)
        if after is None:
            return y if self.bias is None else y + self.bias
        unit = _number(after.step) * 2.0**-shift
        return _emit_codes(self._add_bias(y, unit), unit, shift, after)

    def _lsq_product(self, u: Tensor, here: Codes, tables: CodeTables, ratios: tuple[float, float]) -> Tensor:
        """Return the sum over both branches with LSQ weights and one step each, in one node of the autograd graph."""
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        levels = [float(self.base_quantizer.high), float(self.spline_quantizer.high)]
        both = self.base_weight.new_tensor([levels, list(ratios)])[:, self.branch]
        return table_linear(
            u,
            here.step,
            here.low,
            self.base_weight,
            self.spline_weight,
            self.base_quantizer.step,
            self.spline_quantizer.step,
            self.mask,
            Columns(self.branch, both[0], both[1]),
            tables.rounded,
            tables.slopes,
        )

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
        return _snap(y, unit) if after is None else _emit_codes(y, unit, shift, after)

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


def _numbers(steps: Tensor) -> list[float]:
    """Return a step, or one per output, as floats; raises as :func:`_number`."""
    return [_number(steps)] if steps.dim() == 0 else [_checked(value) for value in steps.detach().tolist()]


def rescale_bias(after: Codes, shift: int) -> int:
    """Return the bias of a rescale that emits the next layer's codes: `-low / step`, in units of `2^-shift`."""
    ratio = Fraction(_number(after.low)) / Fraction(_number(after.step))
    return round_exact(-ratio * 2**shift)


def _snap(y: Tensor, unit: float) -> Tensor:
    """Return `y`, which is a multiple of `unit` but for float rounding, as that multiple."""
    return replace(y, torch.floor(y.detach() / unit + 0.5) * unit)


def _emit_codes(y: Tensor, unit: float, shift: int, after: Codes) -> Tensor:
    """Return real outputs in units of the next layer's codes, from the integers that the rescale will shift.

    `y` is a multiple of `unit`, which is `2^-shift` codes. Going forward, float rounding must not decide a tie between
    two codes, so the integer is restored and the bias is the rounded one.

    Args:
        y: (B, N), real outputs.
        unit: real value of one unit of the rescale's sum.
        shift: of the rescale.
        after: what the next layer's codes stand for.
    """
    integers = torch.floor(y.detach() / unit + 0.5)
    return replace((y - after.low) / after.step, (integers + float(rescale_bias(after, shift))) * 2.0**-shift)
