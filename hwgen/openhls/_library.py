"""Functions of the ap_types headers that only simulate, by what they mean.

`ap_int<W1> * ap_int<W2>` first extends both to W1 + W2 bits and then multiplies *those*, into 2 (W1 + W2) bits. Beyond 64
bits the headers do that word by word on the heap, with loops that depend on the values. The product of two integers of
at most 64 bits is one multiplication of 128 bits, of which LLVM then keeps what is used. Every run compares the result
with the compiled headers.
"""

from __future__ import annotations

import re

__all__ = ["replace_wide_products"]

_PRODUCT = re.compile(
    r"^define [^\n]*@(_ZNK10ap_privateILi(?P<w1>\d+)ELb(?P<s1>[01])ELb1EEmlILi(?P<w2>\d+)ELb(?P<s2>[01])EEE?[^\n(]*)"
    r"\(ptr [^\n]*sret\([^\n]*\)[^\n]* (?P<out>%\d+), ptr [^\n]* (?P<a>%\d+), ptr [^\n]* (?P<b>%\d+)\)[^\n]*\{\n"
    r"(?P<body>.*?)^\}$",
    flags=re.MULTILINE | re.DOTALL,
)


def _bits(width: int) -> int:
    """Return the bits of the native integer that holds `width` bits in ap_types."""
    return max(8, 1 << (width - 1).bit_length())


def _product(match: re.Match[str]) -> str:
    w1, w2 = int(match["w1"]), int(match["w2"])
    s1, s2 = match["s1"] == "1", match["s2"] == "1"
    width = w1 + w2
    if not 64 < width <= 128:
        return match[0]
    lines = []
    for name, address, w, is_signed in (("a", match["a"], w1, s1), ("b", match["b"], w2, s2)):
        t = f"i{_bits(w)}"
        extend = "sext" if is_signed else "zext"
        lines.append(f"  %{name} = load {t}, ptr {address}")
        lines.append(f"  %{name}.wide = {extend} {t} %{name} to i128")
    down = "ashr" if s1 or s2 else "lshr"
    lines += [
        "  %product = mul i128 %a.wide, %b.wide",
        f"  %up = shl i128 %product, {128 - width}",
        f"  %used = {down} i128 %up, {128 - width}",
        "  %low = trunc i128 %used to i64",
        "  %shifted = lshr i128 %used, 64",
        "  %high = trunc i128 %shifted to i64",
        f"  store i64 %low, ptr {match['out']}",
        f"  %second = getelementptr i64, ptr {match['out']}, i64 1",
        "  store i64 %high, ptr %second",
        "  ret void",
    ]
    return match[0][: match.start("body") - match.start()] + "\n".join(lines) + "\n}"


def replace_wide_products(text: str) -> str:
    """Return the LLVM module with the products of ap_types that exceed 64 bits as plain multiplications."""
    return _PRODUCT.sub(_product, text)
