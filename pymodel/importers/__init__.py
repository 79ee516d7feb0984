"""Trained networks of other KAN libraries become float models of ours: same function, ready for quantization."""

from __future__ import annotations

from pymodel.importers._load import LIBRARIES, load

__all__ = ["LIBRARIES", "load"]
