"""The convolutional layers of a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pymodel.errors import ConfigError
from pymodel.settings._checks import check_choice, check_integer

__all__ = ["POOL_NAMES", "ConvSettings"]

POOL_NAMES: Final = ("none", "max", "average")
_MAX = 1 << 12


@dataclass(frozen=True)
class ConvSettings:
    """One convolutional layer, and the pool that follows it.

    Attributes:
        channels: outputs per pixel.
        kernel, stride, padding: of the window; a number, or [vertical, horizontal].
        groups: parts that the channels are divided in.
        pool: `max`, `average` or `none`.
        pool_size: of the pool's window, which is its stride as well.

    Raises:
        ConfigError: for a value out of range.
    """

    channels: int
    kernel: int | tuple[int, int] = 3
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    groups: int = 1
    pool: str = "none"
    pool_size: int | tuple[int, int] = 2

    def __post_init__(self) -> None:
        check_choice("model.conv.pool", self.pool, POOL_NAMES)
        for name in ("channels", "groups", "kernel", "stride", "padding", "pool_size"):
            value, least = getattr(self, name), 0 if name == "padding" else 1
            pair = isinstance(value, list | tuple) and name not in ("channels", "groups")
            if pair:
                object.__setattr__(self, name, tuple(value))
            numbers = tuple(value) if pair else (value,)
            if len(numbers) not in (1, 2) or (pair and len(numbers) != 2):
                raise ConfigError(f"model.conv.{name} must be a number or a pair of numbers, not {value!r}; change it")
            for number in numbers:
                check_integer(f"model.conv.{name}", number, least, _MAX)

    def _pair(self, name: str) -> tuple[int, int]:
        value = getattr(self, name)
        return (value, value) if isinstance(value, int) else value

    def apply(self, image: tuple[int, int, int]) -> tuple[tuple[int, int, int], int]:
        """Return the image (height, width, channels) that the layer and its pool put out, and the layer's edges.

        Raises:
            ConfigError: if a window does not fit or the groups do not divide the channels.
        """
        *size, channels = image
        if channels % self.groups or self.channels % self.groups:
            raise ConfigError(
                f"model.conv.groups is {self.groups}, which does not divide {channels} and {self.channels} channels; "
                "change it"
            )
        sides = []
        for length, kernel, stride, padding in zip(
            size, self._pair("kernel"), self._pair("stride"), self._pair("padding"), strict=True
        ):
            if padding >= kernel or length + 2 * padding < kernel:
                raise ConfigError(
                    f"model.conv.kernel {kernel} does not fit in an image of {length} pixels with a padding of {padding}; "
                    "change kernel or padding"
                )
            sides.append((length + 2 * padding - kernel) // stride + 1)
        edges = self._pair("kernel")[0] * self._pair("kernel")[1] * channels // self.groups * self.channels
        if self.pool != "none":
            pools = self._pair("pool_size")
            if sides[0] < pools[0] or sides[1] < pools[1]:
                raise ConfigError(
                    f"model.conv.pool_size {list(pools)} does not fit in an image of {sides}; make it smaller"
                )
            sides = [side // pool for side, pool in zip(sides, pools, strict=True)]
        return (sides[0], sides[1], self.channels), edges
