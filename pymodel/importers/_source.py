"""Where weights come from: a safetensors file, a state_dict or a live module. Nothing is ever unpickled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pymodel._regular import check_regular
from pymodel.errors import ModelError

__all__ = ["Layer", "Source", "check_shape", "read_source", "split_layers"]

_MAX_FILE_BYTES: Final = 4 << 30
_REMEDY: Final = "save it with safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and give that file"
#: `layers.3.NAME` of the libraries' networks, `3.NAME` of an `nn.Sequential`; an L1 wrapper adds `.module`.
_LAYER: Final = re.compile(r"((?:layers\.)?(\d+))\.(?:(module)\.)?(.+)")
_SHOWN: Final = 6


@dataclass(frozen=True)
class Source:
    """Tensors by name, without the prefix.

    Attributes:
        tensors: detached, on the CPU; floating-point ones are finite float32.
        module: the live module that they belong to, or None.
        where: what messages call the source.
    """

    tensors: dict[str, Tensor]
    module: nn.Module | None
    where: str


@dataclass(frozen=True)
class Layer:
    """The tensors of one layer.

    Attributes:
        name: in messages, such as `layers.0`; empty for a source that is one layer.
        tensors: by name within the layer.
        module: the live layer, or None.
    """

    name: str
    tensors: dict[str, Tensor]
    module: nn.Module | None

    def label(self, name: str) -> str:
        """Return the full name of the tensor called `name`."""
        return f"{self.name}.{name}" if self.name else name

    def take(self, *required: str, optional: Iterable[str] = ()) -> list[Tensor]:
        """Return the tensors called `required`, in that order.

        Raises:
            ModelError: if one is missing, or there are others than these and the `optional` ones.
        """
        for name in required:
            if name not in self.tensors:
                raise ModelError(
                    f"the state_dict lacks {self.label(name)!r}; give the whole layer, or the prefix it lies under"
                )
        known = {*required, *optional}
        odd = sorted(self.tensors.keys() - known)
        if odd:
            raise ModelError(
                f"{self.label(odd[0])!r} belongs to no layer of this family that can be imported (it has "
                f"{', '.join(sorted(known))}); check the family, or give the prefix of the layers"
            )
        return [self.tensors[name] for name in required]


def read_source(source: Path | str | Mapping[str, Any] | nn.Module, prefix: str) -> Source:
    """Return the tensors of `source` whose names start with `prefix`, which is removed.

    Args:
        source: a `.safetensors` file, a state_dict, or a module.
        prefix: `encoder.kan`, with or without the final dot; empty takes all.

    Raises:
        ModelError: if the source cannot be read, is pickled, holds something that is no plain tensor or not finite, or
            nothing lies under the prefix.
    """
    path = prefix.rstrip(".")
    module: nn.Module | None = None
    if isinstance(source, nn.Module):
        where, named = type(source).__name__, dict(source.state_dict())
        module = _submodule(source, path, where)
    elif isinstance(source, Mapping):
        where, named = "the state_dict", dict(source)
    elif isinstance(source, str | Path):
        where, named = Path(source).name, _read_file(Path(source))
    else:
        raise ModelError(
            f"a safetensors file, a state_dict or a module was expected, not {type(source).__name__}; give one of these"
        )
    for name in named:
        if not isinstance(name, str):
            raise ModelError(f"a state_dict has names as keys, not {name!r}; give what model.state_dict() returns")
    start = f"{path}." if path else ""
    chosen = {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}
    if not chosen:
        raise ModelError(
            f"{where} has nothing under the prefix {path!r}; its names start with {_show(_starts(named))}: give one of these"
            if named
            else f"{where} holds no tensors; give a trained model"
        )
    return Source({name: _plain(name, value) for name, value in chosen.items()}, module, where)


def _submodule(module: nn.Module, path: str, where: str) -> nn.Module:
    try:
        return module.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in module.named_children()]
        raise ModelError(
            f"{where} has no module {path!r}; it has {_show(names)}: give one of these as prefix"
        ) from None


def _read_file(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path.name} is no .safetensors file, and other formats can run code when they are loaded; {_REMEDY}"
        )
    try:
        if check_regular(path) > _MAX_FILE_BYTES:
            raise ModelError(f"{path.name} is larger than {_MAX_FILE_BYTES >> 30} GiB; give the KAN's layers alone")
        with safe_open(str(path), framework="pt") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise ModelError(f"the file {path} does not exist; check its name") from None
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path.name} cannot be read as safetensors ({reason}); {_REMEDY}") from None


def _plain(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise ModelError(
            f"{name!r} is a {type(value).__name__} where a tensor was expected; give the state_dict inside the checkpoint"
        )
    if value.is_meta or value.layout is not torch.strided or value.is_quantized or value.is_complex():
        raise ModelError(f"{name!r} is no plain dense tensor of real numbers; give the float model's state_dict")
    tensor = value.detach().cpu()
    if not tensor.is_floating_point():
        return tensor.clone()
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"{name!r} holds NaN or infinity; train the model again with a lower rate")
    result = tensor.to(torch.float32, copy=True)
    if not bool(torch.isfinite(result).all()):
        raise ModelError(f"{name!r} holds numbers beyond float32; train the model again with a lower rate")
    return result


def _starts(named: Mapping[str, Any]) -> list[str]:
    return sorted({name.split(".", maxsplit=1)[0] for name in named})


def _show(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(repr(name) for name in every[:_SHOWN])
    return (shown + (", …" if len(every) > _SHOWN else "")) or "nothing"


def split_layers(source: Source, markers: frozenset[str], *, gaps: bool) -> list[Layer]:
    """Return the layers of `source` in order: `layers.0.NAME`, `0.NAME`, or one layer whose names have no number.

    Args:
        source: the tensors.
        markers: names that only a layer has; they tell where layers lie when `source` starts further out.
        gaps: `layers` may hold dropout, too: 0, 2, 4, … or 1, 3, 5, …

    Raises:
        ModelError: if names do not belong to a layer, or a layer's number is missing.
    """
    if source.tensors.keys() & markers:
        return [Layer("", dict(source.tensors), source.module)]
    found: dict[int, Layer] = {}
    for name, tensor in source.tensors.items():
        match = _LAYER.fullmatch(name)
        if match is None:
            raise ModelError(_stray(name, source, markers))
        path, index, inner, rest = match[1], int(match[2]), match[3], match[4]
        if index not in found:
            found[index] = Layer(path, {}, _inner(source.module, path, inner))
        found[index].tensors[rest] = tensor
    order = sorted(found)
    for index in order:
        if not any(marker in found[index].tensors for marker in markers):
            raise ModelError(_stray(f"{found[index].name}.{next(iter(found[index].tensors))}", source, markers))
    wanted = [list(range(len(order)))]
    if gaps and all(layer.name.startswith("layers.") for layer in found.values()):
        wanted += [list(range(first, first + 2 * len(order), 2)) for first in (0, 1)]
    if order not in wanted:
        missing = next(i for i in range(max(order) + 1) if i not in found)
        raise ModelError(
            f"layer number {missing} is not in {source.where}, so what it computes is unknown; "
            "import the layers one by one, with a prefix each, if something without weights stands there"
        )
    if source.module is not None:
        _check_between(source.module, {layer.name for layer in found.values()})
    return [found[index] for index in order]


def _inner(module: nn.Module | None, path: str, inner: str | None) -> nn.Module | None:
    return None if module is None else module.get_submodule(f"{path}.{inner}" if inner else path)


def _stray(name: str, source: Source, markers: frozenset[str]) -> str:
    for candidate in source.tensors:
        for marker in markers:
            if candidate.endswith(f".{marker}"):
                outside = re.sub(r"(?:^|\.)(?:layers\.)?\d+$", "", candidate.removesuffix(f".{marker}"))
                if outside:
                    return f"{name!r} belongs to no layer of this family; give the prefix of the layers, such as {outside!r}"
    return (
        f"{source.where} has {name!r} where layers such as 'layers.0.{min(markers)}' were expected; check the family and "
        "the prefix"
    )


def _check_between(network: nn.Module, names: set[str]) -> None:
    """Refuse a live network in which something other than dropout stands between its layers."""
    parents = {name.rpartition(".")[0] for name in names}
    for parent in parents:
        for number, child in network.get_submodule(parent).named_children():
            path = f"{parent}.{number}" if parent else number
            if path not in names and "Dropout" not in type(child).__name__ and not isinstance(child, nn.Identity):
                raise ModelError(
                    f"a {type(child).__name__} stands at {path!r} between the layers and cannot be imported with them; "
                    "import the layers one by one, with a prefix each"
                )


def check_shape(layer: Layer, name: str, shape: tuple[int, ...]) -> None:
    """Check the shape of a tensor.

    Raises:
        ModelError: if it differs.
    """
    got = tuple(layer.tensors[name].shape)
    if got != shape:
        raise ModelError(
            f"{layer.label(name)!r} has shape {got} where {shape} was expected from the layer's other tensors; "
            "check that the state_dict belongs to one model"
        )
