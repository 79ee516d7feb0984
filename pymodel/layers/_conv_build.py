"""Networks with convolutions in front: built by family, described again, counted before a file's numbers are believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from typing import Any

from pymodel.errors import ModelError
from pymodel.ir.strict import Fields, MalformedError, check_fields
from pymodel.layers._conv import ConvLayer, ConvSpec, conv_geometry
from pymodel.layers._conv_families import EfficientKANConv2d, FastKANConv2d, KAGNConv2d
from pymodel.layers._efficient_kan import EfficientKANLinear
from pymodel.layers._fast_kan import FastKANLinear
from pymodel.layers._kagn import KAGNLinear
from pymodel.layers._kan import KAN, KANLayer

__all__ = ["build_conv_kan", "conv_family_of", "conv_from_json", "conv_weights"]

_Image = tuple[int, int, int]
_MAX_CONV = 64


def build_conv_kan(
    family: str,
    widths: Sequence[int],
    conv: Sequence[ConvSpec],
    image: _Image,
    *,
    grid: int,
    order: int,
    range: tuple[float, float],  # noqa: A002 - the name of the setting
    activation: str,
    norm: str,
) -> KAN:
    """Return convolutions followed by dense layers; the arguments are those of `build_kan`.

    Raises:
        ModelError: if the family has no convolutions, or a window does not fit.
    """
    layers: list[KANLayer] = []
    height, width, channels = image
    for index, spec in enumerate(conv):
        common: dict[str, Any] = {
            "size": (height, width),
            "stride": spec.stride,
            "padding": spec.padding,
            "groups": spec.groups,
            "pool": spec.pool,
            "pool_size": spec.pool_size,
            "norm": norm,
            "range": range,
            "activation": activation,
        }
        where = (channels, spec.channels, spec.kernel)
        layer: ConvLayer
        match family:
            case "efficient_kan":
                layer = EfficientKANConv2d(*where, grid=grid, order=order, **common)
            case "fast_kan":
                layer = FastKANConv2d(*where, grid=grid, **common)
            case "kagn":
                layer = KAGNConv2d(*where, degree=order, before="silu" if index else "identity", **common)
            case _:
                raise ModelError(f"the family {family} has no convolutions; use efficient_kan, fast_kan or kagn")
        layers.append(layer)
        (height, width), channels = layer.out_geometry, spec.channels
    for n_in, n_out in pairwise([height * width * channels, *widths[1:]]):
        options: dict[str, Any] = {"range": range, "activation": activation}
        if family == "efficient_kan":
            layers.append(EfficientKANLinear(n_in, n_out, grid=grid, order=order, **options))
        elif family == "fast_kan":
            layers.append(FastKANLinear(n_in, n_out, grid=grid, **options))
        else:
            layers.append(KAGNLinear(n_in, n_out, degree=order, before="silu", norm=norm, **options))
    model = KAN(widths, layers)
    model.conv, model.image = tuple(conv), image
    return model


def conv_family_of(model: KAN, first: ConvLayer) -> tuple[str, dict[str, Any]]:
    """Return family and arguments of `build_kan`, `widths` excluded, of a network that it made with convolutions.

    Raises:
        ModelError: if it did not.
    """
    if model.image is None:
        raise ModelError("only networks of build_kan can be stored with convolutions; build it from a configuration")
    facts: dict[str, Any] = {
        "range": (first.low, first.high),
        "conv": [asdict(spec) for spec in model.conv],
        "image": list(model.image),
    }
    match first:
        case EfficientKANConv2d():
            more = {"grid": first.grid_size, "order": first.order}
            return "efficient_kan", facts | more | {"activation": first.activation, "norm": first.norm_name}
        case FastKANConv2d():
            more = {"grid": first.grid_size, "order": 1}
            return "fast_kan", facts | more | {"activation": first.activation, "norm": first.norm_name}
        case KAGNConv2d():
            more = {"grid": 1, "order": first.degree}
            return "kagn", facts | more | {"activation": first.activation, "norm": first.norm_name}
        case _:
            raise ModelError(f"a {type(first).__name__} belongs to no family that kan4ml stores; give one of ours")


def _sizes(value: object, *, pair: bool) -> bool:
    numbers = value if pair and isinstance(value, list) and len(value) == 2 else [value]
    return all(type(v) is int and 0 <= v <= 1 << 16 for v in numbers)


def conv_from_json(conv: list[Any], image: list[Any], file: str) -> tuple[tuple[ConvSpec, ...], _Image]:
    """Return the convolutions and the image that a file describes.

    Raises:
        ModelError: if a field is missing, unknown, or no size.
    """
    if len(image) != 3 or not all(type(v) is int and 0 < v <= 1 << 16 for v in image):
        raise ModelError(f"{file}: image must be height, width and channels, not {image}; train the model again")
    if not 0 < len(conv) <= _MAX_CONV:
        raise ModelError(f"{file}: 1 … {_MAX_CONV} convolutions were expected, not {len(conv)}; train the model again")
    types = {f.name: str if f.name == "pool" else object for f in fields(ConvSpec)}
    specs = []
    for index, value in enumerate(conv):
        try:
            f: Fields = check_fields(value, f"conv[{index}]", **types)
        except MalformedError as error:
            raise ModelError(f"{file}: {error}") from None
        if not all(_sizes(v, pair=name not in ("channels", "groups")) for name, v in f.items() if name != "pool"):
            raise ModelError(f"{file}: conv[{index}] must hold sizes, or pairs of them; train the model again")
        parts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in f.items()}
        specs.append(ConvSpec(**parts))
    return tuple(specs), (image[0], image[1], image[2])


def conv_weights(conv: Sequence[ConvSpec], image: _Image, widths: Sequence[int], per_edge: int) -> int:
    """Return the spline weights of a network, without building it.

    Raises:
        ModelError: if a window does not fit.
    """
    height, width, channels = image
    total = 0
    for spec in conv:
        g = spec.geometry(channels, (height, width))
        total += g.n_taps * g.group_channels * spec.channels * max(1, per_edge)
        height, width, channels = g.out_height, g.out_width, spec.channels
        if spec.pool != "none":
            pool = conv_geometry(channels, (height, width), spec.pool_size, spec.pool_size)
            height, width = pool.out_height, pool.out_width
    return total + sum(a * b for a, b in pairwise([height * width * channels, *widths[1:]])) * max(1, per_edge)
