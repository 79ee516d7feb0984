"""QAT of a layer that sees normalised inputs, in the integers of `pymodel.ir.Norm`.

FastKAN's LayerNorm is for the splines alone, KAGN's for both branches.
"""

from __future__ import annotations

from dataclasses import replace as changed
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import ConfigError
from pymodel.ir import AffineCoder, FixedPoint, IntArray, Norm, rsqrt_table
from pymodel.layers import FastKANLinear, KAGNLinear, normalised
from pymodel.quant._feature_linear import feature_linear
from pymodel.quant._functions import MULTIPLIER_BITS, round_exact, round_half_up, shift_for
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant._ste import replace
from pymodel.quant._tables import CodeTables, code_tables

__all__ = ["QuantNormLinear", "QuantNormedLinear", "norm_input_bits"]

#: Codes of the inputs of a norm have at least this many bits: they carry mean and variance.
_MIN_INPUT_BITS = 8
#: A coder has at most this many bits.
_MAX_INPUT_BITS = 12
_LARGEST = float(1 << 20)


def norm_input_bits(bits: int, width: int | None) -> int:
    """Return the bits of the integers that a norm reads, in front of a layer whose splines have codes of `bits` bits.

    Args:
        bits: A.
        width: bits of the network's input, if the norm reads that; it reads all of them.

    Raises:
        ConfigError: if the input is too wide.
    """
    if width is not None and width > _MAX_INPUT_BITS:
        raise ConfigError(
            f"quantize.input has {width} bits, but a LayerNorm at the input reads at most {_MAX_INPUT_BITS}; lower it"
        )
    return max(_MIN_INPUT_BITS, bits) if width is None else width


class QuantNormLinear(QuantKANLinear):
    """A KAN layer whose splines read codes of the normalised inputs, and whose base branch codes of the inputs.

    Args:
        source: the float layer, with a LayerNorm.
        quantizer: of the inputs; the base branch and the norm read its codes.
        normal: of the normalised inputs; the splines read its codes.
        **bits: as :class:`QuantKANLinear`.

    Attributes:
        gamma, beta: parameters (I,) of the LayerNorm.
        epsilon: of the LayerNorm, in real units.
        settled: bool buffer, whether the range of the normalised inputs is set.

    Raises:
        ConfigError: if the edge-table form is asked for: an edge reads two codes.
    """

    #: Whether the inputs themselves are read, too.
    passes: ClassVar[bool] = True
    lsq_in_one: ClassVar[bool] = False
    root_table: Tensor
    settled: Tensor

    def __init__(
        self, source: FastKANLinear | KAGNLinear, quantizer: Any, normal: ActivationQuantizer, **bits: Any
    ) -> None:
        if bits.get("edge_bits") is not None:
            raise ConfigError(
                "quantize.edge trains tables of one code, but an edge of a layer with a LayerNorm reads two; leave edge out"
            )
        super().__init__(source, quantizer, **bits)
        norm = source.layernorm
        assert norm is not None
        self.normal = normal
        self.gamma = nn.Parameter(norm.weight.detach().clone())
        self.beta = nn.Parameter(norm.bias.detach().clone())
        self.epsilon = float(norm.eps)
        table_bits = min(12, max(8, (normal.bits + 4) // 2 * 2))
        self.fraction = normal.bits + 5
        self.table_fraction = self.fraction + 2
        self.table_bits = table_bits
        table = torch.from_numpy(rsqrt_table(table_bits, self.table_fraction))
        self.register_buffer("root_table", table, persistent=False)
        self.register_buffer("settled", torch.zeros((), dtype=torch.bool))
        self._normal_tables: tuple[tuple[object, ...], CodeTables] | None = None

    @torch.no_grad()
    def calibrate_weights(self) -> None:
        """Set the weights' steps; the range of the normalised inputs follows from the first rows after that."""
        super().calibrate_weights()
        self.settled.fill_(False)

    # --- tables -----------------------------------------------------------------------------------------------------

    def normal_tables(self) -> CodeTables:
        """Return the tables of the codes of the normalised inputs, whose base is not read."""
        low, step = float(self.normal.low.detach()), float(self.normal.step.detach())
        like = self.base_weight
        key = (low, step, like.dtype, like.device, self.basis_scales)
        if self._normal_tables is None or self._normal_tables[0] != key:
            tables = code_tables(
                self.functions,
                low,
                step,
                self.normal.n_codes,
                self.basis_bits,
                like.detach(),
                implementation=self.implementation,
                scales=self.basis_scales,
            )
            self._normal_tables = key, tables
        return self._normal_tables[1]

    def tables(self) -> CodeTables:
        """Return the tables of the inputs' codes; the LSB of the basis is that of the normalised inputs'."""
        return changed(super().tables(), basis_lsb=self.normal_tables().basis_lsb)

    # --- the norm ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def constants(self) -> tuple[IntArray, IntArray, int, int]:
        """Return gamma, beta, shift and epsilon of the norm node that emits codes of the normalised inputs."""
        step, low = float(self.normal.step.detach()), float(self.normal.low.detach())
        gamma, beta = self.gamma.double().cpu().numpy() / step, self.beta.double().cpu().tolist()
        extra = shift_for(float(np.abs(gamma).max()), max(MULTIPLIER_BITS, self.normal.bits + 3))
        shift = self.fraction + extra
        multipliers = [round_exact(Fraction(float(g)) * 2**extra) for g in gamma]
        offsets = [round_exact((Fraction(b) - Fraction(low)) / Fraction(step) * 2**shift) for b in beta]
        unit = float(self.quantizer.step.detach())
        epsilon = max(1, round_exact(Fraction(self.in_features**2) * Fraction(self.epsilon) / Fraction(unit) ** 2))
        return _array(multipliers), _array(offsets), shift, min(epsilon, (1 << 40))

    def _soft(self, u: Tensor, here: Codes) -> Tensor:
        """Return the normalised inputs (B, I) in float, of the inputs' quantized values."""
        codes = round_half_up(u.detach()).clamp_(0, self.quantizer.n_codes - 1)
        x = here.low + here.step * replace(u.clamp(0, self.quantizer.n_codes - 1), codes)
        return functional.layer_norm(x.to(self.gamma), (self.in_features,), self.gamma, self.beta, self.epsilon)

    def normal_codes(self, u: Tensor, here: Codes, after: Codes) -> Tensor:
        """Return the normalised inputs in units of their codes, (B, I): the integers of the hardware going forward."""
        soft = (self._soft(u, here) - after.low) / after.step
        with torch.no_grad():
            gamma, beta, shift, epsilon = self.constants()
            X = round_half_up(u).clamp_(0, self.quantizer.n_codes - 1).long()
            t = normalised(X, epsilon, self.root_table, self.table_bits, self.table_fraction, self.fraction)
            scale, offset = (torch.from_numpy(a).to(t.device).double() for a in (gamma, beta))
            total = t.double() * scale + offset + float(1 << shift >> 1)
            hard = torch.floor(total * 2.0**-shift).clamp_(-_LARGEST, _LARGEST)
        return replace(soft, hard.to(soft))

    def norm_node(self, name: str, source: str) -> Norm:
        """Return the norm node, which reads the integers that `quantizer` codes and passes their codes on if needed."""
        gamma, beta, shift, epsilon = self.constants()
        width = max(self.normal.bits, self.quantizer.bits) if self.passes else self.normal.bits
        return Norm(
            name=name,
            inputs=(source,),
            out_type=FixedPoint(width, width, signed=False),
            value_lsb=1.0,
            value_offset=0.0,
            gamma=gamma,
            beta=beta,
            shift=shift,
            epsilon=epsilon,
            table=self.root_table.cpu().numpy(),
            table_bits=self.table_bits,
            table_fraction=self.table_fraction,
            fraction=self.fraction,
            passed=self.quantizer.coder() if self.passes else None,
        )

    # --- the layer --------------------------------------------------------------------------------------------------

    def coders(self) -> tuple[AffineCoder, AffineCoder]:
        """Return the coders of the splines and of the base branch: both read codes already."""
        q = self.quantizer
        one, zero = _array([1]), _array([0])
        base = AffineCoder(one, zero, 0, q.n_codes, float(q.low.detach()), float(q.step.detach()))
        return self.normal.coder(), base

    def side_by_side(self, base: IntArray, spline: IntArray) -> tuple[IntArray, IntArray]:
        """Return both weights for twice the inputs: the normalised ones, which the splines read, then the inputs."""
        return np.concatenate((0 * base, base), axis=1), np.concatenate((spline, 0 * spline), axis=1)

    def _normal(self, u: Tensor, here: Codes) -> tuple[Tensor, Codes]:
        """Return the normalised inputs in units of their codes, and what these stand for; the first rows set that."""
        if not bool(self.settled):
            self.normal.calibrate(self._soft(u, here))
            self.settled.fill_(True)
        after = Codes(*self.normal.scaled(self.in_features))
        return self.normal.shaped(self.normal_codes(u, here, after), after.step), after

    def _product(self, u: Tensor, here: Codes, tables: CodeTables, ratios: tuple[list[float], list[float]]) -> Tensor:
        assert self.base_quantizer is not None
        assert self.spline_quantizer is not None
        normal, after = self._normal(u, here)
        base, spline = self.masked_weights()
        by_base, by_spline = (base.new_tensor(r).view(-1, 1) for r in ratios)
        base = (self.base_quantizer(base) * by_base).unsqueeze(-1)
        spline = self.spline_quantizer(spline) * by_spline.unsqueeze(-1)
        fine = self.normal_tables()
        y = feature_linear(u, here.step, here.low, base, tables.rounded[:, :1], tables.slopes[:, :1])
        return y + feature_linear(normal, after.step, after.low, spline, fine.rounded[:, 1:], fine.slopes[:, 1:])


class QuantNormedLinear(QuantNormLinear):
    """A KAN layer both of whose branches read codes of the normalised inputs."""

    passes: ClassVar[bool] = False

    def tables(self) -> CodeTables:
        """Return the tables of the codes of the normalised inputs."""
        if not bool(self.settled):
            return QuantKANLinear.tables(self)
        return self.normal_tables()

    def coders(self) -> tuple[AffineCoder, AffineCoder]:
        """Return the coder of both branches: they read codes already."""
        coder = self.normal.coder()
        return coder, coder

    def side_by_side(self, base: IntArray, spline: IntArray) -> tuple[IntArray, IntArray]:
        """Return both weights as they are."""
        return base, spline

    def _branches(self, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        self._normal(u, here)  # the tables, and with them the branches' factors, follow from its range
        return super()._branches(u, here, after)

    def _product(self, u: Tensor, here: Codes, tables: CodeTables, ratios: tuple[list[float], list[float]]) -> Tensor:
        normal, after = self._normal(u, here)
        return QuantKANLinear._product(self, normal, after, tables, ratios)  # noqa: SLF001 - the branches, without a norm


def _array(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
