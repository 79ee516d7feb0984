"""What an HLS tool says of a design, in one form for all tools."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pymodel.errors import ToolError

__all__ = ["HlsReport", "read_xml"]

#: hls4ml's names of the entries of `CSynthesisReport`.
_HLS4ML = {
    "target_ns": "TargetClockPeriod",
    "estimated_ns": "EstimatedClockPeriod",
    "latency_min": "BestLatency",
    "latency_max": "WorstLatency",
    "interval_min": "IntervalMin",
    "interval_max": "IntervalMax",
    "bram": "BRAM_18K",
    "dsp": "DSP",
    "ff": "FF",
    "lut": "LUT",
    "uram": "URAM",
}


@dataclass(frozen=True)
class HlsReport:
    """Estimates of an HLS tool, before any logic synthesis; None where the tool does not say.

    Attributes:
        tool: `vitis` or `bambu`.
        target_ns, estimated_ns: clock period asked for and estimated.
        latency_min, latency_max: cycles of one call.
        interval_min, interval_max: cycles from one call to the next.
        lut, ff, dsp, bram, uram: resources; block RAM in units of 18 Kbit.
        extra: figures that only this tool has, under its own names.
    """

    tool: str
    target_ns: float | None = None
    estimated_ns: float | None = None
    latency_min: int | None = None
    latency_max: int | None = None
    interval_min: int | None = None
    interval_max: int | None = None
    lut: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram: int | None = None
    uram: int | None = None
    extra: dict[str, float | str] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Return the figures for a report file."""
        return asdict(self)

    def csynthesis(self) -> dict[str, str]:
        """Return hls4ml's `CSynthesisReport`: text, and only what the tool said."""
        values = {name: getattr(self, key) for key, name in _HLS4ML.items()}
        return {
            name: f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in values.items()
            if value is not None
        }


def read_xml(path: Path, tool: str) -> ET.Element:
    """Return the root of a tool's report.

    Raises:
        ToolError: if it is missing or malformed.
    """
    try:
        return ET.parse(path).getroot()  # noqa: S314 - written by a tool that we started ourselves
    except (OSError, ET.ParseError) as error:
        raise ToolError(f"the report {path.name} of {tool} cannot be read ({error}); look at the tool's log") from None
