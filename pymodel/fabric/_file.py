"""Table models as files: weights, masks and statistics, and the constructor's arguments, in one safetensors file."""

from __future__ import annotations

from pathlib import Path

from pymodel.errors import ModelError
from pymodel.fabric._input import BinaryInput
from pymodel.fabric._model import TableKAN, make_table_kan
from pymodel.ir.strict import MalformedError, check_fields, check_schema, numbers_from
from pymodel.layers._safetensors import read_file, write_file
from pymodel.settings import ModelSettings, QuantizeSettings

__all__ = ["load_tables_model", "save_tables_model"]

_KIND = "table_kan"
_SCHEMA = 1
_MAX_WEIGHTS = 1 << 28


def save_tables_model(model: TableKAN, settings: ModelSettings, bits: QuantizeSettings, path: Path | str) -> None:
    """Write a model to the safetensors file `path`; the same model gives the same bytes.

    Args:
        model: made by :func:`make_table_kan` from the next two.
        settings: of the network.
        bits: of codes and entries.
        path: the file.
    """
    layers = list(model.kan_layers())
    document = {
        "kind": _KIND,
        "schema": _SCHEMA,
        "widths": list(model.widths),
        "grid": settings.grid,
        "range": list(settings.range),
        "bits": [layer.bits for layer in layers],
        "edges": [layer.edge_bits for layer in layers],
        "fan_in": [0 if layer.fan_in is None else layer.fan_in for layer in layers],
        "input": bits.input,
        "binary": isinstance(model.source, BinaryInput),
        "rounded": all(layer.quantized for layer in layers),
    }
    write_file(Path(path), document, model.state_dict())


def load_tables_model(path: Path | str) -> TableKAN:
    """Read and validate what :func:`save_tables_model` wrote.

    Raises:
        ModelError: if the file is missing, truncated or too large, a tensor is missing, unknown, of another shape or
            type, or not finite, or a field is malformed.
    """
    path = Path(path)
    document, tensors = read_file(path, _KIND)
    kinds = {"kind": str, "schema": int, "widths": list, "grid": int, "range": list, "bits": list, "edges": list}
    try:
        f = check_fields(document, "the document", **kinds, fan_in=list, input=int, binary=bool, rounded=bool)
        check_schema(f["schema"], _SCHEMA)
        bounds = numbers_from(f["range"], "range")
    except MalformedError as error:
        raise ModelError(f"{path.name}: {error}") from None
    lists = (f["widths"], f["bits"], f["edges"], f["fan_in"])
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 1 << 16 for part in lists for v in part):
        raise ModelError(
            f"{path.name}: widths, bits, edges and fan_in must be lists of integers; train the model again"
        )
    if len(bounds) != 2 or not len(f["bits"]) == len(f["edges"]) == len(f["fan_in"]) == len(f["widths"]) - 1:
        raise ModelError(f"{path.name}: its lists do not have one number per layer; train the model again")
    held = sum(tensor.numel() for tensor in tensors.values())
    declared = sum(a * b for a, b in zip(f["widths"], f["widths"][1:], strict=False))
    if declared > min(_MAX_WEIGHTS, held):
        raise ModelError(f"{path.name} declares {declared} edges but holds fewer; train the model again")
    settings = ModelSettings(
        tuple(f["widths"]),
        family="table",
        grid=f["grid"],
        range=(bounds[0], bounds[1]),
        fan_in=tuple(v or None for v in f["fan_in"]),
    )
    bits = QuantizeSettings(layer_activations=tuple(f["bits"]), layer_edges=tuple(f["edges"]), input=f["input"])
    model = make_table_kan(settings, bits, binary=f["binary"])
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
    model.load_state_dict(tensors)
    for layer in model.kan_layers():
        layer.quantized = f["rounded"]
    return model.eval()
