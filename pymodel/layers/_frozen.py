"""A chain of frozen layers: the torch station of a KAN IR."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.ir import (
    EdgeTable,
    FixedPoint,
    HostSpec,
    IntArray,
    KanConv,
    KanIR,
    KanLinear,
    Node,
    Norm,
    Pool,
    Product,
    check_name,
)
from pymodel.layers._frozen_arithmetic import FrozenNorm, FrozenProduct
from pymodel.layers._frozen_layer import FrozenLayer, type_name
from pymodel.layers._frozen_linear import FrozenKANLinear
from pymodel.layers._frozen_spatial import FrozenKANConv, FrozenPool

__all__ = ["INPUT_NAME", "FrozenKAN", "frozen_layer"]

#: Name of the input node of a lowered model; hls4ml names its input likewise, after `forward`'s argument.
INPUT_NAME = "x"


def frozen_layer(node: Node, in_type: FixedPoint) -> FrozenLayer | None:
    """Return the torch module that computes `node` on integers of `in_type`, or None for a kind that has none."""
    match node:
        case KanLinear() | EdgeTable():
            return FrozenKANLinear(node, in_type)
        case Product():
            return FrozenProduct(node, in_type)
        case Norm():
            return FrozenNorm(node, in_type)
        case KanConv():
            return FrozenKANConv(node, in_type)
        case Pool():
            return FrozenPool(node, in_type)
        case _:
            return None


class FrozenKAN(nn.Module):
    """A chain of frozen layers, with what the host does around it.

    Attributes:
        name: of the model, a plain identifier.
        host: what the host applies before and after.
        layers: `nn.Sequential` of :class:`FrozenLayer`; their names in the IR are `layers_0`, `layers_1`, …

    Raises:
        ModelError: if there is no layer, or the layers' shapes or types do not meet.
    """

    def __init__(self, name: str, host: HostSpec, layers: Iterable[FrozenLayer]) -> None:
        super().__init__()
        self.name = check_name(name, "model")
        self.host = host
        chain = list(layers)
        if not chain:
            raise ModelError("a frozen KAN needs at least one layer; freeze a model that has one")
        for index, (first, second) in enumerate(pairwise(chain)):
            if first.out_features != second.in_features or first.out_type != second.in_type:
                raise ModelError(
                    f"layers_{index} gives {first.out_features} outputs of {type_name(first.out_type)}, but "
                    f"layers_{index + 1} reads {second.in_features} of {type_name(second.in_type)}; freeze again"
                )
        if len(host.features) != chain[0].in_features:
            raise ModelError(
                f"{len(host.features)} feature names for {chain[0].in_features} inputs; give one name per input"
            )
        self.layers = nn.Sequential(OrderedDict((str(i), layer) for i, layer in enumerate(chain)))

    @classmethod
    def from_ir(cls, ir: KanIR) -> FrozenKAN:
        """Return the torch model of a chain of layers; they are renamed by position.

        Raises:
            ModelError: if the program is not a chain.
        """
        layers: list[FrozenLayer] = []
        source = ir.input
        name = source.name
        for node in ir.nodes[1:]:
            layer = frozen_layer(node, ir.in_type(node)) if node.inputs == (name,) else None
            if layer is None:
                raise ModelError(
                    f"layer {node.name} does not continue a chain of KAN layers; only chains are supported"
                )
            layers.append(layer)
            name = node.name
        return cls(ir.name, ir.host, layers)

    def named_layers(self) -> Iterator[tuple[str, FrozenLayer]]:
        """Yield (IR name, layer) in order."""
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, FrozenLayer)
            yield f"layers_{index}", layer

    @property
    def in_type(self) -> FixedPoint:
        """Type of the input integers."""
        return next(self.named_layers())[1].in_type

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (…, N), float64, of prepared features (…, I)."""
        for layer in self.layers:
            x = layer(x)
        return x

    def run(self, X: IntArray) -> dict[str, IntArray]:
        """Return the integers (rows, n) of every node by IR name, the input's own included.

        Raises:
            DataError: if `X` is not an integer array of shape (rows, I) within the input type.
        """
        values = {INPUT_NAME: np.asarray(X)}
        current = X
        for name, layer in self.named_layers():
            current = layer.run(current)
            values[name] = current
        values[INPUT_NAME] = values[INPUT_NAME].astype(np.int64)
        return values
