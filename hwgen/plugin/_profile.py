"""What hls4ml's profiling needs of models with KAN layers: constants as weights, and activations in float64."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from hls4ml.model.types import IntegerPrecisionType, NamedType
from torch import nn

from hwgen.plugin._node import LayerNode
from hwgen.plugin._patch import patch_of
from pymodel.ir import EdgeTable, IntArray, KanConv, Norm, Pool, Product, signed_width

__all__ = ["Constants", "constants", "profile_doubles"]


@dataclass(frozen=True)
class Constants:
    """What `hls4ml.model.profiling` reads of a weight.

    Attributes:
        name: for the reader.
        data: integers as float64, any shape.
        type: `type.precision` is the narrowest signed type of the integers.
        storage: never `bram`: hls4ml writes nothing of these.
    """

    name: str
    data: Any
    type: Any
    storage: str = "register"


def _of(name: str, values: IntArray) -> Constants:
    width = signed_width(int(values.min()), int(values.max()))
    return Constants(name, values.astype(float), NamedType(name, IntegerPrecisionType(width=width, signed=True)))


def constants(node: LayerNode) -> list[Constants]:
    """Return spline weights (or edge tables) and biases; profiling knows at most two weights per layer, `w` and `b`."""
    if isinstance(node, EdgeTable):
        return [_of("tables", node.tables), _of("bias", node.bias)]
    if isinstance(node, Product):
        return [_of("mult", node.mult), _of("bias", node.bias)]
    if isinstance(node, Norm):
        return [_of("gamma", node.gamma), _of("beta", node.beta)]
    if isinstance(node, Pool):
        return []
    if isinstance(node, KanConv):
        patch = patch_of(node)
        weights = patch.tables if node.basis is None else patch.weights
        return [_of("tables" if node.basis is None else "spline_weights", weights), _of("bias", patch.bias)]
    return [_of("spline_weights", node.spline.weights), _of("bias", node.rescale.bias)]


class _Doubles:
    """The layers of a model, the first of which converts its input to float64, under the names that they had."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def children(self) -> Iterator[nn.Module]:
        """Yield the layers, as `nn.Module.children` does."""
        for index, layer in enumerate(self._model.children()):
            if index > 0:
                yield layer
                continue
            first = type(type(layer).__name__, (_First,), {})(layer)
            yield first


class _First(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(x.double())


def profile_doubles() -> None:
    """Let `hls4ml.model.profiling`, if it is imported, run float64 models in float64; idempotent.

    hls4ml makes float32 of the data, which stock layers of a float64 model refuse; a model that mixes them with KAN
    layers is float64, because frozen layers give float64. Called whenever a model with KAN layers is converted, which
    `numerical` does before it looks at activations.
    """
    module: Any = sys.modules.get("hls4ml.model.profiling")
    if module is None or hasattr(module.activations_torch, "__wrapped__"):
        return
    original = module.activations_torch

    @functools.wraps(original)
    def activations_torch(model: Any, *args: Any, **kwargs: Any) -> Any:
        doubles = any(p.dtype is torch.float64 for p in model.parameters())
        return original(_Doubles(model) if doubles else model, *args, **kwargs)

    module.activations_torch = activations_torch
