"""Rolled layers: where every number lies, csim == numba at all kinds of reuse factors, and what hls4ml is told."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hls4ml.converters import convert_from_pytorch_model

from hwgen._reuse import nearest_divisors, reuse_factors
from hwgen.plugin._rolled import banked_basis, banked_weights, edge_rows
from pymodel.errors import ConfigError
from pymodel.ir import BasisKind, BasisRom, EdgeTable, KanIR, KanLinear
from pymodel.layers import FrozenKAN
from pymodel.reference import Reference
from sim.csim import Csim
from sim.equivalence import compare
from tests.sim.csim.projects import Reuse, convert_ir
from tests.strategies import corner_inputs, random_inputs, random_ir

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("reuse", [1, 2, 3, 6])
def test_every_entry_lies_where_the_kernel_reads_it(reuse: int) -> None:
    tables = RNG.integers(-99, 100, (6, 5, 4))
    rows = edge_rows(tables, reuse)
    inputs = 6 // reuse
    assert rows.shape == (inputs, reuse * 5, 4)
    for i, c in itertools.product(range(6), range(5)):
        r, k = divmod(i, inputs)
        np.testing.assert_array_equal(rows[k, r * 5 + c], tables[i, c])


@pytest.mark.parametrize(("n_basis", "window"), [(8, 4), (8, 3), (5, 5), (4, 1)])
@pytest.mark.parametrize("reuse", [1, 2, 6])
def test_banked_windows_are_the_windows(n_basis: int, window: int, reuse: int) -> None:
    n_codes, n_in, n_out, inputs = 7, 6, 3, 6 // reuse
    weights = RNG.integers(-99, 100, (n_out, n_in, n_basis))
    start = RNG.integers(0, n_basis - window + 1, n_codes)
    start[-1] = n_basis - window
    values = RNG.integers(-99, 100, (n_codes, window))
    rom = BasisRom(
        kind=BasisKind.BSPLINE,
        values=values,
        start=start,
        n_basis=n_basis,
        lsb=1.0,
        order=window - 1,
        knots=np.linspace(-1.0, 1.0, n_basis + window),
    )
    rotated, groups = banked_basis(rom)
    banks = banked_weights(weights, window, reuse)
    n_groups = -(-n_basis // window)
    assert banks.shape == (inputs * window, reuse * n_groups, n_out)
    for i, c in itertools.product(range(n_in), range(n_codes)):
        r, k = divmod(i, inputs)
        got = sum(rotated[c, b] * banks[k * window + b, r * n_groups + groups[c, b]] for b in range(window))
        np.testing.assert_array_equal(got, weights[:, i, start[c] : start[c] + window] @ values[c])


#: Layers with and without base branch, one and two coders, per layer and per input, both forms: seeds found by search.
PROGRAMS: dict[str, tuple[int, tuple[int, ...], str, Reuse]] = {
    "all": (3, (12, 7, 6, 3), "latency", "all"),
    "two, prime": (8, (12, 6, 7, 3), "resource", [2, 3, 7]),
    "rows": (2, (10, 6, 7, 2), "edge_table", [5, 2, "all"]),
}


def program(name: str) -> KanIR:
    seed, widths, strategy, _ = PROGRAMS[name]
    return random_ir(seed, widths=widths, in_bits=8, edge_tables=0.0 if strategy == "edge_table" else 0.3)


def test_the_programs_cover_both_kernels() -> None:
    seen = set()
    for name in PROGRAMS:
        for node in program(name).layers:
            if isinstance(node, KanLinear):
                seen |= {("base", node.base is not None), ("per input", node.spline.coder.mult.size > 1)}
                seen.add(("full groups", node.spline.basis.n_basis % node.spline.basis.window == 0))
                if node.base is not None:
                    seen.add(("shared", node.base.coder == node.spline.coder))
            else:
                seen.add(("rows per input", node.coder.mult.size > 1))
    wanted = {"base", "per input", "full groups", "shared"}
    assert not {(what, value) for what in wanted for value in (True, False)} - seen


@pytest.mark.parametrize("name", PROGRAMS)
def test_csim_equals_the_reference(name: str, tmp_path: Path) -> None:
    _, _, strategy, reuse = PROGRAMS[name]
    ir = program(name)
    model = convert_ir(ir, tmp_path, strategy, reuse)
    factors = reuse_factors("", reuse, [node.n_in for node in ir.layers])
    assert [layer.reuse for layer in list(model.get_layers())[1:]] == factors
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 3000, np.random.default_rng(1))])
    csim, expected = Csim(tmp_path), Reference(ir).run(X)
    assert csim.problems == ()
    border = compare("csim_vs_reference", csim.run(X), expected, [node.name for node in ir.layers])
    assert border.equal, str(border.first)
    assert any(np.unique(expected[node.name]).size > 1 for node in ir.layers)
    # A pipelined top function would unroll the loops again.
    top = (tmp_path / "firmware" / "kan_top.cpp").read_text()
    assert "#pragma HLS DATAFLOW" in top
    assert "#pragma HLS PIPELINE" not in top
    kernels = [node for node, r in zip(model.kan_ir.layers, factors, strict=True) if r > 1]
    assert top.count("kan4ml::edge_rows<") == sum(isinstance(node, EdgeTable) for node in kernels)
    assert top.count("kan4ml::kan_dense_rolled<") == sum(isinstance(node, KanLinear) for node in kernels)


def test_a_changed_weight_in_a_memory_is_seen(tmp_path: Path) -> None:
    ir = random_ir(1, widths=(4, 3), in_bits=4, edge_tables=0.0)
    X = random_inputs(ir, 2000, np.random.default_rng(1))
    convert_ir(ir, tmp_path, "edge_table", "all")
    path = tmp_path / "firmware" / "kan_tables" / "kan_layers_0.h"
    text = path.read_text()
    head, rows = text.split("rows[1]", 1)
    table, rest = rows.split(";", 1)
    changed = "\n".join(
        line.replace("{", "{1+", 1) if line.startswith("    {") else line for line in table.splitlines()
    )
    assert changed != table
    path.write_text(f"{head}rows[1]{changed};{rest}")
    csim = Csim(tmp_path)
    assert not compare("csim", csim.run(X), Reference(ir).run(X), ["layers_0"]).equal


def test_no_reuse_keeps_the_parallel_kernels(tmp_path: Path) -> None:
    ir = random_ir(0, widths=(3, 3, 2), in_bits=6, edge_tables=0.0)
    for strategy, reuse in (("resource", 1), ("latency", 1)):
        convert_ir(ir, tmp_path / strategy, strategy, reuse)
        top = (tmp_path / strategy / "firmware" / "kan_top.cpp").read_text()
        assert top.count("kan4ml::kan_dense<") == 2


def test_hls4ml_s_own_configuration(tmp_path: Path) -> None:
    """As a user of hls4ml writes it: a model-wide factor, and a layer of its own."""
    model = FrozenKAN.from_ir(random_ir(0, widths=(4, 8, 3), in_bits=6, edge_tables=0.0))
    config = {
        "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 4, "Strategy": "Resource"},
        "LayerName": {"layers_1": {"ReuseFactor": 8, "Strategy": "EdgeTable"}},
    }
    result = convert_from_pytorch_model(model, backend="VitisKAN", output_dir=str(tmp_path), hls_config=config)
    assert [layer.reuse for layer in list(result.get_layers())[1:]] == [4, 8]
    assert [type(node) for node in result.kan_ir.layers] == [KanLinear, EdgeTable]
    assert result.config.pipeline_style == "dataflow"


@pytest.mark.parametrize(
    ("n", "wanted", "near"), [(784, 5, (4, 7)), (64, 784, (64,)), (7, 2, (1, 7)), (1, 2, (1,)), (12, 5, (4, 6))]
)
def test_nearest_divisors(n: int, wanted: int, near: tuple[int, ...]) -> None:
    assert nearest_divisors(n, wanted) == near


def test_reuse_factors_of_a_chain() -> None:
    assert reuse_factors("reuse", "all", [784, 64]) == [784, 64]
    assert reuse_factors("reuse", [784, "all"], [784, 64]) == [784, 64]
    with pytest.raises(ConfigError, match="reuse for layer 1 must divide the layer's 64 inputs, which 7 does not; set"):
        reuse_factors("reuse", 7, [784, 64])
    with pytest.raises(ConfigError, match="one for each of the 2 layers, not 3 values"):
        reuse_factors("reuse", [1, 1, 1], [784, 64])
