"""hls4ml projects of random programs, for tests of the simulation and of the plugin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hwgen.plugin
from pymodel.ir import KanIR
from pymodel.layers import FrozenKAN

PART = "xcvu9p-flga2104-2L-e"


Reuse = int | str | Sequence[int | str]


def convert(
    model: FrozenKAN, folder: Path, strategy: str = "latency", reuse: Reuse = 1, io: str = "io_parallel"
) -> Any:
    """Write the hls4ml project of `model` into `folder`."""
    return hwgen.plugin.convert(model, folder, part=PART, clock_ns=5.0, strategy=strategy, reuse_factor=reuse, io=io)


def convert_ir(ir: KanIR, folder: Path, strategy: str = "latency", reuse: Reuse = 1, io: str = "io_parallel") -> Any:
    """Write the hls4ml project of a chain of KAN layers into `folder`."""
    return convert(FrozenKAN.from_ir(ir), folder, strategy, reuse, io)
