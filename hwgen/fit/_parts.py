"""LUTs and flip-flops of AMD parts, from the public product tables.

UltraScale+: DS890 (UltraScale Architecture and Product Data Sheet: Overview); Zynq UltraScale+: DS891 (Zynq UltraScale+
MPSoC Data Sheet: Overview); Kria: DS987 (K26 SOM), DS1044 (K24 SOM); 7 series: DS180 (7 Series FPGAs Data Sheet:
Overview, four LUTs and eight flip-flops a slice); Zynq-7000: DS190 (Zynq-7000 SoC Data Sheet: Overview).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymodel.errors import ConfigError
from pymodel.suggest import suggest

__all__ = ["DEFAULT_PARTS", "PARTS", "Part", "find_part"]


@dataclass(frozen=True)
class Part:
    """A device: its name without package and speed grade, and what its logic offers."""

    name: str
    lut: int
    ff: int
    document: str


def _parts(document: str, **luts: int) -> dict[str, Part]:
    """Return parts with two flip-flops per LUT, as all these families have."""
    return {name: Part(name, lut, 2 * lut, document) for name, lut in luts.items()}


PARTS: dict[str, Part] = {
    **_parts(
        "DS890", xcvu3p=394_080, xcvu7p=788_160, xcvu9p=1_182_240, xcvu11p=1_296_000, xcvu13p=1_728_000,
        xcku3p=162_720, xcku5p=216_960, xcku15p=522_720,
    ),
    **_parts(
        "DS891", xczu1=37_440, xczu2=47_232, xczu3=70_560, xczu4=87_840, xczu5=117_120, xczu6=214_604, xczu7=230_400,
        xczu9=274_080, xczu11=298_560, xczu15=341_280, xczu17=423_403, xczu19=522_720,
    ),
    **_parts("DS987", xck26=117_120),
    **_parts("DS1044", xck24=70_560),
    **_parts(
        "DS180", xc7a12t=8_000, xc7a15t=10_400, xc7a25t=14_600, xc7a35t=20_800, xc7a50t=32_600, xc7a75t=47_200,
        xc7a100t=63_400, xc7a200t=134_600, xc7k70t=41_000, xc7k160t=101_400, xc7k325t=203_800, xc7k355t=222_600,
        xc7k410t=254_200, xc7k420t=260_600, xc7k480t=298_600,
    ),
    **_parts(
        "DS190", xc7z007s=14_400, xc7z010=17_600, xc7z012s=34_400, xc7z014s=40_600, xc7z015=46_200, xc7z020=53_200,
        xc7z030=78_600, xc7z035=171_900, xc7z045=218_600, xc7z100=277_400,
    ),
}  # fmt: skip
#: One or two of each family, small to large.
DEFAULT_PARTS = (
    "xc7a35t", "xc7z020", "xc7a100t", "xc7k325t", "xczu3", "xck26", "xczu7", "xcku5p", "xczu9", "xcvu9p",
)  # fmt: skip
_DEVICE = re.compile(r"(?:xc)?(vu\d+p|ku\d+p|zu\d+|k2[46]|7[akz]\d+[ts]?)(?=$|[^a-z0-9]|c|e|d|l|f|s|t|i|b|v|r)")


def find_part(name: str) -> Part:
    """Return the part that `name` means: with or without `xc`, package, speed grade, and Zynq's CG, EG, EV, DR.

    Raises:
        ConfigError: if it is not in the table; the message suggests the nearest one.
    """
    match = _DEVICE.match(name.strip().lower())
    device = f"xc{match.group(1)}" if match else name.strip().lower()
    if device not in PARTS:
        raise ConfigError(f"the part {name!r} is not in the table of parts; {suggest(device, list(PARTS))}")
    return PARTS[device]
