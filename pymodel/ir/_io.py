"""Reading and writing a KAN IR: `ir.json` for structure, `ir.npz` for arrays, no pickle, strict in every field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy.typing as npt

from pymodel._regular import check_regular
from pymodel.errors import IRError
from pymodel.ir._arrays import load_arrays, save_arrays
from pymodel.ir._basis import Basis
from pymodel.ir._basis_file import basis_from, basis_to_json
from pymodel.ir._geometry import ConvGeometry
from pymodel.ir._nodes import (
    AffineCoder,
    BaseBranch,
    EdgeTable,
    KanLinear,
    Node,
    NodeKind,
    Quantize,
    Rescale,
    SplineBranch,
)
from pymodel.ir._norm import Norm
from pymodel.ir._product import Product
from pymodel.ir._program import KanIR
from pymodel.ir._spatial import KanConv, Pool, PoolKind
from pymodel.ir.strict import (
    NUMBER,
    Fields,
    MalformedError,
    check_fields,
    check_schema,
    enum_from,
    fixed_from,
    host_from,
    host_to_json,
    refuse_constant,
)

__all__ = ["SCHEMA", "load_ir", "save_ir"]

#: Version of the file format that is written, and those that are read. In schema 1 every basis is a ROM with one table.
SCHEMA = 2
_READABLE = (1, SCHEMA)
_MAX_JSON_BYTES = 64 << 20
#: JSON types of the fields that the kinds of nodes have of their own.
_LAYER_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "quantize": {"size": int},
    "kan_linear": {"spline": dict, "base": (dict, type(None)), "rescale": dict},
    "edge_table": {"coder": dict, "tables": str, "bias": str, "shift": int},
    "kan_conv": {"geometry": dict, "form": str, "layers": list},
    "pool": {"geometry": dict, "op": str, "mult": int, "shift": int},
    "product": {"arity": str, "mult": str, "bias": str, "shift": int},
    "norm": {
        "gamma": str,
        "beta": str,
        "shift": int,
        "epsilon": int,
        "table": str,
        "table_bits": int,
        "table_fraction": int,
        "fraction": int,
        "passed": (dict, type(None)),
    },
}
_Array = npt.NDArray[Any]


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """Collects arrays under stable names while nodes turn into JSON."""

    def __init__(self) -> None:
        self.arrays: dict[str, _Array] = {}

    def put(self, name: str, array: _Array) -> str:
        self.arrays[name] = array
        return name

    def coder(self, prefix: str, coder: AffineCoder) -> dict[str, Any]:
        return {
            "mult": self.put(f"{prefix}.mult", coder.mult),
            "offset": self.put(f"{prefix}.offset", coder.offset),
            "shift": coder.shift,
            "n_codes": coder.n_codes,
            "low": coder.low,
            "step": coder.step,
        }

    def basis(self, prefix: str, basis: Basis) -> dict[str, Any]:
        document, arrays = basis_to_json(basis)
        return document | {name: self.put(f"{prefix}.{name}", array) for name, array in arrays.items()}

    def kan_linear(self, node: KanLinear, name: str) -> dict[str, Any]:
        rom = node.spline.basis
        spline = {
            "coder": self.coder(f"{name}.spline.coder", node.spline.coder),
            "basis": self.basis(f"{name}.spline.basis", rom),
            "weights": self.put(f"{name}.spline.weights", node.spline.weights),
        }
        base = None
        if node.base is not None:
            base = {
                "coder": self.coder(f"{name}.base.coder", node.base.coder),
                "activation": node.base.activation,
                "table": self.put(f"{name}.base.table", node.base.table),
                "lsb": node.base.lsb,
                "weights": self.put(f"{name}.base.weights", node.base.weights),
            }
        rescale = {
            "spline_mult": self.put(f"{name}.rescale.spline_mult", node.rescale.spline_mult),
            "base_mult": self.put(f"{name}.rescale.base_mult", node.rescale.base_mult),
            "bias": self.put(f"{name}.rescale.bias", node.rescale.bias),
            "shift": node.rescale.shift,
        }
        return {"spline": spline, "base": base, "rescale": rescale}

    def edge_table(self, node: EdgeTable, name: str) -> dict[str, Any]:
        return {
            "coder": self.coder(f"{name}.coder", node.coder),
            "tables": self.put(f"{name}.tables", node.tables),
            "bias": self.put(f"{name}.bias", node.bias),
            "shift": node.shift,
        }

    def layer(self, node: Node, name: str) -> dict[str, Any]:
        if isinstance(node, KanLinear):
            return self.kan_linear(node, name)
        assert isinstance(node, EdgeTable)
        return self.edge_table(node, name)

    def spatial(self, node: KanConv | Pool) -> dict[str, Any]:
        body: dict[str, Any] = {"geometry": node.geometry.to_json()}
        if isinstance(node, Pool):
            return body | {"op": node.op.name.lower(), "mult": node.mult, "shift": node.shift}
        # A node's name has no dot, so that the arrays of a group cannot meet those of another node.
        groups = [self.layer(layer, f"{node.name}.{g}") for g, layer in enumerate(node.layers)]
        return body | {"form": node.layers[0].kind.name.lower(), "layers": groups}

    def arithmetic(self, node: Product | Norm) -> dict[str, Any]:
        names = ("arity", "mult", "bias") if isinstance(node, Product) else ("gamma", "beta", "table")
        body: dict[str, Any] = {name: self.put(f"{node.name}.{name}", getattr(node, name)) for name in names}
        body["shift"] = node.shift
        if isinstance(node, Norm):
            body |= {name: getattr(node, name) for name in ("epsilon", "table_bits", "table_fraction", "fraction")}
            body["passed"] = None if node.passed is None else self.coder(f"{node.name}.passed", node.passed)
        return body

    def node(self, node: Node) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": node.kind.name.lower(),
            "name": node.name,
            "inputs": list(node.inputs),
            "out_type": node.out_type.to_json(),
            "value_lsb": node.value_lsb,
            "value_offset": node.value_offset,
        }
        if isinstance(node, Quantize):
            body["size"] = node.size
        elif isinstance(node, KanConv | Pool):
            body |= self.spatial(node)
        elif isinstance(node, Product | Norm):
            body |= self.arithmetic(node)
        else:
            body |= self.layer(node, node.name)
        return body


def save_ir(ir: KanIR, folder: Path | str) -> None:
    """Write `ir.json` and `ir.npz` into `folder` (created). The same IR gives the same bytes: no dates, no paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer()
    document = {
        "schema": SCHEMA,
        "name": ir.name,
        "nodes": [writer.node(node) for node in ir.nodes],
        "output": ir.output,
        "host": host_to_json(ir.host),
    }
    (folder / "ir.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    save_arrays(folder / "ir.npz", writer.arrays)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Turns JSON objects into nodes, looking their arrays up by name."""

    def __init__(self, arrays: dict[str, _Array]) -> None:
        self.arrays = arrays
        self.schema = SCHEMA

    def array(self, name: str, where: str, dtype: str = "i") -> _Array:
        array = self.arrays.get(name)
        if array is None or array.dtype.kind != dtype:
            raise MalformedError(f"{where} needs an array {name!r} of kind {dtype!r} in ir.npz; build the model again")
        return array

    def coder(self, value: object, where: str) -> AffineCoder:
        f = check_fields(value, where, mult=str, offset=str, shift=int, n_codes=int, low=NUMBER, step=NUMBER)
        return AffineCoder(
            self.array(f["mult"], where),
            self.array(f["offset"], where),
            f["shift"],
            f["n_codes"],
            float(f["low"]),
            float(f["step"]),
        )

    def spline(self, value: object, where: str) -> SplineBranch:
        f = check_fields(value, where, coder=dict, basis=dict, weights=str)
        at = f"{where}.basis"
        basis = basis_from(f["basis"], at, lambda name, kind: self.array(name, at, kind), schema=self.schema)
        return SplineBranch(self.coder(f["coder"], where), basis, self.array(f["weights"], where))

    def base(self, value: object, where: str) -> BaseBranch | None:
        if value is None:
            return None
        f = check_fields(value, where, coder=dict, activation=str, table=str, lsb=NUMBER, weights=str)
        return BaseBranch(
            self.coder(f["coder"], where),
            f["activation"],
            self.array(f["table"], where),
            float(f["lsb"]),
            self.array(f["weights"], where),
        )

    def rescale(self, value: object, where: str) -> Rescale:
        f = check_fields(value, where, spline_mult=str, base_mult=str, bias=str, shift=int)
        return Rescale(
            self.array(f["spline_mult"], where),
            self.array(f["base_mult"], where),
            self.array(f["bias"], where),
            f["shift"],
        )

    def kan_linear(self, f: Fields, where: str, common: Fields) -> KanLinear:
        return KanLinear(
            **common,
            spline=self.spline(f["spline"], f"{where}.spline"),
            base=self.base(f["base"], f"{where}.base"),
            rescale=self.rescale(f["rescale"], f"{where}.rescale"),
        )

    def edge_table(self, f: Fields, where: str, common: Fields) -> EdgeTable:
        return EdgeTable(
            **common,
            coder=self.coder(f["coder"], f"{where}.coder"),
            tables=self.array(f["tables"], where),
            bias=self.array(f["bias"], where),
            shift=f["shift"],
        )

    def geometry(self, value: object, where: str) -> ConvGeometry:
        names = [field.name for field in fields(ConvGeometry)]
        return ConvGeometry(**check_fields(value, f"{where}.geometry", **dict.fromkeys(names, int)))

    def kan_conv(self, f: Fields, where: str, common: Fields) -> KanConv:
        make: dict[str, Callable[[Fields, str, Fields], KanLinear | EdgeTable]] = {
            "kan_linear": self.kan_linear,
            "edge_table": self.edge_table,
        }
        form = f["form"]
        if form not in make:
            raise MalformedError(f"{where}.form is {form!r}, not {' or '.join(make)}; build the model again")
        layers = []
        for g, value in enumerate(f["layers"]):
            at = f"{where}.layers[{g}]"
            layers.append(make[form](check_fields(value, at, **_LAYER_FIELDS[form]), at, common))
        geometry = self.geometry(f["geometry"], where)
        return KanConv(**common, geometry=geometry, layers=tuple(layers))  # type: ignore[arg-type] # of one form

    def node(self, value: object, index: int) -> Node:
        where = f"nodes[{index}]"
        kind = value.get("kind") if isinstance(value, dict) else None
        extra = _LAYER_FIELDS.get(str(kind), {})
        f = check_fields(
            value,
            where,
            kind=str,
            name=str,
            inputs=list,
            out_type=dict,
            value_lsb=NUMBER,
            value_offset=NUMBER,
            **extra,
        )
        common: dict[str, Any] = {
            "name": f["name"],
            "inputs": tuple(str(source) for source in f["inputs"]),
            "out_type": fixed_from(f["out_type"], f"{where}.out_type"),
            "value_lsb": float(f["value_lsb"]),
            "value_offset": float(f["value_offset"]),
        }
        match enum_from(NodeKind, f["kind"].upper(), f"{where}.kind"):
            case NodeKind.QUANTIZE:
                return Quantize(**common, size=f["size"])
            case NodeKind.KAN_LINEAR:
                return self.kan_linear(f, where, common)
            case NodeKind.EDGE_TABLE:
                return self.edge_table(f, where, common)
            case NodeKind.KAN_CONV:
                return self.kan_conv(f, where, common)
            case NodeKind.POOL:
                op = enum_from(PoolKind, f["op"].upper(), f"{where}.op")
                geometry = self.geometry(f["geometry"], where)
                return Pool(**common, geometry=geometry, op=op, mult=f["mult"], shift=f["shift"])
            case NodeKind.PRODUCT:
                parts: Fields = {key: self.array(f[key], where) for key in ("arity", "mult", "bias")}
                return Product(**common, **parts, shift=f["shift"])
            case NodeKind.NORM:
                parts = {key: f[key] for key in ("shift", "epsilon", "table_bits", "table_fraction", "fraction")}
                parts |= {key: self.array(f[key], where) for key in ("gamma", "beta", "table")}
                passed = None if f["passed"] is None else self.coder(f["passed"], f"{where}.passed")
                return Norm(**common, **parts, passed=passed)
            case unexpected:  # pragma: no cover - a new kind must be added above
                raise AssertionError(unexpected)


def load_ir(folder: Path | str) -> KanIR:
    """Read and validate the IR in `folder`.

    Raises:
        IRError: if a file is missing, truncated, of another schema, has unknown or missing fields, or describes a
            program that breaks the contract.
    """
    folder = Path(folder)
    json_path, npz_path = folder / "ir.json", folder / "ir.npz"
    try:
        if check_regular(json_path) > _MAX_JSON_BYTES:
            raise IRError(f"{json_path.name} is larger than {_MAX_JSON_BYTES} bytes; it is not an IR that kan4ml wrote")
        document = json.loads(json_path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
        reader = _Reader(load_arrays(npz_path))
    except FileNotFoundError as error:
        raise IRError(
            f"no KAN IR in {folder}: {Path(str(error.filename)).name} is missing; build the model first"
        ) from None
    except MalformedError as error:
        raise IRError(f"ir.json: {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise IRError(
            f"the KAN IR in {folder} cannot be read ({error}); it is truncated or corrupt: build again"
        ) from None
    try:
        f = check_fields(document, "the document", schema=int, name=str, nodes=list, output=str, host=dict)
        reader.schema = check_schema(f["schema"], *_READABLE)
        nodes = tuple(reader.node(value, index) for index, value in enumerate(f["nodes"]))
        return KanIR(name=f["name"], nodes=nodes, output=f["output"], host=host_from(f["host"]))
    except MalformedError as error:
        raise IRError(f"ir.json: {error}") from None
