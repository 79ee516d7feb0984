"""Single bits of the constants in a built project: verify notices every one that changes an output.

A sample; `bench/artefact_mutants.py` tries 200.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pymodel.ir import EdgeTable, KanIR, load_ir, to_edge_tables
from tests.hostile.artefacts import cpp_sites, ir_sites, rtl_sites
from tests.hostile.judge import effect, with_cpp_tables
from tests.hostile.notice import Watch

pytestmark = [pytest.mark.xdist_group("hostile_build"), pytest.mark.rtl, pytest.mark.synth]


@pytest.fixture(scope="module")
def watch(hostile_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """A copy of the build, to be changed and changed back."""
    return Watch(Path(shutil.copytree(hostile_build, tmp_path_factory.mktemp("changed") / "build")))


@pytest.mark.parametrize("number", range(6))
def test_bits_of_the_ir(number: int, watch: Watch) -> None:
    rng = random.Random(number)
    site = rng.choice([site for site in ir_sites(watch.build) if "knots" not in site.name])
    outcome, by = watch.outcome("ir", site, rng.randrange(site.bits))
    assert outcome != "missed", (site, by)


@pytest.mark.parametrize("array", ["spline_weights", "bias"])
def test_bits_of_the_cpp_tables(array: str, watch: Watch) -> None:
    site = next(site for site in cpp_sites(watch.build) if site.name == array and "layers_1" in site.path.name)
    outcome, by = watch.outcome("cpp", site, 0)
    assert outcome != "missed", (site, by)


@pytest.mark.parametrize("number", [1, 2])
def test_bits_of_the_rtl(number: int, watch: Watch) -> None:
    rng = random.Random(number)
    site = rng.choice(
        [site for site in rtl_sites(watch.build) if site.path.name.startswith("kan_layer") and site.bits > 4]
    )
    outcome, by = watch.outcome("rtl", site, site.bits - 1)
    assert outcome != "missed", (site, by)


def test_the_cpp_tables_are_those_of_the_ir(watch: Watch) -> None:
    assert with_cpp_tables(watch.ir, watch.build) == watch.ir


def _changed(ir: KanIR, name: str, value: int) -> KanIR:
    node = ir.node(name)
    assert isinstance(node, EdgeTable)
    o = int(np.flatnonzero(node.alive.any(axis=1))[0])
    i = int(np.flatnonzero(node.alive[o])[0])
    tables = node.tables.copy()
    tables[i, 0, o] += value
    new = replace(node, tables=tables)
    return replace(ir, nodes=tuple(new if other is node else other for other in ir.nodes))


def test_the_judge_agrees_with_running_everything(hostile_build: Path) -> None:
    """On a layer of few inputs all combinations can be run, and the exact search must say the same."""
    ir = to_edge_tables(load_ir(hostile_build / "ir"))
    name = ir.layers[-1].name
    node = ir.node(name)
    assert isinstance(node, EdgeTable)
    codes = np.stack(np.meshgrid(*[np.arange(node.coder.n_codes)] * node.n_in, indexing="ij"), axis=-1).reshape(
        -1, node.n_in
    )
    seen = set()
    for change in (0, 1, -1, 3, 17, 400):
        other = _changed(ir, name, change)
        differs = (_outputs(node, codes) != _outputs(other.node(name), codes)).any()
        word = effect(ir, other)
        seen.add(word)
        assert (word == "changes") == bool(differs), change
    assert {"unread", "changes"} <= seen


def _outputs(
    node: object, codes: np.ndarray[tuple[int, int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    assert isinstance(node, EdgeTable)
    S = sum(node.tables[i, codes[:, i]] for i in range(node.n_in)) + node.bias
    half = 1 << (node.shift - 1) if node.shift else 0
    return np.clip((S + half) >> node.shift, node.out_type.min_int, node.out_type.max_int)
