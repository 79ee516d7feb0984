"""Convolutions in a configuration: sizes, edges, refusals in one sentence, the YAML round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.config import dump_config, load_config, make_config
from pymodel.errors import ConfigError
from pymodel.layers import ConvSpec, build_kan
from pymodel.settings import ConvSettings, ModelSettings

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_conv.yaml"


def document(**model):
    facts = {"family": "kagn", "widths": [64, 10], "image": [8, 8, 1], "conv": [{"channels": 4}]}
    return {"data": {"source": "digits"}, "model": facts | model, "hardware": {"rtl": []}}


def test_the_example() -> None:
    config = load_config(EXAMPLE)
    model = config.model
    assert (model.n_layers, model.edges) == (2, (36, 640))
    again = make_config(__import__("yaml").safe_load(dump_config(config)), EXAMPLE.parent)
    assert again == config


@pytest.mark.parametrize(
    "conv",
    [
        [ConvSettings(4, 3, 2, 1)],
        [ConvSettings(4, (2, 3), (1, 2), (0, 1), pool="max"), ConvSettings(6, 2, groups=2)],
        [ConvSettings(3, 1, pool="average", pool_size=(4, 3)), ConvSettings(5, (2, 1))],
    ],
)
def test_sizes_are_those_of_the_network(conv) -> None:
    settings = ModelSettings(widths=(64, 7, 10), image=(8, 8, 1), conv=conv)
    model = build_kan(
        "efficient_kan",
        settings.widths,
        grid=3,
        order=2,
        range=(-2, 2),
        conv=[ConvSpec(**vars(c)) for c in conv],
        image=settings.image,
    )
    assert settings.n_layers == len(list(model.kan_layers()))
    assert settings.edges == tuple(layer.mask.numel() for layer in model.kan_layers())


REFUSED = {
    "image alone": (document(conv=[]), "belong together"),
    "conv alone": (document(image=None), "belong together"),
    "another family": (document(family="pykan"), "needs a family of efficient_kan, fast_kan, kagn, not pykan"),
    "tables": (document(family="table"), "needs a family"),
    "image size": (document(image=[8, 7, 1]), "has 56 numbers, but model.widths starts with 64"),
    "kernel": (document(conv=[{"channels": 4, "kernel": 9}]), "does not fit in an image of 8 pixels"),
    "padding": (document(conv=[{"channels": 4, "padding": 3}]), "with a padding of 3"),
    "groups": (document(conv=[{"channels": 4, "groups": 2}]), "does not divide 1 and 4 channels"),
    "pool": (document(conv=[{"channels": 4, "pool": "median"}]), "none, max, average, not 'median'"),
    "pool size": (document(conv=[{"channels": 4, "pool": "max", "pool_size": 7}]), "pool_size"),
    "no channels": (document(conv=[{"channels": 0}]), "channels must be an integer from 1"),
    "stride": (document(conv=[{"channels": 4, "stride": [1, 0]}]), "stride must be an integer from 1"),
    "triple": (document(conv=[{"channels": 4, "kernel": [1, 2, 3]}]), "kernel"),
    "unknown key": (document(conv=[{"channels": 4, "kernal": 3}]), "kernal.*kernel"),
    "text": (document(conv=[{"channels": 4, "kernel": "3"}]), r"conv\[0\].kernel must be an integer or a pair"),
    "missing key": (document(conv=[{"kernel": 3}]), "channels"),
    "many": (document(conv=[{"channels": 4, "kernel": 1}] * 17), "at most 16 layers"),
    "pruned groups": (
        document(conv=[{"channels": 4}, {"channels": 4, "groups": 2}]) | {"train": {"prune": {"edges": 9}}},
        "train.prune cannot rank edges of a convolution with groups",
    ),
    "layer bits": (document() | {"quantize": {"layer_activations": [4]}}, "has 1 numbers, but the model has 2 layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path) -> None:
    tree, match = REFUSED[name]
    with pytest.raises(ConfigError, match=match) as caught:
        make_config(tree, tmp_path)
    assert "\n" not in str(caught.value)
