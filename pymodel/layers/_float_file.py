"""Float models as files: the weights and the constructor's arguments in one safetensors file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from pymodel.errors import ModelError
from pymodel.ir.strict import MalformedError, check_fields, check_schema, numbers_from
from pymodel.layers._efficient_kan import EfficientKAN
from pymodel.layers._safetensors import read_file, write_file

__all__ = ["load_float", "save_float"]

_KIND = "efficient_kan"
_SCHEMA = 1
_MAX_WEIGHTS = 1 << 28


def save_float(model: EfficientKAN, path: Path | str) -> None:
    """Write a float model to the safetensors file `path`; the same model gives the same bytes."""
    first = next(model.kan_layers())
    document = {
        "kind": _KIND,
        "schema": _SCHEMA,
        "widths": list(model.widths),
        "grid": first.grid_size,
        "order": first.order,
        "range": [first.low, first.high],
    }
    write_file(Path(path), document, model.state_dict())


def load_float(path: Path | str) -> EfficientKAN:
    """Read and validate what :func:`save_float` wrote.

    Raises:
        ModelError: if the file is missing, truncated or too large, a tensor is missing, unknown, of another shape or
            type, or not finite, or a field is malformed.
    """
    path = Path(path)
    document, tensors = read_file(path, _KIND)
    try:
        f = check_fields(document, "the document", kind=str, schema=int, widths=list, grid=int, order=int, range=list)
        check_schema(f["schema"], _SCHEMA)
        bounds = numbers_from(f["range"], "range")
    except MalformedError as error:
        raise ModelError(f"{path.name}: {error}") from None
    widths = f["widths"]
    if not all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths):
        raise ModelError(f"{path.name}: widths must be a list of positive integers; train the model again")
    # A declared size is not believed before the tensors confirm it.
    declared = sum(a * b for a, b in pairwise(widths)) * max(1, f["grid"] + f["order"])
    if declared > min(_MAX_WEIGHTS, sum(tensor.numel() for tensor in tensors.values())):
        raise ModelError(
            f"{path.name} declares {declared} weights but holds fewer; it is corrupt: train the model again"
        )
    if len(bounds) != 2:
        raise ModelError(f"{path.name}: range must be a pair of numbers; train the model again")
    model = EfficientKAN(widths, grid=f["grid"], order=f["order"], range=(bounds[0], bounds[1]))
    expected = model.state_dict()
    odd = sorted(expected.keys() ^ tensors.keys())
    if odd:
        what = "lacks" if odd[0] in expected else "has the unknown tensor"
        raise ModelError(f"{path.name} {what} {odd[0]!r}; it is corrupt: train the model again")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise ModelError(
                f"{path.name}: tensor {name!r} should be {expected[name].dtype} of shape {tuple(expected[name].shape)}, "
                f"not {tensor.dtype} of shape {tuple(tensor.shape)}; train the model again"
            )
        if name.endswith(".grid") and not torch.equal(tensor, expected[name]):
            raise ModelError(f"{path.name}: {name!r} is not the uniform grid on {list(bounds)}; train the model again")
    model.load_state_dict(tensors)
    return model
