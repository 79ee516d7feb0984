"""Activations of the base branch by name, element by element.

`prelu_XXXXXXXX` is a PReLU: its slope is the float32 with those bits, in hexadecimal, so that the name is an identifier
and says it exactly.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.errors import ModelError

__all__ = ["ACTIVATIONS", "NO_BASE", "activate", "prelu_name", "prelu_slope"]

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


_PRELU: Final = re.compile(r"prelu_([0-9a-f]{8})")


def prelu_name(slope: float) -> str:
    """Return the name of a PReLU: `x` where x >= 0, else `slope*x`; the slope is rounded to float32."""
    return f"prelu_{struct.pack('>f', slope).hex()}"


def prelu_slope(name: str) -> float | None:
    """Return the slope of the PReLU called `name`, or None if that is no name of one."""
    match = _PRELU.fullmatch(name)
    return None if match is None else float(struct.unpack(">f", bytes.fromhex(match[1]))[0])


def activate(name: str, x: Tensor) -> Tensor:
    """Return the activation called `name` of every element of `x`.

    Raises:
        ModelError: if there is none of that name.
    """
    slope = prelu_slope(name)
    if slope is not None:
        return torch.where(x >= 0, x, slope * x)
    if name not in ACTIVATIONS:
        raise ModelError(f"an activation must be one of {', '.join(ACTIVATIONS)}, not {name!r}; choose one of these")
    return ACTIVATIONS[name](x)
