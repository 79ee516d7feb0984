"""Reports: `report.json`, `report.html`, and the summary on a terminal."""

from hwgen.report._compare import Compared, compare, pareto, render_comparison
from hwgen.report._console import print_borders, print_comparison, print_fit, print_summary
from hwgen.report._data import REPORT_SCHEMA, border_entry, layer_entries, load_report, save_report, tool_versions
from hwgen.report._html import flatten_borders, render_html, renew_html, write_page

__all__ = [
    "REPORT_SCHEMA",
    "Compared",
    "border_entry",
    "compare",
    "flatten_borders",
    "layer_entries",
    "load_report",
    "pareto",
    "print_borders",
    "print_comparison",
    "print_fit",
    "print_summary",
    "render_comparison",
    "render_html",
    "renew_html",
    "save_report",
    "tool_versions",
    "write_page",
]
