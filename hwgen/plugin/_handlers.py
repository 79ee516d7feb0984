"""hls4ml's torch front end: how a frozen KAN layer becomes a layer of the graph."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any

from hls4ml.converters import register_pytorch_layer_handler
from hls4ml.converters.pytorch_to_hls import PyTorchModelReader, get_supported_pytorch_layers
from hls4ml.utils.torch import CustomFXTracer
from torch import nn
from torch.fx import map_arg

from hwgen.plugin._images import output_shape, read_as_images
from hwgen.plugin._layer import IMAGES, INPUT_SHAPE, LAYER, ir_name
from hwgen.plugin._profile import profile_doubles
from hwgen.plugin._stock import check_indexing
from pymodel.errors import ModelError
from pymodel.layers import (
    FrozenKAN,
    FrozenKANConv,
    FrozenKANLinear,
    FrozenLayer,
    FrozenNorm,
    FrozenPool,
    FrozenProduct,
)

__all__ = ["register_torch_handlers"]

#: How hls4ml's reader sees :class:`~pymodel.layers.FrozenKANConv`.
_CONV_NAME = "FrozenKANWindows"


def _frozen_layer(
    operation: str,
    layer_name: str,
    input_names: list[str],
    input_shapes: list[list[int | None]],
    node: Any,
    module: FrozenLayer,
    reader: Any,
    config: Any,
) -> tuple[dict[str, Any], list[int | None]]:
    """Return hls4ml's description of a :class:`~pymodel.layers.FrozenLayer` and its output shape."""
    del operation, node, reader
    ir_node = module.ir_node(ir_name(layer_name), ir_name(input_names[0]))
    layer = {
        "class_name": LAYER,
        "name": layer_name,
        "inputs": input_names,
        "n_in": module.in_features,
        "n_out": module.out_features,
        "kan_node": ir_node,
        "kan_in_type": module.in_type,
    }
    shape = output_shape(module, input_shapes[0], images=bool(config.get(IMAGES)))
    if len(shape) > 2:
        layer["kan_out_shape"] = shape[1:]
    return layer, shape


def _check_frozen(model: nn.Module) -> None:
    """Refuse layers of ours that still compute with floats."""
    for name, module in model.named_modules():
        if type(module).__module__.startswith("pymodel.") and not isinstance(module, FrozenKAN | FrozenLayer):
            raise ModelError(
                f"{name or 'model'} is a trainable {type(module).__name__}, which has no integers to build hardware from; "
                "freeze the model (pymodel.quant.freeze) and convert the frozen one"
            )


def _keep_whole() -> None:
    """Let hls4ml's tracer treat kan4ml's layers as one operation, as it does with torch's own layers."""
    original = CustomFXTracer.is_leaf_module

    def is_leaf_module(self: Any, m: Any, module_qualified_name: str) -> bool:
        ours = type(m).__module__.startswith("pymodel.") and not isinstance(m, FrozenKAN)
        return isinstance(m, FrozenLayer) or ours or bool(original(self, m, module_qualified_name))

    CustomFXTracer.is_leaf_module = is_leaf_module


def _inferred_shape(model: Any) -> tuple[int, ...] | None:
    """Return the input shape of a model whose only input is read by a KAN layer first, or None."""
    for node in CustomFXTracer().trace(model).nodes:
        if node.op == "placeholder":
            for user in node.users:
                module = model.get_submodule(user.target) if user.op == "call_module" else None
                if isinstance(module, FrozenLayer):
                    return (module.in_features,)
    return None


def _prepare_reader() -> None:
    """Look at the model before hls4ml traces it.

    An unfrozen network is refused in our words, and a model is converted without an `InputShape` in `hls_config`:
    `input_shape=…`, or what the first KAN layer reads.
    """
    original = PyTorchModelReader.__init__

    def __init__(self: Any, config: dict[str, Any]) -> None:  # noqa: N807 - replaces a method of that name
        model = config["PytorchModel"]
        if isinstance(model, nn.Module):  # or the path of one, which hls4ml loads
            _check_frozen(model)
        if config.get("InputShape") is None:
            config["InputShape"] = config.get(INPUT_SHAPE) or _inferred_shape(model)
        read_as_images(config)
        original(self, config)

    PyTorchModelReader.__init__ = __init__


def _outputs_in_order(model: Any, layers: list[str], found: list[str]) -> list[str]:
    """Return the layers whose values `model` returns, in its order.

    hls4ml takes every layer that no other reads, in the order of the calls.

    Args:
        model: the torch model.
        layers: names of all layers that hls4ml builds.
        found: what hls4ml takes for the outputs.

    Raises:
        ModelError: if hls4ml cannot build these outputs: it would leave some out without a word.
    """
    returned: list[str] = []

    def add(node: Any) -> Any:
        while node.name not in layers and node.args:  # hls4ml leaves out what does nothing, as nn.Dropout
            node = node.args[0]
        returned.append(node.name)
        return node

    for node in CustomFXTracer().trace(model).nodes:
        if node.op == "output":
            map_arg(node.args, add)
    wrong = sorted(set(returned) ^ set(found))
    if wrong or len(set(returned)) != len(returned):
        raise ModelError(
            "every output of the model must be another layer's value that no layer reads, and nothing else may be left "
            f"unread, which is not so for {', '.join(wrong or returned)}; change what forward returns"
        )
    return returned


@contextlib.contextmanager
def _without_conv_in_names() -> Iterator[None]:
    """Let hls4ml's reader, which knows classes by their names, see convolutions under another one.

    It asks every module whose class's name has `Conv` in it for `padding_mode`, and for `groups` that equals 1.
    """
    FrozenKANConv.__name__ = _CONV_NAME
    try:
        yield
    finally:
        FrozenKANConv.__name__ = "FrozenKANConv"


def _check_outputs() -> None:
    """Let models with KAN layers have the outputs that they return, or refuse them, and what hls4ml ignores."""
    module = importlib.import_module(PyTorchModelReader.__module__)  # hls4ml.converters has a function of that name
    original = module.parse_pytorch_model

    @functools.wraps(original)
    def parse_pytorch_model(config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        with _without_conv_in_names():
            layers, inputs, outputs = original(config, *args, **kwargs)
        if any(layer["class_name"] == LAYER for layer in layers):
            check_indexing(config["PytorchModel"])
            profile_doubles()
            outputs = _outputs_in_order(config["PytorchModel"], [layer["name"] for layer in layers], outputs)
        return layers, inputs, outputs

    module.parse_pytorch_model = parse_pytorch_model  # type: ignore[attr-defined]


def _check_linear() -> None:
    """Refuse `nn.Linear` on an image in models with KAN layers: torch multiplies its rows, hls4ml its channels."""
    handlers = importlib.import_module(PyTorchModelReader.__module__).layer_handlers
    original = handlers["Linear"]

    @functools.wraps(original)
    def parse_linear_layer(
        operation: str,
        layer_name: str,
        input_names: list[str],
        input_shapes: list[list[int | None]],
        node: Any,
        module: Any,
        reader: Any,
        config: Any,
    ) -> Any:
        order = config.get("HLSConfig", {}).get("Model", {}).get("ChannelsLastConversion", "off")
        if len(input_shapes[0]) > 2 and order != "off" and not config.get(IMAGES):
            model = config["PytorchModel"]
            if any(isinstance(inner, FrozenLayer) for inner in model.modules()):
                raise ModelError(
                    f"layer {layer_name} is an nn.Linear on a tensor of shape {tuple(input_shapes[0][1:])}, whose last axis "
                    "torch multiplies, but hls4ml its channels; put nn.Flatten before it"
                )
        return original(operation, layer_name, input_names, input_shapes, node, module, reader, config)

    handlers["Linear"] = parse_linear_layer


def register_torch_handlers() -> None:
    """Register the handlers, once."""
    name = FrozenKANLinear.__name__
    if name not in get_supported_pytorch_layers():
        names = [frozen.__name__ for frozen in (FrozenKANLinear, FrozenProduct, FrozenNorm, FrozenPool)]
        for frozen in (*names, _CONV_NAME):
            register_pytorch_layer_handler(frozen, _frozen_layer)
        _keep_whole()
        _prepare_reader()
        _check_outputs()
        _check_linear()
