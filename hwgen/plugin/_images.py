"""Images in hls4ml's graph: channels first as torch has them, channels last as the kernels read them.

Frozen convolutions and pools take torch's images, (channels, height, width), or flat rows, channels last, as a
`FrozenKAN` does. hls4ml turns images to channels last itself (`ChannelsLastConversion`); flat rows are channels last
already. Arrays of both are the same to a kernel; a stream has a beat per pixel, so a flat model is built there as one of
images, whose rows come channels last.
"""

from __future__ import annotations

import math
from typing import Any

from hls4ml.utils.torch import CustomFXTracer

from hwgen.plugin._layer import IMAGES, KanLayer
from hwgen.plugin._node import SPATIAL
from pymodel.errors import ConfigError, ModelError
from pymodel.layers import FrozenKANConv, FrozenLayer, FrozenPool

__all__ = ["check_images", "output_shape", "read_as_images"]

_Shape = list[int | None]


def output_shape(module: FrozenLayer, shape: _Shape, *, images: bool) -> _Shape:
    """Return the shape of a layer's output, channels first, with the batch.

    Args:
        module: the layer.
        shape: of its input, likewise.
        images: whether a flat model is built as one of images, so that a dense layer reads an image.
    """
    if isinstance(module, FrozenKANConv | FrozenPool) and len(shape) > 2:
        g = module.geometry
        return [shape[0], module.out_channels, *([g.out_height] if len(shape) > 3 else []), g.out_width]
    if images and len(shape) > 2 and math.prod(n or 0 for n in shape[1:]) == module.in_features:
        return [shape[0], module.out_features]
    return [*shape[:-1], module.out_features]


def _first_image(model: Any) -> tuple[int, ...] | None:
    """Return the shape of the image that the only input of `model` is to all layers that read it, or None."""
    shapes: set[tuple[int, ...] | None] = set()
    for node in CustomFXTracer().trace(model).nodes:
        if node.op == "placeholder":
            for user in node.users:
                module = model.get_submodule(user.target) if user.op == "call_module" else None
                if isinstance(module, FrozenKANConv | FrozenPool):
                    g = module.geometry
                    shapes.add((g.channels, g.height, g.width))
                else:
                    shapes.add(None)
    return shapes.pop() if len(shapes) == 1 else None


def read_as_images(config: dict[str, Any]) -> None:
    """Let a flat model that begins with an image be one of images, where it is built with streams.

    Args:
        config: hls4ml's, of a conversion that begins; its `InputShape` is known.
    """
    model_config = config.get("HLSConfig", {}).get("Model")
    if model_config is None:
        return
    shape = config.get("InputShape")
    if config.get("IOType") == "io_stream" and isinstance(shape, tuple) and len(shape) == 1:
        image = _first_image(config["PytorchModel"])
        if image is not None and shape == (math.prod(image),):
            config["InputShape"] = image
            config[IMAGES] = True
            model_config = {**model_config, "ChannelsLastConversion": "internal", "TransposeOutputs": False}
    # hls4ml reads this key without a default.
    config["HLSConfig"]["Model"] = {"TransposeOutputs": False, **model_config}


def check_images(model: Any) -> None:
    """Check that every image lies channels last where a kernel reads it.

    Args:
        model: the hls4ml graph, optimized.

    Raises:
        ConfigError: if hls4ml was told to leave images channels first.
        ModelError: if another layer reads the image of a flat model as if it were a tensor.
    """
    for layer in model.get_layers():
        if not isinstance(layer, KanLayer):
            if model.config.get_config_value(IMAGES):
                _check_reader(model, layer)
            continue
        if not isinstance(layer.node, SPATIAL) or len(layer.get_input_variable().shape) == 1:
            continue
        if not getattr(layer, "channels_last_converted", False):
            raise ConfigError(
                f"layer {layer.name} reads images channels last, but ChannelsLastConversion is off; set it to full or "
                "internal in hls_config['Model']"
            )


def _check_reader(model: Any, layer: Any) -> None:
    for name in layer.inputs:
        source = model.output_vars.get(name)
        producer = next((other for other in model.get_layers() if name in other.outputs), None)
        if source is not None and len(source.shape) > 1 and isinstance(producer, KanLayer):
            image = tuple(int(n) for n in source.shape)
            raise ModelError(
                f"layer {layer.name} reads the {image} image of layer {producer.name}, but the rows of this model are flat; "
                "convert it with io_parallel, or give it torch's images (input_shape of three numbers)"
            )
