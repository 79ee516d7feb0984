"""The section `model`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pymodel.errors import ConfigError
from pymodel.settings._checks import check_choice, check_integer, check_real
from pymodel.settings._conv import ConvSettings

__all__ = ["BASES", "CONV_FAMILIES", "FAMILIES", "ModelSettings"]

#: KAN formulas.
FAMILIES: Final = ("efficient_kan", "fast_kan", "kagn", "pykan", "table")
#: Those that have convolutions.
CONV_FAMILIES: Final = ("efficient_kan", "fast_kan", "kagn")
#: Activations of the base branch; `zero` leaves it out.
BASES: Final = ("silu", "gelu", "relu", "tanh", "sigmoid", "identity", "zero")


@dataclass(frozen=True)
class ModelSettings:
    """The network: one KAN layer between each two neighbours of `widths`.

    Attributes:
        widths: features, hidden nodes, outputs; at least two numbers. Behind convolutions, the first dense layer reads
            all that they put out.
        image: [height, width, channels] of the features, channels last, where there are convolutions.
        conv: convolutional layers in front (efficient_kan, fast_kan, kagn); see :class:`ConvSettings`.
        family: the KAN formula: `efficient_kan` (B-splines), `fast_kan` (Gaussians), `kagn` (Gram polynomials), `pykan`
            (B-splines, a grid per input, nodes that multiply), or `table`: every edge is a trained table, for the smallest circuit (docs/fabric.md).
        grid: intervals G of the spline grid inside `range`, or number of Gaussians; kagn has no use for it.
        order: spline order k (each edge has `grid + order` spline weights), or degree of the polynomials; fast_kan has
            no use for it.
        range: the interval `[low, high]` that the grid covers, where the features are mapped to.
        base: activation of the base branch; `zero` leaves it out.
        norm: of the outputs of a kagn layer, and of a convolution of any family: `none`, or `batch` (folded into the
            weights).
        layernorm: normalise what the Gaussians see over the layer's inputs (fast_kan); costs a norm node in hardware.
        multiplication: nodes that multiply instead of adding up (pykan): how many in every hidden layer, or a list with
            one number per width after the first.
        arity: factors of each of these nodes.
        grid_per_input: let every input's grid follow the data (pykan); costs a basis table per input.
        fan_in: inputs that each node keeps (family table): a number for all layers but the last, or a list with a number
            or null (no limit) per layer.
        name: of the model in reports and generated code.

    Raises:
        ConfigError: for a value out of range or a family that is not available.
    """

    widths: tuple[int, ...]
    family: str = "efficient_kan"
    grid: int = 5
    order: int = 3
    range: tuple[float, float] = (-2.0, 2.0)
    base: str = "silu"
    norm: str = "none"
    layernorm: bool = False
    multiplication: int | tuple[int, ...] = 0
    arity: int = 2
    grid_per_input: bool = False
    fan_in: int | tuple[int | None, ...] | None = None
    name: str = "kan"
    image: tuple[int, int, int] | None = None
    conv: tuple[ConvSettings, ...] = ()

    def __post_init__(self) -> None:
        check_choice("model.family", self.family, FAMILIES)
        check_choice("model.base", self.base, BASES)
        check_choice("model.norm", self.norm, ("none", "batch"))
        if self.norm == "batch" and self.family != "kagn" and not self.conv:
            raise ConfigError(f"model.norm 'batch' belongs to the family kagn, not to {self.family}; remove it")
        object.__setattr__(self, "widths", tuple(self.widths))
        if not 2 <= len(self.widths) <= 17:
            raise ConfigError(
                f"model.widths must list 2 to 17 layer sizes from features to outputs, not {len(self.widths)}; change it"
            )
        for width in self.widths:
            check_integer("model.widths", width, 1, 1 << 16)
        check_integer("model.grid", self.grid, 2 if self.family == "fast_kan" else 1, 64)
        check_integer("model.order", self.order, 1, 7)
        pair = tuple(self.range)
        if len(pair) != 2:
            raise ConfigError(f"model.range must be a pair [low, high], not {list(pair)}; change it")
        for value in pair:
            check_real("model.range", value, -1e6, 1e6)
        if not pair[0] < pair[1]:
            raise ConfigError(f"model.range must be [low, high] with low < high, not {list(pair)}; change it")
        if pair[1] - pair[0] < max(1e-6, 1e-4 * abs(pair[0]), 1e-4 * abs(pair[1])):  # float32 must tell knots apart
            raise ConfigError(
                f"model.range must be wider than 1e-6 and than 1e-4 of its ends, not {list(pair)}; widen it (features are "
                "mapped onto it)"
            )
        object.__setattr__(self, "range", (float(pair[0]), float(pair[1])))
        self._check_conv()
        self._check_fan_in()
        self._check_nodes()
        if not (self.name.isascii() and self.name.isidentifier() and not self.name.startswith("_")):
            raise ConfigError(f"model.name must be a plain identifier such as 'kan', not {self.name!r}; rename it")
        if len(self.name) > 32:
            raise ConfigError(f"model.name must have at most 32 characters, not {len(self.name)}; shorten it")

    def _check_conv(self) -> None:
        object.__setattr__(self, "conv", tuple(self.conv))
        if not self.conv and self.image is None:
            return
        if not self.conv or self.image is None:
            raise ConfigError(
                "model.conv and model.image belong together: layers, and [height, width, channels]; add both"
            )
        if self.family not in CONV_FAMILIES:
            raise ConfigError(
                f"model.conv needs a family of {', '.join(CONV_FAMILIES)}, not {self.family}; choose one of these"
            )
        if len(self.conv) > 16 or len(self.image) != 3:
            raise ConfigError(
                f"at most 16 layers in model.conv and three numbers in model.image were expected, not {len(self.conv)} and "
                f"{len(self.image)}; change them"
            )
        for size in self.image:
            check_integer("model.image", size, 1, 1 << 12)
        object.__setattr__(self, "image", tuple(self.image))
        height, width, channels = self.image
        if height * width * channels != self.widths[0]:
            raise ConfigError(
                f"model.image {list(self.image)} has {height * width * channels} numbers, but model.widths starts with "
                f"{self.widths[0]}; correct one"
            )
        _ = self.conv_edges

    def _check_fan_in(self) -> None:
        if self.fan_in is None:
            return
        if self.family != "table":
            raise ConfigError(f"model.fan_in belongs to the family table, not to {self.family}; remove it")
        if isinstance(self.fan_in, int):
            check_integer("model.fan_in", self.fan_in, 1, 1 << 16)
            return
        object.__setattr__(self, "fan_in", tuple(self.fan_in))
        assert isinstance(self.fan_in, tuple)
        if len(self.fan_in) != len(self.widths) - 1:
            raise ConfigError(
                f"model.fan_in has {len(self.fan_in)} values, but the model has {len(self.widths) - 1} layers; give one each"
            )
        for value in self.fan_in:
            if value is not None:
                check_integer("model.fan_in", value, 1, 1 << 16)

    def _check_nodes(self) -> None:
        if self.layernorm and self.family != "fast_kan":
            raise ConfigError(f"model.layernorm belongs to the family fast_kan, not to {self.family}; remove it")
        if self.layernorm and min(self.widths[:-1]) < 2:
            raise ConfigError("model.layernorm over one input gives a constant; leave it out or widen model.widths")
        check_integer("model.arity", self.arity, 2, 16)
        hidden = len(self.widths) - 1
        counts = (
            (self.multiplication,) * (hidden - 1) + (0,)
            if isinstance(self.multiplication, int)
            else self.multiplication
        )
        if len(counts) != hidden:
            raise ConfigError(
                f"model.multiplication has {len(counts)} values, but {hidden} widths follow the first; give one each"
            )
        for count, width in zip(counts, self.widths[1:], strict=True):
            check_integer("model.multiplication", count, 0, width)
        if isinstance(self.multiplication, int):
            check_integer("model.multiplication", self.multiplication, 0, 1 << 16)
        else:
            object.__setattr__(self, "multiplication", tuple(self.multiplication))
        for key, given in (("multiplication", any(counts)), ("grid_per_input", self.grid_per_input)):
            if given and self.family != "pykan":
                raise ConfigError(f"model.{key} belongs to the family pykan, not to {self.family}; remove it")

    @property
    def arities(self) -> tuple[tuple[int, ...], ...]:
        """Factors of the nodes that multiply, per layer."""
        hidden = len(self.widths) - 1
        given = self.multiplication
        counts = (given,) * (hidden - 1) + (0,) if isinstance(given, int) else given
        return tuple((self.arity,) * count for count in counts)

    def _conv_shapes(self) -> tuple[tuple[int, ...], int]:
        """Return the edges of the convolutions, and how many numbers the last one puts out (or the image has)."""
        if self.image is None:
            return (), self.widths[0]
        image, edges = self.image, []
        for conv in self.conv:
            image, count = conv.apply(image)
            edges.append(count)
        return tuple(edges), image[0] * image[1] * image[2]

    @property
    def conv_edges(self) -> tuple[int, ...]:
        """Edges of every convolution; all windows share them."""
        return self._conv_shapes()[0]

    @property
    def n_layers(self) -> int:
        """KAN layers, convolutions first."""
        return len(self.conv) + len(self.widths) - 1

    @property
    def edges(self) -> tuple[int, ...]:
        """Edges of every layer; each factor of a node that multiplies has its own."""
        sums = (w - len(a) + sum(a) for w, a in zip(self.widths[1:], self.arities, strict=True))
        conv, flat = self._conv_shapes()
        return *conv, *(n * m for n, m in zip((flat, *self.widths[1:]), sums, strict=False))

    def layer_fan_in(self, layer: int) -> int | None:
        """Return how many inputs each node of layer number `layer` keeps; None is no limit."""
        if isinstance(self.fan_in, tuple):
            return self.fan_in[layer]
        return None if layer == len(self.widths) - 2 else self.fan_in
