"""Reuse factors of KAN layers: R multiplications per multiplier and sample, so one sample every R clocks.

As in hls4ml. R = 1 is the fully parallel kernel; every other R the rolled one, whose iterations read n_in / R inputs
each, so that R divides n_in.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Final

from pymodel.errors import ConfigError

__all__ = ["ALL_INPUTS", "check_reuse", "nearest_divisors", "reuse_factors"]

#: The word for R = n_in: one input per clock.
ALL_INPUTS: Final = "all"


def nearest_divisors(n: int, wanted: int) -> tuple[int, ...]:
    """Return the largest divisor of `n` below `wanted` and the smallest above it, as far as there are such."""
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    below, above = [d for d in divisors if d < wanted], [d for d in divisors if d > wanted]
    return (*below[-1:], *above[:1])


def check_reuse(what: str, n_in: int, reuse: Any, unit: str = "inputs") -> int:
    """Return the reuse factor of a layer as an integer.

    Args:
        what: how the message calls the setting, e.g. `the ReuseFactor of layer fc1`.
        n_in: inputs of the layer.
        reuse: what the configuration asks for.
        unit: what is counted, where it is not the inputs.

    Raises:
        ConfigError: if it is not a divisor of `n_in`; the message names the nearest ones.
    """
    if isinstance(reuse, bool) or not isinstance(reuse, Integral) or reuse < 1:
        raise ConfigError(f"{what} must be a positive integer, not {reuse!r}; change it")
    if n_in % int(reuse):
        near = " or ".join(map(str, nearest_divisors(n_in, int(reuse))))
        raise ConfigError(f"{what} must divide the layer's {n_in} {unit}, which {reuse} does not; set it to {near}")
    return int(reuse)


def reuse_factors(what: str, wanted: int | str | Sequence[int | str], n_inputs: Sequence[int]) -> list[int]:
    """Return the reuse factor of every layer of a chain.

    Args:
        what: how the message calls the setting, e.g. `hardware.reuse_factor`.
        wanted: one value for all layers or one per layer; each a divisor of the layer's inputs, or `all`.
        n_inputs: inputs of each layer.

    Raises:
        ConfigError: if there are too many or too few, or one is no divisor.
    """
    each = [wanted] * len(n_inputs) if isinstance(wanted, int | str) else list(wanted)
    if len(each) != len(n_inputs):
        raise ConfigError(
            f"{what} must be one value or one for each of the {len(n_inputs)} layers, not {len(each)} values; change it"
        )
    return [
        n_in if reuse == ALL_INPUTS else check_reuse(f"{what} for layer {layer}", n_in, reuse)
        for layer, (reuse, n_in) in enumerate(zip(each, n_inputs, strict=True))
    ]
