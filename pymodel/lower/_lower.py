"""Lowering: a frozen torch model becomes a KAN IR, integer for integer."""

from __future__ import annotations

from pymodel.errors import ModelError
from pymodel.ir import KanIR, Node, Quantize
from pymodel.layers import INPUT_NAME, FrozenKAN

__all__ = ["lower"]


def lower(frozen: FrozenKAN) -> KanIR:
    """Return the integer program that `frozen` computes, from its buffers as they are now.

    The nodes are called `x` (the input) and `layers_0`, `layers_1`, …

    Args:
        frozen: the model.

    Raises:
        ModelError: if `frozen` is not a frozen model.
        IRError: if its buffers break the contract.
    """
    if not isinstance(frozen, FrozenKAN):
        raise ModelError(f"only a FrozenKAN can be lowered, not {type(frozen).__name__}; freeze the model first")
    in_type = frozen.in_type
    nodes: list[Node] = [
        Quantize(INPUT_NAME, (), in_type, in_type.lsb, 0.0, size=len(frozen.host.features)),
    ]
    for name, layer in frozen.named_layers():
        nodes.append(layer.ir_node(name, nodes[-1].name))
    return KanIR(name=frozen.name, nodes=tuple(nodes), output=nodes[-1].name, host=frozen.host)
