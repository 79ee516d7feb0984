"""One build: configuration to verified hardware, in a folder that is swapped in whole."""

from hwgen.build._build import BuildResult, build
from hwgen.build._swap import check_target, recover, staged

__all__ = ["BuildResult", "build", "check_target", "recover", "staged"]
