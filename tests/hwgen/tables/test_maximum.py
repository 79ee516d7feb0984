"""Maxima of pools in the table RTL: comparators, exact on every window, in Verilog and as a plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.tables import TablesDesign, generate
from hwgen.tables._maximum import plan_maximum
from pymodel.errors import IRError
from pymodel.ir import ConvGeometry, FixedPoint, IntArray, Interval, KanIR, PoolKind
from pymodel.reference import Reference
from tests.arithmetic import alone, random_norm, random_product
from tests.hwgen.tables import verilator
from tests.hwgen.tables.designs import PART
from tests.spatial import program, random_conv, random_pool
from tests.strategies import corner_inputs, random_inputs

GEOMETRIES = {
    "disjoint": ConvGeometry(4, 4, 2, 2, 2, 2, 2),
    "overlapping": ConvGeometry(3, 5, 2, 3, 2, 1, 1),
    "padded": ConvGeometry(3, 3, 2, 2, 3, 1, 2, 1, 0, 1, 1),
    "one pixel": ConvGeometry(1, 2, 2, 1, 1),
    "five": ConvGeometry(1, 7, 2, 1, 5, 1, 2),
}


def network(seed: int, geometry: ConvGeometry, kind: FixedPoint) -> KanIR:
    """A convolution whose outputs are of a type, their maxima, and a convolution that reads those."""
    rng = np.random.default_rng(seed)
    in_type = FixedPoint(3, 1, signed=True)
    image = ConvGeometry(geometry.height, geometry.width, 1, 1, 1)
    first = random_conv(rng, "first", "x", in_type, kind, image, 2, basis="bspline_rom", code_bits=3)
    pool = random_pool(rng, "pool", "first", kind, geometry, PoolKind.MAX)
    rest = ConvGeometry(geometry.out_height, geometry.out_width, 2, geometry.out_height, geometry.out_width)
    last = random_conv(rng, "last", "pool", kind, FixedPoint(5, 5, signed=True), rest, 2, basis="rbf_rom", code_bits=3)
    return program([first, pool, last], in_type)


@pytest.fixture(scope="module")
def cases() -> list[tuple[KanIR, IntArray]]:
    """Programs of all geometries, with signed and unsigned codes, also of one bit, and their inputs."""
    found = []
    kinds = (FixedPoint(4, 4, signed=False), FixedPoint(4, 2, signed=True), FixedPoint(1, 1, signed=False))
    chosen = [*zip(GEOMETRIES.values(), kinds + kinds, strict=False), (GEOMETRIES["five"], kinds[0])]
    for number, (geometry, kind) in enumerate(chosen):
        for seed in range(100 * number, 100 * number + 100):
            ir = network(seed, geometry, kind)
            X = np.concatenate([corner_inputs(ir), random_inputs(ir, 300, np.random.default_rng(seed))])
            if np.unique(Reference(ir).run(X)["pool"]).size > (7 if kind.width > 1 else 1):
                found.append((ir, X))
                break
        else:
            raise AssertionError((geometry, kind))
    return found


@pytest.fixture(scope="module")
def simulated(
    cases: list[tuple[KanIR, IntArray]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[TablesDesign]]:
    folder = tmp_path_factory.mktemp("maxima")
    designs = [
        generate(ir, folder / f"n{k}", part=PART, clock_ns=5.0, vectors=X, prefix=f"n{k}")
        for k, (ir, X) in enumerate(cases)
    ]
    return verilator.build([(design, design.testbenches[0]) for design in designs], folder), folder, designs


@pytest.mark.rtl
@pytest.mark.xdist_group("tables_maxima")
def test_every_vector_equals_the_reference(simulated: tuple[Path, Path, list[TablesDesign]]) -> None:
    binary, folder, designs = simulated
    run = verilator.simulate(binary, folder)
    assert run.failure == ""
    assert run.passed == len(designs)
    assert {design.nodes["pool"].stage - design.nodes["first"].stage for design in designs} == {1, 2, 3}  # type: ignore[union-attr]
    assert verilator.lint(designs[1], designs[1].axis_top) == ""


@pytest.mark.rtl
@pytest.mark.xdist_group("tables_maxima")
def test_a_minimum_is_found(cases: list[tuple[KanIR, IntArray]], tmp_path: Path) -> None:
    ir, X = cases[0]
    design = generate(ir, tmp_path / "n", part=PART, clock_ns=5.0, vectors=X)
    source = design.folder / "kan_layer_2.v"
    text = source.read_text()
    assert " > " in text
    source.write_text(text.replace(" > ", " < ", 1))
    run = verilator.simulate(verilator.build([(design, "kan_tb")], tmp_path), tmp_path)
    assert run.status != 0
    assert run.failure.startswith("FAIL vector ")


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_plan_computes_the_maximum(name: str) -> None:
    kind, geometry = FixedPoint(6, 6, signed=True), GEOMETRIES[name]
    pool = random_pool(np.random.default_rng(0), "pool", "x", kind, geometry, PoolKind.MAX)
    X = np.random.default_rng(1).integers(-32, 32, (200, pool.n_in))
    plan = plan_maximum(pool, kind, (Interval(-32, 31),) * pool.n_in)
    values = X
    for level in plan.levels:
        values = np.stack([values[:, list(value)].max(axis=1) for value in level], axis=1)
    np.testing.assert_array_equal(values[:, plan.outputs], Reference(program([pool], kind)).run(X)["pool"])
    assert plan.latency == max(1, int(np.ceil(np.log2(max((geometry.taps() >= 0).sum(axis=1))))))


def test_the_range_of_a_maximum() -> None:
    kind = FixedPoint(4, 4, signed=False)
    pool = random_pool(np.random.default_rng(0), "pool", "x", kind, ConvGeometry(1, 2, 1, 1, 2), PoolKind.MAX)
    assert plan_maximum(pool, kind, (Interval(0, 9), Interval(3, 5))).intervals == (Interval(3, 9),)


@pytest.mark.parametrize("kind", ["product", "norm"])
def test_other_nodes_are_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    rng, in_type = np.random.default_rng(0), FixedPoint(4, 2, signed=True)
    ir = alone(random_product(rng) if kind == "product" else random_norm(rng, 3, in_type), in_type)
    with pytest.raises(
        IRError, match=rf"layer {ir.output} is a {kind}, which no edge tables compute; build it with open"
    ):
        generate(ir, tmp_path / "n", part=PART, clock_ns=5.0)
    assert not (tmp_path / "n").exists()
