"""Where and how a model computes while it trains: device, number format, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pymodel.errors import ConfigError
from pymodel.layers import KAN

__all__ = ["Engine"]


@dataclass(frozen=True)
class Engine:
    """How forward passes run.

    Attributes:
        device: `cpu` or `cuda`.
        precision: `float32`, or `bfloat16` for products of float networks (autocast; weights stay float32). Networks with
            quantizers compute integers, which 8 bits of mantissa cannot hold: they stay in float32.
        compiled: pass float networks through `torch.compile`. Those with quantizers are not: their steps become Python
            numbers (multipliers, tables) that change with every batch.

    Raises:
        ConfigError: if there is no such device.
    """

    device: str = "cpu"
    precision: str = "float32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("train.device is cuda, but torch finds no CUDA device; set it to cpu")

    @property
    def place(self) -> torch.device:
        """The device; of several GPUs the current one."""
        return torch.device(self.device)

    def forward(self, model: nn.Module, wrap: Callable[[nn.Module], nn.Module]) -> Callable[[Tensor], Tensor]:
        """Return what computes `model(x)` in training; outputs are float32.

        Args:
            model: the model.
            wrap: makes it parallel.
        """
        plain = isinstance(model, KAN)
        callable_: Callable[[Tensor], Tensor] = wrap(model)
        if plain and self.compiled:
            callable_ = torch.compile(callable_)
        if not plain or self.precision == "float32":
            return callable_

        def cast(x: Tensor) -> Tensor:
            with torch.autocast(self.device, dtype=torch.bfloat16):
                y = callable_(x)
            return y.float()

        return cast
