"""The errors a user can cause. Each message is one sentence: what was expected, what came, and the remedy.

The command line turns every :class:`Kan4mlError` into that sentence on stderr and exit status 2; anything else
that escapes is a defect of kan4ml.
"""

from __future__ import annotations

__all__ = ["ConfigError", "DataError", "IRError", "Kan4mlError", "MismatchError", "ModelError", "ToolError"]


class Kan4mlError(Exception):
    """Base class of every error that the user can remedy."""


class ConfigError(Kan4mlError):
    """The configuration is not valid (unknown key, wrong type, value out of range, features that do not combine)."""


class DataError(Kan4mlError):
    """A data file is missing, malformed, or unusable for the task."""


class ModelError(Kan4mlError):
    """A model or its weights cannot be converted (non-finite weights, unsupported layer, wrong shape)."""


class IRError(Kan4mlError):
    """A KAN IR is malformed or breaks the numerical contract."""


class ToolError(Kan4mlError):
    """An external tool (compiler, Verilator, Yosys, Vitis HLS) is missing or failed."""


class MismatchError(Kan4mlError):
    """Two stations disagree on an integer; exit status 1, not 2."""
