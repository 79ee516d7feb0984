"""What hls4ml's users do with a model: override, predict any batch, plot, profile, and forget the backend."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hls4ml.backends import get_available_backends
from hls4ml.converters import convert_from_pytorch_model
from hls4ml.utils import config_from_pytorch_model, plot
from hls4ml.utils.plot import check_pydot
from torch import nn

from hwgen.plugin._layer import KanLayer
from pymodel.errors import ConfigError, DataError, ModelError, ToolError
from pymodel.ir import IntArray
from pymodel.layers import FrozenKAN
from pymodel.lower import lower
from pymodel.reference import Reference
from sim.csim import Csim
from tests.hwgen.plugin.mixed import MIXED, Outputs, kan
from tests.strategies import random_ir

pytestmark = pytest.mark.xdist_group("plugin_tools")  # the module's project is compiled once

WIDTHS = (1, 1, 13, 7, 1)
ROWS = 100_000


def hls(model: nn.Module, folder: Path, shape: tuple[int, ...], backend: str = "VitisKAN", **changes: Any) -> Any:
    """Convert with a configuration by name; `changes` are merged into the layers' entries."""
    with contextlib.redirect_stdout(io.StringIO()):
        config = config_from_pytorch_model(model, shape, granularity="name", backend="VitisKAN")
        for name, change in changes.items():
            config["LayerName"][name].update(change)
        return convert_from_pytorch_model(model, backend=backend, output_dir=str(folder), hls_config=config)


@pytest.fixture(scope="module")
def thin() -> FrozenKAN:
    """One input, one output, and prime numbers of them in between."""
    return FrozenKAN.from_ir(random_ir(31, widths=WIDTHS, in_bits=8, edge_tables=0.0))


@pytest.fixture(scope="module")
def compiled(thin: FrozenKAN, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model in all forms: MACs, an edge table, rolled MACs, rolled rows of edge tables."""
    model = hls(
        thin,
        tmp_path_factory.mktemp("thin") / "project",
        (1,),
        layers_1={"Strategy": "EdgeTable"},
        layers_2={"ReuseFactor": 13},
        layers_3={"Strategy": "EdgeTable", "ReuseFactor": 7},
    )
    model.compile()
    return model


def reals(model: FrozenKAN, X: IntArray) -> Any:
    """Return the reference's outputs as numbers."""
    ir = lower(model)
    return ir.node(ir.output).out_type.to_real(Reference(ir).run(X)[ir.output])


def test_every_size_and_every_code(thin: FrozenKAN, compiled: Any) -> None:
    kind = thin.in_type
    X = np.arange(kind.min_int, kind.max_int + 1)[:, None]
    x = kind.to_real(X)
    assert np.unique(reals(thin, X)).size > 5
    np.testing.assert_array_equal(compiled.predict(x), reals(thin, X))
    native = Csim(Path(compiled._top_function_lib._name)).run(X)
    synthesizable = Csim(Path(compiled.config.get_output_dir())).run(X)
    expected = Reference(lower(thin)).run(X)
    assert native.keys() == synthesizable.keys() == {"layers_0", "layers_1", "layers_2", "layers_3"}
    for name, values in native.items():
        np.testing.assert_array_equal(values, expected[name])
        np.testing.assert_array_equal(values, synthesizable[name])


def test_batches_of_any_length_and_layout(thin: FrozenKAN, compiled: Any) -> None:
    kind = thin.in_type
    X = np.random.default_rng(0).integers(kind.min_int, kind.max_int + 1, (ROWS, 1))
    x, y = kind.to_real(X), reals(thin, X)
    for real in (np.float64, np.float32):
        got = compiled.predict(x.astype(real))
        assert got.dtype == real
        np.testing.assert_array_equal(got, y)
        assert compiled.predict(x[:0].astype(real)).shape == (0, 1)
        assert compiled.predict(x[:0].astype(real)).dtype == real
    np.testing.assert_array_equal(compiled.predict(x[:1]), y[0])  # as hls4ml: no batch for one row
    np.testing.assert_array_equal(compiled.predict(x[0]), y[0])
    np.testing.assert_array_equal(compiled.predict(x[:100, 0]), y[:100])  # one input: a row is a number
    np.testing.assert_array_equal(compiled.predict(x[99::-7]), y[99::-7])
    np.testing.assert_array_equal(compiled.predict(np.repeat(x[:100], 2, axis=1)[:, 1:]), y[:100])
    np.testing.assert_array_equal(compiled.predict(x[:100].astype(">f8")), y[:100])
    np.testing.assert_array_equal(compiled.predict(x[:100].tolist()), y[:100])
    np.testing.assert_array_equal(compiled.predict(torch.from_numpy(x[:100])), y[:100])
    for n_threads in (1, 2, 7):
        np.testing.assert_array_equal(compiled.predict(x[:1000], n_threads=n_threads), y[:1000])
    whole = np.array([[-1], [0], [1]])
    expected = compiled.predict(whole.astype(np.float64))
    np.testing.assert_array_equal(compiled.predict(whole), expected)
    np.testing.assert_array_equal(compiled.predict(whole.astype(np.float16)), expected)
    np.testing.assert_array_equal(compiled.predict(whole[1:].astype(bool)), expected[1:])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 2)), r"an array of shape \(rows, 1\) was expected, not \(4, 2\); reshape the data"),
        (np.zeros((0, 3)), r"not \(0, 3\)"),
        (np.zeros((3, 1), dtype=complex), "numbers of at most 64 bits were expected, not complex128; convert"),
        (np.array([["a"]]), "not <U1"),
        (np.array([[np.nan]]), "found NaN or infinity"),
        (np.array([[1.0], [-np.inf]]), "found NaN or infinity"),
    ],
)
def test_what_is_no_batch_is_refused(compiled: Any, x: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        compiled.predict(x)


def test_several_inputs(tmp_path: Path) -> None:
    case = MIXED["inputs"]
    model = hls(case.model(), tmp_path, list(case.shapes))  # type: ignore[arg-type]
    with pytest.raises(ToolError, match="was not compiled; call its compile"):
        model.predict([np.zeros((2, 3))] * 2)
    model._top_function_lib = object()  # inputs are checked before the library is asked
    with pytest.raises(DataError, match="the model has 2 inputs, but 1 were given; give a list"):
        model.predict(np.zeros((2, 3)))
    with pytest.raises(DataError, match="the inputs have 2, 3 rows; give every input the same"):
        model.predict([np.zeros((2, 3)), np.zeros((3, 3))])


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "weight": ({"Precision": {"weight": "ap_fixed<4,2>"}}, "as the precision of weight, but the types inside a KAN layer"),
    "accum": ({"Precision": {"accum": "ap_fixed<4,2>"}}, "LayerName layers_0 asks for ap_fixed<4,2> as the precision of accum"),
    "misspelt": ({"Strategi": "EdgeTable"}, "has the option 'Strategi', but KAN layers have .* Trace; write Strategy"),
    "unknown": ({"TargetCycles": 3}, "has the option 'TargetCycles', but .*; remove it"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_options_that_would_be_ignored_are_refused(
    thin: FrozenKAN, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        hls(thin, tmp_path, (1,), layers_0=change)
    config = {"LayerType": {"KanLayer": change}, "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1}}
    with pytest.raises(ConfigError, match="LayerType KanLayer"):
        convert_from_pytorch_model(thin, backend="VitisKAN", output_dir=str(tmp_path), hls_config=config)


def test_options_by_type_and_by_model(thin: FrozenKAN, tmp_path: Path) -> None:
    for section in ({"LayerType": {"KanLayer": {"Strategy": "EdgeTable", "Precision": {"accum": "auto"}}}}, {}):
        default = {} if section else {"Strategy": "EdgeTable"}
        config = {**section, "Model": {"Precision": "ap_fixed<16,6>", "ReuseFactor": 1, **default}}
        model = convert_from_pytorch_model(thin, backend="VitisKAN", output_dir=str(tmp_path), hls_config=config)
        layers = [layer for layer in model.get_layers() if isinstance(layer, KanLayer)]
        assert [layer.get_attr("strategy") for layer in layers] == ["edge_table"] * 4


# These two convert nothing without their tools.
NEED_TOOLS = {"libero", "symbolicexpression"}


@pytest.mark.parametrize("backend", sorted(set(get_available_backends()) - {"vitiskan"} - NEED_TOOLS))
def test_no_stock_backend_builds_a_mixed_model(backend: str, tmp_path: Path) -> None:
    case = MIXED["dense_relu_kan_kan_dense"]
    with pytest.raises(ModelError, match=r"is a KAN layer, which the backend .* cannot build; convert the model with"):
        hls(case.model(), tmp_path, (4,), backend=backend)
    assert not list(tmp_path.iterdir())


class ReadAgain(Outputs):
    """Returns a value that another layer reads; hls4ml would leave it out of the outputs."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.a(torch.relu(self.fc(x)))
        return self.b(h), self.head(h), h


class Unread(Outputs):
    """Computes a value that nobody wants; hls4ml would make it an output."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.a(torch.relu(self.fc(x)))
        self.head(h)
        return self.b(h)


class Again(Outputs):
    """Returns a value twice."""

    def forward(self, x: torch.Tensor) -> Any:
        h = self.b(self.a(torch.relu(self.fc(x))))
        return h, h


@pytest.mark.parametrize(("kind", "name"), [(ReadAgain, "a_layers_0"), (Unread, "head"), (Again, "b_layers_0")])
def test_outputs_that_hls4ml_would_not_build_are_refused(kind: type[nn.Module], name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"which is not so for {name}.*; change what forward returns"):
        hls(kind().eval().double(), tmp_path, (4,))


class Columns(Outputs):
    """Reads its columns in another order; hls4ml would ignore that."""

    def forward(self, x: torch.Tensor) -> Any:
        return self.b(self.a(torch.relu(self.fc(x))[:, [2, 1, 0]]))


def test_what_hls4ml_gets_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"indexes the value of relu, which hls4ml ignores: .* in a Linear layer"):
        hls(Columns().eval().double(), tmp_path, (4,))
    shared = nn.Sequential(kan(4, 3), nn.PReLU()).eval().double()
    with pytest.raises(ModelError, match=r"_1 is a PReLU of 3 inputs with 1 slopes, .*; use nn.PReLU\(3\) on a flat"):
        hls(shared, tmp_path, (4,))


def test_constants_are_shown_to_profiling_and_not_to_the_writer(thin: FrozenKAN, tmp_path: Path) -> None:
    model = hls(thin, tmp_path, (1,), layers_1={"Strategy": "EdgeTable"})
    for layer in model.get_layers():
        if isinstance(layer, KanLayer):
            weights, bias = layer.get_weights()
            assert weights.data.ndim == 3
            assert bias.data.shape == (layer.node.n_out,)
            for constant in (weights, bias):
                width = constant.type.precision.width
                assert -(2 ** (width - 1)) <= constant.data.min() <= constant.data.max() < 2 ** (width - 1)
    model.write()
    assert not list((tmp_path / "firmware" / "weights").iterdir())
    assert sum(len(layer.get_weights()) for layer in model.get_layers()) == 8


@pytest.mark.parametrize("mixed", [False, True])
def test_profiling(mixed: bool, tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    from hls4ml.model.profiling import numerical

    layers = (nn.Linear(4, 5), nn.ReLU(), kan(5, 3), nn.Linear(3, 2)) if mixed else (kan(4, 3, 2),)
    model = nn.Sequential(*layers).eval().double()
    names = ["_0", "_1", "_2_layers_0", "_3"] if mixed else ["_0_layers_0", "_0_layers_1"]
    hls_model = hls(model, tmp_path, (4,), **{name: {"Trace": True} for name in names})
    with contextlib.redirect_stdout(io.StringIO()):
        figures = numerical(model=model, hls_model=hls_model, X=np.random.default_rng(0).normal(size=(50, 4)))
    assert all(figure is not None for figure in figures)
    before, after = ([label.get_text() for label in figure.axes[0].get_yticklabels()] for figure in figures[2:])
    assert before[::-1] == [type(layer).__name__ for layer in layers]
    assert sorted(after) == names
    plt.close("all")


def test_plot(thin: FrozenKAN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn, down to the precisions; drawing it needs another program."""
    monkeypatch.setattr(plot, "check_pydot", lambda: True)
    model = hls(thin, tmp_path / "project", (1,), layers_1={"Strategy": "EdgeTable"})
    graph = plot.model_to_dot(model, show_shapes=True, show_precision=True)
    labels = [node.get_label() for node in graph.get_nodes() if node.get_label()]
    assert len(labels) == len(WIDTHS)
    assert len(graph.get_edges()) == len(WIDTHS) - 1
    for layer, label in zip(model.get_layers(), labels, strict=True):
        precision = str(layer.get_output_variable().type.precision).replace("<", "&lt;").replace(">", "&gt;")
        assert layer.name in label
        assert precision in label


@pytest.mark.skipif(not check_pydot(), reason="drawing needs the program dot: Debian's package graphviz")
def test_plot_to_a_file(thin: FrozenKAN, tmp_path: Path) -> None:
    model = hls(thin, tmp_path / "project", (1,))
    picture = tmp_path / "model.png"
    plot.plot_model(model, show_shapes=True, show_precision=True, to_file=str(picture))
    assert picture.stat().st_size > 0
