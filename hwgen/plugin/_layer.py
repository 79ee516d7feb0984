"""The hls4ml layer class of KAN layers, dense or in edge-table form."""

from __future__ import annotations

import math
import re
from typing import Any

from hls4ml.model.attributes import Attribute, ConfigurableAttribute
from hls4ml.model.layers import Layer, register_layer
from hls4ml.utils import attribute_descriptions

from hwgen._reuse import check_reuse
from hwgen.plugin._node import ARITHMETIC, SPATIAL, LayerNode, reuse_domain
from hwgen.plugin._options import check_options
from hwgen.plugin._precision import check_override, to_hls4ml
from hwgen.plugin._profile import constants
from pymodel.errors import ConfigError, ModelError
from pymodel.ir import FixedPoint, HostSpec, KanConv, KanIR, KanLinear, Node, Quantize, Task, to_edge_table

__all__ = [
    "BACKEND_NAME",
    "IMAGES",
    "INPUT_SHAPE",
    "IO_TYPES",
    "LAYER",
    "KanLayer",
    "generic_host",
    "ir_name",
    "register_layers",
    "single_layer_ir",
]

BACKEND_NAME = "VitisKAN"
#: Name of the layer class in hls4ml, as in `hls_config["LayerType"]`.
LAYER = "KanLayer"
#: What the kernels read and write: whole arrays, or streams of beats.
IO_TYPES = ("io_parallel", "io_stream")
#: Key of hls4ml's configuration under which the backend keeps the argument `input_shape` of a conversion.
INPUT_SHAPE = "KanInputShape"
#: Key under which we note that rows of a flat model are read as images, see `hwgen.plugin._images`.
IMAGES = "KanImages"
#: Attribute of a model that is being written.
WRITING = "kan_is_written"
#: Likewise for the argument `portable`.
PORTABLE = "KanPortable"
#: hls4ml's snake-case names of the strategies that exist.
_LATENCY, _RESOURCE, _EDGE_TABLE = "latency", "resource", "edge_table"


def ir_name(name: str) -> str:
    """Return the IR name of the hls4ml layer `name`: `_0`, as a `torch.nn.Sequential` gives it, becomes `layer_0`."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_")
    return plain if plain[:1].isalpha() else f"layer_{plain}"


def generic_host(n_in: int) -> HostSpec:
    """Return the host part of a program that came without one: features `x0`, `x1`, …, nothing scaled, no labels."""
    return HostSpec(Task.REGRESSION, tuple(f"x{i}" for i in range(n_in)), (0.0,) * n_in, (1.0,) * n_in)


def _check_rolled(name: str, node: LayerNode, reuse: int, io_type: str) -> None:
    """Check that a kernel exists for a reuse factor above 1.

    Raises:
        ConfigError: otherwise.
    """
    if reuse == 1:
        return
    if isinstance(node, ARITHMETIC):
        raise ConfigError(
            f"layer {name} is a {node.kind.name.lower()} node, whose kernel is fully parallel; set its ReuseFactor to 1"
        )
    if isinstance(node, KanConv) and io_type == "io_stream" and node.basis is not None:
        if node.basis.n_tables > 1:
            raise _tables_per_input(name)
        if node.coders[0] != node.coders[-1]:
            raise ConfigError(
                f"layer {name} reads other codes in its base branch than in its splines, which rolled windows do not; set "
                "its ReuseFactor to 1 or its Strategy to EdgeTable"
            )
    if isinstance(node, KanLinear) and node.spline.basis.n_tables > 1:
        raise _tables_per_input(name)


def _tables_per_input(name: str) -> ConfigError:
    return ConfigError(
        f"layer {name} has a basis table per input, which rolled kernels do not read; set its ReuseFactor to 1 or its "
        "Strategy to EdgeTable"
    )


def single_layer_ir(node: LayerNode, in_type: FixedPoint) -> KanIR:
    """Return the program that consists of one layer alone; it validates the node and derives its bounds.

    Raises:
        IRError: if the node breaks the contract for inputs of `in_type`.
    """
    source = Quantize(node.inputs[0], (), in_type, in_type.lsb, 0.0, size=node.n_in)
    nodes: tuple[Node, ...] = (source, node)
    return KanIR(name="layer", nodes=nodes, output=node.name, host=generic_host(node.n_in))


class KanLayer(Layer):  # type: ignore[misc]  # hls4ml publishes no types
    """A KAN layer: the IR node is its only weight.

    Attributes set by the torch handler: `kan_node` (a LayerNode), `kan_in_type` (FixedPoint), `n_in`, `n_out`, and for
    images `kan_out_shape`, channels first, which hls4ml's conversion to channels last turns. Set here: `kan_ir`, the validated one-layer program; set when the graph is complete: `kan_cast_t`, the type that the
    input is converted to where the layer before gives another one.
    """

    _expected_attributes = [  # noqa: RUF012 - hls4ml's convention
        Attribute("n_in"),
        Attribute("n_out"),
        ConfigurableAttribute("reuse_factor", default=1, description=attribute_descriptions.reuse_factor),
    ]

    def initialize(self) -> None:
        """Check what the user asked for and declare the output variable, whose type is the frozen model's.

        Raises:
            ModelError: if another backend converts the model (it would predict uninitialised memory), or the input is
                not a vector of `n_in` values.
            ConfigError: if IO type, reuse factor, strategy or precision are not supported.
            IRError: if the layer has no edge-table form and `Strategy: EdgeTable` was asked for.
        """
        config = self.model.config
        backend = config.backend.name
        if backend != BACKEND_NAME:
            raise ModelError(
                f"layer {self.name} is a KAN layer, which the backend {backend} cannot build; convert the model with "
                f"backend={BACKEND_NAME!r}"
            )
        io_type = config.get_config_value("IOType")
        if io_type not in IO_TYPES:
            raise ConfigError(
                f"layer {self.name}: KAN layers have the io_types {' and '.join(IO_TYPES)}, not {io_type}; choose one"
            )
        node: LayerNode = self.get_attr("kan_node")
        in_type: FixedPoint = self.get_attr("kan_in_type")
        self._check_shape(node, io_type)
        domain, unit = reuse_domain(node, io_type)
        reuse = check_reuse(f"the ReuseFactor of layer {self.name}", domain, config.get_reuse_factor(self), unit)
        strategy = config.get_strategy(self).lower()
        if strategy == _EDGE_TABLE and isinstance(node, KanLinear | KanConv):
            node = to_edge_table(node, in_type)
        elif strategy not in (_LATENCY, _RESOURCE, _EDGE_TABLE):
            raise ConfigError(
                f"layer {self.name}: KAN layers have the strategies Latency, Resource and EdgeTable, not {strategy!r}; "
                "choose one"
            )
        _check_rolled(self.name, node, reuse, io_type)
        check_options(config, self.name, self.class_name)
        check_override(config, self.name, self.class_name, node.out_type, "output type")
        self.set_attr("strategy", strategy)
        self.set_attr("reuse_factor", reuse)
        self.set_attr("kan_node", node)
        self.set_attr("kan_ir", single_layer_ir(node, in_type))
        self.add_output_variable(self.get_attr("kan_out_shape") or [node.n_out])

    def _check_shape(self, node: LayerNode, io_type: str) -> None:
        """Check that the layer's input is a vector of `n_in` values, or the image that the node reads."""
        shape = [int(n) for n in self.get_input_variable().shape]
        flat = f"a vector of {node.n_in} values"
        remedy = f"give the model input_shape ({node.n_in},) or flatten before the layer"
        if isinstance(node, SPATIAL):
            g = node.geometry
            image = [g.channels, g.height, g.width]
            if shape in (image, [g.channels, g.width] if g.height == 1 else image):
                return
            remedy = f"give the model the input_shape {tuple(image)}"
            if io_type == "io_stream":
                raise ModelError(
                    f"layer {self.name} reads images of shape {tuple(image)} in io_stream, not a tensor of shape "
                    f"{tuple(shape)}; {remedy}"
                )
            flat = f"images of shape {tuple(image)} or {flat}"
        elif self.model.config.get_config_value(IMAGES) and math.prod(shape) == node.n_in:
            return
        if shape != [node.n_in]:
            raise ModelError(f"layer {self.name} reads {flat}, not a tensor of shape {tuple(shape)}; {remedy}")

    def add_output_variable(self, shape: Any, *args: Any, **kwargs: Any) -> None:
        """Declare the output in the frozen model's type, also where hls4ml declares it again with another shape."""
        if kwargs.get("precision") is None:
            kwargs["precision"] = to_hls4ml(self.node.out_type)
        super().add_output_variable(shape, *args, **kwargs)

    def get_weights(self, var_name: str | None = None) -> Any:
        """Return the constants for hls4ml's profiling; nothing while the writer runs, which writes KAN tables itself."""
        if var_name is not None:
            return super().get_weights(var_name)
        return [] if getattr(self.model, WRITING, False) else constants(self.node)

    @property
    def node(self) -> LayerNode:
        """The IR node that is generated, in edge-table form where the strategy says so."""
        node: Any = self.get_attr("kan_node")
        assert isinstance(node, LayerNode)
        return node

    @property
    def reuse(self) -> int:
        """R: 1 for the fully parallel kernel, else the iterations of the rolled one."""
        return int(self.get_attr("reuse_factor"))

    @property
    def streams(self) -> bool:
        """Whether the layer reads and writes streams."""
        return bool(self.model.config.get_config_value("IOType") == "io_stream")

    @property
    def in_type(self) -> FixedPoint:
        """Type of the input integers."""
        kind: Any = self.get_attr("kan_in_type")
        assert isinstance(kind, FixedPoint)
        return kind


def register_layers() -> None:
    """Tell hls4ml's layer registry about :class:`KanLayer`."""
    register_layer(LAYER, KanLayer)
