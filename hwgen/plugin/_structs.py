"""Config structs as C++ text."""

from __future__ import annotations

from hwgen.plugin._cpp import ap_int
from pymodel.ir import AffineCoder, unsigned_width

__all__ = ["coder_struct", "identity_coder", "struct"]


def struct(name: str, **members: str | int | bool) -> str:
    """Return a config struct: typedefs for text, `bool` and `unsigned` constants for the rest."""
    lines = []
    for member, value in members.items():
        if isinstance(value, bool):
            lines.append(f"    static const bool {member} = {str(value).lower()};")
        elif isinstance(value, int):
            lines.append(f"    static const unsigned {member} = {value};")
        else:
            lines.append(f"    typedef {value} {member};")
    return "struct {} {{\n{}\n}};\n".format(name, "\n".join(lines))


def coder_struct(name: str, coder: AffineCoder, n_in: int, width: int) -> str:
    """Return the config of `coder` for `n_in` inputs, whose sums have `width` bits."""
    return struct(
        name,
        n_in=n_in,
        n_mult=int(coder.mult.size),
        n_codes=coder.n_codes,
        shift=coder.shift,
        mult_t=ap_int(coder.mult),
        offset_t=ap_int(coder.offset),
        sum_t=f"ap_int<{width}>",
        code_t=f"ap_uint<{unsigned_width(coder.n_codes - 1)}>",
    )


def identity_coder(name: str, n_in: int, n_codes: int) -> str:
    """Return the config of the coder of `n_in` inputs that are codes already."""
    width = unsigned_width(n_codes - 1)
    return struct(
        name,
        n_in=n_in,
        n_mult=1,
        n_codes=n_codes,
        shift=0,
        mult_t="ap_uint<1>",
        offset_t="ap_uint<1>",
        sum_t=f"ap_int<{width + 2}>",
        code_t=f"ap_uint<{width}>",
    )
