"""Trained networks of other KAN libraries become float models of ours: same function, ready for quantization."""

from __future__ import annotations

from pymodel.importers._load import LIBRARIES, extract, load

__all__ = ["LIBRARIES", "extract", "load"]
