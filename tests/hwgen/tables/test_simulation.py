"""The emitted Verilog, simulated by Verilator, against the reference."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hwgen.tables import Passes, TablesDesign, generate
from pymodel.errors import IRError
from pymodel.ir import EdgeTable, FixedPoint, IntArray, KanIR, to_edge_tables
from pymodel.reference import Reference
from sim.cosim import cosim
from tests.hwgen.tables import verilator
from tests.hwgen.tables.designs import PART, coder, edge_table, program, tiny, unsigned
from tests.hwgen.tables.networks import random_network, shared_layer
from tests.strategies import corner_inputs, random_inputs, random_ir

pytestmark = pytest.mark.rtl

_N_RANDOM = 12
_N_NETWORKS = 26
_N_VECTORS = 3000
_PASSES = (Passes.none(), Passes(), Passes(levels_per_stage=2), Passes.standard())


def _random_program(seed: int) -> tuple[KanIR, IntArray]:
    """Return a random program that tables can hold, and inputs for it."""
    for attempt in itertools.count():
        rng = np.random.default_rng([seed, attempt])
        widths = [int(w) for w in rng.integers(1, 8, size=int(rng.integers(2, 5)))]
        ir = random_ir(rng, widths=widths, in_bits=int(rng.integers(1, 15)))
        try:
            tables = to_edge_tables(ir)
        except IRError:
            continue
        if all(isinstance(node, EdgeTable) and node.alive.any() for node in tables.layers):
            return ir, np.concatenate([corner_inputs(ir), random_inputs(ir, _N_VECTORS, rng)])
    raise AssertionError


def _exhaustive(ir: KanIR) -> IntArray:
    t = ir.input.out_type
    axes = [np.arange(t.min_int, t.max_int + 1)] * ir.input.n_out
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, ir.input.n_out)


def _wide_tables() -> KanIR:
    """Return a layer whose 8-bit codes need more than one LUT6 per bit: its tables are registered."""
    rng = np.random.default_rng(1)
    tables = rng.integers(-500, 500, size=(3, 256, 2))
    return program(
        unsigned(8),
        edge_table("a", "x", tables, out_type=FixedPoint(9, 9, signed=True), coder=coder(1, 0, 0, 256), shift=1),
    )


def _fork() -> KanIR:
    """Return a program in which two layers read the input, and one layer is not needed."""
    rng = np.random.default_rng(2)
    make = {"coder": coder(1, 4, 0, 8), "out_type": unsigned(3)}
    left, right = (edge_table(n, "x", rng.integers(-9, 9, size=(2, 8, 2)), shift=1, **make) for n in ("left", "right"))  # type: ignore[arg-type]
    last = edge_table(
        "last", "right", rng.integers(-9, 9, size=(2, 8, 2)), out_type=unsigned(5), coder=coder(1, 0, 0, 8)
    )
    return program(FixedPoint(3, 3, signed=True), left, right, last)


def _early() -> KanIR:
    """Return a layer whose first output is ready long before the second, and is clipped on both sides."""
    tables = np.zeros((14, 4, 2), dtype=np.int64)
    tables[:6, :, 0] = [-9, -3, 4, 20]
    tables[:, :, 1] = [7, -1, 3, 0]
    return program(unsigned(2), edge_table("a", "x", tables, out_type=unsigned(4), coder=coder(1, 0, 0, 4), shift=1))


def _passes(number: int) -> Passes:
    """Return what all designs but every fourth one are built with: everything; and these with less, in turn."""
    return _PASSES[number // 4 % len(_PASSES)] if number % 4 == 0 else Passes()


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[TablesDesign]]:
    """All designs in one simulator: the program, the folder it runs in, the designs (`tiny` first)."""
    folder = tmp_path_factory.mktemp("tables")
    small, registered, fork = tiny(), _wide_tables(), _fork()
    wide_inputs = random_inputs(registered, _N_VECTORS, np.random.default_rng(0))
    early = _early()
    early_inputs = random_inputs(early, _N_VECTORS, np.random.default_rng(4))
    cases = [(small, _exhaustive(small)), (registered, wide_inputs), (fork, _exhaustive(fork)), (early, early_inputs)]
    cases += [_random_program(seed) for seed in range(_N_RANDOM)]
    for seed in range(_N_NETWORKS):
        network, rng = random_network(seed), np.random.default_rng(seed)
        cases.append((network, np.concatenate([corner_inputs(network), random_inputs(network, 500, rng)])))
    chains = shared_layer(3, 16, 5)
    cases.append((chains, random_inputs(chains, 500, np.random.default_rng(5))))
    designs = [
        generate(ir, folder / f"n{k}", part=PART, clock_ns=5.0, vectors=X, prefix=f"n{k}", passes=_passes(k))
        for k, (ir, X) in enumerate(cases)
    ]
    # Every design by itself; every fourth one through AXI4-Stream, too.
    benches = [(design, design.testbenches[0]) for design in designs]
    benches += [(design, design.testbenches[1]) for design in designs[::4]]
    return verilator.build(benches, folder), folder, designs


@pytest.mark.xdist_group("tables_rtl")  # the fixture is one build of Verilator
def test_every_output_of_every_vector_equals_the_reference(
    simulated: tuple[Path, Path, list[TablesDesign]],
) -> None:
    program, folder, designs = simulated
    run = verilator.simulate(program, folder)
    assert run.failure == ""
    assert run.status == 0
    assert run.passed == len(designs) + len(designs[::4])
    texts = [(design.folder / name).read_text() for design in designs for name in design.files]
    assert sum(design.tables for design in designs) > 200
    assert any(re.search(r"inputs \d+, \d+, \d+ ->", text) for text in texts), "no table has three inputs"
    assert any(re.search(r"s\w+ <= [^;]*\+[^;]*\+", text) for text in texts), "no sum has three operands"
    assert any("_positive" in text for text in texts), "no output is clipped in two cycles"
    for what, pattern in (("fused", r"- ~\{"), ("carry", r"- ~\{[^;]*, t\w+\};"), ("looked up", r"case \(r\d")):
        assert any(re.search(pattern, text) for text in texts), f"nothing is {what}"


@pytest.mark.xdist_group("tables_rtl")
@pytest.mark.parametrize(("design", "vector"), [(0, 0), (1, 1234), (5, _N_VECTORS - 1)])
def test_the_bench_finds_one_wrong_expectation(
    simulated: tuple[Path, Path, list[TablesDesign]], design: int, vector: int, tmp_path: Path
) -> None:
    program, _, designs = simulated
    for entry in designs:
        (tmp_path / entry.folder.name).mkdir()
        for file in ("vectors_in.hex", "vectors_out.hex"):
            shutil.copy(entry.folder / file, tmp_path / entry.folder.name / file)
    wrong = tmp_path / f"n{design}" / "vectors_out.hex"
    lines = wrong.read_text().splitlines()
    got = int(lines[vector], 16)
    lines[vector] = f"{got ^ 1:x}"
    wrong.write_text("\n".join(lines) + "\n")
    run = verilator.simulate(program, tmp_path)
    assert run.status != 0
    assert run.failure.startswith(f"FAIL vector {vector} output 0 expected ")


def test_one_table_constant_changed_in_the_verilog_is_found(tmp_path: Path) -> None:
    ir = tiny()
    X = _exhaustive(ir)
    design = generate(ir, tmp_path / "n", part=PART, clock_ns=5.0, vectors=X, passes=Passes.none())
    source = design.folder / "kan_layer_2.v"
    text = source.read_text()
    entry = "3'd3: t1_0 = 2'd2;"
    assert text.count(entry) == 1
    source.write_text(text.replace(entry, "3'd3: t1_0 = 2'd1;"))
    run = verilator.simulate(verilator.build([(design, "kan_tb")], tmp_path), tmp_path)
    assert run.status != 0
    # The first vector whose second hidden code is 3 and whose output is not saturated there.
    values = Reference(ir).run(X)
    hit = np.flatnonzero((values["case"][:, 1] == 3) & (values["y"][:, 0] > -8) & (values["y"][:, 0] < 7))
    assert hit.size, "the sabotaged entry is never visible; choose another one"
    y = int(values["y"][hit[0], 0])
    assert run.failure == f"FAIL vector {hit[0]} output 0 expected {y} got {y - 1}"


def test_verilator_has_nothing_to_say(tmp_path: Path) -> None:
    ir, _ = _random_program(7)
    for name, program_ in (
        ("tiny", tiny()),
        ("wide", _wide_tables()),
        ("random", ir),
        ("chains", shared_layer(3, 16, 5)),
    ):
        design = generate(program_, tmp_path / name, part=PART, clock_ns=5.0)
        assert verilator.lint(design, design.axis_top) == ""
        for bench in design.testbenches:
            assert verilator.lint(design, bench, (f"{bench}.v",)) == ""


def test_cosimulation_finds_every_node_where_signals_json_says(tmp_path: Path) -> None:
    ir, X = _random_program(3)
    design = generate(ir, tmp_path / "rtl", part=PART, clock_ns=5.0)
    result = cosim(tmp_path / "rtl", X, Reference(ir).run(X))
    assert result.latency == design.latency
    assert result.ii == 1
    assert {check.node for check in result.checks} == {node.name for node in ir.nodes}
    assert [check.mismatches for check in result.checks] == [0] * len(result.checks)
    assert result.axis is not None
    assert (result.axis.mismatches, result.axis.ii) == (0, 1)
