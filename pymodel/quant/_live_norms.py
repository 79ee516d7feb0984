"""QAT with the float network's batch normalisations in place, which fold into steps and biases when it is over.

A norm behind quantized sums is a factor and an offset per output. Where weights have a step per output, the factor goes into
the steps and the offset into the bias: no level changes, and the integer network is the same as without a norm. While
training, the norm keeps the sums where the next codes expect them, however coarse the weights are and however fast they
move (Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2, where folding comes first and needs a correction instead).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import ConfigError, DataError, ModelError
from pymodel.layers import KAN, KANLayer
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._model import QuantKAN
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.quant._tables import CodeTables

__all__ = ["LiveNorms"]


def _norm_of(layer: KANLayer) -> nn.BatchNorm1d | None:
    norm = getattr(layer, "norm", None)
    return norm if isinstance(norm, nn.BatchNorm1d) else None


class LiveNorms(nn.Module):
    """A network in QAT that normalises its sums over the batch.

    `forward` uses the statistics of the batch, in training and in evaluation; :meth:`fold` ends the training and gives the
    network that is evaluated and frozen.

    Args:
        quantized: made of `model`, with LSQ weights that have a step per output; need not be calibrated.
        model: the float network.

    Attributes:
        quantized: its weights, steps and codes are trained; the biases of layers with a norm are not, and count for nothing
            before :meth:`fold`.
        gammas, betas: `nn.ParameterDict`, by number of the layer, (N,) each: what the norms multiply by and add.
        epsilons: by number of the layer, what is added to variances.

    Raises:
        ConfigError: if a layer with a norm has weights of another method, or one step for all outputs.
        ModelError: if there is no norm.
    """

    def __init__(self, quantized: QuantKAN, model: KAN) -> None:
        super().__init__()
        self.quantized = quantized
        gammas, betas = {}, {}
        self.epsilons: dict[int, float] = {}
        for index, (layer, source) in enumerate(zip(quantized.kan_layers(), model.kan_layers(), strict=True)):
            norm = _norm_of(source)
            if norm is None:
                continue
            parts = (layer.base_quantizer, layer.spline_quantizer)
            if not all(type(q) is TensorQuantizer and q.log_step.dim() for q in parts):
                raise ConfigError(
                    f"layers_{index} keeps its batch normalisation in training, which needs the method lsq with a step "
                    "per output; set quantize.granularity to channel"
                )
            # A negative factor is in the sign of the folded weights.
            gammas[str(index)] = nn.Parameter(norm.weight.detach().abs())
            betas[str(index)] = nn.Parameter(norm.bias.detach().clone())
            self.epsilons[index] = norm.eps
        if not gammas:
            raise ModelError("no layer of the network has a batch normalisation; train the quantized network itself")
        self.gammas, self.betas = nn.ParameterDict(gammas), nn.ParameterDict(betas)

    def _layers(self) -> list[QuantKANLinear]:
        return list(self.quantized.kan_layers())

    def tables(self, index: int) -> CodeTables:
        """Return the tables that layer number `index` reads."""
        return self._layers()[index].tables()

    def first(self, x: Tensor) -> Tensor:
        """Return the inputs of the first layer, in units of its codes, of prepared features `x` (B, n).

        Raises:
            DataError: if the number of features differs.
        """
        layer = self._layers()[0]
        if x.dim() != 2 or x.shape[1] != layer.n_inputs:
            raise DataError(f"rows of {layer.n_inputs} features were expected, not a shape of {tuple(x.shape)}")
        assert isinstance(layer.quantizer, InputQuantizer)
        return layer.quantizer.codes(x).to(layer.base_weight.dtype)

    def sums(self, index: int, u: Tensor, here: Codes) -> Tensor:
        """Return the real sums (B, N), or (B * windows, N), of layer number `index`, bias excluded."""
        layer = self._layers()[index]
        assert layer.base_quantizer is not None
        assert layer.spline_quantizer is not None
        base, spline = layer.masked_weights()
        weight = torch.cat((layer.base_quantizer(base).unsqueeze(-1), layer.spline_quantizer(spline)), dim=-1)
        u = layer.quantizer.shaped(u, here.step)
        return layer._linear(u, here, weight, self.tables(index))  # noqa: SLF001 - a part of the same package

    def _normed(self, index: int, u: Tensor, here: Codes) -> Tensor:
        """Return the sums, normalised over all rows."""
        gamma, beta = self.gammas[str(index)], self.betas[str(index)]
        y = self.sums(index, u, here)
        layer = self._layers()[index]
        eps = self.epsilons[index]
        if not isinstance(layer, QuantKANConv):
            return functional.batch_norm(y, None, None, gamma, beta, training=True, eps=eps)
        g = layer.geometry  # as an image, which is much faster than rows on a GPU
        image = y.view(-1, g.out_height, g.out_width, layer.out_features).permute(0, 3, 1, 2)
        image = functional.batch_norm(image, None, None, gamma, beta, training=True, eps=eps)
        return image.permute(0, 2, 3, 1).reshape(y.shape)

    def _outputs(self, index: int, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return what layer number `index` puts out, as its own forward does, but for the norm."""
        layer = self._layers()[index]
        if index not in self.epsilons:
            return self.plain(index, u, here, after)
        y = self._normed(index, u, here)
        if after is not None:
            y = (y - after.low) / after.step
        return layer.pooled(y.view(len(u), -1), after) if isinstance(layer, QuantKANConv) else y

    def plain(self, index: int, u: Tensor, here: Codes, after: Codes | None) -> Tensor:
        """Return the outputs of a layer without a norm, in units of the next codes or real."""
        y: Tensor = self._layers()[index](u, here, after)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the real outputs (B, N) of prepared features (B, n)."""
        u = self.first(x)
        codes = self.quantized.codes()
        for index, (here, after) in enumerate(zip(codes, [*codes[1:], None], strict=True)):
            u = self._outputs(index, u, here, after)
        return u

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set every step and offset from prepared features `x` (rows, n), as :meth:`QuantKAN.calibrate`.

        Raises:
            ModelError: if a weight or an activation is not finite.
        """
        u = self.first(x)
        layers = self._layers()
        for index, (layer, following) in enumerate(zip(layers, [*layers[1:], None], strict=True)):
            layer.calibrate_weights()
            if following is None:
                break
            here = Codes(*layer.quantizer.scaled(1))
            assert isinstance(following.quantizer, ActivationQuantizer)
            following.quantizer.calibrate(self._outputs(index, u, here, None))
            u = self._outputs(index, u, here, Codes(*following.quantizer.scaled(1)))
        self.quantized.calibrated = True

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups: weights with `weight_decay`; steps, offsets, norms and biases in use without any."""
        unused = {id(layer.bias) for index, layer in enumerate(self._layers()) if index in self.epsilons}
        weights, scalars = (group["params"] for group in self.quantized.parameter_groups(0.0))
        matrices = [p for p in weights if p.dim() > 1]
        vectors = [p for p in weights if p.dim() == 1 and id(p) not in unused]
        return [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": [*scalars, *vectors, *self._norm_parameters()], "weight_decay": 0.0},
        ]

    def _norm_parameters(self) -> Iterator[nn.Parameter]:
        return chain(self.gammas.parameters(), self.betas.parameters())

    @torch.no_grad()
    def fold(self, x: Tensor, rows: int = 256) -> QuantKAN:
        """Fold the norms, with mean and variance of all prepared features `x` (rows, n), and return the network.

        Layer after layer, each on what the folded ones before it give. Levels do not change. This module is of no use
        afterwards.

        Args:
            x: training rows.
            rows: that are computed at once.
        """
        u = self.first(x)
        layers = self._layers()
        for index, (layer, following) in enumerate(zip(layers, [*layers[1:], None], strict=True)):
            here = Codes(*layer.quantizer.scaled(1))
            if index in self.epsilons:
                self._fold_one(index, u, here, rows)
            if following is not None:
                after = Codes(*following.quantizer.scaled(1))
                u = torch.cat([layer(block, here, after) for block in u.split(rows)])  # type: ignore[no-untyped-call]
        return self.quantized

    def _fold_one(self, index: int, u: Tensor, here: Codes, rows: int) -> None:
        layer = self._layers()[index]
        total = square = torch.zeros(layer.out_features, dtype=torch.float64, device=u.device)
        count = 0
        for block in u.split(rows):  # type: ignore[no-untyped-call]
            y = self.sums(index, block, here).double()
            total, square, count = total + y.sum(dim=0), square + y.square().sum(dim=0), count + len(y)
        mean = total / count
        variance = square / count - mean.square()
        # A constant sum has no use for a factor, and 1 / sqrt(epsilon) would take the multipliers' bits from the others.
        moves = variance > 1e-9 * square / count
        sigma = torch.where(moves, (variance.clamp_min(0.0) + self.epsilons[index]).sqrt(), 1.0)
        factor = self.gammas[str(index)].double() / sigma
        size = factor.abs().clamp_min(2.0**-40)  # a step is positive
        signed = torch.where(factor < 0, -size, size).to(layer.base_weight)
        layer.base_weight.mul_(signed[:, None])
        layer.spline_weight.mul_(signed[:, None, None])
        for quantizer in (layer.base_quantizer, layer.spline_quantizer):
            assert quantizer is not None
            quantizer.log_step.add_(size.log())
        bias = self.betas[str(index)].double() - mean * torch.where(factor < 0, -size, size)
        layer.bias = nn.Parameter(bias.to(layer.base_weight))
