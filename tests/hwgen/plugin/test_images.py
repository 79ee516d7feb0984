"""Convolutions and pools: csim == numba on every geometry and basis unit, in arrays and in streams, beside stock layers."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hls4ml.converters import convert_from_pytorch_model
from hls4ml.utils import config_from_pytorch_model

import sim._compile
from hwgen.plugin._layer import single_layer_ir
from hwgen.plugin._node import reuse_domain
from hwgen.plugin._patch import patch_of
from pymodel.errors import ConfigError, Kan4mlError, ModelError
from pymodel.ir import (
    ConvGeometry,
    EdgeTable,
    FixedPoint,
    IntArray,
    KanConv,
    KanLinear,
    Pool,
    PoolKind,
    to_edge_table,
)
from pymodel.layers import EfficientKANConv2d, FrozenKAN, FrozenKANConv
from pymodel.reference import Reference
from sim.csim import Csim
from tests.hwgen.plugin.images import IN, SIDE_BY_SIDE, Node, chain, convert_images, image_shape, side_by_side
from tests.hwgen.plugin.test_mixed import quickly_compiled
from tests.sim.csim.projects import convert_ir
from tests.spatial import program, random_conv, random_pool
from tests.strategies import BASES, corner_inputs, random_inputs

pytestmark = pytest.mark.xdist_group("plugin_images")

ROWS = 60


@contextlib.contextmanager
def quick_types() -> Iterator[None]:
    """Compile the types that are synthesized without optimising."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim._compile, "FLAGS", tuple("-O0" if flag == "-O2" else flag for flag in sim._compile.FLAGS))
        yield


def _divisor(n: int, at_least: int) -> int:
    return next(d for d in range(min(at_least, n), n + 1) if n % d == 0)


def _options(io_type: str) -> tuple[dict[str, dict[str, Any]], set[tuple[str, str]]]:
    """Return the configuration by layer: half of them rolled where a kernel is, some in edge-table form; and the cells."""
    names: dict[str, dict[str, Any]] = {}
    cells: set[tuple[str, str]] = set()
    for index, (name, node) in enumerate(SIDE_BY_SIDE.items()):
        options: dict[str, Any] = {}
        table = isinstance(node, KanConv) and node.basis is None
        if isinstance(node, KanConv) and node.basis is not None and index % 4 == 3:
            options["Strategy"], table = "EdgeTable", True
        domain, _ = reuse_domain(node, io_type)
        per_channel = isinstance(node, KanConv) and node.basis is not None and node.basis.n_tables > 1
        two_coders = isinstance(node, KanConv) and node.coders[0] != node.coders[-1]
        rolls = io_type == "io_parallel" or table or not (per_channel or two_coders)
        if index % 2 and domain > 1 and rolls:
            options["ReuseFactor"] = domain if index % 3 == 0 else _divisor(domain, 2)
        names[name] = options
        form = "pool" if isinstance(node, Pool) else "table" if table else "kan"
        cells.add((form, "rolled" if options.get("ReuseFactor", 1) > 1 else "parallel"))
    return names, cells


@dataclass(frozen=True)
class Run:
    """A compiled project, its rows, and what it gave."""

    project: Path
    model: Any
    X: dict[str, IntArray]
    taps: dict[str, IntArray]
    cells: set[tuple[str, str]]


@pytest.fixture(scope="module", params=["io_parallel", "io_stream"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All layers side by side in one project."""
    io_type: str = request.param
    names, cells = _options(io_type)
    project = tmp_path_factory.mktemp("images") / "project"
    shapes = [image_shape(node) for node in SIDE_BY_SIDE.values()]
    model = convert_images(side_by_side(SIDE_BY_SIDE), project, shapes, io_type, "internal", LayerName=names)
    with quickly_compiled():
        model.compile()
    rng = np.random.default_rng(1)
    X = {
        name: np.concatenate([corner_inputs(ir)[:4], random_inputs(ir, ROWS - 4, rng)])
        for name, ir in ((name, single_layer_ir(node, IN)) for name, node in SIDE_BY_SIDE.items())
    }
    rows = np.concatenate(list(X.values()), axis=1)
    return Run(project, model, X, Csim(Path(model._top_function_lib._name)).run(rows), cells)


def _wrong(nodes: Mapping[str, Node], X: Mapping[str, IntArray], taps: Mapping[str, IntArray]) -> dict[str, int]:
    """Return per layer the outputs that differ from the reference."""
    result = {}
    for name, node in nodes.items():
        expected = Reference(single_layer_ir(node, IN)).run(X[name])[node.name]
        result[name] = int(np.sum(taps[name] != expected))
    return result


def test_every_geometry_and_basis(run: Run) -> None:
    wrong = _wrong(SIDE_BY_SIDE, run.X, run.taps)
    assert set(wrong.values()) == {0}, wrong
    varied = [name for name in SIDE_BY_SIDE if np.unique(run.taps[name]).size > 3]
    assert len(varied) > len(SIDE_BY_SIDE) - 3
    kinds = {
        (node.basis.kind, type(node.basis))
        for node in SIDE_BY_SIDE.values()
        if isinstance(node, KanConv) and node.basis
    }
    assert len(kinds) == 6
    assert {
        ("kan", "parallel"),
        ("kan", "rolled"),
        ("table", "parallel"),
        ("table", "rolled"),
        ("pool", "parallel"),
    } <= (run.cells)


def test_every_kernel_is_called(run: Run) -> None:
    top = (run.project / "firmware" / "myproject.cpp").read_text()
    streams = "hls::stream" in top
    kernels = {"kan_conv2d", "edge_table_conv2d", "max_pool2d", "average_pool2d"}
    kernels = {f"{kernel}_stream" for kernel in kernels} if streams else kernels
    kernels |= {"kan_conv2d_rolled_stream", "edge_rows_conv2d_stream"} if streams else set()
    assert set(re.findall(r"kan4ml::(\w+)<(?:x|layer|input)", top)) == kernels


def test_images_of_floats(run: Run) -> None:
    """`predict` takes one array of images per input, channels last, and gives the integers' values."""
    nodes = list(SIDE_BY_SIDE.items())
    x = [IN.to_real(run.X[name]).reshape(ROWS, -1, node.geometry.channels) for name, node in nodes]
    y = run.model.predict(x)
    for (name, node), values in zip(nodes, y, strict=True):
        np.testing.assert_array_equal(values.reshape(ROWS, -1), node.out_type.to_real(run.taps[name]))
    empty = run.model.predict([part[:0] for part in x])
    assert all(part.shape[0] == 0 for part in empty)
    one = run.model.predict([part[:1] for part in x])
    np.testing.assert_array_equal(one[0].reshape(-1), y[0][0].reshape(-1))


@pytest.mark.parametrize(("io_type", "conversion"), [("io_parallel", "full"), ("io_stream", "internal")])
def test_stock_layers_beside(io_type: str, conversion: str, tmp_path: Path) -> None:
    """Conv2d, ReLU, MaxPool2d, Flatten and Linear with few bits, which hls4ml computes exactly: so must all be."""
    model = chain()
    hls = convert_images(model, tmp_path, [(2, 7, 6)], io_type, conversion)
    with quickly_compiled():
        hls.compile()
    rng = np.random.default_rng(2)
    x = rng.integers(-24, 25, (80, 2, 7, 6)) / 8
    y = model(torch.from_numpy(x)).detach().numpy()
    given = x if conversion == "full" else np.moveaxis(x, 1, -1)
    np.testing.assert_array_equal(hls.predict(np.ascontiguousarray(given)), y)
    assert np.unique(y).size > 5
    assert hls.kan_ir is None


def test_the_configuration_that_hls4ml_writes(tmp_path: Path) -> None:
    """`config_from_pytorch_model` shows the types of convolutions and pools, and a conversion takes it as it is."""
    model = chain()
    with contextlib.redirect_stdout(io.StringIO()):
        config = config_from_pytorch_model(model, (2, 7, 6), granularity="name", backend="VitisKAN")
        assert config["LayerName"]["kan"]["Precision"]["result"] == "ap_ufixed<4,4,AP_RND,AP_SAT>"
        assert config["LayerName"]["pool"]["Precision"]["result"] == "ap_ufixed<4,4,AP_RND,AP_SAT>"
        hls = convert_from_pytorch_model(model, backend="VitisKAN", output_dir=str(tmp_path), hls_config=config)
    shapes = {layer.name: tuple(layer.get_output_variable().shape) for layer in hls.get_layers()}
    assert (shapes["kan"], shapes["pool"], shapes["tables"]) == ((6, 5, 2), (5, 2, 2), (2, 1, 3))


#: A convolution, a pool, edge tables in two groups, an average, a dense layer: flat rows, as `kan4ml build` has them.
@pytest.fixture(scope="module")
def network() -> tuple[Any, IntArray, dict[str, IntArray]]:
    rng = np.random.default_rng(0)
    codes = FixedPoint(5, 5, signed=False)
    nodes: list[Any] = [
        random_conv(
            rng, "layers_0", "x", IN, codes, ConvGeometry(6, 5, 2, 3, 2, 1, 1, 1, 1, 0, 1), 4, basis="bspline_rom"
        )
    ]
    nodes.append(random_pool(rng, "layers_1", "layers_0", codes, ConvGeometry(6, 5, 4, 2, 2, 2, 2), PoolKind.MAX))
    geometry = ConvGeometry(3, 2, 4, 2, 2, 1, 1, 0, 1, groups=2)
    nodes.append(random_conv(rng, "layers_2", "layers_1", codes, codes, geometry, 3, table=True))
    ir = program(nodes, IN)
    X = np.concatenate([corner_inputs(ir), random_inputs(ir, 200, rng)])
    return ir, X, Reference(ir).run(X)


@pytest.mark.parametrize(("io_type", "reuse"), [("io_parallel", "all"), ("io_stream", "all")])
def test_flat_rows(
    io_type: str, reuse: Any, network: tuple[Any, IntArray, dict[str, IntArray]], tmp_path: Path
) -> None:
    ir, X, expected = network
    model = convert_ir(ir, tmp_path, "latency", reuse, io_type)
    assert [node.name for node in model.kan_ir.nodes] == [node.name for node in ir.nodes]
    assert all(
        a.kind == b.kind and a.geometry == b.geometry for a, b in zip(model.kan_ir.nodes[1:], ir.nodes[1:], strict=True)
    )
    with quick_types():
        got = Csim(tmp_path).run(X)
    for node in ir.nodes[1:]:
        np.testing.assert_array_equal(got[node.name], expected[node.name], node.name)
        assert np.unique(expected[node.name]).size > 1


def test_a_changed_bias_is_seen(network: tuple[Any, IntArray, dict[str, IntArray]], tmp_path: Path) -> None:
    """One output LSB more in one channel of the last layer, whose type has room for it."""
    ir, X, expected = network
    convert_ir(ir, tmp_path, "latency", 1, "io_stream")
    path = tmp_path / "firmware" / "kan_tables" / "kan_layers_2.h"
    shift = patch_of(ir.node("layers_2")).shift
    text, n = re.subn(r"(bias\[\d+\] =\s*\{)", rf"\g<1>{1 << shift}+", path.read_text(), count=1)
    assert n == 1
    path.write_text(text)
    config = tmp_path / "firmware" / "parameters.h"
    text, n = re.subn(
        r"ap_u?int<\d+> bias_t;\n    typedef ap_int<(\d+)> sum_t",
        r"ap_int<50> bias_t;\n    typedef ap_int<54> sum_t",
        config.read_text(),
    )
    assert n == 2
    config.write_text(text)
    with quick_types():
        got = Csim(tmp_path).run(X)
    assert [node.name for node in ir.nodes[1:] if (got[node.name] != expected[node.name]).any()] == ["layers_2"]


# --- groups -----------------------------------------------------------------------------------------------------------


def _other_shifts(node: KanConv) -> KanConv:
    """Return the node with another shift, multiplier and bias in its first group, and shift 0 in its second."""
    layers: list[Any] = []
    for index, layer in enumerate(node.layers):
        if isinstance(layer, EdgeTable):
            layers.append(replace(layer, shift=(0, 3)[index % 2]))
        else:
            assert isinstance(layer, KanLinear)
            layers.append(replace(layer, rescale=replace(layer.rescale, shift=(0, 3)[index % 2])))
    return replace(node, layers=tuple(layers))


@pytest.mark.parametrize("table", [False, True], ids=["kan", "table"])
def test_groups_of_different_shifts(table: bool) -> None:
    """A common shift gives the outputs of each group's own, also where a group rounds nothing."""
    rng = np.random.default_rng(4)
    geometry = ConvGeometry(3, 3, 4, 2, 2, groups=2)
    node = _other_shifts(random_conv(rng, "layer", "x", IN, FixedPoint(8, 8, signed=True), geometry, 2, table=table))
    patch = patch_of(node)
    assert (patch.shift, patch.lifted) == (3, 3)
    merged = KanConv(
        "layer", ("x",), node.out_type, node.value_lsb, 0.0,
        geometry=replace(geometry, groups=1),
        layers=(_merged(node, patch),),  # type: ignore[arg-type]
    )  # fmt: skip
    ir = single_layer_ir(node, IN)
    X = random_inputs(ir, 50, rng)
    expected = Reference(ir).run(X)["layer"]
    np.testing.assert_array_equal(Reference(single_layer_ir(merged, IN)).run(X)["layer"], expected)
    acc, total = patch.widths("layer", ir.bounds["layer"])
    bounds = single_layer_ir(merged, IN).bounds["layer"]
    assert acc >= bounds.spline.width
    assert total >= bounds.total.width


def _merged(node: KanConv, patch: Any) -> KanLinear | EdgeTable:
    first = node.layers[0]
    if isinstance(first, EdgeTable):
        taps = node.geometry.n_taps
        coder = node.coders[0]
        if coder.mult.size > 1:
            coder = replace(coder, mult=np.tile(coder.mult, taps), offset=np.tile(coder.offset, taps))
        return replace(first, tables=patch.tables, bias=patch.bias, shift=patch.shift, coder=coder)
    base = first.base and replace(first.base, weights=patch.base_weights, coder=_tiled(node.coders[1], node))
    spline = replace(first.spline, weights=patch.weights, coder=_tiled(node.coders[0], node), basis=_one_table(node))
    rescale = replace(
        first.rescale, spline_mult=patch.spline_mult, base_mult=patch.base_mult, bias=patch.bias, shift=patch.shift
    )
    return replace(first, spline=spline, base=base, rescale=rescale)


def _tiled(coder: Any, node: KanConv) -> Any:
    taps = node.geometry.n_taps
    if coder.mult.size == 1:
        return coder
    return replace(coder, mult=np.tile(coder.mult, taps), offset=np.tile(coder.offset, taps))


def _one_table(node: KanConv) -> Any:
    assert node.basis is not None
    assert node.basis.n_tables == 1
    return node.basis


# --- refusals ---------------------------------------------------------------------------------------------------------

GEOMETRY = ConvGeometry(4, 4, 2, 3, 3)
SHAPE = (2, 4, 4)


def _conv(basis: str = "bspline_rom", geometry: ConvGeometry = GEOMETRY) -> KanConv:
    return random_conv(
        np.random.default_rng(5), "layer", "x", IN, FixedPoint(4, 4, signed=True), geometry, 2, basis=basis
    )


def _refused(node: Node, folder: Path, io_type: str, **options: Any) -> None:
    conversion = options.pop("conversion", "internal")
    shape = options.pop("shape", SHAPE)
    convert_images(side_by_side({"layer": node}), folder, [shape], io_type, conversion, Model=options)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "channels first": ("io_parallel", {"conversion": "off"}, "reads images channels last, but ChannelsLastConversion is off"),
    "shape": ("io_parallel", {"shape": (2, 4, 5)}, r"reads images of shape \(2, 4, 4\) or a vector of 32 values, not a .*5"),
    "flat stream": ("io_stream", {"shape": (33,)}, r"reads images of shape \(2, 4, 4\) in io_stream, not .*\(33,\)"),
    "windows": ("io_parallel", {"ReuseFactor": 3}, "must divide the layer's 4 windows, which 3 does not; set it to 2 or 4"),
    "inputs": ("io_stream", {"ReuseFactor": 4}, "must divide the layer's 18 inputs of a window, which 4 does not; set it to 3"),
    "strategy": ("io_stream", {"Strategy": "Stable"}, "Latency, Resource and EdgeTable, not 'stable'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    io_type, options, message = REFUSED[name]
    with pytest.raises(Kan4mlError, match=message):
        _refused(_conv(), tmp_path, io_type, **options)


def test_rolled_windows_that_have_no_kernel(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="has a basis table per input, which rolled kernels do not read; set its Reuse"
    ):
        _refused(_conv("bspline_rom_per_input"), tmp_path, "io_stream", ReuseFactor=2)
    for seed in range(200):
        node = random_conv(
            np.random.default_rng(seed), "layer", "x", IN, FixedPoint(4, 4, signed=True), GEOMETRY, 2, basis="rbf_rom"
        )
        if node.coders[0] != node.coders[-1]:
            break
    with pytest.raises(ConfigError, match="reads other codes in its base branch than in its splines, which rolled"):
        _refused(node, tmp_path, "io_stream", ReuseFactor=2)
    assert to_edge_table(node, IN).basis is None
    pool = random_pool(np.random.default_rng(0), "layer", "x", IN, GEOMETRY, PoolKind.MAX)
    with pytest.raises(ConfigError, match="must divide the layer's 1 stream of windows, which 2 does not; set it to 1"):
        _refused(pool, tmp_path, "io_stream", ReuseFactor=2)


def test_a_stock_layer_on_the_image_of_flat_rows(tmp_path: Path) -> None:
    """torch reads the rows of a flat model as they are, channels last; in a stream hls4ml would not."""
    kan = FrozenKANConv(_conv(), IN)
    model = torch.nn.Sequential(kan, torch.nn.ReLU()).double()
    with pytest.raises(
        ModelError, match=r"reads the \(2, 2, 2\) image of layer _0, but the rows of this model are flat"
    ):
        convert_images(model, tmp_path, [(32,)], "io_stream", "full")
    chain_of_one = FrozenKAN.from_ir(program([_conv()], IN))
    assert convert_images(chain_of_one, tmp_path, [(32,)], "io_stream", "full").kan_ir is not None


def test_a_linear_layer_on_an_image_is_refused(tmp_path: Path) -> None:
    """torch multiplies the last axis, hls4ml the channels: here both have two entries, so nothing else would object."""
    kan = FrozenKANConv(_conv(), IN)
    image = (kan.out_channels, kan.geometry.out_height, kan.geometry.out_width)
    wrong = torch.nn.Sequential(kan, torch.nn.Linear(image[-1], 3)).double()
    message = rf"_1 is an nn\.Linear on a tensor of shape {re.escape(str(image))}, .*; put nn.Flatten before it"
    with pytest.raises(ModelError, match=message):
        convert_images(wrong, tmp_path, [SHAPE], "io_parallel", "full")
    right = torch.nn.Sequential(kan, torch.nn.Flatten(), torch.nn.Linear(math.prod(image), 3)).double()
    assert convert_images(right, tmp_path, [SHAPE], "io_parallel", "full").kan_ir is None


def test_convolutions_that_still_train_are_refused(tmp_path: Path) -> None:
    layer = EfficientKANConv2d(2, 4, 3, size=(4, 4))
    with pytest.raises(
        ModelError, match=r"0 is a trainable EfficientKANConv2d, which has no integers .* freeze the model"
    ):
        convert_images(torch.nn.Sequential(layer), tmp_path, [SHAPE], "io_parallel", "full")


def test_all_basis_units_are_there() -> None:
    assert {name.removeprefix("basis_") for name in SIDE_BY_SIDE if name.startswith("basis_")} == set(BASES)
