"""Strict reading and writing of safetensors files with one JSON document in their metadata; never pickle."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pymodel.errors import ModelError
from pymodel.ir import FixedPoint, HostSpec, Overflow, Rounding, Task

__all__ = ["Fields", "check_fields", "fixed_from", "host_from", "host_to_json", "read_file", "write_file"]

#: The only metadata key: with several, safetensors would order them by a random hash.
_KEY = "kan4ml"
_MAX_FILE_BYTES = 1 << 30
Fields = dict[str, Any]
_T = TypeVar("_T")


def write_file(path: Path, document: Fields, tensors: dict[str, Tensor]) -> None:
    """Write `tensors` and the JSON `document` to `path`; the same content gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, str(path), metadata={_KEY: json.dumps(document, allow_nan=False, sort_keys=True)})


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def read_file(path: Path, kind: str) -> tuple[Fields, dict[str, Tensor]]:
    """Read what :func:`write_file` wrote.

    Args:
        path: the file.
        kind: the document's expected `kind`.

    Returns:
        The document, and the tensors, finite every one.

    Raises:
        ModelError: if the file is missing, truncated, too large, of another kind, or holds a non-finite number.
    """
    where = path.name
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ModelError(f"{where} is larger than {_MAX_FILE_BYTES} bytes; it is not a model that kan4ml wrote")
        with safe_open(str(path), framework="pt") as archive:
            metadata = archive.metadata()
            tensors = {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118
        text = (metadata or {}).get(_KEY)
        if text is None:
            raise ModelError(f"{where} has no kan4ml metadata, so its layers are unknown; give a file kan4ml wrote")
        document = json.loads(text, parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise ModelError(f"expected a model file, but {where} does not exist; build the model first") from None
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{where} cannot be read ({reason}); it is truncated or corrupt: build it again") from None
    if not isinstance(document, dict) or document.get("kind") != kind:
        got = document.get("kind") if isinstance(document, dict) else type(document).__name__
        raise ModelError(f"{where} holds {got!r} where a {kind!r} was expected; give the file of that kind")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{where}: tensor {name!r} holds NaN or infinity; train the model again")
    return document, tensors


def check_fields(value: object, where: str, **types: type | tuple[type, ...]) -> Fields:
    """Return `value` if it is an object with exactly the given keys and types, and finite numbers.

    Raises:
        ModelError: otherwise.
    """
    if not isinstance(value, dict):
        raise ModelError(f"{where} must be an object, not {type(value).__name__}; build the model again")
    missing, extra = sorted(types.keys() - value.keys()), sorted(map(str, value.keys() - types.keys()))
    if missing or extra:
        what = f"lacks {missing}" if missing else f"has the unknown keys {extra}"
        raise ModelError(f"{where} {what}; build the model again with this version of kan4ml")
    for key, expected in types.items():
        got = value[key]
        if not isinstance(got, expected) or (isinstance(got, bool) and expected is not bool):
            raise ModelError(f"{where}.{key} has the wrong type {type(got).__name__}; build the model again")
        if isinstance(got, float) and not math.isfinite(got):
            raise ModelError(f"{where}.{key} is not finite; build the model again")
    return value


def numbers_from(value: list[object], where: str) -> tuple[float, ...]:
    """Return a list of finite numbers as a tuple of floats; ModelError otherwise."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise ModelError(f"{where} must be a list of numbers; build the model again")
    try:
        result = tuple(float(v) for v in value)  # type: ignore[arg-type]
    except OverflowError:
        result = (math.inf,)
    if not all(map(math.isfinite, result)):
        raise ModelError(f"{where} must hold finite numbers; build the model again")
    return result


def _strings_from(value: list[object], where: str) -> tuple[str, ...]:
    if not all(isinstance(v, str) for v in value):
        raise ModelError(f"{where} must be a list of strings; build the model again")
    return tuple(str(v) for v in value)


def enum_from(kind: type[_T], name: str, where: str) -> _T:
    """Return the member `name` of an enum; ModelError if there is none."""
    try:
        return kind[name]  # type: ignore[index,no-any-return]
    except KeyError:
        raise ModelError(f"{where} is {name!r}, which this version of kan4ml does not know; build it again") from None


def fixed_from(value: object, where: str) -> FixedPoint:
    """Return the fixed-point type that `FixedPoint.to_json` described."""
    f = check_fields(value, where, width=int, integer=int, signed=bool, rounding=str, overflow=str)
    rounding, overflow = enum_from(Rounding, f["rounding"], where), enum_from(Overflow, f["overflow"], where)
    return FixedPoint(f["width"], f["integer"], f["signed"], rounding, overflow)


def host_to_json(host: HostSpec) -> Fields:
    """Return a JSON-serialisable description of `host`."""
    return {
        "task": host.task.name.lower(),
        "features": list(host.features),
        "feature_offset": list(host.feature_offset),
        "feature_scale": list(host.feature_scale),
        "classes": list(host.classes),
        "target": host.target,
        "target_offset": host.target_offset,
        "target_scale": host.target_scale,
    }


def host_from(value: object) -> HostSpec:
    """Return the host part that :func:`host_to_json` described; ModelError (or IRError) if it is malformed."""
    number = (int, float)
    f = check_fields(
        value,
        "host",
        task=str,
        features=list,
        feature_offset=list,
        feature_scale=list,
        classes=list,
        target=str,
        target_offset=number,
        target_scale=number,
    )
    (target_offset, target_scale) = numbers_from([f["target_offset"], f["target_scale"]], "host.target_*")
    return HostSpec(
        task=enum_from(Task, f["task"].upper(), "host.task"),
        features=_strings_from(f["features"], "host.features"),
        feature_offset=numbers_from(f["feature_offset"], "host.feature_offset"),
        feature_scale=numbers_from(f["feature_scale"], "host.feature_scale"),
        classes=_strings_from(f["classes"], "host.classes"),
        target=f["target"],
        target_offset=target_offset,
        target_scale=target_scale,
    )
