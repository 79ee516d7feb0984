"""The KAN IR: one frozen, validated integer specification that every station implements bit for bit."""

from pymodel.ir._arith import BSplineArith, GramArith, RbfArith
from pymodel.ir._arrays import load_arrays, save_arrays
from pymodel.ir._basis import Basis, BasisKind, BasisRom, Implementation
from pymodel.ir._basis_file import basis_class, fact_types, make_basis
from pymodel.ir._common import check_name
from pymodel.ir._edge_tables import MAX_TABLE_BITS, to_edge_table, to_edge_tables
from pymodel.ir._expand import MAX_EXPANDED, dense_form, expand
from pymodel.ir._fixed import EXACT_BOUND, FixedPoint, IntArray, Overflow, Rounding, signed_width, unsigned_width
from pymodel.ir._geometry import ConvGeometry
from pymodel.ir._intervals import Interval, NodeBounds, coder_interval
from pymodel.ir._io import load_ir, save_ir
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
from pymodel.ir._norm import Norm, rsqrt_table
from pymodel.ir._product import MAX_ARITY, Product
from pymodel.ir._program import HostSpec, KanIR, Task
from pymodel.ir._spatial import KanConv, Pool, PoolKind

__all__ = [
    "EXACT_BOUND",
    "MAX_ARITY",
    "MAX_EXPANDED",
    "MAX_TABLE_BITS",
    "AffineCoder",
    "BSplineArith",
    "BaseBranch",
    "Basis",
    "BasisKind",
    "BasisRom",
    "ConvGeometry",
    "EdgeTable",
    "FixedPoint",
    "GramArith",
    "HostSpec",
    "Implementation",
    "IntArray",
    "Interval",
    "KanConv",
    "KanIR",
    "KanLinear",
    "Node",
    "NodeBounds",
    "NodeKind",
    "Norm",
    "Overflow",
    "Pool",
    "PoolKind",
    "Product",
    "Quantize",
    "RbfArith",
    "Rescale",
    "Rounding",
    "SplineBranch",
    "Task",
    "basis_class",
    "check_name",
    "coder_interval",
    "dense_form",
    "expand",
    "fact_types",
    "load_arrays",
    "load_ir",
    "make_basis",
    "rsqrt_table",
    "save_arrays",
    "save_ir",
    "signed_width",
    "to_edge_table",
    "to_edge_tables",
    "unsigned_width",
]
