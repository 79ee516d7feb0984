"""Frozen convolutions and pools: torch == numba, layouts, files, and what they refuse."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from pymodel.errors import DataError, ModelError
from pymodel.ir import FixedPoint, KanConv, PoolKind, to_edge_tables
from pymodel.layers import FrozenKAN, FrozenKANConv, FrozenPool, load_frozen, save_frozen
from pymodel.lower import lower
from pymodel.reference import Reference
from tests.conformance import LayerConformance, assert_same
from tests.spatial import GEOMETRIES, program, random_conv, random_geometry, random_pool
from tests.strategies import BASES, random_inputs

IN = FixedPoint(4, 2, signed=True)
CODES = FixedPoint(4, 4, signed=False)


def check(ir, rng, rows=12) -> None:
    X = random_inputs(ir, rows, rng)
    expected = Reference(ir).run(X)
    assert_same(expected, FrozenKAN.from_ir(ir).run(X))


def chain(rng, *, table: bool = False):
    """Convolution, maximum, convolution with groups, average."""
    first = random_conv(rng, "layers_0", "x", IN, CODES, GEOMETRIES["3x3 padded"], 4, table=table)
    g = replace(GEOMETRIES["1x1"], height=4, width=5, channels=4, kernel_height=2, kernel_width=2)
    pool = random_pool(rng, "layers_1", "layers_0", CODES, replace(g, padding_top=1), PoolKind.MAX)
    g = replace(GEOMETRIES["groups"], height=4, width=4, padding_right=1)
    second = random_conv(rng, "layers_2", "layers_1", CODES, CODES, g, 3, table=table)
    g = replace(GEOMETRIES["1x1"], height=3, width=4, channels=6, kernel_height=3, kernel_width=2, stride_w=2)
    average = random_pool(rng, "layers_3", "layers_2", CODES, g, PoolKind.AVERAGE)
    return program([first, pool, second, replace(average, mult=43, shift=8)], IN)


class TestSpatial(LayerConformance):
    """The conformance of every layer, for chains of convolutions and pools."""

    @pytest.fixture(scope="class", params=["kan", "table"])
    @classmethod
    def frozen(cls, request):
        return FrozenKAN.from_ir(chain(np.random.default_rng(2), table=request.param == "table"))

    def test_a_changed_constant_is_seen(self, frozen, ir, X, expected) -> None:
        for index, (name, layer) in enumerate(frozen.named_layers()):
            sabotaged = copy.deepcopy(frozen)
            if isinstance(layer, FrozenKANConv):
                for group in sabotaged.layers[index].group_layers():
                    group.bias += 1 << layer.groups[0].shift
            elif layer.op is PoolKind.AVERAGE:
                sabotaged.layers[index].mult *= 2
            else:
                continue
            with pytest.raises(pytest.fail.Exception, match=name):
                assert_same(expected, sabotaged.run(X))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("table", [False, True], ids=["kan", "table"])
def test_geometries(name: str, table: bool) -> None:
    rng = np.random.default_rng(len(name))
    check(program([random_conv(rng, "layers_0", "x", IN, CODES, GEOMETRIES[name], 3, table=table)], IN), rng)


@pytest.mark.parametrize("basis", BASES)
def test_basis_units(basis: str) -> None:
    rng = np.random.default_rng(len(basis))
    geometry = replace(GEOMETRIES["groups"], groups=1 if "per_input" in basis else 2, padding_left=1)
    check(program([random_conv(rng, "layers_0", "x", IN, CODES, geometry, 2, basis=basis)], IN), rng)


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_geometries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry = random_geometry(rng)
    nodes = [random_conv(rng, "layers_0", "x", IN, CODES, geometry, 2, table=bool(rng.random() < 0.4))]
    if geometry.groups == 1:
        nodes.append(random_pool(rng, "layers_1", "layers_0", CODES, replace(geometry, channels=2), PoolKind.MAX)) if (
            geometry.height,
            geometry.width,
        ) == (geometry.out_height, geometry.out_width) else None
    ir = program(nodes, IN)
    check(ir, rng)
    check(to_edge_tables(ir), rng)


def test_images_and_lines_in_torch_layout() -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("stride 2", (2, 7, 5)), ("conv1d", (3, 1, 11))):
        ir = program([random_conv(rng, "layers_0", "x", IN, CODES, GEOMETRIES[name], 3)], IN)
        layer = FrozenKAN.from_ir(ir).layers[0]
        X = random_inputs(ir, 4, rng)
        Y = Reference(ir).run(X)["layers_0"]
        image = torch.from_numpy(IN.to_real(X)).view(4, *shape[1:], shape[0]).permute(0, 3, 1, 2)
        got = layer(image)
        assert got.shape == (4, 3, layer.geometry.out_height, layer.geometry.out_width)
        assert np.array_equal(got.permute(0, 2, 3, 1).reshape(4, -1).numpy(), Y)
        if name == "conv1d":
            assert torch.equal(layer(image[:, :, 0]), got[:, :, 0])


def test_memory_is_bounded() -> None:
    geometry = replace(GEOMETRIES["1x1"], height=32, width=32, kernel_height=7, kernel_width=7)
    layer = FrozenKANConv(random_conv(np.random.default_rng(0), "c", "x", IN, CODES, geometry, 2), IN)
    assert layer._values_per_row > 26 * 26 * 49
    pool = random_pool(np.random.default_rng(0), "p", "x", CODES, geometry, PoolKind.MAX)
    assert FrozenPool(pool, CODES)._values_per_row > 26 * 26 * 49


# --- files ------------------------------------------------------------------------------------------------------------


def rewrite(path, change) -> None:
    with safe_open(str(path), framework="pt") as archive:
        document = json.loads(archive.metadata()["kan4ml"])
        tensors = {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118
    change(document, tensors)
    save_file(tensors, str(path), metadata={"kan4ml": json.dumps(document)})


EDITS = {
    "unknown field": lambda d, t: d["layers"][0].update(x=1),
    "group missing": lambda d, t: d["layers"][0]["groups"].pop(),
    "pool as a group": lambda d, t: d["layers"][0]["groups"].__setitem__(0, d["layers"][1]),
    "groups no list": lambda d, t: d["layers"][0].update(groups={}),
    "negative kernel": lambda d, t: d["layers"][0]["geometry"].update(kernel_height=-1),
    "huge image": lambda d, t: d["layers"][0]["geometry"].update(height=1 << 40),
    "bool size": lambda d, t: d["layers"][0]["geometry"].update(height=True),
    "float size": lambda d, t: d["layers"][0]["geometry"].update(height=4.0),
    "missing size": lambda d, t: d["layers"][0]["geometry"].pop("height"),
    "other stride": lambda d, t: d["layers"][0]["geometry"].update(stride_h=2),
    "unknown op": lambda d, t: d["layers"][1].update(op="median"),
    "padded average": lambda d, t: d["layers"][3]["geometry"].update(padding_top=1),
    "shift of a maximum": lambda d, t: d["layers"][1].update(shift=1),
    "two multipliers": lambda d, t: t.update({"layers.3.mult": torch.ones(2, dtype=torch.int64)}),
    "no multiplier": lambda d, t: t.update({"layers.3.mult": torch.zeros(1, dtype=torch.int64)}),
    "tensor missing": lambda d, t: t.pop("layers.2.groups.1.spline_weights"),
    "other group's coder": lambda d, t: d["layers"][2]["groups"][1]["coder"].update(step=0.125),
}


@pytest.mark.parametrize("name", EDITS)
def test_files_that_are_refused(name: str, tmp_path) -> None:
    frozen = FrozenKAN.from_ir(chain(np.random.default_rng(2)))
    path = tmp_path / "m.safetensors"
    save_frozen(frozen, path)
    assert lower(load_frozen(path)) == lower(frozen)
    rewrite(path, EDITS[name])
    with pytest.raises(ModelError) as caught:
        load_frozen(path)
    assert "\n" not in str(caught.value)


def test_wrong_images_are_refused() -> None:
    rng = np.random.default_rng(0)
    layer = FrozenKANConv(random_conv(rng, "c", "x", IN, CODES, GEOMETRIES["stride 2"], 3), IN)
    for shape in ((2, 7, 5, 2), (2, 2, 5, 7), (2, 3, 7, 5)):
        with pytest.raises(DataError, match="inputs of 70 features were expected"):
            layer(torch.zeros(shape))
    image = torch.zeros(1, 2, 7, 5)
    image[0, 1, 6, 4] = float("nan")
    with pytest.raises(DataError, match="NaN or infinity"):
        layer(image)


def test_a_tap_of_the_wrong_pixel_is_seen() -> None:
    """The two stations find their pixels independently: shifting one of them by a pixel shows."""
    rng = np.random.default_rng(2)
    node = random_conv(rng, "layers_0", "x", IN, FixedPoint(12, 12, signed=True), GEOMETRIES["3x3 padded"], 3)
    assert isinstance(node, KanConv)
    ir = program([node], IN)
    X = random_inputs(ir, 20, rng)
    expected = Reference(ir).run(X)
    frozen = FrozenKAN.from_ir(ir)
    moved = replace(node.geometry, padding_left=2, padding_right=0)
    frozen.layers[0].geometry = moved
    with pytest.raises(pytest.fail.Exception):
        assert_same(expected, frozen.run(X))
