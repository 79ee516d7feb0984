"""Checks of one value, with one wording of their errors for all sections."""

from __future__ import annotations

import math

from pymodel.errors import ConfigError

__all__ = ["check_choice", "check_integer", "check_real"]


def check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key} must be one of {', '.join(choices)}, not {value!r}; choose one of these")


def check_integer(key: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{key} must be an integer from {low} to {high}, not {value!r}; change it")


def check_real(
    key: str, value: object, low: float, high: float, *, low_open: bool = False, high_open: bool = False
) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if good:
        assert isinstance(value, int | float)
        good = (low < value if low_open else low <= value) and (value < high if high_open else value <= high)
    if not good:
        bounds = f"{'above' if low_open else 'at least'} {low:g} and {'below' if high_open else 'at most'} {high:g}"
        raise ConfigError(f"{key} must be a number {bounds}, not {value!r}; change it")
