"""Float models as files: the weights and the constructor's arguments in one safetensors file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch

from pymodel.errors import ModelError
from pymodel.ir.strict import MalformedError, check_fields, check_schema, numbers_from
from pymodel.layers._build import FAMILIES, build_kan, family_of
from pymodel.layers._kan import KAN
from pymodel.layers._safetensors import read_file, write_file

__all__ = ["load_float", "save_float"]

#: Schema 1 knows efficient_kan with a SiLU base only.
_SCHEMA = 2
_READABLE = (1, _SCHEMA)
_MAX_WEIGHTS = 1 << 28


def save_float(model: KAN, path: Path | str) -> None:
    """Write a float model to the safetensors file `path`; the same model gives the same bytes."""
    family, facts = family_of(model)
    document = {
        "kind": family,
        "schema": _SCHEMA,
        "widths": list(model.widths),
        **facts,
        "range": list(facts["range"]),
    }
    write_file(Path(path), document, model.state_dict())


def load_float(path: Path | str) -> KAN:
    """Read and validate what :func:`save_float` wrote.

    Raises:
        ModelError: if the file is missing, truncated or too large, a tensor is missing, unknown, of another shape or
            type, or not finite, or a field is malformed.
    """
    path = Path(path)
    document, tensors = read_file(path, *FAMILIES)
    if document.get("schema") == 1 and not document.keys() & {"activation", "norm"}:
        document = document | {"activation": "silu", "norm": "none"}
    try:
        f = check_fields(
            document,
            "the document",
            kind=str,
            schema=int,
            widths=list,
            grid=int,
            order=int,
            range=list,
            activation=str,
            norm=str,
        )
        check_schema(f["schema"], *_READABLE)
        bounds = numbers_from(f["range"], "range")
    except MalformedError as error:
        raise ModelError(f"{path.name}: {error}") from None
    widths = f["widths"]
    if not all(isinstance(w, int) and not isinstance(w, bool) and w > 0 for w in widths):
        raise ModelError(f"{path.name}: widths must be a list of positive integers; train the model again")
    # A declared size is not believed before the tensors confirm it.
    per_edge = {"fast_kan": f["grid"], "kagn": f["order"] + 1}.get(f["kind"], f["grid"] + f["order"])
    declared = sum(a * b for a, b in pairwise(widths)) * max(1, per_edge)
    if declared > min(_MAX_WEIGHTS, sum(tensor.numel() for tensor in tensors.values())):
        raise ModelError(
            f"{path.name} declares {declared} weights but holds fewer; it is corrupt: train the model again"
        )
    if len(bounds) != 2:
        raise ModelError(f"{path.name}: range must be a pair of numbers; train the model again")
    model = build_kan(
        f["kind"],
        tuple(widths),
        grid=f["grid"],
        order=f["order"],
        range=(bounds[0], bounds[1]),
        activation=f["activation"],
        norm=f["norm"],
    )
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
