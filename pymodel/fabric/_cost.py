"""What edges cost in LUTs: a rule of thumb for pruning, before there is any circuit.

A node of one output bit and at most six input bits is one LUT. Otherwise `g = floor(6 / A)` edges share a table whose
entries have `e + log2(g)` bits, at one LUT per bit (half of one up to five input bits, twice as many per bit beyond
six), and each table takes part in a ternary adder at about half a LUT per bit. Two small LUTs share a site in about a
fifth of the cases.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from pymodel.fabric._layer import TableLayer
from pymodel.fabric._model import TableKAN

__all__ = ["LUT_INPUTS", "edge_luts", "model_luts", "node_is_lut"]

LUT_INPUTS = 6
_SHARING = 0.8


def edge_luts(bits: int, edge_bits: int) -> float:
    """Return the LUTs of one edge of `bits`-bit codes and `edge_bits`-bit entries, its share of the adders included."""
    group = max(1, LUT_INPUTS // bits)
    width = edge_bits + math.log2(group)
    inputs = group * bits
    per_bit = 2.0 ** (inputs - LUT_INPUTS) if inputs >= LUT_INPUTS else 0.5
    return _SHARING * width * (per_bit + 0.5) / group


def node_is_lut(layer: TableLayer) -> bool:
    """Return whether every node of `layer` will be a single LUT, whatever its functions."""
    inputs = layer.in_features if layer.fan_in is None else min(layer.fan_in, layer.in_features)
    return layer.out_bits == 1 and inputs * layer.bits <= LUT_INPUTS


def model_luts(model: TableKAN, masks: list[Tensor] | None = None) -> float:
    """Return the estimate for a model with `masks` (N, I) per layer (its own by default); dead nodes cost nothing."""
    layers = list(model.kan_layers())
    masks = [layer.mask for layer in layers] if masks is None else masks
    read = [mask.any(dim=0) for mask in masks[1:]]
    for k, (here, after) in reversed(list(enumerate(pairwise(masks)))):
        alive = after[read[k + 1]] if k + 1 < len(read) else after
        read[k] = alive.any(dim=0) if len(alive) else torch.zeros(here.shape[0], dtype=torch.bool)
    total = 0.0
    for k, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
        kept = mask[read[k]] if k < len(read) else mask
        if node_is_lut(layer):
            total += float(kept.any(dim=1).sum())
        else:
            total += float(kept.sum()) * edge_luts(layer.bits, layer.edge_bits)
    return total
