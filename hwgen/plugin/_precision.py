"""Fixed-point types of the KAN IR as hls4ml precision types, and the user's precisions that contradict them."""

from __future__ import annotations

from typing import Any

from hls4ml.model.types import (
    FixedPrecisionType,
    IntegerPrecisionType,
    RoundingMode,
    SaturationMode,
    UnspecifiedPrecisionType,
)

from pymodel.errors import ConfigError
from pymodel.ir import FixedPoint

__all__ = ["check_override", "config_text", "same_values", "to_hls4ml"]


def to_hls4ml(kind: FixedPoint) -> Any:
    """Return the hls4ml precision type (`ap_[u]fixed<W, I, Q, O>`) of `kind`."""
    return FixedPrecisionType(
        width=kind.width,
        integer=kind.integer,
        signed=kind.signed,
        rounding_mode=RoundingMode[kind.rounding.name],
        saturation_mode=SaturationMode[kind.overflow.name],
    )


def config_text(kind: FixedPoint) -> str:
    """Return how a precision is written in an hls4ml configuration, e.g. `ap_fixed<8,4,AP_RND,AP_SAT>`."""
    sign = "" if kind.signed else "u"
    return f"ap_{sign}fixed<{kind.width},{kind.integer},AP_{kind.rounding.name},AP_{kind.overflow.name}>"


def same_values(precision: Any, kind: FixedPoint) -> bool:
    """Return whether a variable of `precision` holds the same set of numbers as `kind`: width, binary point and sign."""
    if not isinstance(precision, FixedPrecisionType | IntegerPrecisionType):
        return False
    return (int(precision.width), int(precision.integer), bool(precision.signed)) == (
        kind.width,
        kind.integer,
        kind.signed,
    )


def check_override(config: Any, name: str, class_name: str, kind: FixedPoint, what: str) -> None:
    """Check that no precision that the user gave for a layer's result differs from the type that the model has.

    A model-wide default is not meant for KAN layers, which bring their own types; anything more specific is.

    Args:
        config: hls4ml's `HLSConfig`.
        name: of the layer in hls4ml.
        class_name: hls4ml's class of layer, for the configuration of whole types of layers.
        kind: the type that the frozen model has.
        what: how the message calls the type, e.g. "output type".

    Raises:
        ConfigError: if they differ.
    """
    given = [
        config.layer_name_precision.get(f"{name.lower()}_{var}") for var in ("result", "default")
    ] + [
        config.layer_type_precision.get(f"{class_name.lower()}_{var}") for var in ("result", "default")
    ]  # fmt: skip
    given.append(config.model_precision.get("result"))
    for text in given:
        if text is None:
            continue
        precision = config.backend.convert_precision_string(text)
        if isinstance(precision, UnspecifiedPrecisionType) or precision == to_hls4ml(kind):
            continue
        raise ConfigError(
            f"the {what} of layer {name} is fixed by the frozen model as {config_text(kind)}, but the configuration "
            f"asks for {text}; remove that precision, or quantize and freeze the model with the other type"
        )
