"""Activations of the base branch by name, element by element."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.errors import ModelError

__all__ = ["ACTIVATIONS", "NO_BASE", "activate"]

#: The activation that leaves the base branch out.
NO_BASE: Final = "zero"

#: By name. `gelu` is the exact one (erf).
ACTIVATIONS: Final = MappingProxyType[str, Callable[[Tensor], Tensor]](
    {
        "silu": functional.silu,
        "gelu": functional.gelu,
        "relu": functional.relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "identity": lambda x: x,
        NO_BASE: torch.zeros_like,
    }
)


def activate(name: str, x: Tensor) -> Tensor:
    """Return the activation called `name` of every element of `x`.

    Raises:
        ModelError: if there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ModelError(f"an activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}; choose one of these")
    return ACTIVATIONS[name](x)
