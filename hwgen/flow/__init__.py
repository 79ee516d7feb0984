"""One build: configuration to verified hardware, in a folder that is swapped in whole."""

from hwgen.flow._build import BuildResult, build, train_along
from hwgen.flow._imported import load_imported, table_obstacle

__all__ = ["BuildResult", "build", "load_imported", "table_obstacle", "train_along"]
