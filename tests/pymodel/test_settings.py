"""The settings check themselves, naming the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pymodel.errors import ConfigError
from pymodel.settings import DataSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings

BAD: list[tuple[type, dict[str, Any], str]] = [
    (DataSettings, {"source": "foo"}, r"data\.source must be one of digits, .*not 'foo'"),
    (DataSettings, {"source": "digits", "path": "x"}, r"data\.path has no use with the embedded source 'digits'"),
    (DataSettings, {"source": "mnist"}, r"'mnist' needs data\.path"),
    (DataSettings, {"source": "csv", "path": "x"}, r"needs data\.label"),
    (DataSettings, {"source": "npz", "path": "x", "label": "y"}, r"data\.label names a CSV column"),
    (DataSettings, {"source": "idx", "path": "x"}, r"needs data\.labels"),
    (DataSettings, {"source": "idx", "path": "x", "labels": "y", "test_path": "z"}, "belong together"),
    (DataSettings, {"source": "csv", "path": "x", "label": "y", "labels": "y"}, r"data\.labels has no use"),
    (DataSettings, {"source": "wine", "task": "regression"}, r"set data\.task to classification"),
    (DataSettings, {"source": "wine", "test_fraction": 0.0}, r"data\.test_fraction must be a number above 0 and at"),
    (DataSettings, {"source": "wine", "validation_fraction": 0.6}, r"at least 0 and at most 0\.5, not 0\.6"),
    (DataSettings, {"source": "wine", "seed": -1}, r"data\.seed must be an integer from 0"),
    (DataSettings, {"source": "wine", "scale": "robust"}, r"data\.scale must be one of auto, standard, minmax"),
    (ModelSettings, {"widths": (3,)}, "must list 2 to 17 layer sizes"),
    (ModelSettings, {"widths": (3, 0)}, r"model\.widths must be an integer from 1"),
    (ModelSettings, {"widths": (3, 1), "layernorm": True}, "belongs to the family fast_kan, not to efficient_kan"),
    (ModelSettings, {"widths": (1, 3), "family": "fast_kan", "layernorm": True}, "over one input gives a constant"),
    (ModelSettings, {"widths": (3, 2, 1), "multiplication": 1}, "multiplication belongs to the family pykan"),
    (ModelSettings, {"widths": (3, 2, 1), "grid_per_input": True}, "grid_per_input belongs to the family pykan"),
    (ModelSettings, {"widths": (3, 2, 1), "family": "pykan", "multiplication": 3}, "from 0 to 2, not 3"),
    (ModelSettings, {"widths": (3, 2, 1), "family": "pykan", "multiplication": (1,)}, "has 1 values, but 2 widths"),
    (ModelSettings, {"widths": (3, 2, 1), "family": "pykan", "arity": 1}, r"model\.arity must be an integer from 2"),
    (QuantizeSettings, {"product": 2}, r"quantize\.product must be an integer from 3"),
    (ModelSettings, {"widths": (3, 1), "family": "mlp"}, r"model\.family must be one of .*table, not 'mlp'"),
    (ModelSettings, {"widths": (3, 1), "family": "fast_kan", "grid": 1}, r"model\.grid must be an integer from 2"),
    (ModelSettings, {"widths": (3, 1), "base": "mish"}, r"model\.base must be one of silu"),
    (ModelSettings, {"widths": (3, 1), "norm": "layer"}, r"model\.norm must be one of none, batch"),
    (ModelSettings, {"widths": (3, 1), "norm": "batch"}, "belongs to the family kagn, not to efficient_kan"),
    (QuantizeSettings, {"implementation": "dsp"}, r"quantize\.implementation must be one of rom, arith"),
    (ModelSettings, {"widths": (3, 1), "grid": 0}, r"model\.grid"),
    (ModelSettings, {"widths": (3, 1), "order": 8}, r"model\.order"),
    (ModelSettings, {"widths": (3, 1), "range": (1, 1)}, "low < high"),
    (ModelSettings, {"widths": (3, 1), "range": (1, float("inf"))}, r"model\.range must be a number"),
    (ModelSettings, {"widths": (3, 1), "range": (1, 2, 3)}, r"must be a pair"),
    (ModelSettings, {"widths": (3, 1), "name": "../../x"}, "plain identifier"),
    (ModelSettings, {"widths": (3, 1), "name": "x" * 40}, "at most 32 characters"),
    (QuantizeSettings, {"method": "ptq"}, r"quantize\.method must be one of lsq, .*not 'ptq'"),
    (QuantizeSettings, {"method": "foo"}, r"quantize\.method must be one of lsq"),
    (QuantizeSettings, {"activations": 13}, r"quantize\.activations must be an integer from \d to 12, not 13"),
    (QuantizeSettings, {"activations": True}, r"quantize\.activations"),
    (QuantizeSettings, {"base_weights": 1}, r"quantize\.base_weights"),
    (QuantizeSettings, {"spline_weights": 17}, r"quantize\.spline_weights"),
    (QuantizeSettings, {"basis": 1}, r"quantize\.basis"),
    (QuantizeSettings, {"edge": 1}, r"quantize\.edge"),
    (QuantizeSettings, {"first_activations": 10}, "fewer than the 10 bits"),
    (PruneSettings, {}, "exactly one of fraction, edges, layers and luts, not none"),
    (PruneSettings, {"edges": 3, "fraction": 0.5}, "not fraction and edges"),
    (PruneSettings, {"fraction": 1.0}, r"at least 0 and below 1, not 1\.0"),
    (PruneSettings, {"edges": 0}, r"train\.prune\.edges"),
    (PruneSettings, {"layers": (3, 0)}, r"train\.prune\.layers"),
    (PruneSettings, {"edges": 3, "start": 0.6, "end": 0.5}, r"0\.6 lies after train\.prune\.end 0\.5; swap them"),
    (TrainSettings, {"epochs": -1}, r"train\.epochs"),
    (TrainSettings, {"batch_size": 0}, r"train\.batch_size"),
    (TrainSettings, {"learning_rate": 0.0}, r"train\.learning_rate must be a number above 0"),
    (TrainSettings, {"learning_rate": float("nan")}, r"train\.learning_rate"),
    (TrainSettings, {"augment": "flip"}, r"train\.augment must be one of shift"),
    (TrainSettings, {"threads": 0}, r"train\.threads"),
]


@pytest.mark.parametrize(("kind", "values", "message"), BAD, ids=[f"{k.__name__}-{v}" for k, v, _ in BAD])
def test_bad_values(kind: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as info:
        kind(**values)
    assert "\n" not in str(info.value)


def test_good_values() -> None:
    assert DataSettings("csv", Path("x"), "y", "regression").path == Path("x")
    assert ModelSettings([3, 1], range=[0, 1]).widths == (3, 1)  # type: ignore[arg-type]
    bits = QuantizeSettings(activations=5, first_activations=8)
    assert [bits.activation_bits(layer) for layer in range(3)] == [8, 5, 5]
    assert QuantizeSettings(activations=3).first_activations == 3


def test_prune_targets() -> None:
    sizes = (1024, 160)
    assert PruneSettings(fraction=0.75).targets(sizes) == 296
    assert PruneSettings(edges=300).targets(sizes) == 300
    assert PruneSettings(layers=(200, 100)).targets(sizes) == (200, 100)
    with pytest.raises(ConfigError, match="edges is 1185, but the model has 1184 edges"):
        PruneSettings(edges=1185).targets(sizes)
    with pytest.raises(ConfigError, match="layers has 1 numbers, but the model has 2 layers"):
        PruneSettings(layers=(1,)).targets(sizes)
    with pytest.raises(ConfigError, match=r"layers\[1\] is 161, but that layer has 160"):
        PruneSettings(layers=(1, 161)).targets(sizes)


@pytest.mark.parametrize("pair", [(0.0, 1e-300), (0.0, 1e-7), (999_999.9, 1e6)])
def test_a_range_in_which_float32_cannot_tell_knots_apart_is_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match=r"model\.range must be wider"):
        ModelSettings((2, 2), range=pair)
    assert ModelSettings((2, 2), range=(100.0, 101.3)).range == (100.0, 101.3)
