"""Python values as C++11 text: identifiers, integer types, arrays. Every emitter of C++ uses these, and only these."""

from __future__ import annotations

import numpy as np

from pymodel.errors import ConfigError
from pymodel.ir import IntArray, check_name, signed_width, unsigned_width

__all__ = ["ap_int", "array", "check_project_name", "is_reserved", "layer_identifier", "native_type"]

_RESERVED_TEXT = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
    while xor xor_eq main std nnet kan4ml kan_csim input_t result_t
"""
_RESERVED = frozenset(_RESERVED_TEXT.split())
_NATIVE = (
    ("signed char", -(1 << 7), (1 << 7) - 1),
    ("unsigned char", 0, (1 << 8) - 1),
    ("short", -(1 << 15), (1 << 15) - 1),
    ("unsigned short", 0, (1 << 16) - 1),
    ("int", -(1 << 31), (1 << 31) - 1),
    ("unsigned int", 0, (1 << 32) - 1),
    ("long long", -(1 << 63), (1 << 63) - 1),
)
_PER_LINE = 24


def is_reserved(name: str) -> bool:
    """Return whether `name` may not become a C++ identifier of ours: a keyword, or a name that the project uses."""
    return name in _RESERVED


def check_project_name(name: str) -> str:
    """Return `name` if it may name files, include guards and the top function.

    Raises:
        ConfigError: otherwise.
    """
    if not name.isascii() or not name.isidentifier() or name.startswith("_") or "__" in name or is_reserved(name):
        raise ConfigError(
            f"a project_name must be a plain C++ identifier that is no keyword, not {name!r}; rename the project"
        )
    return name


def layer_identifier(name: str) -> str:
    """Return the C++ identifier of the layer called `name` in the IR; never a keyword, because it is prefixed.

    Raises:
        IRError: if `name` is not a plain identifier.
    """
    return f"kan_{check_name(name)}"


def native_type(values: IntArray) -> str:
    """Return the narrowest native C++ integer type that holds all `values`, signed before unsigned."""
    low, high = int(values.min()), int(values.max())
    return next(name for name, least, most in _NATIVE if least <= low and high <= most)


def ap_int(values: IntArray) -> str:
    """Return the narrowest `ap_int<W>`, or `ap_uint<W>` where no value is negative, that holds all `values`."""
    low, high = int(values.min()), int(values.max())
    return f"ap_int<{signed_width(low, high)}>" if low < 0 else f"ap_uint<{unsigned_width(high)}>"


def _literals(row: IntArray) -> str:
    wide = row.size > 0 and bool(np.abs(row).max() >= 1 << 31)
    texts = [f"{v}LL" for v in row.tolist()] if wide else list(map(str, row.tolist()))
    lines = [",".join(texts[i : i + _PER_LINE]) for i in range(0, len(texts), _PER_LINE)]
    return ",\n     ".join(lines)


def _rows(values: IntArray) -> str:
    return "{\n" + ",\n".join(f"    {{{_literals(row)}}}" for row in values) + "}"


def array(name: str, values: IntArray) -> str:
    """Return the definition of a `static const` native array of one to three dimensions, with nested braces.

    Args:
        name: an identifier.
        values: int64, (n,), (rows, n) or (tables, rows, n).
    """
    assert values.ndim in (1, 2, 3)
    assert values.size > 0
    shape = "".join(f"[{n}]" for n in values.shape)
    if values.ndim == 1:
        body = f"\n    {{{_literals(values)}}}"
    elif values.ndim == 2:
        body = _rows(values)
    else:
        body = "{" + ",\n".join(map(_rows, values)) + "}"
    return f"static const {native_type(values)} {name}{shape} = {body.lstrip()};\n"
