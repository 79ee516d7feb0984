"""Product and norm nodes become RTL: the optimised C++ and XLS's function are compared with the reference on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.openhls import generate
from pymodel.errors import MismatchError
from pymodel.ir import AffineCoder, FixedPoint, KanIR, Norm, Product, Quantize, rsqrt_table
from tests.arithmetic import host, some_rows
from tests.sim.csim.projects import PART, convert_ir

pytestmark = pytest.mark.xdist_group("openhls_arithmetic")


def chain() -> KanIR:
    """A norm over two inputs, which pass, and products of all of it."""
    t = FixedPoint(4, 2, signed=True)
    norm = Norm(
        name="layers_0",
        inputs=("x",),
        out_type=FixedPoint(4, 4, signed=False),
        value_lsb=1.0,
        value_offset=0.0,
        gamma=np.array([9, -7]),
        beta=np.array([120, 100]),
        shift=4,
        epsilon=3,
        table=rsqrt_table(4, 6),
        table_bits=4,
        table_fraction=6,
        fraction=4,
        passed=AffineCoder(np.array([1]), np.array([8]), 0, 16, 0.0, 1.0),
    )
    product = Product(
        name="layers_1",
        inputs=("layers_0",),
        out_type=FixedPoint(6, 6, signed=True),
        value_lsb=1.0,
        value_offset=0.0,
        arity=np.array([1, 3]),
        mult=np.array([3, -5]),
        bias=np.array([-20, 90]),
        shift=6,
    )
    source = Quantize("x", (), t, t.lsb, 0.0, size=2)
    return KanIR("chain", (source, norm, product), "layers_1", host(2))


def test_products_and_norms_become_rtl(tmp_path: Path) -> None:
    ir = chain()
    X = some_rows(np.random.default_rng(0), 2, ir.input.out_type, 60)
    convert_ir(ir, tmp_path / "hls")
    options = {"project": tmp_path / "hls", "part": PART, "clock_ns": 5.0, "vectors": X}
    design = generate(ir, tmp_path / "rtl", **options)
    assert design.multiplications >= 4
    assert (tmp_path / "rtl" / "kan_top.v").is_file()
    product = ir.nodes[2]
    assert isinstance(product, Product)
    other = KanIR("chain", (*ir.nodes[:2], replace(product, bias=product.bias + 64)), ir.output, ir.host)
    with pytest.raises(MismatchError, match="differs"):
        generate(other, tmp_path / "other", **options)
