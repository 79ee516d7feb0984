"""Help for messages about an unknown name: the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["suggest"]


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about the unknown `name`: the nearest of `known`, or all of them if few.

    Example: `"did you mean 'epochs'?"`, or `"known are a, b and c"`.
    """
    names = sorted(known)
    lowered = {other.lower(): other for other in reversed(names)}
    nearest = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if nearest:
        return f"did you mean {lowered[nearest[0]]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"known are {shown}" if names else "there are none"
