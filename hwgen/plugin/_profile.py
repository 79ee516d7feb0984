"""The constants of a KAN layer as hls4ml's profiling reads weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hls4ml.model.types import IntegerPrecisionType, NamedType

from pymodel.ir import EdgeTable, IntArray, KanLinear, signed_width

__all__ = ["Constants", "constants"]


@dataclass(frozen=True)
class Constants:
    """What `hls4ml.model.profiling` reads of a weight.

    Attributes:
        name: for the reader.
        data: integers as float64, any shape.
        type: `type.precision` is the narrowest signed type of the integers.
        storage: never `bram`: hls4ml writes nothing of these.
    """

    name: str
    data: Any
    type: Any
    storage: str = "register"


def _of(name: str, values: IntArray) -> Constants:
    width = signed_width(int(values.min()), int(values.max()))
    return Constants(name, values.astype(float), NamedType(name, IntegerPrecisionType(width=width, signed=True)))


def constants(node: KanLinear | EdgeTable) -> list[Constants]:
    """Return spline weights (or edge tables) and biases; profiling knows at most two weights per layer, `w` and `b`."""
    if isinstance(node, EdgeTable):
        return [_of("tables", node.tables), _of("bias", node.bias)]
    return [_of("spline_weights", node.spline.weights), _of("bias", node.rescale.bias)]
