"""Where every KAN layer's integers lie in the row that the simulation records, and how the project says so.

A row holds, for each KAN layer in order, the integers at its input if the layer converts its input (other layers stand
before it), then its output integers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hwgen.plugin._layer import KanLayer

__all__ = ["TAPS_HEADER", "TapOffsets", "description", "row_size", "tap_offset"]

#: The header of the taps, below `firmware/`.
TAPS_HEADER = "kan_csim/taps.h"


@dataclass(frozen=True)
class TapOffsets:
    """Offsets of a layer's integers in the row; `cast` is None where the layer reads its predecessor's integers."""

    cast: int | None
    output: int


def _layout(model: Any) -> tuple[dict[str, TapOffsets], list[dict[str, Any]], int]:
    offsets: dict[str, TapOffsets] = {}
    taps: list[dict[str, Any]] = []
    size = 0
    for layer in model.get_layers():
        if not isinstance(layer, KanLayer):
            continue
        node, cast = layer.node, None
        if layer.get_attr("kan_cast_t") is not None:
            cast = size
            taps.append({"name": f"{node.name}.input", "offset": size, "count": node.n_in})
            size += node.n_in
        offsets[layer.name] = TapOffsets(cast, size)
        taps.append({"name": node.name, "offset": size, "count": node.n_out})
        size += node.n_out
    return offsets, taps, size


def tap_offset(layer: KanLayer) -> TapOffsets:
    """Return the offsets of `layer`."""
    return _layout(layer.model)[0][layer.name]


def row_size(model: Any) -> int:
    """Return the number of integers in a row."""
    return _layout(model)[2]


def description(model: Any) -> str:
    """Return the JSON that tells the simulation what a row of input integers and a row of taps hold."""
    variables = model.get_input_variables()
    precision = variables[0].type.precision  # that of all inputs, see has_batch_entry_points
    return json.dumps(
        {
            "schema": 1,
            "input": {
                "count": sum(int(variable.size()) for variable in variables),
                "width": int(precision.width),
                "signed": bool(precision.signed),
            },
            "taps": _layout(model)[1],
            "row": row_size(model),
        },
        separators=(",", ":"),
    )
