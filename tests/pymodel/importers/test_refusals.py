"""Everything that a checkpoint cannot tell, or that is wrong with it: refused in one sentence that names it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.importers import load
from tests.pymodel.importers import peers

State = dict[str, Any]
SILU = {"base_activation": "silu"}


def _efficient() -> State:
    torch.manual_seed(0)
    return dict(peers.chain(peers.KANLinear, [3, 4, 2]).state_dict())


def _fast() -> State:
    torch.manual_seed(0)
    return dict(peers.chain(peers.FastKANLayer, [3, 4, 2]).state_dict())


def _gram() -> State:
    torch.manual_seed(0)
    return dict(peers.chain(peers.GRAMLayer, [3, 4, 2]).state_dict())


def _spline() -> State:
    torch.manual_seed(0)
    return dict(peers.chain(peers.SplineLayer, [3, 4, 2]).state_dict())


def _with(make: Callable[[], State], name: str, change: Callable[[Tensor], Any]) -> Callable[[], State]:
    def changed() -> State:
        state = make()
        state[name] = change(state[name].clone())
        return state

    return changed


def _without(make: Callable[[], State], name: str) -> Callable[[], State]:
    return lambda: {key: value for key, value in make().items() if key != name}


def _renamed(make: Callable[[], State], old: str, new: str) -> Callable[[], State]:
    return lambda: {key.replace(old, new): value for key, value in make().items()}


def _double_knot(grid: Tensor) -> Tensor:
    grid[1, 5] = grid[1, 4]
    return grid


SPLINE_FACTS = {"base_activation": nn.GELU, "grid_range": [-1, 1], "grid_size": 5}

#: Name: source, family, facts, what the message must have.
CASES: dict[str, tuple[Callable[[], Any], str, State, str]] = {
    # What the tensors do not tell.
    "no activation": (
        _efficient,
        "efficient_kan",
        {},
        r"does not tell the activation .* supply the fact base_activation",
    ),
    "no activation, fast": (_fast, "fast_kan", {}, "supply the fact base_activation"),
    "no activation, gram": (_gram, "torch_conv_kan", {}, r"of base branch, polynomials and output .* base_activation"),
    "no range": (_spline, "torch_conv_kan", {**SILU, "grid_size": 5}, "supply the fact grid_range"),
    "no G and k": (_spline, "torch_conv_kan", {**SILU, "grid_range": [-1, 1]}, "supply the fact grid_size"),
    # Facts that are wrong.
    "unknown family": (_efficient, "eficient_kan", SILU, "did you mean 'efficient_kan'"),
    "unknown fact": (
        _efficient,
        "efficient_kan",
        {**SILU, "gridrange": 1},
        "no fact 'gridrange'; did you mean 'grid_range'",
    ),
    "unknown activation": (
        _efficient,
        "efficient_kan",
        {"base_activation": nn.Mish},
        "no activation that the layers have",
    ),
    "an unknown function": (
        _fast,
        "fast_kan",
        {"base_activation": functional.mish},
        "no activation that the layers have",
    ),
    "gelu by tanh": (_efficient, "efficient_kan", {"base_activation": nn.GELU("tanh")}, "only the exact one"),
    "gram with gelu": (_gram, "torch_conv_kan", {"base_activation": nn.GELU}, "known with SiLU only"),
    "another range": (
        _efficient,
        "efficient_kan",
        {**SILU, "grid_range": [-2, 2]},
        r"\(-2.0, 2.0\), but the tensors have",
    ),
    "another order": (_efficient, "efficient_kan", {**SILU, "spline_order": 2}, "spline_order is given as 2, but"),
    "another grid": (
        _efficient,
        "efficient_kan",
        {**SILU, "grid_size": 8},
        "grid_size is given as 8, but the tensors have 5",
    ),
    "scaler that is not there": (
        _efficient,
        "efficient_kan",
        {**SILU, "enable_standalone_scale_spline": False},
        "enable_standalone_scale_spline is given as False, but the tensors have True",
    ),
    "other widths": (
        _efficient,
        "efficient_kan",
        {**SILU, "layers_hidden": [3, 5, 2]},
        r"the tensors have \[3, 4, 2\]",
    ),
    "widths as text": (_efficient, "efficient_kan", {**SILU, "layers_hidden": "342"}, "must be a list of integers"),
    "reversed range": (_spline, "torch_conv_kan", {**SPLINE_FACTS, "grid_range": [1, -1]}, "low < high"),
    "a range of one number": (_spline, "torch_conv_kan", {**SPLINE_FACTS, "grid_range": 1}, "must be a pair"),
    "an infinite range": (
        _spline,
        "torch_conv_kan",
        {**SPLINE_FACTS, "grid_range": [0, float("inf")]},
        "finite number",
    ),
    "half a grid": (_spline, "torch_conv_kan", {**SPLINE_FACTS, "grid_size": 5.5}, "must be an integer, not 5.5"),
    "a grid that does not fit": (
        _spline,
        "torch_conv_kan",
        {**SPLINE_FACTS, "spline_order": 4},
        "grid_size 5 and spline_order 4 do not make the 8 basis functions",
    ),
    "G and k swapped": (_spline, "torch_conv_kan", {**SPLINE_FACTS, "grid_size": 9}, "do not make the 8 basis"),
    "another degree": (_gram, "torch_conv_kan", {**SILU, "degree": 4}, "degree is given as 4, but the tensors have 3"),
    "layernorm that is there": (_fast, "fast_kan", {**SILU, "use_layernorm": False}, "use_layernorm is given as False"),
    "layernorm as a word": (_fast, "fast_kan", {**SILU, "use_layernorm": "no"}, "must be true or false"),
    "another first centre": (_fast, "fast_kan", {**SILU, "grid_min": -1.5}, "grid_min is given as -1.5, but"),
    "a width as text": (_fast, "fast_kan", {**SILU, "denominator": "wide"}, "denominator must be a finite number"),
    # Tensors that are wrong.
    "a double knot": (
        _with(_efficient, "layers.0.grid", _double_knot),
        "efficient_kan",
        SILU,
        r"'layers.0.grid' has knots that do not increase \(input 1, knots 4 and 5\)",
    ),
    "NaN": (
        _with(_efficient, "layers.0.base_weight", lambda t: t * float("nan")),
        "efficient_kan",
        SILU,
        "NaN or infinity",
    ),
    "beyond float32": (
        _with(_efficient, "layers.0.base_weight", lambda t: t.double() * 1e300),
        "efficient_kan",
        SILU,
        "beyond float32",
    ),
    "a missing tensor": (
        _without(_efficient, "layers.1.base_weight"),
        "efficient_kan",
        SILU,
        "lacks 'layers.1.base_weight'",
    ),
    "a missing base bias": (
        _without(_fast, "layers.0.base_linear.bias"),
        "fast_kan",
        SILU,
        "lacks 'layers.0.base_linear.bias'",
    ),
    "a missing layer": (
        _renamed(_efficient, "layers.1.", "layers.2."),
        "efficient_kan",
        SILU,
        "layer number 1 is not in",
    ),
    "layers that do not fit": (
        lambda: {**_efficient(), **{f"layers.2.{k}": v for k, v in peers.KANLinear(5, 2).state_dict().items()}},
        "efficient_kan",
        SILU,
        "layers.2 has 5 inputs, but layers.1 has 2 outputs",
    ),
    "another family": (_fast, "efficient_kan", SILU, "'layers.0.base_weight' were expected; check the family"),
    "a weight that is cut": (
        _with(_efficient, "layers.0.base_weight", lambda t: t[:2]),
        "efficient_kan",
        SILU,
        r"shape \(2, 3\) where \(4, 3\)",
    ),
    "too few knots": (
        _with(_efficient, "layers.0.grid", lambda t: t[:, :9]),
        "efficient_kan",
        SILU,
        "9 knots for 8 basis functions",
    ),
    "orders that differ": (
        lambda: {**_efficient(), **{f"layers.2.{k}": v for k, v in peers.KANLinear(2, 2, 6, 2).state_dict().items()}},
        "efficient_kan",
        SILU,
        r"different orders \[2, 3\]",
    ),
    "a weight of rank 1": (
        _with(_efficient, "layers.0.base_weight", lambda t: t[0]),
        "efficient_kan",
        SILU,
        "2 dimensions were expected",
    ),
    "an unknown tensor": (
        lambda: {**_efficient(), "layers.0.bias": torch.zeros(4)},
        "efficient_kan",
        SILU,
        "'layers.0.bias' belongs to no layer of this family",
    ),
    "another layer beside": (
        lambda: {**{f"kan.{k}": v for k, v in _efficient().items()}, "head.weight": torch.zeros(2, 2)},
        "efficient_kan",
        SILU,
        "give the prefix of the layers, such as 'kan'",
    ),
    "centres that are not equidistant": (
        _with(_fast, "layers.0.rbf.grid", lambda t: t**3),
        "fast_kan",
        SILU,
        "'layers.0.rbf.grid' holds centres that are not equidistant",
    ),
    "one centre": (_with(_fast, "layers.0.rbf.grid", lambda t: t[:1]), "fast_kan", SILU, "at least two centres"),
    "centres that do not divide": (
        _with(_fast, "layers.0.rbf.grid", lambda t: t[:7]),
        "fast_kan",
        SILU,
        "7 centres need a multiple of 7 columns",
    ),
    "attention": (
        lambda: {f"linear_q.{k}": v for k, v in peers.FastKANLayer(3, 4).state_dict().items()},
        "fast_kan",
        SILU,
        "AttentionWithFastKANTransform",
    ),
    "conv-fast without a layernorm": (
        lambda: peers.FastKANLayer(3, 4, use_layernorm=False).state_dict(),
        "torch_conv_kan",
        SILU,
        "lacks 'layernorm.weight', which every FastKANLayer of torch-conv-kan has",
    ),
    "degree 0": (lambda: peers.GRAMLayer(3, 4, degree=0).state_dict(), "torch_conv_kan", SILU, "degree of at least 1"),
    "a norm over one output": (
        lambda: peers.GRAMLayer(3, 1).state_dict(),
        "torch_conv_kan",
        SILU,
        "'norm.weight' normalises one output to a constant",
    ),
    "two kinds": (
        lambda: {**_gram(), **{f"layers.2.{k}": v for k, v in peers.SplineLayer(2, 2).state_dict().items()}},
        "torch_conv_kan",
        SPLINE_FACTS,
        "mixes grams_basis_weights, spline_weight layers",
    ),
    # Sources that are none.
    "a whole checkpoint": (
        lambda: {"model": _efficient(), "epoch": 3},
        "efficient_kan",
        SILU,
        "state_dict inside the checkpoint",
    ),
    "an object": (
        lambda: 3,
        "efficient_kan",
        SILU,
        "a safetensors file, a state_dict or a module was expected, not int",
    ),
    "nothing": (dict, "efficient_kan", SILU, "holds no tensors"),
    "numbers as names": (lambda: {3: torch.zeros(1)}, "efficient_kan", SILU, "names as keys"),
    "complex weights": (
        _with(_efficient, "layers.0.base_weight", lambda t: t + 1j),
        "efficient_kan",
        SILU,
        "no plain dense tensor",
    ),
    "sparse weights": (
        _with(_efficient, "layers.0.base_weight", Tensor.to_sparse),
        "efficient_kan",
        SILU,
        "no plain dense tensor",
    ),
    "weights on no device": (
        _with(_efficient, "layers.0.base_weight", lambda t: t.to("meta")),
        "efficient_kan",
        SILU,
        "no plain dense tensor",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_by_name(case: str) -> None:
    make, family, facts, message = CASES[case]
    with pytest.raises(ModelError, match=message) as caught:
        load(make(), family=family, **facts)
    text = str(caught.value)
    assert "\n" not in text
    assert len(re.split(r"[;:] ", text)) >= 2, "what to do is missing"


def test_a_prefix_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"nothing under the prefix 'head'; its names start with 'layers'"):
        load(_efficient(), family="efficient_kan", prefix="head", **SILU)
    with pytest.raises(ModelError, match=r"has no module 'head'; it has 'layers'"):
        load(peers.chain(peers.KANLinear, [3, 2]), family="efficient_kan", prefix="head")


def test_a_live_module_that_contradicts_the_facts() -> None:
    model = peers.chain(peers.KANLinear, [3, 2])
    with pytest.raises(ModelError, match="base_activation is given as 'relu', but the live module has 'silu'"):
        load(model, family="efficient_kan", base_activation=nn.ReLU)
    spline = peers.chain(peers.SplineLayer, [3, 2])
    with pytest.raises(
        ModelError, match=r"grid_range is given as \(-2.0, 2.0\), but the live module has \(-1.0, 1.0\)"
    ):
        load(spline, family="torch_conv_kan", grid_range=[-2, 2])


def test_a_live_module_with_more_between_its_layers() -> None:
    """A state_dict does not show a ReLU; a module does."""
    model = peers.chain(peers.KANLinear, [3, 4, 2])
    model.layers.append(nn.ReLU())
    with pytest.raises(ModelError, match=r"a ReLU stands at 'layers.2' between the layers"):
        load(model, family="efficient_kan")
    with pytest.raises(ModelError, match="layer number 1 is not in"):
        load(peers.chain(peers.KANLinear, [3, 4, 2], nn.ReLU), family="efficient_kan")
    with pytest.raises(ModelError, match="a ReLU stands at"):
        load(peers.chain(peers.GRAMLayer, [3, 4, 2], nn.ReLU), family="torch_conv_kan")


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.pkl", "model.bin", "model.ckpt", "model"])
def test_pickles_are_never_loaded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with (tmp_path / name).open("wb") as file:
        pickle.dump(_Evil(), file)
    with pytest.raises(ModelError, match=r"no .safetensors file.*save it with safetensors.torch.save_file"):
        load(tmp_path / name, family="efficient_kan", **SILU)
    (tmp_path / name).rename(tmp_path / "renamed.safetensors")
    with pytest.raises(ModelError, match=r"cannot be read as safetensors"):
        load(tmp_path / "renamed.safetensors", family="efficient_kan", **SILU)
    assert not (tmp_path / "ran").exists()


def test_files_that_are_missing_or_cut(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match="does not exist"):
        load(path, family="efficient_kan", **SILU)
    save_file(_efficient(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        load(path, family="efficient_kan", **SILU)
    with pytest.raises(ModelError, match=r"cannot be read|no .safetensors file"):
        load(tmp_path, family="efficient_kan", **SILU)


def test_other_float_types_are_read(tmp_path: Path) -> None:
    """bfloat16 and float16 widen exactly; float64 rounds once."""
    state = _efficient()
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        narrow = {name: tensor if name.endswith("grid") else tensor.to(dtype) for name, tensor in state.items()}
        ours = load(narrow, family="efficient_kan", **SILU)
        want = load({name: t.float() for name, t in narrow.items()}, family="efficient_kan", **SILU)
        x = torch.randn(5, 3)
        assert ours(x).dtype is torch.float32
        assert torch.equal(ours(x), want(x))
