"""Models of images for tests of the plugin: one layer per geometry side by side, and a chain with stock layers between."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hls4ml.converters import convert_from_pytorch_model
from torch import fx, nn

from pymodel.ir import ConvGeometry, FixedPoint, KanConv, Pool, PoolKind
from pymodel.layers import FrozenKANConv, FrozenKANLinear, FrozenPool, frozen_layer
from tests.spatial import GEOMETRIES, random_conv, random_pool
from tests.strategies import BASES, _kan_linear

__all__ = ["IN", "SIDE_BY_SIDE", "chain", "convert_images", "image_shape", "side_by_side"]

IN = FixedPoint(5, 2, signed=True)
CODES = FixedPoint(4, 4, signed=False)

Node = KanConv | Pool


def _side_by_side() -> dict[str, Node]:
    """Every geometry with a basis unit or edge tables, every basis unit, pools of both kinds."""
    rng = np.random.default_rng(7)
    result: dict[str, Node] = {}
    bases = list(BASES)
    for index, (name, geometry) in enumerate(GEOMETRIES.items()):
        key = name.replace(" ", "_").replace("1x1", "small").replace("3x3", "three").replace("7x7", "large")
        basis = bases[index % len(bases)]
        if geometry.groups > 1 and "per_input" in basis:
            basis = bases[0]
        for form in ("kan", "table"):
            if (form == "table") == (index % 3 == 2):
                result[f"{form}_{key}"] = random_conv(
                    rng, "layer", "x", IN, CODES, geometry, 2, table=form == "table", basis=basis
                )
    for basis in bases:  # those that no geometry has got
        geometry = ConvGeometry(3, 3, 2, 2, 2, padding_top=1, groups=1)
        result[f"basis_{basis}"] = random_conv(rng, "layer", "x", IN, CODES, geometry, 2, basis=basis)
    for key in ("uneven padding", "conv1d"):
        geometry = replace(GEOMETRIES[key], groups=1)
        result[f"max_{key.split()[0]}"] = random_pool(rng, "layer", "x", IN, geometry, PoolKind.MAX)
    for key in ("stride 2", "prime"):
        geometry = GEOMETRIES[key]
        result[f"average_{key.split()[0]}"] = random_pool(rng, "layer", "x", IN, geometry, PoolKind.AVERAGE)
    return result


#: Name of the layer to its node.
SIDE_BY_SIDE = _side_by_side()


def image_shape(node: Node) -> tuple[int, ...]:
    """Return torch's shape of the node's input, without the batch: a line where the image has height 1."""
    g = node.geometry
    return (g.channels, g.width) if g.height == 1 else (g.channels, g.height, g.width)


def side_by_side(nodes: Mapping[str, Node]) -> fx.GraphModule:
    """Return a model with an input `x_NAME` and an output for every node."""
    root = nn.ModuleDict({name: frozen_layer(node, IN) for name, node in nodes.items()})
    graph = fx.Graph()
    inputs = {name: graph.placeholder(f"x_{name}") for name in nodes}
    graph.output(tuple(graph.call_module(name, (inputs[name],)) for name in nodes))
    return fx.GraphModule(root, graph)


def convert_images(
    model: nn.Module, folder: Path, shapes: list[tuple[int, ...]], io_type: str, conversion: str, **options: Any
) -> Any:
    """Return the hls4ml model of images, channels first in torch."""
    config = {
        "Model": {
            "Precision": "ap_fixed<24,12>",
            "ReuseFactor": 1,
            "Strategy": "Latency",
            "ChannelsLastConversion": conversion,
        }
        | options.pop("Model", {}),
        "InputShape": shapes if len(shapes) > 1 else shapes[0],
        **options,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        return convert_from_pytorch_model(
            model, backend="VitisKAN", output_dir=str(folder), io_type=io_type, hls_config=config
        )


def _dyadic(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Return the layer with weights that few bits hold."""
    for tensor in (layer.weight, layer.bias):
        assert tensor is not None
        tensor.data = torch.round(tensor.data * 8) / 8
    return layer


class Chain(nn.Module):
    """Stock and KAN layers of images in turn, flattened at the end; `x` is (rows, 2, 7, 6)."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(3)
        first = random_conv(rng, "a", "x", IN, CODES, ConvGeometry(7, 6, 3, 3, 3, padding_top=1, padding_left=1), 2)
        pool = random_pool(rng, "b", "x", CODES, ConvGeometry(6, 5, 2, 2, 2, 1, 2), PoolKind.MAX)
        second = random_conv(rng, "c", "x", CODES, CODES, ConvGeometry(2, 1, 2, 1, 1), 3, table=True)
        X = rng.integers(0, 16, size=(64, 6), dtype=np.int64)
        last = _kan_linear(rng, "d", "x", CODES, X, CODES, 2, 4, None)
        self.conv = _dyadic(nn.Conv2d(2, 3, 3, padding=1))
        self.relu, self.kan = nn.ReLU(), FrozenKANConv(first, IN)
        self.pool, self.stock_pool = FrozenPool(pool, CODES), nn.MaxPool2d(2)
        self.tables, self.flatten = FrozenKANConv(second, CODES), nn.Flatten()
        self.dense, self.head = FrozenKANLinear(last, CODES), _dyadic(nn.Linear(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.kan(self.relu(self.conv(x))))
        return self.head(self.dense(self.flatten(self.tables(self.stock_pool(x)))))  # type: ignore[no-any-return]


def chain() -> nn.Module:
    """Return :class:`Chain`, the same at every call, in float64."""
    torch.manual_seed(0)
    return Chain().eval().double()
