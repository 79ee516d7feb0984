"""Convolutional KAN layers in floating point: the basis of every pixel once, then an ordinary convolution of basis maps.

`y[o, oy, ox] = sum over taps and channels of (w[o,i]*act(x_p) + sum_b W[o,i,b]*B_b(x_p)) + bias[o]`, where input i is a tap
(ky, kx) and a channel, and p the pixel there. Padding comes after the basis, as in torch-conv-kan (Drokin 2024,
arXiv:2407.01092): a pixel that does not exist contributes 0, not the basis of x = 0. A pool may follow the sum.

The weights are those of a dense layer over the inputs of a window, in the order (ky, kx, channel), so masks, quantizers
and freezing are those of dense layers.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import IRError, ModelError
from pymodel.ir import ConvGeometry, PoolKind
from pymodel.layers._activations import activate
from pymodel.layers._kan import KANLayer

__all__ = ["POOLS", "ConvLayer", "ConvSpec", "conv_geometry", "convolve", "convolve_channels", "pool_real"]

#: Pools by name.
POOLS: Final = {"max": PoolKind.MAX, "average": PoolKind.AVERAGE}
_Pair = int | tuple[int, int]


def _pair(value: _Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def conv_geometry(
    channels: int,
    size: tuple[int, int],
    kernel: _Pair,
    stride: _Pair = 1,
    padding: _Pair = 0,
    dilation: _Pair = 1,
    groups: int = 1,
) -> ConvGeometry:
    """Return the geometry of a window over an image of `size` (height, width); pairs are (vertical, horizontal).

    Raises:
        ModelError: if a number is out of range or no window fits.
    """
    (top, left), kernels, strides, steps = _pair(padding), _pair(kernel), _pair(stride), _pair(dilation)
    try:
        return ConvGeometry(*size, channels, *kernels, *strides, top, top, left, left, *steps, groups)
    except IRError as error:
        raise ModelError(str(error)) from None


@dataclass(frozen=True)
class ConvSpec:
    """One convolutional layer of a network.

    Attributes:
        channels: outputs per pixel.
        kernel, stride, padding: of the window, the same in both directions, or (vertical, horizontal).
        groups: parts that the channels are divided in.
        pool: `max`, `average` or `none`, of the layer's outputs.
        pool_size: of the pool's window, which is its stride as well.
    """

    channels: int
    kernel: _Pair = 3
    stride: _Pair = 1
    padding: _Pair = 0
    groups: int = 1
    pool: str = "none"
    pool_size: _Pair = 2

    def __post_init__(self) -> None:
        if self.pool != "none" and self.pool not in POOLS:
            raise ModelError(f"a pool must be none, {' or '.join(POOLS)}, not {self.pool!r}; choose one of these")
        for name in ("kernel", "stride", "padding", "pool_size"):
            value = getattr(self, name)
            if not isinstance(value, int):
                object.__setattr__(self, name, (int(value[0]), int(value[1])))

    def geometry(self, channels: int, size: tuple[int, int]) -> ConvGeometry:
        """Return the geometry on an image of `channels` and `size`; raises as :func:`conv_geometry`."""
        return conv_geometry(channels, size, self.kernel, self.stride, self.padding, groups=self.groups)


def _sides(g: ConvGeometry) -> tuple[int, int, int, int]:
    return g.padding_left, g.padding_right, g.padding_top, g.padding_bottom


def convolve(maps: Tensor, weight: Tensor, g: ConvGeometry) -> Tensor:
    """Return (B * windows, N): the sums of every window of basis maps.

    Args:
        maps: (B, H*W*C, F), F features of every channel of every pixel.
        weight: (N, taps * C/groups, F), inputs in the order (ky, kx, channel).
        g: which pixels a window reads.
    """
    features = maps.shape[-1]
    return convolve_channels(
        maps.view(maps.shape[0], -1, g.channels * features),
        weight.view(weight.shape[0], -1, g.group_channels * features),
        g,
    )


def convolve_channels(image: Tensor, kernel: Tensor, g: ConvGeometry) -> Tensor:
    """Return (B * windows, N) for pixels (B, H*W, K) of any K numbers, and kernels (N, taps, K / groups) of as many."""
    image = image.view(image.shape[0], g.height, g.width, -1).permute(0, 3, 1, 2)
    weight = kernel.view(kernel.shape[0], g.kernel_height, g.kernel_width, -1).permute(0, 3, 1, 2)
    padding = g.padding_top, g.padding_left
    if padding != (g.padding_bottom, g.padding_right):  # torch pads both sides alike
        image, padding = functional.pad(image, _sides(g)), (0, 0)
    stride, dilation = (g.stride_h, g.stride_w), (g.dilation_h, g.dilation_w)
    y: Tensor = functional.conv2d(image, weight, None, stride, padding, dilation, g.groups)
    return y.permute(0, 2, 3, 1).reshape(-1, kernel.shape[0])


def pool_real(y: Tensor, g: ConvGeometry, op: PoolKind) -> Tensor:
    """Return (B, OH*OW*C), channels last, of rows (B, H*W*C): the maximum or average of every window."""
    image = y.view(-1, g.height, g.width, g.channels).permute(0, 3, 1, 2)
    kernel, stride = (g.kernel_height, g.kernel_width), (g.stride_h, g.stride_w)
    if op is PoolKind.MAX:
        if g.is_padded:
            image = functional.pad(image, _sides(g), value=float("-inf"))
        pooled = functional.max_pool2d(image, kernel, stride, dilation=(g.dilation_h, g.dilation_w))
    else:
        pooled = functional.avg_pool2d(image, kernel, stride)
    return pooled.permute(0, 2, 3, 1).flatten(1)


class ConvLayer(KANLayer):
    """What the convolutional layers of all families share; a subclass also inherits the family's dense layer.

    `forward` takes flat rows (…, H*W*C), channels last, and returns (…, OH*OW*N); or images in torch's own layout,
    (B, C, H, W) or, where H = 1, (B, C, W).

    Attributes:
        geometry: which pixels a window reads.
        pool, pool_op: geometry and kind of the pool that follows, or None.
        in_features, out_features: inputs of a window and group, and N.
        norm: `nn.BatchNorm1d` over the N channels, before the pool, or None.
    """

    geometry: ConvGeometry
    pool: ConvGeometry | None
    pool_op: PoolKind
    norm: nn.BatchNorm1d | nn.LayerNorm | None

    def _shape(self, geometry: ConvGeometry, pool: str, pool_size: _Pair) -> None:
        """Set what the dense layer does not know."""
        if self.out_features % geometry.groups:
            raise ModelError(
                f"{self.out_features} output channels cannot be divided in {geometry.groups} groups; change the groups"
            )
        self.geometry, self.pool, self.pool_op = geometry, None, PoolKind.MAX
        if pool != "none":
            if pool not in POOLS:
                raise ModelError(f"a pool must be none, {' or '.join(POOLS)}, not {pool!r}; choose one of these")
            size = (geometry.out_height, geometry.out_width)
            self.pool, self.pool_op = conv_geometry(self.out_features, size, pool_size, pool_size), POOLS[pool]

    @property
    def n_inputs(self) -> int:
        """Integers of an image, H*W*C."""
        return self.geometry.n_in

    @property
    def out_geometry(self) -> tuple[int, int]:
        """Height and width of the outputs, after the pool."""
        g = self.geometry if self.pool is None else self.pool
        return g.out_height, g.out_width

    @property
    def n_nodes(self) -> int:
        """Outputs of :meth:`forward`."""
        height, width = self.out_geometry
        return height * width * self.out_features

    def spread(self, scores: Tensor) -> Tensor:
        """Return a score per channel, (N,), for scores of all outputs (n_nodes,): their root of the sum of squares."""
        return scores.view(-1, self.out_features).square().sum(dim=0).sqrt()

    @abstractmethod
    def _pixel_features(self, x: Tensor) -> Tensor:
        """Return `[act(x), B_0(x), …]`, (B, H*W*C, F), with gradients, for rows (B, H*W*C)."""

    @abstractmethod
    def _sums(self, x: Tensor) -> Tensor:
        """Return the sums (B * windows, N), without bias, for rows (B, H*W*C)."""

    def _base_sums(self, z: Tensor) -> Tensor:
        """Return the base branch's part of them, for rows `z` that `before` is applied to."""
        weight = self.base_weight * self.mask if self._pruned else self.base_weight
        return convolve(activate(self.functions.activation, z).unsqueeze(-1), weight.unsqueeze(-1), self.geometry)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs; see the class."""
        g = self.geometry
        image = x.dim() == 4 and x.shape[1:] == (g.channels, g.height, g.width)
        line = x.dim() == 3 and g.height == 1 and x.shape[1:] == (g.channels, g.width)
        if not image and not line:
            return self._rows(x.reshape(-1, g.n_in)).reshape(*x.shape[:-1], self.n_nodes)
        y = self._rows(x.reshape(x.shape[0], g.channels, -1).transpose(1, 2).flatten(1))
        y = y.view(x.shape[0], -1, self.out_features).transpose(1, 2)
        return y.reshape(*y.shape[:2], *self.out_geometry) if image else y

    def _rows(self, x: Tensor) -> Tensor:
        y = self._sums(x)
        if self.bias is not None:
            y = y + self.bias
        norm = self.norm
        if isinstance(norm, nn.BatchNorm1d) and y.shape[0] < 2:  # one value has no variance
            y = functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        elif norm is not None:
            y = norm(y)
        y = y.view(x.shape[0], -1)
        return y if self.pool is None else pool_real(y, self.pool, self.pool_op)

    def folded(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return base and spline weights and bias with the batch norm folded in; detached copies."""
        base, spline = self.base_weight.detach().clone(), self.spline_weight.detach().clone()
        bias = None if self.bias is None else self.bias.detach().clone()
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm1d):
            return base, spline, bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        shift = norm.bias.detach() + ((0 if bias is None else bias) - norm.running_mean) * scale
        return base * scale[:, None], spline * scale[:, None, None], shift

    def edge_features(self, x: Tensor) -> Tensor:
        """Return the features of the inputs of every window, (B * windows, I, 1 + n_basis); one group only.

        Raises:
            ModelError: if there are several groups.
        """
        g = self.geometry
        if g.groups > 1:
            raise ModelError("the windows of several groups have different inputs; prune without groups")
        maps = self.functions.features(x)  # (B, H*W*C, F)
        image = maps.view(x.shape[0], g.height, g.width, -1).permute(0, 3, 1, 2)
        columns = functional.unfold(
            functional.pad(image, _sides(g)),
            (g.kernel_height, g.kernel_width),
            dilation=(g.dilation_h, g.dilation_w),
            stride=(g.stride_h, g.stride_w),
        )
        patches = columns.view(x.shape[0], g.channels, maps.shape[-1], g.n_taps, -1)
        return patches.permute(0, 4, 3, 1, 2).reshape(-1, g.n_taps * g.channels, maps.shape[-1])

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        g = self.geometry
        pool = "" if self.pool is None else f", {self.pool_op.name.lower()} pool {self.pool.kernel_height}"
        return (
            f"{g.channels}x{g.height}x{g.width}, {self.out_features}x{g.out_height}x{g.out_width}, kernel="
            f"{g.kernel_height}x{g.kernel_width}, groups={g.groups}{pool}, activation={self.functions.activation}"
        )
