"""Settings that are good starting points; `WxAy` has x-bit weights and y-bit activations."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from pymodel.settings import QuantizeSettings

__all__ = ["PRESETS"]


def _preset(weights: int, activations: int, basis: int, first: int | None = None) -> QuantizeSettings:
    return QuantizeSettings(
        activations=activations,
        base_weights=weights,
        spline_weights=weights,
        basis=basis,
        first_activations=first,
    )


#: By name. `E4A4` trains 4-bit edge tables directly: the smallest circuits.
PRESETS: Final = MappingProxyType(
    {
        "W8A8": _preset(8, 8, 8),
        "W6A6": _preset(6, 6, 8),
        "W4A6": _preset(4, 6, 6, 8),
        "W4A4": _preset(4, 4, 6),
        "E4A4": QuantizeSettings(activations=4, edge=4),
    }
)
