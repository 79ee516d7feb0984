"""The hls4ml backend `VitisKAN`: KAN layers beside hls4ml's own, built by the Vitis flow.

Nothing has to be called: hls4ml loads :func:`register` through its entry-point group `hls4ml.backends`, and the first
frozen KAN layer that is constructed loads :func:`register_torch_handlers` through `kan4ml.layer_handlers`.

    model = hls4ml.converters.convert_from_pytorch_model(torch_model, backend="VitisKAN", input_shape=…, hls_config=…)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

__all__ = ["BACKEND", "convert", "register", "register_torch_handlers"]

#: Name of the backend and of its writer; hls4ml looks both up by it.
BACKEND = "VitisKAN"


def register(*, register_backend: Callable[[str, type], None], register_writer: Callable[[str, type], None]) -> None:
    """Register writer, layer class and backend, once; called by hls4ml while it is half imported.

    Args:
        register_backend: hls4ml's `register_backend(name, class)`.
        register_writer: hls4ml's `register_writer(name, class)`.
    """
    from hls4ml.backends.backend import get_available_backends

    from hwgen.plugin._backend import VitisKANBackend
    from hwgen.plugin._config import show_kan_precisions
    from hwgen.plugin._layer import register_layers
    from hwgen.plugin._writer import VitisKANWriter

    if BACKEND.lower() in get_available_backends():
        return
    register_writer(BACKEND, VitisKANWriter)  # first: the backend's constructor asks for it
    register_layers()
    register_backend(BACKEND, VitisKANBackend)
    show_kan_precisions()


def register_torch_handlers() -> None:
    """Tell hls4ml's torch front end about the frozen KAN layers; needs hls4ml completely imported. Idempotent."""
    from hwgen.plugin import _handlers

    _handlers.register_torch_handlers()


def convert(
    frozen_model: nn.Module,
    output_dir: Path,
    *,
    part: str,
    clock_ns: float,
    strategy: str,
    reuse_factor: int | str | Sequence[int | str],
    io: str,
) -> Any:
    """Convert a frozen KAN to an hls4ml model of this backend, without hls4ml's prints, and write its project.

    Args:
        frozen_model: a :class:`pymodel.layers.FrozenKAN`.
        output_dir: the folder of the hls4ml project.
        part: the FPGA part, e.g. `xcvu9p-flga2104-2L-e`.
        clock_ns: target clock period.
        strategy: `latency` or `resource` (basis unit and MAC array), or `edge_table`.
        reuse_factor: multiplications per multiplier and sample: a divisor of the layer's inputs, or `all` of them; one
            for all layers or one per layer.
        io: `io_parallel`.

    Returns:
        The `hls4ml.model.ModelGraph`; its attribute `kan_ir` is the integer program that was written.

    Raises:
        ConfigError: if a combination of settings is not supported.
        IRError: if a layer has no edge-table form and `edge_table` was asked for.
        ModelError: if the model cannot be converted.
    """
    from hwgen.plugin._convert import convert_frozen

    return convert_frozen(
        frozen_model,
        output_dir,
        part=part,
        clock_ns=clock_ns,
        strategy=strategy,
        reuse_factor=reuse_factor,
        io=io,
    )


# Last, and not before `register` exists: whichever module of this package is imported first, hls4ml is then imported
# completely (it calls `register`) before any private module needs it. hls4ml only prints what a plugin raises, so
# without this line the backend would silently be missing when a private module is imported before hls4ml.
import hls4ml  # noqa: E402, F401
