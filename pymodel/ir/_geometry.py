"""Which pixels a sliding window reads: sizes, strides, padding, dilation and groups of convolutions and pools."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np

from pymodel.errors import IRError
from pymodel.ir._fixed import IntArray

__all__ = ["MAX_VALUES", "ConvGeometry"]

#: A node reads and writes at most this many integers per sample.
MAX_VALUES = 1 << 22


@dataclass(frozen=True)
class ConvGeometry:
    """A window that slides over an image of `height * width` pixels of `channels` integers, channels last.

    The integer of pixel (y, x) and channel c stands at index `(y*width + x)*channels + c` of a flat row; one dimension is
    an image of height 1 and a kernel of height 1. Window (oy, ox) reads at tap (ky, kx) the pixel
    `(oy*stride_h + ky*dilation_h - padding_top, ox*stride_w + kx*dilation_w - padding_left)`; outside of the image there
    is no pixel, and the tap contributes nothing. Group g reads the channels `g*C/groups … (g+1)*C/groups - 1`.

    Attributes:
        height, width, channels: of the input.
        kernel_height, kernel_width: taps of the window.
        stride_h, stride_w: pixels between two windows.
        padding_top, padding_bottom, padding_left, padding_right: pixels that are missing on each side.
        dilation_h, dilation_w: pixels between two taps.
        groups: parts that the channels are divided in.

    Raises:
        IRError: if a number is out of range, no window fits, or a side has more than 2^22 integers.
    """

    height: int
    width: int
    channels: int
    kernel_height: int
    kernel_width: int
    stride_h: int = 1
    stride_w: int = 1
    padding_top: int = 0
    padding_bottom: int = 0
    padding_left: int = 0
    padding_right: int = 0
    dilation_h: int = 1
    dilation_w: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for f in fields(self):
            value, least = getattr(self, f.name), 0 if f.name.startswith("padding") else 1
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_VALUES:
                raise IRError(f"a window's {f.name} must be {least} … {MAX_VALUES}, not {value!r}; change the geometry")
        tall, wide = self.extent
        if max(self.padding_top, self.padding_bottom) >= tall or max(self.padding_left, self.padding_right) >= wide:
            raise IRError(
                f"a window of {tall} x {wide} pixels needs less padding than that on every side, not "
                f"{self.padding_top}, {self.padding_bottom}, {self.padding_left}, {self.padding_right}; pad less"
            )
        if self.out_height < 1 or self.out_width < 1:
            raise IRError(
                f"a window of {tall} x {wide} pixels does not fit in a padded image of {self.height} x {self.width}; "
                "use a smaller kernel or more padding"
            )
        if self.channels % self.groups:
            raise IRError(f"{self.channels} channels cannot be divided in {self.groups} groups; change the groups")
        if max(self.n_in, self.n_windows * self.n_taps) > MAX_VALUES:
            raise IRError(
                f"{self.n_in} input integers and {self.n_windows * self.n_taps} taps were asked for, and {MAX_VALUES} are "
                "the most; use smaller images"
            )

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from the window's first to its last tap."""
        return (self.kernel_height - 1) * self.dilation_h + 1, (self.kernel_width - 1) * self.dilation_w + 1

    @property
    def out_height(self) -> int:
        """Rows of windows."""
        rows = self.height + self.padding_top + self.padding_bottom - self.extent[0]
        return rows // self.stride_h + 1

    @property
    def out_width(self) -> int:
        """Columns of windows."""
        columns = self.width + self.padding_left + self.padding_right - self.extent[1]
        return columns // self.stride_w + 1

    @property
    def n_in(self) -> int:
        """Input integers."""
        return self.height * self.width * self.channels

    @property
    def n_windows(self) -> int:
        """Windows, row by row."""
        return self.out_height * self.out_width

    @property
    def n_taps(self) -> int:
        """Taps of a window, row by row."""
        return self.kernel_height * self.kernel_width

    @property
    def group_channels(self) -> int:
        """Channels that a group reads."""
        return self.channels // self.groups

    @property
    def is_padded(self) -> bool:
        """Whether some pixels are missing."""
        return any((self.padding_top, self.padding_bottom, self.padding_left, self.padding_right))

    def taps(self) -> IntArray:
        """Return (windows, taps): the pixel `y*width + x` that each tap of each window reads, -1 where there is none."""
        y = np.arange(self.out_height)[:, None] * self.stride_h + np.arange(self.kernel_height) * self.dilation_h
        x = np.arange(self.out_width)[:, None] * self.stride_w + np.arange(self.kernel_width) * self.dilation_w
        y, x = y[:, None, :, None] - self.padding_top, x[None, :, None, :] - self.padding_left
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        return np.where(inside, y * self.width + x, -1).reshape(self.n_windows, self.n_taps).astype(np.int64)

    def to_json(self) -> dict[str, int]:
        """Return the numbers by name."""
        return dict(zip((f.name for f in fields(self)), astuple(self), strict=True))
