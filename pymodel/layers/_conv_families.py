"""The convolutional layers of each family: the dense layer's functions, weights and initialisation, on windows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pymodel.errors import ModelError
from pymodel.layers._activations import activate
from pymodel.layers._basis_maps import gram_map, rbf_map
from pymodel.layers._bspline import feature_map
from pymodel.layers._conv import ConvLayer, conv_geometry, convolve, convolve_channels
from pymodel.layers._efficient_kan import EfficientKANLinear
from pymodel.layers._fast_kan import FastKANLinear
from pymodel.layers._kagn import KAGNLinear

__all__ = [
    "EfficientKANConv1d",
    "EfficientKANConv2d",
    "FastKANConv1d",
    "FastKANConv2d",
    "KAGNConv1d",
    "KAGNConv2d",
]

_Pair = int | tuple[int, int]


def _batch_norm(name: str, channels: int) -> nn.BatchNorm1d | None:
    if name not in ("none", "batch"):
        raise ModelError(f"the norm of a convolution must be none or batch, not {name!r}; use batch, which folds")
    return nn.BatchNorm1d(channels) if name == "batch" else None


class EfficientKANConv2d(ConvLayer, EfficientKANLinear):
    """A convolution of B-splines plus a base branch; torch-conv-kan's `KANConv2DLayer` without its PReLU.

    Args:
        in_channels, out_channels: C and N.
        kernel_size, stride, padding, dilation: of the window; a number or (vertical, horizontal).
        size: (height, width) of the images.
        groups: parts that both channels are divided in.
        norm: of the sums, `none` or `batch`, which folds into the weights.
        pool: `max`, `average` or `none`.
        pool_size: of the pool's window and its stride.
        **options: grid, order, range, activation … of :class:`EfficientKANLinear`.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Pair,
        *,
        size: tuple[int, int],
        stride: _Pair = 1,
        padding: _Pair = 0,
        dilation: _Pair = 1,
        groups: int = 1,
        norm: str = "none",
        pool: str = "none",
        pool_size: _Pair = 2,
        **options: Any,
    ) -> None:
        g = conv_geometry(in_channels, size, kernel_size, stride, padding, dilation, groups)
        super().__init__(g.n_taps * g.group_channels, out_channels, **options)
        self.norm_name = norm
        self.norm = _batch_norm(norm, out_channels)
        self._shape(g, pool, pool_size)

    def _pixel_features(self, x: Tensor) -> Tensor:
        maps = feature_map(x, self.low, self.step, self.grid_size, self.order)
        if self.activation == "silu":
            return maps
        return torch.cat((activate(self.activation, x).unsqueeze(-1), maps[..., 1:]), dim=-1)

    def _sums(self, x: Tensor) -> Tensor:
        maps = self._pixel_features(x)
        weight = torch.cat((self.base_weight.unsqueeze(-1), self.spline_weight), dim=-1)
        return convolve(maps, weight * self.mask.unsqueeze(-1) if self._pruned else weight, self.geometry)


class FastKANConv2d(ConvLayer, FastKANLinear):
    """A convolution of Gaussians plus a base branch; torch-conv-kan's `FastKANConv2DLayer`, its norm after the sum.

    There the norm is on the inputs of the Gaussians only, by default with each image's own mean and variance, which has
    no integer form; a batch norm after the sum of the layer before does its work and folds into that layer.

    Args:
        in_channels, out_channels, kernel_size, size, stride, padding, dilation, groups, norm, pool, pool_size: as
            :class:`EfficientKANConv2d`.
        **options: grid, range, width, activation of :class:`FastKANLinear`.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Pair,
        *,
        size: tuple[int, int],
        stride: _Pair = 1,
        padding: _Pair = 0,
        dilation: _Pair = 1,
        groups: int = 1,
        norm: str = "none",
        pool: str = "none",
        pool_size: _Pair = 2,
        **options: Any,
    ) -> None:
        g = conv_geometry(in_channels, size, kernel_size, stride, padding, dilation, groups)
        if options.get("layernorm"):
            raise ModelError("a convolution has no LayerNorm over its windows; use norm='batch'")
        super().__init__(g.n_taps * g.group_channels, out_channels, **options)
        self.norm_name = norm
        self.norm = _batch_norm(norm, out_channels)
        self._shape(g, pool, pool_size)

    def _pixel_features(self, x: Tensor) -> Tensor:
        functions = self.functions
        maps = rbf_map(x, functions.centres(x), functions.width)
        return torch.cat((activate(self.activation, x).unsqueeze(-1), maps), dim=-1)

    def _sums(self, x: Tensor) -> Tensor:
        functions = self.functions
        maps = rbf_map(x, functions.centres(x), functions.width)
        return convolve(maps, self._spline_weights(), self.geometry) + self._base_sums(x)


class KAGNConv2d(ConvLayer, KAGNLinear):
    """A convolution of Gram polynomials plus a base branch; torch-conv-kan's `KAGNConv2DLayer`.

    Its SiLU at the end is the next layer's `before`, as in :class:`KAGNLinear`; a pool comes before it.

    Args:
        in_channels, out_channels, kernel_size, size, stride, padding, dilation, groups, pool, pool_size: as
            :class:`EfficientKANConv2d`.
        norm: of the sums, `batch`, which folds into the weights, or `none`.
        **options: degree, activation, before, range of :class:`KAGNLinear`.

    Raises:
        ModelError: if an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Pair,
        *,
        size: tuple[int, int],
        stride: _Pair = 1,
        padding: _Pair = 0,
        dilation: _Pair = 1,
        groups: int = 1,
        norm: str = "batch",
        pool: str = "none",
        pool_size: _Pair = 2,
        **options: Any,
    ) -> None:
        g = conv_geometry(in_channels, size, kernel_size, stride, padding, dilation, groups)
        _batch_norm(norm, out_channels)
        super().__init__(g.n_taps * g.group_channels, out_channels, norm=norm, **options)
        self._shape(g, pool, pool_size)

    def _pixel_features(self, x: Tensor) -> Tensor:
        z = activate(self.before, x)
        maps = gram_map(z.unsqueeze(-1), torch.stack(self._factors()), self.degree).squeeze(-1)
        return torch.cat((activate(self.activation, z).unsqueeze(-1), maps), dim=-1)

    def _sums(self, x: Tensor) -> Tensor:
        g, z = self.geometry, activate(self.before, x)
        pixels = z.view(z.shape[0], -1, g.channels)
        maps = gram_map(pixels, torch.stack(self._factors()), self.degree)  # (B, H*W, degree + 1, C)
        weight = self._spline_weights()
        if g.groups > 1:  # a group's channels must lie together
            return convolve(maps.transpose(2, 3).flatten(1, 2), weight, g) + self._base_sums(z)
        kernel = weight.view(weight.shape[0], g.n_taps, g.channels, -1).transpose(2, 3)
        return convolve_channels(maps.flatten(2), kernel.flatten(2), g) + self._base_sums(z)


def _line(kernel: int, size: int, options: dict[str, Any]) -> tuple[tuple[int, int], dict[str, Any]]:
    """Return the kernel and the options of an image of height 1."""
    pairs = {"stride": 1, "padding": 0, "dilation": 1, "pool_size": 1}
    lines = {name: (first, options[name]) for name, first in pairs.items() if name in options}
    lines.setdefault("pool_size", (1, 2))
    return (1, kernel), options | lines | {"size": (1, size)}


class EfficientKANConv1d(EfficientKANConv2d):
    """:class:`EfficientKANConv2d` in one dimension: `size` is the length, and every option a number."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, size: int, **options: Any) -> None:
        kernel, lines = _line(kernel_size, size, options)
        super().__init__(in_channels, out_channels, kernel, **lines)


class FastKANConv1d(FastKANConv2d):
    """:class:`FastKANConv2d` in one dimension: `size` is the length, and every option a number."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, size: int, **options: Any) -> None:
        kernel, lines = _line(kernel_size, size, options)
        super().__init__(in_channels, out_channels, kernel, **lines)


class KAGNConv1d(KAGNConv2d):
    """:class:`KAGNConv2d` in one dimension: `size` is the length, and every option a number."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, size: int, **options: Any) -> None:
        kernel, lines = _line(kernel_size, size, options)
        super().__init__(in_channels, out_channels, kernel, **lines)
