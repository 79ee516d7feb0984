"""The optimizer pass that knows the whole graph: input types, conversions between layers, and the program's IR."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

from hls4ml.model.layers import Input, Transpose
from hls4ml.model.optimizer import ModelOptimizerPass
from hls4ml.model.types import NamedType

from hwgen.plugin._cpp import check_project_name, is_reserved
from hwgen.plugin._images import check_images
from hwgen.plugin._layer import KanLayer, generic_host, ir_name
from hwgen.plugin._pipeline import forbid_top_pipeline
from hwgen.plugin._precision import check_override, same_values, to_hls4ml
from hwgen.plugin._stock import check_graph
from pymodel.errors import ModelError
from pymodel.ir import HostSpec, KanIR, Node, Quantize

__all__ = ["ConnectKanLayers", "SetStamp", "kan_layers"]


def kan_layers(model: Any) -> list[KanLayer]:
    """Return the KAN layers of an hls4ml model, in order."""
    return [layer for layer in model.get_layers() if isinstance(layer, KanLayer)]


def _consumers(model: Any, source: Any) -> list[Any]:
    return [layer for layer in model.get_layers() if any(out in layer.inputs for out in source.outputs)]


def _set_input_type(model: Any, source: Any) -> None:
    """Give an input that only KAN layers read their input type, so that the interface converts as the IR says."""
    readers = _consumers(model, source)
    turned = [reader for reader in readers if isinstance(reader, Transpose)]
    if len(turned) == len(readers):  # hls4ml turns images to channels last, which changes no number
        readers = [reader for transpose in turned for reader in _consumers(model, transpose)]
    if not readers or not all(isinstance(reader, KanLayer) for reader in readers):
        return
    kind = readers[0].in_type
    if any(reader.in_type != kind for reader in readers):
        return
    check_override(model.config, source.name, source.class_name, kind, "type")
    for layer in (source, *turned):
        layer.get_output_variable().type.precision = to_hls4ml(kind)


def _connect(layer: KanLayer) -> None:
    """Declare the conversion to the layer's input type, unless the layer before gives just its integers."""
    if same_values(layer.get_input_variable().type.precision, layer.in_type):
        return
    layer.set_attr("kan_cast_t", NamedType(f"layer{layer.index}_in_t", to_hls4ml(layer.in_type)))


def _program(model: Any, host: HostSpec | None, name: str) -> KanIR | None:
    """Return the IR of a model that is one chain of KAN layers, or None if it is anything else."""
    layers = list(model.get_layers())
    if len(layers) < 2 or not isinstance(layers[0], Input) or not all(isinstance(x, KanLayer) for x in layers[1:]):
        return None
    first: KanLayer = layers[1]
    size = first.node.n_in
    nodes: list[Node] = [
        Quantize(ir_name(layers[0].name), (), first.in_type, first.in_type.lsb, 0.0, size=size),
    ]
    for before, layer in itertools.pairwise(layers):
        if list(layer.inputs) != list(before.outputs) or layer.in_type != nodes[-1].out_type:
            return None
        node: Node = replace(layer.node, inputs=(nodes[-1].name,))
        nodes.append(node)
    return KanIR(name=name, nodes=tuple(nodes), output=nodes[-1].name, host=host or generic_host(size))


class ConnectKanLayers(ModelOptimizerPass):  # type: ignore[misc]  # hls4ml publishes no types
    """Set input types, insert conversions, check names, and set `model.kan_ir` (None unless a chain of KAN layers)."""

    name = "connect_kan_layers"

    def __init__(self) -> None:
        """No state."""

    def transform(self, model: Any) -> bool:
        """Connect the KAN layers of `model`; returns False, because no layer is added or removed.

        Raises:
            ConfigError: if the user's precision of an input contradicts the model, the project name is no identifier, or
                a pipelined top function would unroll a rolled layer.
            ModelError: if two layers share an IR name, an input is called like a C++ keyword, or a stock layer would read
                beyond its constants.
        """
        config = model.config
        check_project_name(config.get_project_name())
        torch_model = config.get_config_value("PytorchModel")
        host, name = getattr(torch_model, "host", None), getattr(torch_model, "name", None)
        if not isinstance(host, HostSpec) or not isinstance(name, str):
            host, name = None, config.get_project_name()
        names: dict[str, str] = {}
        for layer in kan_layers(model):
            other = names.setdefault(layer.node.name, layer.name)
            if other != layer.name:
                raise ModelError(
                    f"the layers {other} and {layer.name} both become {layer.node.name}; rename one of them"
                )
        for layer in model.get_layers():
            if isinstance(layer, Input):
                if is_reserved(layer.name):
                    raise ModelError(f"the input {layer.name!r} is a reserved C++ name; rename the argument of forward")
                _set_input_type(model, layer)
        check_graph(model)
        check_images(model)
        for layer in kan_layers(model):
            _connect(layer)
        forbid_top_pipeline(model, [layer.name for layer in kan_layers(model) if layer.reuse > 1])
        model.kan_ir = _program(model, host, name)
        return False


class SetStamp(ModelOptimizerPass):  # type: ignore[misc]  # hls4ml publishes no types
    """Replaces hls4ml's random stamp, which would make every conversion of one model another project.

    Only `build_lib.sh` reads it; the libraries of :mod:`sim.csim` are named by their content.
    """

    name = "set_stamp"

    def __init__(self) -> None:
        """No state."""

    def transform(self, model: Any) -> bool:
        """Set the stamp; the graph stays as it is."""
        model.config.config["Stamp"] = "csim"
        return False
