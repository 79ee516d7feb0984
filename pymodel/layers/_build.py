"""From a family's name to a float network, and back to the arguments it was made with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pymodel.errors import ModelError
from pymodel.layers._conv import ConvLayer, ConvSpec
from pymodel.layers._conv_build import build_conv_kan, conv_family_of
from pymodel.layers._efficient_kan import EfficientKAN, EfficientKANLinear
from pymodel.layers._fast_kan import FastKAN, FastKANLinear
from pymodel.layers._kagn import KAGN, KAGNLinear
from pymodel.layers._kan import KAN
from pymodel.layers._pykan import PyKAN, PyKANLinear

__all__ = ["FAMILIES", "build_kan", "family_of"]

#: Names of the families that can be trained.
FAMILIES: Final = ("efficient_kan", "fast_kan", "kagn", "pykan")


def build_kan(
    family: str,
    widths: tuple[int, ...],
    *,
    grid: int,
    order: int,
    range: tuple[float, float],  # noqa: A002 - the name of the setting
    activation: str = "silu",
    norm: str = "none",
    arities: Sequence[Sequence[int]] | None = None,
    conv: Sequence[ConvSpec] = (),
    image: tuple[int, int, int] | None = None,
) -> KAN:
    """Return an untrained network.

    With `conv`, convolutions come before the dense layers: `widths[0]` are then the `height * width * channels` of the
    image, channels last, and the first dense layer reads all that the last convolution puts out.

    Args:
        family: one of :data:`FAMILIES`.
        widths: features, hidden nodes, outputs.
        grid: intervals of the B-splines' grid (efficient_kan, pykan) or number of centres (fast_kan); not used by kagn.
        order: of the B-splines (efficient_kan, pykan) or degree of the polynomials (kagn); not used by fast_kan.
        range: that the grid or the centres cover.
        activation: of the base branch.
        norm: `none`, `batch` (kagn) or `layer` (fast_kan, and kagn, where it cannot be quantized).
        conv: the convolutional layers (efficient_kan, fast_kan, kagn); `norm` may be `batch` with every family then.
        image: (height, width, channels), if there are any.
        arities: factors of the nodes that multiply, the last ones of each width after the first (pykan).

    Raises:
        ModelError: if an argument is out of range or the family has no such norm or no multiplication.
    """
    if conv:
        if image is None or widths[0] != image[0] * image[1] * image[2]:
            raise ModelError(f"convolutions need an image of {widths[0]} = height * width * channels, not {image}")
        facts: dict[str, Any] = {"grid": grid, "order": order, "range": range, "activation": activation}
        return build_conv_kan(family, widths, conv, image, norm=norm, **facts)
    if family == "pykan" and norm == "none":
        factors = [[], *map(list, arities or [[]] * (len(widths) - 1))]
        nodes = [[w - len(a), len(a)] for w, a in zip(widths, factors, strict=True)]
        return PyKAN(nodes, mult_arity=factors, grid=grid, order=order, range=range, activation=activation)
    if arities is not None and any(arities):
        raise ModelError(f"the family {family} has no nodes that multiply; use pykan")
    if family == "efficient_kan" and norm == "none":
        return EfficientKAN(widths, grid=grid, order=order, range=range, activation=activation)
    if family == "fast_kan" and norm in ("none", "layer"):
        return FastKAN(widths, grid=grid, range=range, activation=activation, layernorm=norm == "layer")
    if family == "kagn":
        return KAGN(widths, degree=order, activation=activation, norm=norm, range=range)
    raise ModelError(f"there is no family {family!r} with the norm {norm!r}; use one of {', '.join(FAMILIES)} and none")


def family_of(model: KAN) -> tuple[str, dict[str, Any]]:
    """Return the family of `model` and the arguments of :func:`build_kan`, `widths` excluded.

    Raises:
        ModelError: if it is no network of a known family.
    """
    first = next(model.kan_layers())
    common: dict[str, Any] = {"range": (first.low, first.high)}
    if isinstance(first, ConvLayer):
        return conv_family_of(model, first)
    match first:
        case EfficientKANLinear():
            facts = {"grid": first.grid_size, "order": first.order, "activation": first.activation, "norm": "none"}
            return "efficient_kan", common | facts
        case FastKANLinear():
            norm = "none" if first.layernorm is None else "layer"
            facts = {"grid": first.grid_size, "order": 1, "activation": first.activation, "norm": norm}
            return "fast_kan", common | facts
        case KAGNLinear():
            facts = {"grid": 1, "order": first.degree, "activation": first.activation, "norm": first.norm_name}
            return "kagn", common | facts
        case PyKANLinear():
            layers = [layer for layer in model.kan_layers() if isinstance(layer, PyKANLinear)]
            arities = [[a for a in layer.arity if a > 1] for layer in layers]
            facts = {"grid": first.grid_size, "order": first.order, "activation": first.activation, "norm": "none"}
            return "pykan", common | facts | {"arities": arities}
        case _:
            raise ModelError(f"a {type(first).__name__} belongs to no family that kan4ml stores; give one of ours")
