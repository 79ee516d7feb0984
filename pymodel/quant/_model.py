"""A whole network for QAT: built from a float KAN, calibrated on data, trained like any module, frozen at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, DataError, ModelError
from pymodel.ir import FixedPoint, Implementation
from pymodel.layers import KAN, ConvLayer, FastKANLinear, KAGNLinear, KANLayer, PyKANLinear
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._methods import METHODS
from pymodel.quant._norm import QuantNormedLinear, QuantNormLinear, norm_input_bits
from pymodel.quant._product import QuantProductLinear
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.settings import QuantizeSettings

__all__ = ["QuantKAN", "quantize_model"]


class QuantKAN(nn.Module):
    """A chain of :class:`QuantKANLinear` layers. Make one with :func:`quantize_model`, then :meth:`calibrate` it.

    Attributes:
        layers: `nn.Sequential` of the layers (a container: their `forward` needs the neighbours' codes).
        settings: the bits it was made with.
    """

    def __init__(self, layers: Sequence[QuantKANLinear], settings: QuantizeSettings) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.settings = settings
        self.calibrated = False
        for layer, following in pairwise(layers):
            if isinstance(layer, QuantKANConv):
                layer.out_codes = following.quantizer.n_codes

    def kan_layers(self) -> Iterator[QuantKANLinear]:
        """Yield the layers in order."""
        for layer in self.layers:
            assert isinstance(layer, QuantKANLinear)
            yield layer

    @property
    def in_type(self) -> FixedPoint:
        """Type of the input integers."""
        return next(self.kan_layers()).quantizer.in_type

    def codes(self) -> list[Codes]:
        """Return what each layer's codes stand for, as tensors with gradients where they are learned."""
        return [Codes(*layer.quantizer.scaled(layer.n_inputs)) for layer in self.kan_layers()]

    def _first(self, x: Tensor) -> Tensor:
        first = next(self.kan_layers())
        if x.shape[-1:] != (first.n_inputs,):
            raise DataError(f"inputs of {first.n_inputs} features were expected, not a shape of {tuple(x.shape)}")
        assert isinstance(first.quantizer, InputQuantizer)
        return first.quantizer.codes(x.reshape(-1, first.n_inputs)).to(first.base_weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the real outputs (…, N) for prepared features (…, I)."""
        u = self._first(x)
        codes = self.codes()
        for layer, here, after in zip(self.kan_layers(), codes, [*codes[1:], None], strict=True):
            u = layer(u, here, after)
        return u.reshape(*x.shape[:-1], u.shape[-1])

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set every step and offset from prepared features `x` (rows, I), layer by layer, by least squared error.

        Raises:
            ModelError: if a weight or an activation is not finite.
        """
        u = self._first(x)
        layers = list(self.kan_layers())
        for layer, following in zip(layers, [*layers[1:], None], strict=True):
            layer.calibrate_weights()
            here = Codes(*layer.quantizer.scaled(1))
            if following is not None:
                assert isinstance(following.quantizer, ActivationQuantizer)
                following.quantizer.calibrate(layer(u, here, None))
                u = layer(u, here, Codes(*following.quantizer.scaled(1)))
        self.calibrated = True

    @torch.no_grad()
    def histograms(self, x: Tensor) -> list[Tensor]:
        """Return, per layer, how often each input has each code, (I, C), over the rows of `x` (rows, I)."""
        u = self._first(x)
        codes = self.codes()
        result = []
        for layer, here, after in zip(self.kan_layers(), codes, [*codes[1:], None], strict=True):
            result.append(layer.histogram(u))
            u = layer(u, here, after)
        return result

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups: weights with `weight_decay`, steps and offsets without any."""
        quantizers = (TensorQuantizer, ActivationQuantizer)
        scalars = [
            p
            for m in self.modules()
            if isinstance(m, quantizers) and not getattr(m, "decayed", False)
            for p in m.parameters(recurse=False)
        ]
        ids = {id(p) for p in scalars}
        weights = [p for p in self.parameters() if id(p) not in ids]
        return [
            {"params": weights, "weight_decay": weight_decay},
            {"params": scalars, "weight_decay": 0.0},
        ]


def _quantized(source: KANLayer, index: int, settings: QuantizeSettings) -> QuantKANLinear:
    """Return layer number `index` with quantizers."""
    method = METHODS[settings.method]
    bits = settings.activation_bits(index)
    norm = isinstance(source, FastKANLinear | KAGNLinear) and source.layernorm is not None
    product = isinstance(source, PyKANLinear) and source.multiplies
    if settings.implementation == "arith" and isinstance(source, PyKANLinear) and source.functions.n_tables > 1:
        raise ConfigError(
            f"layers_{index} has grids that follow the data, and a basis unit in arithmetic needs a uniform one; set "
            "quantize.implementation to rom"
        )
    wide = norm_input_bits(bits, settings.input if index == 0 else None) if norm else bits
    first = InputQuantizer(wide, settings.input, source.input_range) if index == 0 else None
    quantizer = first or method.activations(wide)
    parts: dict[str, Any] = {
        "base_bits": settings.weight_bits(index)[0],
        "spline_bits": settings.weight_bits(index)[1],
        "basis_bits": settings.basis_bits(index),
        "edge_bits": settings.edge,
        "implementation": Implementation[settings.implementation.upper()],
        "weight_quantizer": method.weights,
        "channels": settings.granularity == "channel",
    }
    if isinstance(source, ConvLayer):
        return QuantKANConv(source, quantizer, **parts)
    if norm:
        assert isinstance(source, FastKANLinear | KAGNLinear)
        kind = QuantNormLinear if isinstance(source, FastKANLinear) else QuantNormedLinear
        return kind(source, quantizer, method.activations(bits), **parts)
    if product:
        assert isinstance(source, PyKANLinear)
        return QuantProductLinear(source, quantizer, product_bits=settings.product, **parts)
    return QuantKANLinear(source, quantizer, **parts)


def quantize_model(model: KAN, settings: QuantizeSettings) -> QuantKAN:
    """Return a copy of a float model, with quantizers; the steps are not set before :meth:`QuantKAN.calibrate`.

    Args:
        model: the float model.
        settings: bits of every quantizer.

    Raises:
        ConfigError: if bits do not combine.
        ModelError: if a weight is NaN or infinite, or a layer has no integer form.
    """
    settings.check_layers(len(model.layers))
    layers: list[QuantKANLinear] = []
    for index, source in enumerate(model.kan_layers()):
        obstacle = source.hardware_obstacle()
        if obstacle is not None:
            raise ModelError(f"layers_{index} cannot be quantized, because {obstacle}")
        for name, parameter in source.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise ModelError(
                    f"layers_{index}.{name} holds NaN or infinity, so it cannot be quantized; train with a lower rate"
                )
        layers.append(_quantized(source, index, settings))
    return QuantKAN(layers, settings).to(layers[0].base_weight.device)
