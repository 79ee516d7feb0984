"""AMD part names to the families that Yosys's `synth_xilinx` knows."""

from __future__ import annotations

import re

from pymodel.errors import ConfigError

__all__ = ["yosys_family"]

_FAMILIES = (
    (re.compile(r"xc(?:vu\d+p|ku\d+p|au\d+p|zu\d+|k2[46]|u\d+)(?:[^0-9a-z]|[a-z]|$)"), "xcup"),
    (re.compile(r"xc(?:vu|ku)\d+(?:[^0-9a-z]|[a-oq-z]|$)"), "xcu"),
    (re.compile(r"x[ac]7[akvzs]\d+"), "xc7"),
)


def yosys_family(part: str) -> str:
    """Return `xcup` (UltraScale+), `xcu` (UltraScale) or `xc7` (7 series) for a part such as `xcvu9p-flga2104-2L-e`.

    Raises:
        ConfigError: for any other part.
    """
    for pattern, family in _FAMILIES:
        if pattern.match(part.lower()):
            return family
    raise ConfigError(
        f"the synthesis estimate knows UltraScale+, UltraScale and 7-series parts, not {part!r}; "
        "set hardware.part to one of those (e.g. xcvu9p-flga2104-2L-e), or hardware.synth to false"
    )
