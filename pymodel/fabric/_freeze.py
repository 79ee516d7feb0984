"""Freezing a table model: normalisation and steps become integers of edge-table nodes."""

from __future__ import annotations

import torch

from pymodel.errors import ModelError
from pymodel.fabric._model import TableKAN
from pymodel.ir import AffineCoder, EdgeTable, FixedPoint, HostSpec
from pymodel.layers import FrozenKAN, FrozenKANLinear

__all__ = ["freeze_tables"]


@torch.no_grad()
def freeze_tables(model: TableKAN, *, name: str, host: HostSpec) -> FrozenKAN:
    """Return `model` as integers.

    Args:
        model: a trained model whose entries are rounded (:meth:`TableKAN.start_quantized`).
        name: of the model, a plain identifier.
        host: what the host does before and after.

    Raises:
        ModelError: if a parameter is not finite or the entries are not rounded yet.
        IRError: if the integers would break the contract.
    """
    for key, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(f"{key} holds NaN or infinity, so it cannot be frozen; train with a lower rate")
    frozen = []
    source, in_type = "x", model.source.in_type
    coder = model.source.coder()
    for index, layer in enumerate(model.kan_layers()):
        if not layer.quantized:
            raise ModelError("a table model must round its entries before it is frozen; call start_quantized() first")
        found = layer.integers()
        if layer.out_bits is None:
            largest = found.tables.abs().amax(1).sum(0) + found.bias.abs()
            width = int(largest.max()).bit_length() + 1
            out_type = FixedPoint(width, width, signed=True)
        else:
            out_type = FixedPoint(layer.out_bits, layer.out_bits, signed=False)
        node = EdgeTable(
            name=f"layers_{index}",
            inputs=(source,),
            out_type=out_type,
            value_lsb=found.lsb,
            value_offset=0.0,
            coder=coder,
            tables=found.tables.cpu().numpy(),
            bias=found.bias.cpu().numpy(),
            shift=found.shift,
        )
        frozen.append(FrozenKANLinear(node, in_type))
        source, in_type = node.name, out_type
        coder = AffineCoder(coder.mult * 0 + 1, coder.offset * 0, 0, 1 << out_type.width, 0.0, 1.0)
    return FrozenKAN(name, host, frozen)
