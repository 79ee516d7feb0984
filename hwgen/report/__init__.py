"""Reports: `report.json`, `report.html`, and the summary on a terminal."""

from hwgen.report._console import print_borders, print_fit, print_summary
from hwgen.report._data import REPORT_SCHEMA, border_entry, layer_entries, load_report, save_report, tool_versions
from hwgen.report._html import flatten_borders, render_html, renew_html

__all__ = [
    "REPORT_SCHEMA",
    "border_entry",
    "flatten_borders",
    "layer_entries",
    "load_report",
    "print_borders",
    "print_fit",
    "print_summary",
    "render_html",
    "renew_html",
    "save_report",
    "tool_versions",
]
