"""One function for all libraries: from a checkpoint to a float model of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from safetensors.torch import save_file
from torch import nn

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain
from pymodel.importers._efficient_kan import import_efficient_kan
from pymodel.importers._facts import Facts
from pymodel.importers._fast_kan import import_fast_kan
from pymodel.importers._pykan import import_pykan
from pymodel.importers._source import Source, read_source
from pymodel.importers._torch_conv_kan import import_dense
from pymodel.importers._torch_conv_kan_conv import CONV_MARKERS, import_conv
from pymodel.suggest import suggest

__all__ = ["LIBRARIES", "extract", "load"]


def _torch_conv_kan(source: Source, facts: Facts) -> Chain:
    convolutions = any(name.endswith(tuple(CONV_MARKERS)) for name in source.tensors)
    return import_conv(source, facts) if convolutions else import_dense(source, facts)


#: Importers by family.
LIBRARIES: Final = MappingProxyType[str, Callable[[Source, Facts], Chain]](
    {
        "efficient_kan": import_efficient_kan,
        "fast_kan": import_fast_kan,
        "pykan": import_pykan,
        "torch_conv_kan": _torch_conv_kan,
    }
)


def load(
    source: Path | str | Mapping[str, Any] | nn.Module, *, family: str, prefix: str = "", **facts: Any
) -> nn.Module:
    """Return a float model, in eval mode, that computes what the checkpoint does, within float32 rounding.

    Args:
        source: a `.safetensors` file, a state_dict, or a live module of the library (which is read, never changed; the
            library is not needed). Pickled files are refused.
        family: `efficient_kan`, `fast_kan`, `pykan` (0.2.8) or `torch_conv_kan`.
        prefix: where the network or the single layer lies in the source, such as `head.kan` or `layers.0`.
        **facts: what the tensors do not tell, under the names of the library's own constructor arguments
            (`base_activation`, `grid_range`, `width` …). A live module tells most of them itself. Facts that the tensors
            tell are compared with them.

    Returns:
        The model, float32, on the CPU: a :class:`~pymodel.layers.KAN` for dense layers.

    Raises:
        ModelError: if the source cannot be read or is of another family, if a fact is missing, unknown, wrong or
            contradictory, or if something has no exact form here; the message names it and the remedy.
    """
    if family not in LIBRARIES:
        raise ModelError(f"there is no family {family!r} to import; {suggest(family, LIBRARIES)}")
    found = Facts(family, facts)
    chain = LIBRARIES[family](read_source(source, prefix), found)
    found.finish()
    return chain.module()


def extract(source: Path | str | Mapping[str, Any] | nn.Module, path: Path | str, *, prefix: str = "") -> None:
    """Write what :func:`load` reads of `source` to the safetensors file `path`, without the prefix.

    Raises:
        ModelError: if the source cannot be read.
    """
    tensors = read_source(source, prefix).tensors
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path))
