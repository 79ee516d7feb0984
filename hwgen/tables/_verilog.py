"""Python values to Verilog text: the only place where an integer or a name becomes Verilog.

Everything is emitted as plain unsigned vectors of exact width. A value that may be negative is held in two's
complement, and :func:`extend` repeats its sign bit; so no expression depends on Verilog's rules for mixed signs.
"""

from __future__ import annotations

import re

from pymodel.errors import IRError

__all__ = ["extend", "identifier", "literal", "vector"]

#: What comes before an underscore in a keyword: `always_comb`, `s_until`, `wait_order` ...
_KEYWORD_PREFIXES = (
    "always_",
    "accept_",
    "disable_",
    "first_",
    "pulsestyle_",
    "reject_",
    "s_",
    "sync_",
    "until_",
    "wait_",
)
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def literal(value: int, width: int) -> str:
    """Return `value` as a sized Verilog literal, two's complement if it is negative.

    Args:
        value: an integer in `[-2^(width-1), 2^width)`.
        width: bits, at least 1.

    Returns:
        A decimal literal such as `5'd19`, or `5'h1d` for a negative value (its bit pattern).
    """
    assert width >= 1, width
    assert -(1 << (width - 1)) <= value < 1 << width, (value, width)
    if value < 0:
        return f"{width}'h{value + (1 << width):x}"
    return f"{width}'d{value}"


def identifier(name: str, prefix: str) -> str:
    """Return a Verilog identifier for a name from a model.

    Args:
        name: a name that matches `[A-Za-z][A-Za-z0-9_]*`; it may be a Verilog keyword.
        prefix: put before it; ends in an underscore, and no (System)Verilog keyword starts with it.

    Raises:
        IRError: if the name is not a plain identifier.
    """
    assert _IDENTIFIER.fullmatch(prefix), prefix
    assert prefix.endswith("_"), prefix
    assert prefix not in _KEYWORD_PREFIXES, prefix
    if not _IDENTIFIER.fullmatch(name):
        raise IRError(f"a name in Verilog must match [A-Za-z][A-Za-z0-9_]*, not {name!r}; rename the layer")
    return prefix + name


def vector(width: int) -> str:
    """Return the range of a vector of `width` bits: `[3:0] `, with a trailing blank; also for one bit."""
    assert width >= 1, width
    return f"[{width - 1}:0] "


def extend(name: str, width: int, to: int, *, signed: bool, zeros: int = 0) -> str:
    """Return `name * 2^zeros`, extended to `to` bits.

    Args:
        name: a signal of `width` bits.
        width: its width.
        to: width of the result, at least `width + zeros`.
        signed: repeat the sign bit instead of zeros.
        zeros: zero bits appended on the right.
    """
    pad = to - width - zeros
    assert pad >= 0, (name, width, to, zeros)
    parts = []
    if pad:
        sign = name if width == 1 else f"{name}[{width - 1}]"
        parts.append(f"{{{pad}{{{sign}}}}}" if signed else f"{pad}'d0")
    parts.append(name)
    if zeros:
        parts.append(f"{zeros}'d0")
    return parts[0] if len(parts) == 1 else f"{{{', '.join(parts)}}}"
