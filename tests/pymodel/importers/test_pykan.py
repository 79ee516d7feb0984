"""pykan 0.2.8: from its formulas always, and from the library itself where it is installed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from pymodel.errors import ModelError
from pymodel.importers import load
from pymodel.layers import FrozenKAN, PyKANLinear
from pymodel.quant import freeze, quantize_model
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance
from tests.pymodel.importers import peers
from tests.pymodel.importers.comparison import assert_float32
from tests.pymodel.importers.pykan_peer import BASES, MultKAN, move_grids
from tests.pymodel.quant.test_families import host

FACTS = {"base_fun": "silu"}


def _masked(model: MultKAN) -> MultKAN:
    """Masked edges keep their weights, which count for nothing; one mask is a factor."""
    model.act_fun[0].mask.data[1, :2] = 0.0
    model.act_fun[1].mask.data[0, 0] = 0.0
    model.act_fun[1].mask.data[1, 0] = 0.5
    return model


def _moved(model: MultKAN, constant: bool = False) -> MultKAN:
    x = torch.randn(200, 4) * torch.tensor([1.0, 3.0, 0.1, 1.0]) + torch.tensor([0.0, 5.0, 0.0, 0.0])
    if constant:
        x[:, 2] = 0.75
        model.act_fun[0].coef.data[2] = 0.0
    move_grids(model, x[:, : 1 + int(model.input_id.max())])
    return model


#: Name: model, columns of its input, facts.
CASES: dict[str, tuple[Callable[[], MultKAN], int, dict[str, Any]]] = {
    "plain": (lambda: MultKAN([4, 3, 2]), 4, {"input_id": [0, 1, 2, 3]}),
    "mult": (
        lambda: MultKAN([3, [2, 2], [1, 1]], grid=5, k=2, mult_arity=3, grid_range=(-2.0, 1.0)),
        3,
        {"input_id": [0, 1, 2], "width": [3, [2, 2], [1, 1]], "mult_arity": 3},
    ),
    "arities": (
        lambda: MultKAN([3, [0, 2], 2], mult_arity=[[], [2, 4], []], base_fun="identity"),
        3,
        {"input_id": [0, 1, 2], "width": [[3, 0], [0, 2], 2], "mult_arity": [[], [2, 4], []], "base_fun": "identity"},
    ),
    "masks-per-layer-grids": (
        lambda: _masked(MultKAN([3, 4, 2], grid=[3, 6], k=[3, 2], base_fun="zero")),
        3,
        {"input_id": [0, 1, 2], "base_fun": "zero", "grid": [3, 6], "k": [3, 2]},
    ),
    "moved": (lambda: _moved(MultKAN([4, 3, 2], grid=5)), 4, {"input_id": [0, 1, 2, 3], "width": [4, 3, 2]}),
    "constant-feature": (lambda: _moved(MultKAN([4, 3, 2]), constant=True), 4, {"input_id": [0, 1, 2, 3]}),
    "pruned-inputs": (
        lambda: _moved(MultKAN([2, 3, 1], input_id=[3, 1])),
        5,
        {"input_id": [3, 1], "in_dim": 5},
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[MultKAN, int, dict[str, Any]]:
    torch.manual_seed(4)
    make, columns, facts = CASES[request.param]
    model = make()
    peers.train(model, columns, steps=10)
    return model, columns, {**FACTS, **facts}


def _probes(model: MultKAN, columns: int) -> dict[str, torch.Tensor]:
    return peers.probes(columns, model.act_fun[0].grid)


def test_the_output_is_the_librarys(case: tuple[MultKAN, int, dict[str, Any]]) -> None:
    model, columns, facts = case
    inputs = _probes(model, columns)
    ours = load(model.state_dict(), family="pykan", **facts)
    assert_float32(ours, model, inputs)
    live = {"in_dim": columns} if "in_dim" in facts else {}
    for x in inputs.values():
        assert torch.equal(load(model, family="pykan", **live)(x), ours(x))
        assert torch.equal(load(nn.ModuleDict({"a": model}), family="pykan", prefix="a", **live)(x), ours(x))


def test_a_changed_weight_is_seen(case: tuple[MultKAN, int, dict[str, Any]]) -> None:
    model, columns, facts = case
    inputs = _probes(model, columns)
    names = [
        name for name in model.state_dict() if "symbolic" not in name and "grid" not in name and "_fun.1" not in name
    ]
    for name in names:
        state = {key: value.clone() for key, value in model.state_dict().items()}
        if name.endswith("mask"):
            state[name] *= 0.9
        else:
            state[name] += 0.1
        same = name.endswith("scale_base") and facts["base_fun"] == "zero"
        if same:
            assert_float32(load(state, family="pykan", **facts), model, inputs)
            continue
        with pytest.raises(AssertionError):
            assert_float32(load(state, family="pykan", **facts), model, inputs)


def test_one_layer_under_its_prefix(case: tuple[MultKAN, int, dict[str, Any]]) -> None:
    """A `KANLayer` is the edges and their sum, no nodes."""
    model, _, facts = case
    edges = model.act_fun[0]
    ours = load(model.state_dict(), family="pykan", prefix="act_fun.0", base_fun=facts["base_fun"])
    edges.base_fun = nn.SiLU() if facts["base_fun"] == "silu" else BASES[facts["base_fun"]]
    if facts["base_fun"] != "identity":  # a live layer tells it, "zero" as a function
        x = torch.randn(5, edges.grid.shape[0])
        assert torch.equal(load(edges, family="pykan")(x), ours(x))
    del edges.base_fun

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edges, self.base = copy.deepcopy(edges), model.base_fun_name

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.edges(x, BASES[self.base])

    assert_float32(ours, Alone(), peers.probes(edges.grid.shape[0], edges.grid))


def test_masked_edges_are_removed() -> None:
    model = _masked(MultKAN([3, 4, 2]))
    ours = load(model, family="pykan")
    first, second = ours.kan_layers()
    assert isinstance(first, PyKANLinear)
    assert not first.mask[:2, 1].any()
    assert first.mask.sum() == 10
    assert second.mask.sum() == 7


def test_efficient_kan_grids_that_moved() -> None:
    """`update_grid` makes knots data dependent; the scaler then acts twice, and what is stored is what counts."""
    torch.manual_seed(0)
    model = peers.chain(lambda n, m: peers.KANLinear(n, m, grid_size=4), [3, 4, 2])
    for layer in model.layers:
        steps = 0.2 + torch.rand(layer.grid.shape[0], layer.grid.shape[1] - 1)
        layer.grid[:, 1:] = layer.grid[:, :1] + steps.cumsum(dim=1)
    peers.train(model, 3)
    ours = load(model.state_dict(), family="efficient_kan", base_activation="silu")
    assert all(isinstance(layer, PyKANLinear) for layer in ours.kan_layers())
    assert_float32(ours, model, peers.probes(3, model.layers[0].grid))


class TestImportedModels(LayerConformance):
    @pytest.fixture(scope="class", params=["moved", "mult", "constant-feature", "pruned-inputs"])
    @classmethod
    def frozen(cls, request: pytest.FixtureRequest) -> FrozenKAN:
        torch.manual_seed(4)
        make, columns, facts = CASES[request.param]
        ours = load(peers.train(make(), columns, steps=10).state_dict(), family="pykan", **{**FACTS, **facts})
        quantized = quantize_model(ours, QuantizeSettings(activations=5, basis=7, base_weights=6, spline_weights=6))
        quantized.calibrate(torch.randn(128, columns))
        return freeze(quantized, name="kan", host=host(columns))


def _state(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return {**MultKAN([2, [1, 1], 1]).state_dict(), **changes}


def _symbolic() -> dict[str, Any]:
    state = _state()
    state["symbolic_fun.0.mask"][2, 1] = 1.0
    return state


def _swapped(grid: torch.Tensor) -> torch.Tensor:
    return grid.flip(1)


KNOWN = {"base_fun": "silu", "input_id": [0, 1], "width": [2, [1, 1], 1], "mult_arity": 2}


def _but(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**KNOWN, **changes}.items() if value is not None}


REFUSED: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "no base_fun": (_state, _but(base_fun=None), "supply the fact base_fun"),
    "no input_id": (_state, _but(input_id=None), r"which columns its 2 inputs are .* supply the fact input_id"),
    "no width": (_state, _but(width=None), "which of its 4 subnodes are multiplied; supply the fact width"),
    "no arity": (_state, _but(mult_arity=None), "supply the fact mult_arity"),
    "no in_dim": (_state, _but(input_id=[3, 0]), "supply the fact in_dim"),
    "in_dim too small": (_state, _but(input_id=[3, 0], in_dim=3), "in_dim is 3, but input_id has column 3"),
    "wrong base_fun": (_state, _but(base_fun="cos"), "no activation that the layers have"),
    "wrong width": (
        _state,
        _but(width=[2, [2, 1], 1]),
        r"width \[2, \[2, 1\], 1\] and mult_arity 2 do not make the 2 nodes of 3",
    ),
    "short width": (_state, _but(width=[2, [1, 1]]), "do not make"),
    "width as a number": (_state, _but(width=2), "one entry per layer of nodes"),
    "width of triples": (_state, _but(width=[2, [1, 1, 1], 1]), r"n or \[n_sum, n_mult\]"),
    "wrong arity": (_state, _but(mult_arity=3), "do not make the 2 nodes of 3 subnodes that layer 0 has"),
    "arity as text": (_state, _but(mult_arity="2"), "must be an integer or a list of lists"),
    "input_id of another length": (
        _state,
        _but(input_id=[0, 1, 2]),
        "3 different columns, but the network has 2 inputs",
    ),
    "a column twice": (_state, _but(input_id=[1, 1]), "1 different columns"),
    "a negative column": (_state, _but(input_id=[0, -1]), "from 0, not -1"),
    "input_id as text": (_state, _but(input_id="01"), "list of column numbers"),
    "wrong grid": (_state, _but(grid=5), r"grid is given as \[5\], but the tensors of layer 0 have 3"),
    "wrong k": (_state, _but(k=[3, 2]), r"k is given as \[3, 2\], but the tensors of layer 1 have 3"),
    "symbolic": (
        _symbolic,
        KNOWN,
        r"1 edges of layer 0 are symbolic \(the first leads from node 1 to 2\).*unfix_symbolic",
    ),
    "symbolic as a word": (_state, _but(symbolic_enabled="no"), "must be true or false"),
    "no symbolic mask": (
        lambda: {key: value for key, value in _state().items() if "symbolic" not in key},
        _but(symbolic_enabled=True),
        "lacks 'symbolic_fun.0.mask'",
    ),
    "unknown fact": (_state, _but(widths=[2, 1]), "no fact 'widths'; did you mean 'width'"),
    "unknown tensor": (lambda: _state(head=torch.zeros(1)), KNOWN, "has 'head', which no pykan 0.2.8 network has"),
    "no layer": (lambda: {"node_scale_0": torch.ones(1)}, KNOWN, "lacks 'act_fun.0.coef'"),
    "a layer too few": (
        lambda: _state(node_scale_2=torch.ones(1)),
        KNOWN,
        r"lacks 'subnode_scale_2'|lacks 'act_fun.2.coef'",
    ),
    "no nodes": (
        lambda: {key: value for key, value in _state().items() if "node_bias_1" not in key},
        KNOWN,
        "lacks 'subnode_bias_1'",
    ),
    "no mask": (
        lambda: {key: value for key, value in _state().items() if key != "act_fun.1.mask"},
        KNOWN,
        "lacks 'act_fun.1.mask'",
    ),
    "knots that decrease": (
        lambda: _state(**{"act_fun.0.grid": _swapped(_state()["act_fun.0.grid"])}),
        KNOWN,
        "decrease",
    ),
    "too few knots": (
        lambda: _state(**{"act_fun.0.grid": _state()["act_fun.0.grid"][:, :7]}),
        KNOWN,
        "no spline order",
    ),
    "nodes of another network": (
        lambda: _state(node_bias_0=torch.ones(3)),
        KNOWN,
        r"'node_bias_0' has shape \(3,\) where \(2,\)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(what: str) -> None:
    make, facts, message = REFUSED[what]
    with pytest.raises(ModelError, match=message) as caught:
        load(make(), family="pykan", **facts)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)


def test_symbolic_edges_that_are_switched_off() -> None:
    """With `symbolic_enabled=False` pykan skips the whole branch, masks and all."""
    ours = load(_symbolic(), family="pykan", **KNOWN, symbolic_enabled=False)
    x = torch.randn(9, 2)
    assert torch.equal(ours(x), load(_state(), family="pykan", **KNOWN)(x))


# --- the library itself -----------------------------------------------------------------------------------------------


@pytest.fixture
def kan(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    return pytest.importorskip("kan", reason="pykan is not installed; its formulas are tested above")


@pytest.mark.filterwarnings("ignore")
def test_pykan_itself(kan: Any) -> None:
    """A network with products, trained by pykan's own fit (which moves the grids), pruned, and then imported."""
    x = torch.rand(300, 3) * 4 - 2
    y = (x[:, :1] * x[:, 1:2] + torch.sin(x[:, 1:2])).detach()
    data = {"train_input": x, "train_label": y, "test_input": x, "test_label": y}
    model = kan.KAN(width=[3, [3, 2], 1], grid=4, k=3, seed=1)
    model.fit(data, steps=6, lamb=0.01, log=100)
    for name, network in (("trained", model), ("pruned", model.prune(node_th=1e-3, edge_th=1e-2))):
        network.save_act = False
        first = network.act_fun[0].grid
        inputs = {key: v for key, v in peers.probes(3, first.detach()).items() if key != "zero"}
        ours = load(network, family="pykan", **({"in_dim": 3} if len(network.input_id) < 3 else {}))
        state = network.state_dict()
        formula = MultKAN(network.width, grid=4, mult_arity=network.mult_arity, input_id=network.input_id.tolist())
        formula.load_state_dict({key: value.clone() for key, value in state.items()})
        assert_float32(ours, network, inputs, formula)
        facts = {
            "width": network.width,
            "mult_arity": network.mult_arity,
            "input_id": network.input_id,
            "base_fun": "silu",
        }
        again = load(state, family="pykan", **facts)
        assert torch.equal(again(inputs["inside"]), ours(inputs["inside"])), name


@pytest.mark.filterwarnings("ignore")
def test_pykan_itself_symbolic_and_pruned_inputs(kan: Any) -> None:
    model = kan.KAN(width=[3, 2, 1], grid=3, k=2, seed=0, base_fun="identity")
    x = torch.rand(100, 3) * 2 - 1
    model(x)
    model.input_id = torch.tensor([0, 1, 2])
    picked = model.prune_input(active_inputs=[2, 0])
    formula = MultKAN(picked.width, grid=3, k=2, base_fun="identity", input_id=picked.input_id.tolist())
    formula.load_state_dict({key: value.clone() for key, value in picked.state_dict().items()})
    assert_float32(load(picked, family="pykan", in_dim=3), picked, {"inside": x}, formula)
    model.fix_symbolic(0, 1, 0, "sin", fit_params_bool=False, verbose=False)
    with pytest.raises(ModelError, match=r"symbolic \(the first leads from node 1 to 0\)"):
        load(model, family="pykan")
