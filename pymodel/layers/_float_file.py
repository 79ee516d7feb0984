"""Float models as files: the weights and the constructor's arguments in one safetensors file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from pymodel.errors import ModelError
from pymodel.ir import MAX_ARITY
from pymodel.ir.strict import MalformedError, check_fields, check_schema, numbers_from
from pymodel.layers._build import FAMILIES, build_kan, family_of
from pymodel.layers._conv_build import conv_from_json, conv_weights
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


def _arities(value: Any, widths: list[int], file: str) -> list[list[int]]:
    """Return the arities of each layer's multiplication nodes; ModelError if they do not fit the widths."""
    if value is None:
        return [[] for _ in widths[1:]]
    rows = [row for row in value if isinstance(row, list) and all(type(a) is int and 2 <= a <= MAX_ARITY for a in row)]
    if len(rows) != len(widths) - 1 or any(len(r) > w for r, w in zip(rows, widths[1:], strict=True)):
        raise ModelError(f"{file}: arities must be a list of 2 … {MAX_ARITY} per layer; train the model again")
    return rows


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
            **({"conv": list, "image": list} if "conv" in document else {}),
            **({"arities": list} if document.get("kind") == "pykan" else {}),
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
    arities = _arities(f.get("arities"), widths, path.name)
    subnodes = [w if a is None else w - len(a) + sum(a) for w, a in zip(widths, [None, *arities], strict=False)]
    conv, image = conv_from_json(f["conv"], f["image"], path.name) if "conv" in f else ((), None)
    declared = (
        conv_weights(conv, image, widths, per_edge)
        if image is not None
        else sum(a * b for (a, _), (_, b) in pairwise(zip(widths, subnodes, strict=False))) * max(1, per_edge)
    )
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
        arities=arities if any(arities) else None,
        conv=conv,
        image=image,
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
        moves = f["kind"] == "pykan"
        if name.endswith(".grid") and moves and bool((tensor.diff(dim=1) < 0).any()):
            raise ModelError(f"{path.name}: the knots of {name!r} decrease; train the model again")
        if name.endswith(".grid") and not moves and not torch.equal(tensor, expected[name]):
            raise ModelError(f"{path.name}: {name!r} is not the uniform grid on {list(bounds)}; train the model again")
    model.load_state_dict(tensors)
    return model
