"""Edge tables from a file: published table networks in a plain npz layout, read with distrust, to a KAN IR.

Per layer k = 0, 1, ... the file holds `layer{k}_shape` (n_in, n_out), `layer{k}_input_bits` (scalar), `layer{k}_output`
and `layer{k}_input` (the edges' ends), `layer{k}_table` (edges, 2^bits) and `layer{k}_clip` (lo, hi). With unsigned
codes `c_i`, `y_o = clip(sum over edges of table[c_i], lo, hi)`; the next layer's code is `y_o - lo`. Optional
`sample_codes` (rows, n_in) and `sample_outputs` (rows, n_out) are inputs with their outputs.

In terms of the contract, a hidden layer has bias `-lo` and an unsigned output, and where `hi - lo` is not `2^width - 1`
the next layer's coder, which has `hi - lo + 1` codes, clips the rest. The last layer's clip must be an integer type.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pymodel._regular import check_regular
from pymodel.errors import DataError
from pymodel.ir import (
    MAX_TABLE_BITS,
    AffineCoder,
    EdgeTable,
    FixedPoint,
    HostSpec,
    IntArray,
    KanIR,
    Quantize,
    Task,
    unsigned_width,
)

__all__ = ["TableFile", "load_tables"]

_KEY = re.compile(r"layer(\d{1,3})_(shape|input_bits|output|input|table|clip)|sample_(codes|outputs)")
_RANK = {"shape": 1, "input_bits": 0, "output": 1, "input": 1, "table": 2, "clip": 1, "codes": 2, "outputs": 2}
_LAYER_KEYS = ("shape", "input_bits", "output", "input", "table", "clip")
_MAX_BYTES = 1 << 28
_MAX_FEATURES = 1 << 16
#: Entries of a layer in dense form, pruned edges included.
_MAX_DENSE = 1 << 27
_MAX_VALUE = 1 << 40


@dataclass(frozen=True)
class TableFile:
    """What a file of edge tables holds.

    Attributes:
        ir: the program.
        sample_codes: (rows, n_in) input integers that came with it; 0 rows if there are none.
        sample_outputs: (rows, n_out) their outputs.
    """

    ir: KanIR
    sample_codes: IntArray
    sample_outputs: IntArray


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, rank: int) -> IntArray:
    """Return one array of integers; its header is checked against the member's size before the data are read."""
    with archive.open(info) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{info.filename} is not of npy version 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.kind not in "iu" or dtype.itemsize > 8 or not dtype.isnative or (fortran and len(shape) > 1):
            raise ValueError(f"{info.filename} is not a C-ordered integer array, but {dtype}")
        if len(shape) != rank:
            raise ValueError(f"{info.filename} must have rank {rank}, not shape {shape}")
        size = math.prod(shape) * dtype.itemsize
        if size > info.file_size:
            raise ValueError(f"{info.filename} declares {size} bytes in a member of {info.file_size}")
        data = stream.read(size + 1)
    if len(data) != size:
        raise ValueError(f"{info.filename} does not have the {size} bytes that its header declares")
    values = np.frombuffer(data, dtype=dtype).reshape(shape)
    if values.size and (int(values.max()) > _MAX_VALUE or int(values.min()) < -_MAX_VALUE):
        raise ValueError(f"{info.filename} holds integers beyond 2^40")
    return values.astype(np.int64)


def _read(path: Path) -> dict[str, IntArray]:
    check_regular(path)
    arrays: dict[str, IntArray] = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(info.file_size for info in members) > _MAX_BYTES:
            raise ValueError(f"it declares more than {_MAX_BYTES} bytes")
        for info in members:
            key = info.filename.removesuffix(".npy")
            match = _KEY.fullmatch(key)
            if match is None or key in arrays:
                raise ValueError(f"it has an unexpected or repeated member {info.filename!r}")
            arrays[key] = _member(archive, info, _RANK[match.group(2) or match.group(3)])
    return arrays


def _scalar(values: npt.NDArray[Any], what: str, low: int, high: int) -> int:
    value = int(values)
    if not low <= value <= high:
        raise ValueError(f"{what} must be {low} ... {high}, not {value}")
    return value


def _pair(values: IntArray, what: str) -> tuple[int, int]:
    if values.shape != (2,):
        raise ValueError(f"{what} must hold two integers, not shape {values.shape}")
    return int(values[0]), int(values[1])


@dataclass(frozen=True)
class _Layer:
    """One layer of the file, checked: dense tables (n_in, 2^bits, n_out), and its clip."""

    tables: IntArray
    low: int
    high: int


def _layer(arrays: Mapping[str, IntArray], k: int) -> _Layer:
    missing = [key for key in _LAYER_KEYS if f"layer{k}_{key}" not in arrays]
    if missing:
        raise ValueError(f"it lacks layer{k}_{missing[0]}")
    part = {key: arrays[f"layer{k}_{key}"] for key in _LAYER_KEYS}
    n_in, n_out = _pair(part["shape"], f"layer{k}_shape")
    if not (1 <= n_in <= _MAX_FEATURES and 1 <= n_out <= _MAX_FEATURES):
        raise ValueError(f"layer{k}_shape must be 1 ... {_MAX_FEATURES}, not {n_in} and {n_out}")
    n_codes = 1 << _scalar(part["input_bits"], f"layer{k}_input_bits", 1, MAX_TABLE_BITS)
    low, high = _pair(part["clip"], f"layer{k}_clip")
    if low > high:
        raise ValueError(f"layer{k}_clip must be (lo, hi) with lo <= hi, not ({low}, {high})")
    edges = part["output"].size
    if part["input"].size != edges or part["table"].shape != (edges, n_codes):
        raise ValueError(
            f"layer{k} must have as many inputs as outputs ({edges}) and tables of {n_codes} entries, not "
            f"{part['input'].size} and tables of shape {part['table'].shape}"
        )
    for key, limit in (("input", n_in), ("output", n_out)):
        if edges and (part[key].min() < 0 or part[key].max() >= limit):
            raise ValueError(f"layer{k}_{key} must hold numbers from 0 to {limit - 1}")
    if n_in * n_codes * n_out > _MAX_DENSE:
        raise ValueError(f"layer{k} would have more than {_MAX_DENSE} entries")
    tables = np.zeros((n_in, n_out, n_codes), dtype=np.int64)
    np.add.at(tables, (part["input"], part["output"]), part["table"])  # an edge given twice counts twice
    return _Layer(np.ascontiguousarray(tables.transpose(0, 2, 1)), low, high)


def _out_type(low: int, high: int) -> FixedPoint:
    """Return the integer type whose range is the clip of the last layer."""
    width = (high - low).bit_length()
    for signed in (True, False):
        if 1 <= width <= 53:
            kind = FixedPoint(width, width, signed=signed)
            if (kind.min_int, kind.max_int) == (low, high):
                return kind
    raise ValueError(
        f"the last layer's clip must be the range of an integer type, such as -32 ... 31, not {low} ... {high}"
    )


def _program(arrays: Mapping[str, IntArray], name: str) -> KanIR:
    n_layers = len({key.partition("_")[0] for key in arrays if key.startswith("layer")})
    layers = [_layer(arrays, k) for k in range(n_layers)]
    if not layers:
        raise ValueError("it holds no layers")
    for k, (layer, following) in enumerate(pairwise(layers)):
        if layer.tables.shape[2] != following.tables.shape[0]:
            raise ValueError(
                f"layer{k} has {layer.tables.shape[2]} outputs, but layer{k + 1} {following.tables.shape[0]} inputs"
            )
        if layer.high - layer.low >= following.tables.shape[1]:
            raise ValueError(f"layer{k} has {layer.high - layer.low + 1} codes, more than layer{k + 1} can read")
    n_in, n_codes, _ = layers[0].tables.shape
    width = n_codes.bit_length() - 1
    nodes: list[Quantize | EdgeTable] = [Quantize("x", (), FixedPoint(width, width, signed=False), 1.0, 0.0, n_in)]
    base = 0
    for k, layer in enumerate(layers):
        last = k == len(layers) - 1
        bits = unsigned_width(layer.high - layer.low)
        out_type = _out_type(layer.low, layer.high) if last else FixedPoint(bits, bits, signed=False)
        offset = out_type.min_int - layer.low
        nodes.append(
            EdgeTable(
                name=f"layer{k}",
                inputs=(nodes[-1].name,),
                out_type=out_type,
                value_lsb=1.0,
                value_offset=0.0 if last else float(layer.low),
                coder=AffineCoder(np.array([1]), np.array([0]), 0, n_codes, float(base), 1.0),
                tables=layer.tables[:, :n_codes],
                bias=np.full(layer.tables.shape[2], offset),
                shift=0,
            )
        )
        n_codes, base = layer.high - layer.low + 1, layer.low
    host = HostSpec(Task.REGRESSION, tuple(f"code_{i}" for i in range(n_in)), (0.0,) * n_in, (1.0,) * n_in)
    return KanIR(name=name, nodes=tuple(nodes), output=nodes[-1].name, host=host)


def _samples(arrays: Mapping[str, IntArray], ir: KanIR) -> tuple[IntArray, IntArray]:
    n_in, n_out, kind = ir.input.n_out, ir.node(ir.output).n_out, ir.input.out_type
    codes = arrays.get("sample_codes", np.zeros((0, n_in), np.int64))
    outputs = arrays.get("sample_outputs", np.zeros((0, n_out), np.int64))
    if codes.shape[1] != n_in or outputs.shape[1] != n_out or codes.shape[0] != outputs.shape[0]:
        raise ValueError(
            f"its samples have shapes {codes.shape} and {outputs.shape}, but the network {n_in} -> {n_out}"
        )
    if codes.size and (codes.min() < 0 or codes.max() > kind.max_int):
        raise ValueError(f"sample_codes must hold codes from 0 to {kind.max_int}")
    return codes, outputs


def load_tables(path: Path) -> TableFile:
    """Read a network of edge tables; nothing is unpickled, no declared size is believed before it is checked.

    Args:
        path: an npz file in the layout above.

    Raises:
        DataError: if it is missing, truncated, corrupt, too large, or breaks the layout.
        IRError: if its sums may reach 2^53.
    """
    name = re.sub(r"[^A-Za-z0-9_]", "_", path.stem)
    name = (name if re.match(r"[A-Za-z]", name) else f"n{name}")[:63]
    try:
        arrays = _read(path)
        ir = _program(arrays, name)
        return TableFile(ir, *_samples(arrays, ir))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; pass a file of edge tables (npz)") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path.name} is not a file of edge tables ({error}); write it in the layout that docs/tables.md describes"
        ) from None
