"""Sphinx configuration: `make docs-site` builds the site into `build/site`, warnings are errors."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from pymodel import __version__

project = "kan4ml"
author = "the kan4ml authors"
copyright = "the kan4ml authors"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sitegen.pages"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "furo"
html_title = f"kan4ml {version}"
html_show_sourcelink = False
html_static_path: list[str] = []
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"IntArray": "IntArray"}
autodoc_default_options = {"show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
default_role = "code"
nitpicky = False
