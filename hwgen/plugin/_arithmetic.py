"""The generated C++ of product and norm nodes (`hls/kan4ml/{product,layer_norm}.h`): tables and config members."""

from __future__ import annotations

import numpy as np

from hwgen.plugin._cpp import ap_int
from hwgen.plugin._node import Arithmetic
from pymodel.ir import AffineCoder, FixedPoint, IntArray, Norm, Product, signed_width

__all__ = ["arithmetic_function", "arithmetic_limits", "arithmetic_members", "arithmetic_tables", "arithmetic_types"]

_Members = dict[str, str | int | bool]
#: A coder that nothing reads: the kernel's arguments are there even where no input passes.
_NO_CODER = AffineCoder(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), 0, 1, 0.0, 1.0)


def arithmetic_function(node: Arithmetic) -> str:
    """Return the name of the kernel that computes the node."""
    return "kan4ml::product" if isinstance(node, Product) else "kan4ml::layer_norm"


def arithmetic_tables(node: Arithmetic) -> dict[str, IntArray]:
    """Return the arrays of a node by their names in C++, in the order of the kernel's arguments."""
    if isinstance(node, Product):
        return {"first": node.first, "arity": node.arity, "mult": node.mult, "bias": node.bias}
    coder = node.passed or _NO_CODER
    return {
        "epsilon": np.array([node.epsilon], dtype=np.int64),
        "table": node.table,
        "gamma": node.gamma,
        "beta": node.beta,
        "mult": coder.mult,
        "offset": coder.offset,
    }


def arithmetic_types(node: Arithmetic) -> dict[str, str]:
    """Return the members of the config that every entry of a table must fit in, by table."""
    if isinstance(node, Product):
        return {"mult": "mult_t", "bias": "bias_t"}
    types = {"table": "root_t", "gamma": "gamma_t", "beta": "beta_t"}
    return types if node.passed is None else types | {"mult": "coder::mult_t", "offset": "coder::offset_t"}


def arithmetic_limits(node: Arithmetic, config: str) -> dict[str, str]:
    """Return bounds (exclusive, in C++) of the entries of tables that hold indices or lengths, by table."""
    if isinstance(node, Product):
        return {"first": f"{config}::n_in", "arity": f"{config}::max_arity + 1"}
    return {}


def _signed(interval: tuple[int, int]) -> str:
    return f"ap_int<{signed_width(*interval)}>"


def _hull(*intervals: tuple[int, int]) -> tuple[int, int]:
    return min(i[0] for i in intervals), max(i[1] for i in intervals)


def _norm_members(node: Norm, in_type: FixedPoint, coder: str) -> _Members:
    r = node.ranges(in_type)
    length = r["length"][1]
    return {
        "passes": node.passed is not None,
        "table_bits": node.table_bits,
        "table_fraction": node.table_fraction,
        "fraction": node.fraction,
        "n_table": int(node.table.size),
        "length": max(length + length % 2, node.table_bits),
        "coder": coder,
        "mean_t": _signed(_hull(r["sum"], r["difference"])),
        "variance_t": _signed(_hull(r["square"], r["scaled"], r["variance"])),
        "root_t": ap_int(node.table),
        "product_t": _signed(r["product"]),
        "normal_t": _signed(r["normal"]),
        "gamma_t": ap_int(node.gamma),
        "beta_t": ap_int(node.beta),
    }


def arithmetic_members(node: Arithmetic, in_type: FixedPoint, coder: str) -> _Members:
    """Return the members of the node's config struct.

    Args:
        node: the node.
        in_type: of its input integers; all widths follow from it.
        coder: name of the struct of a norm's coder.
    """
    shared: _Members = {"n_in": node.n_in, "n_out": node.n_out, "reuse_factor": 1, "shift": node.shift}
    ranges = node.ranges(in_type)
    if isinstance(node, Product):
        own: _Members = {
            "max_arity": int(node.arity.max()),
            "product_t": _signed(ranges["product"]),
            "mult_t": ap_int(node.mult),
            "bias_t": ap_int(node.bias),
        }
    else:
        own = _norm_members(node, in_type, coder)
    return shared | own | {"sum_t": _signed(ranges["total"])}


def coder_of(node: Norm) -> AffineCoder:
    """Return the coder of the inputs that pass, or one that nothing reads."""
    return node.passed or _NO_CODER
