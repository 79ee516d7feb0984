"""A chain of table layers behind an input quantizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError, DataError
from pymodel.fabric._input import BinaryInput
from pymodel.fabric._layer import TableLayer
from pymodel.ir import MAX_TABLE_BITS
from pymodel.quant import InputQuantizer
from pymodel.settings import ModelSettings, QuantizeSettings

__all__ = ["TableKAN", "make_table_kan"]

_BETAS = (0.9, 0.99)


class TableKAN(nn.Module):
    """Features to codes, codes through table layers to scores.

    Args:
        source: of the first codes.
        layers: the layers; each emits the codes that the next one reads.

    Attributes:
        widths: features, hidden nodes, outputs.
    """

    def __init__(self, source: InputQuantizer | BinaryInput, layers: Sequence[TableLayer]) -> None:
        super().__init__()
        self.source = source
        self.layers = nn.Sequential(*layers)
        self.widths = (layers[0].in_features, *(layer.out_features for layer in layers))

    def kan_layers(self) -> Iterator[TableLayer]:
        """Yield the layers in order."""
        for layer in self.layers:
            assert isinstance(layer, TableLayer)
            yield layer

    def codes(self, x: Tensor) -> Tensor:
        """Return the first layer's codes (…, I) for prepared features (…, I)."""
        return self.source.codes(x).to(next(self.kan_layers()).weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the real scores (…, N) for prepared features (…, I).

        Raises:
            DataError: if the last dimension is not I.
        """
        if x.shape[-1:] != (self.widths[0],):
            raise DataError(f"inputs of {self.widths[0]} features were expected, not a shape of {tuple(x.shape)}")
        u = self.codes(x.reshape(-1, self.widths[0]))
        for layer in self.kan_layers():
            u = layer(u)
        return u.reshape(*x.shape[:-1], u.shape[-1])

    @torch.no_grad()
    def shares(self, x: Tensor) -> list[Tensor]:
        """Return, per layer, how often each input has each code, (I, C), over the rows of `x`, in eval mode."""
        was_training = self.training
        self.eval()
        u = self.codes(x)
        found = []
        for layer in self.kan_layers():
            found.append(torch.stack([(u == c).to(u.dtype).mean(0) for c in range(layer.n_codes)], dim=1))
            u = layer(u)
        self.train(was_training)
        return found

    def start_quantized(self) -> None:
        """Round every table's entries from now on."""
        for layer in self.kan_layers():
            layer.start_quantized()

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups: functions with `weight_decay`, gains, biases and steps without any."""
        weights = [layer.weight for layer in self.kan_layers()]
        ids = {id(p) for p in weights}
        others = [p for p in self.parameters() if id(p) not in ids]
        return [
            {"params": weights, "weight_decay": weight_decay, "betas": _BETAS},
            {"params": others, "weight_decay": 0.0, "betas": _BETAS},
        ]


def make_table_kan(model: ModelSettings, quantize: QuantizeSettings, *, binary: bool) -> TableKAN:
    """Return an untrained model.

    Args:
        model: widths, grid, range and `fan_in`.
        quantize: bits of codes and entries, per layer.
        binary: whether the host has put a threshold in front of one-bit inputs.

    Raises:
        ConfigError: if codes are too wide for tables, or the first layer's are not one bit although `binary`.
    """
    n = len(model.widths) - 1
    bits = [quantize.activation_bits(layer) for layer in range(n)]
    source: InputQuantizer | BinaryInput
    if binary:
        if bits[0] != 1:
            raise ConfigError(
                f"data.threshold makes inputs of one bit, but the first layer's codes have {bits[0]}; set "
                "quantize.first_activations to 1 or remove the threshold"
            )
        source = BinaryInput()
    else:
        source = InputQuantizer(bits[0], quantize.input, model.range)
    if max(bits) > MAX_TABLE_BITS:
        raise ConfigError(f"tables hold codes of at most {MAX_TABLE_BITS} bits, not {max(bits)}; lower them")
    layers = [
        TableLayer(
            inputs,
            outputs,
            bits=bits[k],
            edge_bits=quantize.edge_bits(k),
            out_bits=bits[k + 1] if k + 1 < n else None,
            grid=model.grid,
            fan_in=model.layer_fan_in(k),
        )
        for k, (inputs, outputs) in enumerate(pairwise(model.widths))
    ]
    return TableKAN(source, layers)
