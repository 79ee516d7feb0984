"""Frozen convolutions and pools in torch: basis per pixel, unfolded windows, matrix products in float64, no cuDNN.

Nothing here is shared with `pymodel.reference`, and windows come from torch's own `unfold`, not from the IR's geometry.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.ir import ConvGeometry, FixedPoint, KanConv, Node, NodeKind, Pool, PoolKind
from pymodel.layers._frozen_layer import FrozenLayer, type_name
from pymodel.layers._frozen_linear import FrozenKANLinear, codes_of

__all__ = ["FrozenKANConv", "FrozenPool"]


def _unfold(image: Tensor, g: ConvGeometry, padding: float) -> Tensor:
    """Return (R, C, taps, windows) of an image (R, C, H, W); `padding` stands where there is no pixel."""
    sides = (g.padding_left, g.padding_right, g.padding_top, g.padding_bottom)
    columns: Tensor = functional.unfold(
        functional.pad(image, sides, value=padding),
        (g.kernel_height, g.kernel_width),
        dilation=(g.dilation_h, g.dilation_w),
        stride=(g.stride_h, g.stride_w),
    )
    return columns.view(image.shape[0], image.shape[1], g.n_taps, -1)


class _Spatial(FrozenLayer):
    """A layer of images: flat rows, channels last, as every frozen layer; or torch's own (…, C, H, W) in and out."""

    geometry: ConvGeometry

    def __init__(self, node: Node, in_type: FixedPoint, geometry: ConvGeometry, channels: int) -> None:
        super().__init__(node, in_type)
        self.geometry = geometry
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return `Y * out_type.lsb`, float64, for real inputs that are rounded to `in_type` first.

        Args:
            x: (…, H*W*C), channels last; or (B, C, H, W), or (B, C, W) where H = 1.

        Returns:
            (…, OH*OW*N), channels last; or (B, N, OH, OW), or (B, N, OW).

        Raises:
            DataError: if an input is NaN or infinite, or the shape is none of these.
        """
        g = self.geometry
        image = x.dim() == 4 and x.shape[1:] == (g.channels, g.height, g.width)
        line = x.dim() == 3 and g.height == 1 and x.shape[1:] == (g.channels, g.width)
        if not image and not line:
            return super().forward(x)
        rows = x.reshape(x.shape[0], g.channels, g.height * g.width).transpose(1, 2).flatten(1)
        y = super().forward(rows).view(x.shape[0], -1, self.out_channels).transpose(1, 2)
        return y.reshape(*y.shape[:2], g.out_height, g.out_width) if image else y


class FrozenKANConv(_Spatial):
    """A convolutional KAN layer (`pymodel.ir.KanConv`).

    Attributes:
        geometry: which pixels a window reads.
        out_channels: N.
        groups: `nn.ModuleList` of :class:`FrozenKANLinear`, one per group, over the inputs of a window.
    """

    def __init__(self, node: KanConv, in_type: FixedPoint) -> None:
        super().__init__(node, in_type, node.geometry, node.out_channels)
        self.groups = nn.ModuleList(FrozenKANLinear(layer, in_type) for layer in node.layers)

    def group_layers(self) -> Iterator[FrozenKANLinear]:
        """Yield the groups' layers."""
        for layer in self.groups:
            assert isinstance(layer, FrozenKANLinear)
            yield layer

    def ir_node(self, name: str, source: str) -> KanConv:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""
        return KanConv(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            geometry=self.geometry,
            layers=tuple(layer.ir_node(name, source) for layer in self.group_layers()),  # type: ignore[arg-type]
        )

    @torch.no_grad()
    def integers(self, X: Tensor) -> Tensor:
        """Return the integers (rows, OH*OW*N) of input integers (rows, H*W*C), both int64; `X` is within `in_type`."""
        g = self.geometry
        image = X.view(X.shape[0], g.height, g.width, g.groups, g.group_channels)
        parts = []
        for index, layer in enumerate(self.group_layers()):
            half = 1 << (layer.shift - 1) if layer.shift else 0
            total = self._sums(layer, image[:, :, :, index]) + (layer.bias + half).double().unsqueeze(1)
            parts.append(torch.floor(total * 2.0**-layer.shift))
        Y = torch.stack(parts, dim=1).clamp(self.out_type.min_int, self.out_type.max_int).long()
        return Y.flatten(1, 2).transpose(1, 2).flatten(1)

    def _sums(self, layer: FrozenKANLinear, image: Tensor) -> Tensor:
        """Return (R, N/groups, windows), float64, of a group's image (R, H, W, Cg), bias excluded."""
        channels = image.shape[-1]
        codes = _pixel_codes(image, layer, "coder")
        if layer.form is NodeKind.EDGE_TABLE:
            n_in, n_codes, n_out = layer.tables.shape
            # Code -1 is a tap outside of the image: a row of zeros before each input's table.
            tables = functional.pad(layer.tables.double(), (0, 0, 1, 0)).view(-1, n_out)
            taps = _unfold(codes.permute(0, 3, 1, 2).double(), self.geometry, -1.0).long() + 1  # (R, Cg, taps, L)
            rows = taps.permute(0, 3, 2, 1).flatten(2) + torch.arange(n_in, device=taps.device) * (n_codes + 1)
            sums = functional.embedding_bag(rows.flatten(0, 1), tables, mode="sum")
            return sums.view(rows.shape[0], rows.shape[1], n_out).transpose(1, 2)
        assert layer.basis is not None
        if layer.basis.n_tables > 1:
            codes = codes + torch.arange(channels, device=codes.device) * layer.coder.n_codes
        values = layer.dense_basis()[codes].flatten(3).permute(0, 3, 1, 2)  # (R, Cg * n_basis, H, W)
        weights = layer.spline_weights.double()
        weights = weights.view(weights.shape[0], -1, channels, weights.shape[2]).permute(0, 2, 3, 1)
        total = self._product(values, weights.flatten(1)) * layer.spline_mult.double().unsqueeze(1)
        if layer.base_coder is not None:
            table = layer.base_table.double()
            values = table[_pixel_codes(image, layer, "base_coder")].permute(0, 3, 1, 2)
            weights = layer.base_weights.double()
            weights = weights.view(weights.shape[0], -1, channels).permute(0, 2, 1)
            total = total + self._product(values, weights.flatten(1)) * layer.base_mult.double().unsqueeze(1)
        return total

    def _product(self, values: Tensor, weights: Tensor) -> Tensor:
        """Return (R, N, windows) of maps (R, F, H, W) and weights (N, F * taps); maps are 0 outside of the image."""
        return weights @ _unfold(values, self.geometry, 0.0).flatten(1, 2)

    @property
    def _values_per_row(self) -> int:
        first = next(self.group_layers())
        per_input = 1 if first.form is NodeKind.EDGE_TABLE else int(first.spline_weights.shape[-1])
        windows = self.geometry.n_windows
        return windows * (first.in_features * per_input + first.out_features) + self.in_features * per_input

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        g = self.geometry
        return (
            f"{g.channels}x{g.height}x{g.width}, {self.out_channels}x{g.out_height}x{g.out_width}, kernel="
            f"{g.kernel_height}x{g.kernel_width}, in={type_name(self.in_type)}, out={type_name(self.out_type)}"
        )


def _pixel_codes(image: Tensor, layer: FrozenKANLinear, name: str) -> Tensor:
    """Return the codes (R, H, W, Cg) of a group's image; a window's first inputs are the channels of one pixel."""
    channels = image.shape[-1]
    mult, offset = (layer.get_buffer(f"{name}_{part}") for part in ("mult", "offset"))
    facts = layer.coder if name == "coder" else layer.base_coder
    assert facts is not None
    return codes_of(image, facts, mult[:channels], offset[:channels])


class FrozenPool(_Spatial):
    """A maximum or an average over windows (`pymodel.ir.Pool`).

    Attributes:
        geometry: which pixels a window reads.
        op: which of the two.
        shift: of the average's rescale.
        mult: int64 buffer (1,).
    """

    mult: Tensor

    def __init__(self, node: Pool, in_type: FixedPoint) -> None:
        super().__init__(node, in_type, node.geometry, node.geometry.channels)
        self.op, self.shift = node.op, node.shift
        self._put(mult=np.array([node.mult], dtype=np.int64))

    def ir_node(self, name: str, source: str) -> Pool:
        """Return the layer as an IR node called `name` that reads the node `source`, from the buffers as they are."""
        return Pool(
            name=name,
            inputs=(source,),
            out_type=self.out_type,
            value_lsb=self.value_lsb,
            value_offset=self.value_offset,
            geometry=self.geometry,
            op=self.op,
            mult=int(self.mult),
            shift=self.shift,
        )

    @torch.no_grad()
    def integers(self, X: Tensor) -> Tensor:
        """Return the integers (rows, OH*OW*C) of input integers (rows, H*W*C), both int64; `X` is within `in_type`."""
        g = self.geometry
        image = X.view(X.shape[0], g.height, g.width, g.channels).permute(0, 3, 1, 2).double()
        if self.op is PoolKind.MAX:
            Y = _unfold(image, g, float("-inf")).amax(dim=2)
        else:
            half = 1 << (self.shift - 1) if self.shift else 0
            Y = torch.floor((_unfold(image, g, 0.0).sum(dim=2) * self.mult.double() + half) * 2.0**-self.shift)
            Y = Y.clamp(self.out_type.min_int, self.out_type.max_int)
        return Y.transpose(1, 2).flatten(1).long()

    @property
    def _values_per_row(self) -> int:
        return self.in_features + self.geometry.n_windows * self.geometry.n_taps * self.geometry.channels

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        g = self.geometry
        size = f"{g.channels}x{g.height}x{g.width}, {g.out_height}x{g.out_width}"
        return f"{self.op.name.lower()}, {size}, {type_name(self.in_type)}"
