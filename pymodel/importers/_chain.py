"""The result of an import before it is a module: layers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pymodel.errors import ModelError
from pymodel.importers._facts import Facts, as_integer
from pymodel.importers._source import Layer
from pymodel.layers import KAN, KANLayer

__all__ = ["Chain", "check_chain", "copy_"]


@dataclass(frozen=True)
class Chain:
    """Layers of ours that compute what the checkpoint's do."""

    layers: Sequence[KANLayer]

    def module(self) -> KAN:
        """Return the network in eval mode."""
        widths = [self.layers[0].n_inputs, *(layer.n_nodes for layer in self.layers)]
        return KAN(widths, self.layers).eval()


@torch.no_grad()
def copy_(parameter: Tensor, values: Tensor) -> None:
    """Overwrite a parameter."""
    parameter.copy_(values)


def check_chain(layers: Sequence[Layer], sizes: Sequence[tuple[int, int]], facts: Facts) -> None:
    """Check that each layer has as many inputs as the one before it has outputs, and the fact `layers_hidden`.

    Raises:
        ModelError: otherwise.
    """
    for (before, layer), (one, two) in zip(pairwise(layers), pairwise(sizes), strict=True):
        if one[1] != two[0]:
            raise ModelError(
                f"{layer.name} has {two[0]} inputs, but {before.name} has {one[1]} outputs; check that the state_dict "
                "belongs to one model"
            )
    facts.agree("layers_hidden", [sizes[0][0], *(n_out for _, n_out in sizes)], _widths)


def _widths(name: str, value: Any) -> list[int]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ModelError(f"the fact {name} must be a list of integers, not {value!r}; correct it")
    return [as_integer(name, width) for width in value]
