"""Reading and writing a KAN IR: `ir.json` for structure, `ir.npz` for arrays, no pickle, strict in every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from pymodel.errors import IRError
from pymodel.ir._arrays import load_arrays, save_arrays
from pymodel.ir._fixed import FixedPoint, Overflow, Rounding
from pymodel.ir._nodes import (
    AffineCoder,
    BaseBranch,
    BasisKind,
    BasisRom,
    EdgeTable,
    KanLinear,
    Node,
    NodeKind,
    Quantize,
    Rescale,
    SplineBranch,
)
from pymodel.ir._program import HostSpec, KanIR, Task

__all__ = ["SCHEMA", "load_ir", "save_ir"]

#: Version of the file format; a loader refuses any other.
SCHEMA = 1
_MAX_JSON_BYTES = 64 << 20
_Array = npt.NDArray[Any]
_T = TypeVar("_T")


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

    def kan_linear(self, node: KanLinear) -> dict[str, Any]:
        name, rom = node.name, node.spline.basis
        spline = {
            "coder": self.coder(f"{name}.spline.coder", node.spline.coder),
            "basis": {
                "kind": rom.kind.name,
                "values": self.put(f"{name}.spline.basis.values", rom.values),
                "start": self.put(f"{name}.spline.basis.start", rom.start),
                "n_basis": rom.n_basis,
                "lsb": rom.lsb,
                "order": rom.order,
                "knots": self.put(f"{name}.spline.basis.knots", rom.knots),
            },
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

    def edge_table(self, node: EdgeTable) -> dict[str, Any]:
        return {
            "coder": self.coder(f"{node.name}.coder", node.coder),
            "tables": self.put(f"{node.name}.tables", node.tables),
            "bias": self.put(f"{node.name}.bias", node.bias),
            "shift": node.shift,
        }

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
        elif isinstance(node, KanLinear):
            body |= self.kan_linear(node)
        elif isinstance(node, EdgeTable):
            body |= self.edge_table(node)
        return body


def save_ir(ir: KanIR, folder: Path) -> None:
    """Write `ir.json` and `ir.npz` into `folder` (created). The same IR gives the same bytes: no dates, no paths."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer()
    host = ir.host
    document = {
        "schema": SCHEMA,
        "name": ir.name,
        "nodes": [writer.node(node) for node in ir.nodes],
        "output": ir.output,
        "host": {
            "task": host.task.name.lower(),
            "features": list(host.features),
            "feature_offset": list(host.feature_offset),
            "feature_scale": list(host.feature_scale),
            "classes": list(host.classes),
            "target": host.target,
            "target_offset": host.target_offset,
            "target_scale": host.target_scale,
        },
    }
    (folder / "ir.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    save_arrays(folder / "ir.npz", writer.arrays)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Reader:
    """Turns JSON objects into nodes; every key must be there, of the right type, and none may be left over."""

    def __init__(self, arrays: dict[str, _Array]) -> None:
        self.arrays = arrays

    def fields(self, value: object, where: str, **types: type | tuple[type, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise IRError(f"ir.json: {where} must be an object, not {type(value).__name__}; build the model again")
        missing, extra = types.keys() - value.keys(), value.keys() - types.keys()
        if missing or extra:
            what = f"lacks {sorted(missing)}" if missing else f"has the unknown keys {sorted(map(str, extra))}"
            raise IRError(f"ir.json: {where} {what}; build the model again with this version of kan4ml")
        for key, expected in types.items():
            got = value[key]
            if not isinstance(got, expected) or (isinstance(got, bool) and expected is not bool):
                raise IRError(f"ir.json: {where}.{key} has the wrong type {type(got).__name__}; build the model again")
        return value

    def array(self, name: str, where: str, dtype: str = "i") -> _Array:
        array = self.arrays.get(name)
        if array is None or array.dtype.kind != dtype:
            raise IRError(f"ir.npz: {where} needs an array {name!r} of kind {dtype!r}, which is absent; build again")
        return array

    @staticmethod
    def real(value: float) -> float:
        return float(value)

    def enum(self, kind: type[_T], name: str, where: str) -> _T:
        try:
            return kind[name]  # type: ignore[index,no-any-return]
        except KeyError:
            raise IRError(f"ir.json: {where} is {name!r}, which this version of kan4ml does not know") from None

    def fixed(self, value: object, where: str) -> FixedPoint:
        f = self.fields(value, where, width=int, integer=int, signed=bool, rounding=str, overflow=str)
        return FixedPoint(
            f["width"],
            f["integer"],
            f["signed"],
            self.enum(Rounding, f["rounding"], where),
            self.enum(Overflow, f["overflow"], where),
        )

    def coder(self, value: object, where: str) -> AffineCoder:
        number = (int, float)
        f = self.fields(value, where, mult=str, offset=str, shift=int, n_codes=int, low=number, step=number)
        return AffineCoder(
            self.array(f["mult"], where),
            self.array(f["offset"], where),
            f["shift"],
            f["n_codes"],
            self.real(f["low"]),
            self.real(f["step"]),
        )

    def spline(self, value: object, where: str) -> SplineBranch:
        f = self.fields(value, where, coder=dict, basis=dict, weights=str)
        number = (int, float)
        b = self.fields(
            f["basis"], f"{where}.basis", kind=str, values=str, start=str, n_basis=int, lsb=number, order=int, knots=str
        )
        basis = BasisRom(
            kind=self.enum(BasisKind, b["kind"], where),
            values=self.array(b["values"], where),
            start=self.array(b["start"], where),
            n_basis=b["n_basis"],
            lsb=self.real(b["lsb"]),
            order=b["order"],
            knots=self.array(b["knots"], where, "f"),
        )
        return SplineBranch(self.coder(f["coder"], where), basis, self.array(f["weights"], where))

    def base(self, value: object, where: str) -> BaseBranch | None:
        if value is None:
            return None
        f = self.fields(value, where, coder=dict, activation=str, table=str, lsb=(int, float), weights=str)
        return BaseBranch(
            self.coder(f["coder"], where),
            f["activation"],
            self.array(f["table"], where),
            self.real(f["lsb"]),
            self.array(f["weights"], where),
        )

    def rescale(self, value: object, where: str) -> Rescale:
        f = self.fields(value, where, spline_mult=str, base_mult=str, bias=str, shift=int)
        return Rescale(
            self.array(f["spline_mult"], where),
            self.array(f["base_mult"], where),
            self.array(f["bias"], where),
            f["shift"],
        )

    def node(self, value: object, index: int) -> Node:
        where = f"nodes[{index}]"
        kind = value.get("kind") if isinstance(value, dict) else None
        extra: dict[str, type | tuple[type, ...]] = {
            "quantize": {"size": int},
            "kan_linear": {"spline": dict, "base": (dict, type(None)), "rescale": dict},
            "edge_table": {"coder": dict, "tables": str, "bias": str, "shift": int},
        }.get(str(kind), {})  # type: ignore[assignment]
        number = (int, float)
        f = self.fields(
            value,
            where,
            kind=str,
            name=str,
            inputs=list,
            out_type=dict,
            value_lsb=number,
            value_offset=number,
            **extra,
        )
        common: dict[str, Any] = {
            "name": f["name"],
            "inputs": tuple(str(source) for source in f["inputs"]),
            "out_type": self.fixed(f["out_type"], f"{where}.out_type"),
            "value_lsb": self.real(f["value_lsb"]),
            "value_offset": self.real(f["value_offset"]),
        }
        match self.enum(NodeKind, f["kind"].upper(), f"{where}.kind"):
            case NodeKind.QUANTIZE:
                return Quantize(**common, size=f["size"])
            case NodeKind.KAN_LINEAR:
                return KanLinear(
                    **common,
                    spline=self.spline(f["spline"], f"{where}.spline"),
                    base=self.base(f["base"], f"{where}.base"),
                    rescale=self.rescale(f["rescale"], f"{where}.rescale"),
                )
            case NodeKind.EDGE_TABLE:
                return EdgeTable(
                    **common,
                    coder=self.coder(f["coder"], f"{where}.coder"),
                    tables=self.array(f["tables"], where),
                    bias=self.array(f["bias"], where),
                    shift=f["shift"],
                )
            case unexpected:  # pragma: no cover - a new kind must be added above
                raise AssertionError(unexpected)

    def strings(self, values: list[object], where: str) -> tuple[str, ...]:
        if not all(isinstance(v, str) for v in values):
            raise IRError(f"ir.json: {where} must be a list of strings; build the model again")
        return tuple(str(v) for v in values)

    def reals(self, values: list[object], where: str) -> tuple[float, ...]:
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            raise IRError(f"ir.json: {where} must be a list of numbers; build the model again")
        return tuple(float(v) for v in values)  # type: ignore[arg-type]

    def host(self, value: object) -> HostSpec:
        number = (int, float)
        f = self.fields(
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
        return HostSpec(
            task=self.enum(Task, f["task"].upper(), "host.task"),
            features=self.strings(f["features"], "host.features"),
            feature_offset=self.reals(f["feature_offset"], "host.feature_offset"),
            feature_scale=self.reals(f["feature_scale"], "host.feature_scale"),
            classes=self.strings(f["classes"], "host.classes"),
            target=f["target"],
            target_offset=self.real(f["target_offset"]),
            target_scale=self.real(f["target_scale"]),
        )


def load_ir(folder: Path) -> KanIR:
    """Read and validate the IR in `folder`.

    Raises:
        IRError: if a file is missing, truncated, of another schema, has unknown or missing fields, or describes a
            program that breaks the contract.
    """
    json_path, npz_path = folder / "ir.json", folder / "ir.npz"
    try:
        if json_path.stat().st_size > _MAX_JSON_BYTES:
            raise IRError(f"{json_path.name} is larger than {_MAX_JSON_BYTES} bytes; it is not an IR that kan4ml wrote")
        document = json.loads(json_path.read_text(encoding="utf-8"))
        reader = _Reader(load_arrays(npz_path))
    except FileNotFoundError as error:
        raise IRError(
            f"no KAN IR in {folder}: {Path(str(error.filename)).name} is missing; build the model first"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise IRError(
            f"the KAN IR in {folder} cannot be read ({error}); it is truncated or corrupt: build again"
        ) from None
    f = reader.fields(document, "the document", schema=int, name=str, nodes=list, output=str, host=dict)
    if f["schema"] != SCHEMA:
        raise IRError(f"ir.json has schema {f['schema']}, this version of kan4ml reads {SCHEMA}; build the model again")
    try:
        nodes = tuple(reader.node(value, index) for index, value in enumerate(f["nodes"]))
    except OverflowError:
        raise IRError("ir.json holds a number beyond float64; build the model again") from None
    return KanIR(name=f["name"], nodes=nodes, output=f["output"], host=reader.host(f["host"]))
