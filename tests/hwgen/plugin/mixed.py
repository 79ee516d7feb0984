"""Models that mix KAN layers with hls4ml's own, and the same models without their KAN layers."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hls4ml.converters import convert_from_pytorch_model
from hls4ml.utils import config_from_pytorch_model
from hls4ml.utils.torch import CustomFXTracer
from torch import fx, nn

from hwgen.plugin._layer import generic_host
from pymodel.ir import FixedPoint, IntArray
from pymodel.layers import EfficientKAN, FrozenKAN, FrozenKANLinear
from pymodel.quant import freeze, quantize_model
from pymodel.settings import QuantizeSettings
from tests.strategies import random_ir

__all__ = ["MIXED", "Mixed", "config_text", "convert", "kan_nodes", "rounded", "stock_only"]

Shape = tuple[int, ...]


def kan(*widths: int, seed: int = 0) -> FrozenKAN:
    """A quantized KAN of `widths`, B-splines and SiLU, W4A4."""
    torch.manual_seed(seed)
    model = quantize_model(EfficientKAN(widths, grid=3, order=2, range=(-2.0, 2.0)), QuantizeSettings())
    model.calibrate(torch.randn(256, widths[0]))
    return freeze(model, name="kan", host=generic_host(widths[0]))


def wild(*widths: int, bases: tuple[str, ...] | None = None) -> FrozenKAN:
    """A KAN of random integers, of other bases too, whose input type spans a few units on both sides of zero."""
    for seed in range(1000):
        ir = random_ir(seed, widths=widths, in_bits=7, edge_tables=0.3, bases=bases)
        if ir.input.out_type.signed and ir.input.out_type.integer in (2, 3):
            return FrozenKAN.from_ir(ir)
    raise AssertionError("no such program")


def batch_norm(n: int) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(n)
    for tensor, low, high in (
        (layer.running_mean, -1.0, 1.0), (layer.running_var, 0.5, 2.0), (layer.weight, 0.5, 1.5), (layer.bias, -0.5, 0.5)
    ):  # fmt: skip
        assert tensor is not None
        nn.init.uniform_(tensor, low, high)
    return layer


class Residual(nn.Module):
    """A KAN layer around which the input is added, and a second one around a KAN that reads the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.a, self.b, self.head = nn.Linear(5, 4), kan(4, 4), kan(4, 4, 4, seed=1), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        h = self.a(h) + h
        return self.head(self.b(h) + h)  # type: ignore[no-any-return]


class AroundTheInput(nn.Module):
    """KAN and Dense both read the input, so its type is the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.kan, self.fc = kan(4, 3), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.kan(x) + self.fc(x)  # type: ignore[no-any-return]


class Concatenate(nn.Module):
    """A KAN layer reads two KANs and a Dense side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc, self.c = kan(4, 3), wild(4, 2), nn.Linear(4, 2), kan(7, 2, seed=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.cat([torch.cat([self.a(x), self.fc(x)], dim=1), self.b(x)], dim=1))  # type: ignore[no-any-return]


class Outputs(nn.Module):
    """Two outputs, of a Dense and of a KAN, returned in another order than they are computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.a, self.b, self.head = nn.Linear(4, 3), kan(3, 3), kan(3, 2, seed=1), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.a(torch.relu(self.fc(x)))
        b = self.b(h)
        return self.head(h), b


class Inputs(nn.Module):
    """Two inputs of one type, each read by a KAN layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = kan(3, 3), kan(3, 3, seed=1), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.head(self.a(x) + self.b(z))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Mixed:
    """A model to build, the shapes of its inputs in torch (without the batch), and what the configuration changes."""

    build: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def model(self) -> nn.Module:
        """Return the model, the same at every call."""
        torch.manual_seed(0)
        return self.build().eval().double()


def chain(*layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*(layer() for layer in layers))


def linear(n_in: int, n_out: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(n_in, n_out)


MIXED: dict[str, Mixed] = {
    "dense_relu_kan_kan_dense": Mixed(
        chain(linear(4, 3), nn.ReLU, lambda: kan(3, 3, 2), linear(2, 3)),
        ((4,),),
        {"_2_layers_0": {"Strategy": "EdgeTable"}, "_2_layers_1": {"ReuseFactor": 3}},
    ),
    "kan_relu_kan": Mixed(chain(lambda: kan(4, 3), nn.ReLU, lambda: kan(3, 2)), ((4,),)),
    "bn_kan_bn_dense": Mixed(
        chain(lambda: batch_norm(4), lambda: kan(4, 3), lambda: batch_norm(3), linear(3, 2)), ((4,),)
    ),
    "dense_bn_relu_kan_softmax": Mixed(
        chain(linear(5, 4), lambda: batch_norm(4), nn.ReLU, lambda: wild(4, 3), lambda: nn.Softmax(dim=1)), ((5,),)
    ),
    "conv2d_relu_pool_flatten_kan_dense": Mixed(
        chain(
            lambda: nn.Conv2d(2, 3, 3), nn.ReLU, lambda: nn.MaxPool2d(2), nn.Flatten, lambda: kan(12, 3), linear(3, 2)
        ),
        ((2, 6, 6),),
    ),
    "conv1d_flatten_kan": Mixed(chain(lambda: nn.Conv1d(2, 2, 3), nn.Flatten, lambda: kan(8, 3)), ((2, 6),)),
    "sigmoid_kan_tanh_kan": Mixed(
        chain(linear(4, 3), nn.Sigmoid, lambda: kan(3, 2), nn.Tanh, lambda: wild(2, 2, bases=("rbf_rom",))), ((4,),)
    ),
    "kan_leaky_dense_prelu": Mixed(
        chain(lambda: wild(5, 3, 1), nn.LeakyReLU, linear(1, 7), lambda: nn.PReLU(7), lambda: kan(7, 1)), ((5,),)
    ),
    "residual": Mixed(Residual, ((5,),), {"a_layers_0": {"Strategy": "EdgeTable", "ReuseFactor": 2}}),
    "around_the_input": Mixed(AroundTheInput, ((4,),)),
    "concatenate": Mixed(Concatenate, ((4,),)),
    "outputs": Mixed(Outputs, ((4,),)),
    "inputs": Mixed(Inputs, ((3,), (3,))),
}


def configuration(model: nn.Module, shapes: tuple[Shape, ...], backend: str) -> dict[str, Any]:
    config: dict[str, Any] = config_from_pytorch_model(
        model, list(shapes) if len(shapes) > 1 else shapes[0], granularity="name", backend=backend
    )
    return config


def convert(case: Mixed, folder: Path, io_type: str = "io_parallel") -> tuple[nn.Module, Any]:
    """Return the torch model and its hls4ml model, converted as a user would."""
    model = case.model()
    with contextlib.redirect_stdout(io.StringIO()):
        config = configuration(model, case.shapes, "VitisKAN")
        for name, change in case.overrides.items():
            config["LayerName"][name].update(change)
        result = convert_from_pytorch_model(
            model, backend="VitisKAN", output_dir=str(folder), hls_config=config, io_type=io_type
        )
    return model, result


def kan_nodes(model: nn.Module) -> Iterator[tuple[fx.Node, FrozenKANLinear]]:
    """Yield the KAN layers of the traced model, in order."""
    for node in CustomFXTracer().trace(model).nodes:
        module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, FrozenKANLinear):
            yield node, module


def config_text(kind: FixedPoint) -> str:
    sign = "" if kind.signed else "u"
    return f"{sign}fixed<{kind.width},{kind.integer},RND,SAT>"


def rounded(kind: FixedPoint, x: Any) -> IntArray:
    """Return what AP_RND, AP_SAT make of numbers: half up, then clip."""
    return np.clip(np.floor(np.ldexp(x, kind.frac) + 0.5), kind.min_int, kind.max_int).astype(np.int64)


def stock_only(
    cases: Mapping[str, nn.Module], shapes: Mapping[str, tuple[Shape, ...]]
) -> tuple[fx.GraphModule, list[tuple[str, str, Shape, FixedPoint | None]], list[tuple[str, str]]]:
    """Return one model of everything in `cases` but the KAN layers: plain hls4ml can build that.

    A KAN layer becomes an input of the model, and what it reads becomes an output, so plain hls4ml can build the rest.

    Returns:
        The model; per input the case, the name of the input or KAN layer, the shape, and the KAN layer's type; per output
        the case and the KAN layer that reads it, or `output N`.
    """
    root = nn.ModuleDict(cases)
    graph = fx.Graph()
    inputs: list[tuple[str, str, Shape, FixedPoint | None]] = []
    outputs: list[tuple[str, str]] = []
    values: list[fx.Node] = []
    traced = {case: CustomFXTracer().trace(model) for case, model in cases.items()}
    copies: dict[fx.Node, fx.Node] = {}
    layers = {(case, node.name): module for case, model in cases.items() for node, module in kan_nodes(model)}

    def copy(case: str, node: fx.Node) -> fx.Node:
        result = graph.node_copy(node, lambda n: copies[n])
        if node.op == "call_module":
            result.target = f"{case}.{node.target}"
        return result

    for case, old in traced.items():
        left = list(shapes[case])
        for node in old.nodes:
            module = layers.get((case, node.name))
            users = [user for user in node.users if (case, user.name) not in layers and user.op != "output"]
            if node.op == "placeholder":
                inputs.append((case, node.name, left.pop(0), None))
            elif module is not None:
                inputs.append((case, node.name, (module.out_features,), module.out_type))
            else:
                continue
            if users:
                copies[node] = graph.placeholder(f"{case}_{node.name}")
            else:
                inputs.pop()
    for case, old in traced.items():
        for node in old.nodes:
            if node in copies or (case, node.name) in layers or node.op == "placeholder":
                continue
            if node.op == "output":
                results = node.args[0] if isinstance(node.args[0], tuple | list) else (node.args[0],)
                readers = [(f"output {index}", result) for index, result in enumerate(results)]
                readers += [(user.name, user.args[0]) for user in old.nodes if (case, user.name) in layers]
                for reader, source in readers:
                    if source in copies and copies[source].op != "placeholder":
                        outputs.append((case, reader))
                        values.append(copy(case, source))  # again: hls4ml's outputs are what no layer reads
                continue
            copies[node] = copy(case, node)
    graph.output(tuple(values))
    result = fx.GraphModule(root, graph)
    result.graph.eliminate_dead_code()
    result.recompile()
    return result, inputs, outputs
