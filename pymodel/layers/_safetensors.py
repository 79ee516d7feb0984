"""Strict reading and writing of safetensors files with one JSON document in their metadata; never pickle."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pymodel._regular import check_regular
from pymodel.errors import ModelError
from pymodel.ir.strict import Fields, refuse_constant

__all__ = ["read_file", "write_file"]

#: The only metadata key: with several, safetensors would order them by a random hash.
_KEY = "kan4ml"
_MAX_FILE_BYTES = 1 << 30


def write_file(path: Path, document: Fields, tensors: dict[str, Tensor]) -> None:
    """Write `tensors` and the JSON `document` to `path`; the same content gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, str(path), metadata={_KEY: json.dumps(document, allow_nan=False, sort_keys=True)})


def read_file(path: Path, *kinds: str) -> tuple[Fields, dict[str, Tensor]]:
    """Read what :func:`write_file` wrote.

    Args:
        path: the file.
        *kinds: what the document's `kind` may be.

    Returns:
        The document, and the tensors, finite every one.

    Raises:
        ModelError: if the file is missing, truncated, too large, of another kind, or holds a non-finite number.
    """
    where = path.name
    try:
        if check_regular(path) > _MAX_FILE_BYTES:
            raise ModelError(f"{where} is larger than {_MAX_FILE_BYTES} bytes; it is not a model that kan4ml wrote")
        with safe_open(str(path), framework="pt") as archive:
            metadata = archive.metadata()
            tensors = {name: archive.get_tensor(name).clone() for name in archive.keys()}  # noqa: SIM118
        text = (metadata or {}).get(_KEY)
        if text is None:
            raise ModelError(f"{where} has no kan4ml metadata, so its layers are unknown; give a file kan4ml wrote")
        document = json.loads(text, parse_constant=refuse_constant)
    except FileNotFoundError:
        raise ModelError(f"expected a model file, but {where} does not exist; build the model first") from None
    except (SafetensorError, OSError, ValueError, RuntimeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{where} cannot be read ({reason}); it is truncated or corrupt: build it again") from None
    if not isinstance(document, dict) or document.get("kind") not in kinds:
        got = document.get("kind") if isinstance(document, dict) else type(document).__name__
        raise ModelError(f"{where} holds {got!r} where a {kinds[0]!r} was expected; give the file of that kind")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{where}: tensor {name!r} holds NaN or infinity; train the model again")
    return document, tensors
