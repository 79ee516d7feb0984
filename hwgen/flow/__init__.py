"""One build: configuration to verified hardware, in a folder that is swapped in whole."""

from hwgen.flow._build import BuildResult, build

__all__ = ["BuildResult", "build"]
