"""Frozen models as files: int64 tensors and a JSON description in one safetensors file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pymodel.errors import IRError, ModelError
from pymodel.ir import (
    AffineCoder,
    BaseBranch,
    Basis,
    BasisKind,
    ConvGeometry,
    EdgeTable,
    Implementation,
    IntArray,
    KanConv,
    KanLinear,
    NodeKind,
    Norm,
    Pool,
    PoolKind,
    Product,
    Rescale,
    SplineBranch,
    basis_class,
    fact_types,
    make_basis,
)
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
    numbers_from,
)
from pymodel.layers._frozen import FrozenKAN, frozen_layer
from pymodel.layers._frozen_arithmetic import FrozenNorm, FrozenProduct
from pymodel.layers._frozen_layer import FrozenLayer
from pymodel.layers._frozen_linear import CoderFacts, FrozenKANLinear
from pymodel.layers._frozen_spatial import FrozenKANConv, FrozenPool
from pymodel.layers._safetensors import read_file, write_file

__all__ = ["load_frozen", "save_frozen"]

_KIND = "frozen_kan"
#: In schema 1 every basis is a ROM with one table.
_SCHEMA = 2
_READABLE = (1, _SCHEMA)
_KINDS: dict[type[FrozenLayer], NodeKind] = {FrozenProduct: NodeKind.PRODUCT, FrozenNorm: NodeKind.NORM}
_NORM_FACTS = ("epsilon", "table_bits", "table_fraction", "fraction")


def _coder_to_json(facts: CoderFacts) -> Fields:
    return {"shift": facts.shift, "n_codes": facts.n_codes, "low": facts.low, "step": facts.step}


def _spatial_to_json(layer: FrozenKANConv | FrozenPool) -> Fields:
    common: Fields = {
        "form": (NodeKind.POOL if isinstance(layer, FrozenPool) else NodeKind.KAN_CONV).name.lower(),
        "in_type": layer.in_type.to_json(),
        "out_type": layer.out_type.to_json(),
        "value_lsb": layer.value_lsb,
        "value_offset": layer.value_offset,
        "geometry": layer.geometry.to_json(),
    }
    if isinstance(layer, FrozenPool):
        return common | {"op": layer.op.name.lower(), "shift": layer.shift}
    return common | {"groups": [_layer_to_json(group) for group in layer.group_layers()]}


def _layer_to_json(layer: FrozenLayer) -> Fields:
    if isinstance(layer, FrozenKANConv | FrozenPool):
        return _spatial_to_json(layer)
    assert isinstance(layer, FrozenKANLinear | FrozenProduct | FrozenNorm)
    kind = layer.form if isinstance(layer, FrozenKANLinear) else _KINDS[type(layer)]
    common: Fields = {
        "form": kind.name.lower(),
        "in_type": layer.in_type.to_json(),
        "out_type": layer.out_type.to_json(),
        "value_lsb": layer.value_lsb,
        "value_offset": layer.value_offset,
        "shift": layer.shift,
    }
    if isinstance(layer, FrozenProduct):
        return common
    if isinstance(layer, FrozenNorm):
        passed = None if layer.passed is None else _coder_to_json(CoderFacts(*layer.passed))
        return common | {name: getattr(layer, name) for name in _NORM_FACTS} | {"passed": passed}
    common["coder"] = _coder_to_json(layer.coder)
    if layer.form is NodeKind.EDGE_TABLE:
        return common
    base = None
    if layer.base_coder is not None:
        base = {
            "coder": _coder_to_json(layer.base_coder),
            "activation": layer.activation,
            "lsb": layer.base_lsb,
        }
    assert layer.basis is not None
    basis: Fields = {
        "kind": layer.basis.kind.name.lower(),
        "implementation": layer.basis.implementation.name.lower(),
        **layer.basis.scalars,
        "knots": list(layer.basis.knots),
    }
    return common | {"basis": basis, "base": base}


def save_frozen(model: FrozenKAN, path: Path | str) -> None:
    """Write `model` to the safetensors file `path`; the same model gives the same bytes."""
    document = {
        "kind": _KIND,
        "schema": _SCHEMA,
        "name": model.name,
        "host": host_to_json(model.host),
        "layers": [_layer_to_json(layer) for _, layer in model.named_layers()],
    }
    tensors = {f"layers.{i}.{n}": t for i, layer in enumerate(model.layers) for n, t in layer.named_buffers()}
    write_file(Path(path), document, tensors)


class _Tensors:
    """Hands out one layer's tensors, and knows which were never asked for."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._left = tensors

    def take(self, name: str) -> IntArray:
        tensor = self._left.pop(name, None)
        if tensor is None:
            raise ModelError(f"the tensor {name!r} is missing; the file is corrupt: build the model again")
        if tensor.dtype is not torch.int64:
            raise ModelError(f"the tensor {name!r} must be int64, not {tensor.dtype}; build the model again")
        return np.asarray(tensor.numpy(), dtype=np.int64)

    def check_empty(self) -> None:
        if self._left:
            raise ModelError(f"the file holds the unknown tensor {min(self._left)!r}; build the model again")


def _coder_from(value: object, where: str, tensors: _Tensors, prefix: str) -> AffineCoder:
    f = check_fields(value, where, shift=int, n_codes=int, low=NUMBER, step=NUMBER)
    low, step = numbers_from([f["low"], f["step"]], where)
    return AffineCoder(
        tensors.take(f"{prefix}_mult"), tensors.take(f"{prefix}_offset"), f["shift"], f["n_codes"], low, step
    )


def _basis_from(value: Fields, where: str, tensors: _Tensors, prefix: str, n_basis: int, schema: int) -> Basis:
    if schema == 1 and not value.keys() & {"implementation", "n_tables"}:
        value = value | {"implementation": "rom", "n_tables": 1, "scale": 1.0, "n_basis": n_basis}
    kind, implementation = (str(value.get(key)).upper() for key in ("kind", "implementation"))
    cls = basis_class(kind, implementation, where)
    f = check_fields(value, where, kind=str, implementation=str, knots=list, **fact_types(cls))
    parts: dict[str, Any] = {name: expected(f[name]) for name, expected in cls.FACTS.items()}
    parts |= {name: tensors.take(f"{prefix}basis_{name}") for name in cls.ARRAYS}
    parts["knots"] = np.array(numbers_from(f["knots"], f"{where}.knots"))
    return make_basis(BasisKind[kind], Implementation[implementation], parts)


def _arithmetic_from(f: Fields, where: str, tensors: _Tensors, prefix: str, common: Fields) -> Product | Norm:
    parts: Fields = {"shift": f["shift"]}
    if "passed" not in f:
        parts |= {name: tensors.take(f"{prefix}{name}") for name in ("arity", "mult", "bias")}
        return Product(**common, **parts)
    names = {"gamma": "gamma", "beta": "bias", "table": "table"}
    parts |= {name: tensors.take(f"{prefix}{buffer}") for name, buffer in names.items()}
    parts |= {name: f[name] for name in _NORM_FACTS}
    passed = None
    if f["passed"] is not None:
        passed = _coder_from(f["passed"], f"{where}.passed", tensors, f"{prefix}passed")
    return Norm(**common, **parts, passed=passed)


def _spatial_from(value: Fields, where: str, name: str, tensors: _Tensors, prefix: str, schema: int) -> FrozenLayer:
    pool = value["form"] == NodeKind.POOL.name.lower()
    types: dict[str, type | tuple[type, ...]] = {
        "form": str,
        "in_type": dict,
        "out_type": dict,
        "value_lsb": NUMBER,
        "value_offset": NUMBER,
        "geometry": dict,
    }
    types |= {"op": str, "shift": int} if pool else {"groups": list}
    f = check_fields(value, where, **types)
    lsb, offset = numbers_from([f["value_lsb"], f["value_offset"]], where)
    names = [field.name for field in fields(ConvGeometry)]
    geometry = ConvGeometry(**check_fields(f["geometry"], f"{where}.geometry", **dict.fromkeys(names, int)))
    common: dict[str, Any] = {
        "name": name,
        "inputs": ("source",),
        "out_type": fixed_from(f["out_type"], f"{where}.out_type"),
        "value_lsb": lsb,
        "value_offset": offset,
        "geometry": geometry,
    }
    in_type = fixed_from(f["in_type"], f"{where}.in_type")
    if pool:
        mult = tensors.take(f"{prefix}mult")
        if mult.shape != (1,):
            raise ModelError(f"{where} needs one multiplier, not {mult.shape}; build the model again")
        op = enum_from(PoolKind, f["op"].upper(), f"{where}.op")
        return FrozenPool(Pool(**common, op=op, mult=int(mult[0]), shift=f["shift"]), in_type)
    groups = []
    for g, part in enumerate(f["groups"]):
        layer = _layer_from(part, f"{where}.groups[{g}]", name, tensors, f"{prefix}groups.{g}.", schema)
        if not isinstance(layer, FrozenKANLinear):
            raise ModelError(f"{where}.groups[{g}] is no dense layer; build the model again")
        groups.append(layer.ir_node(name, "source"))
    return FrozenKANConv(KanConv(**common, layers=tuple(groups)), in_type)  # type: ignore[arg-type] # checked there


def _layer_from(value: object, where: str, name: str, tensors: _Tensors, prefix: str, schema: int) -> FrozenLayer:
    form = str(value.get("form")) if isinstance(value, dict) else ""
    kind = enum_from(NodeKind, form.upper(), f"{where}.form") if form else NodeKind.QUANTIZE
    if kind in (NodeKind.KAN_CONV, NodeKind.POOL) and isinstance(value, dict):
        return _spatial_from(value, where, name, tensors, prefix, schema)
    extra: dict[str, type | tuple[type, ...]] = {}
    if kind is NodeKind.KAN_LINEAR:
        extra = {"coder": dict, "basis": dict, "base": (dict, type(None))}
    elif kind is NodeKind.EDGE_TABLE:
        extra = {"coder": dict}
    elif kind is NodeKind.NORM:
        extra = {**dict.fromkeys(_NORM_FACTS, int), "passed": (dict, type(None))}
    elif kind is not NodeKind.PRODUCT:
        raise ModelError(f"{where} is not a layer that can be frozen; build the model again")
    f = check_fields(
        value,
        where,
        form=str,
        in_type=dict,
        out_type=dict,
        value_lsb=NUMBER,
        value_offset=NUMBER,
        shift=int,
        **extra,
    )
    value_lsb, value_offset = numbers_from([f["value_lsb"], f["value_offset"]], where)
    in_type = fixed_from(f["in_type"], f"{where}.in_type")
    common: dict[str, Any] = {
        "name": name,
        "inputs": ("source",),
        "out_type": fixed_from(f["out_type"], f"{where}.out_type"),
        "value_lsb": value_lsb,
        "value_offset": value_offset,
    }
    if kind in (NodeKind.PRODUCT, NodeKind.NORM):
        layer = frozen_layer(_arithmetic_from(f, where, tensors, prefix, common), in_type)
        assert layer is not None
        return layer
    coder = _coder_from(f["coder"], f"{where}.coder", tensors, f"{prefix}coder")
    bias = tensors.take(f"{prefix}bias")
    if kind is NodeKind.EDGE_TABLE:
        tables = tensors.take(f"{prefix}tables")
        return FrozenKANLinear(EdgeTable(**common, coder=coder, tables=tables, bias=bias, shift=f["shift"]), in_type)
    weights = tensors.take(f"{prefix}spline_weights")
    n_basis = weights.shape[-1] if weights.ndim else 0
    basis = _basis_from(f["basis"], f"{where}.basis", tensors, prefix, n_basis, schema)
    base = None
    if f["base"] is not None:
        e = check_fields(f["base"], f"{where}.base", coder=dict, activation=str, lsb=NUMBER)
        base = BaseBranch(
            coder=_coder_from(e["coder"], f"{where}.base.coder", tensors, f"{prefix}base_coder"),
            activation=e["activation"],
            table=tensors.take(f"{prefix}base_table"),
            lsb=numbers_from([e["lsb"]], where)[0],
            weights=tensors.take(f"{prefix}base_weights"),
        )
    rescale = Rescale(tensors.take(f"{prefix}spline_mult"), tensors.take(f"{prefix}base_mult"), bias, f["shift"])
    spline = SplineBranch(coder, basis, weights)
    return FrozenKANLinear(KanLinear(**common, spline=spline, base=base, rescale=rescale), in_type)


def load_frozen(path: Path | str) -> FrozenKAN:
    """Read and validate what :func:`save_frozen` wrote.

    Raises:
        ModelError: if the file is missing, truncated or too large, lacks a tensor or a field, has unknown ones, or
            describes a model that breaks the contract.
    """
    path = Path(path)
    document, tensors = read_file(path, _KIND)
    store = _Tensors(tensors)
    try:
        f = check_fields(document, "the document", kind=str, schema=int, name=str, host=dict, layers=list)
        schema = check_schema(f["schema"], *_READABLE)
        layers = [
            _layer_from(value, f"layers[{i}]", f"layers_{i}", store, f"layers.{i}.", schema)
            for i, value in enumerate(f["layers"])
        ]
        store.check_empty()
        return FrozenKAN(f["name"], host_from(f["host"]), layers)
    except (IRError, MalformedError) as error:
        raise ModelError(f"{path.name}: {error}") from None
