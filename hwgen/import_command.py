"""`kan4ml import FILE`: a configuration around a trained network of another library, and its build."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hwgen._yaml import parse_yaml
from hwgen.config import Config, make_config
from hwgen.flow import table_obstacle
from pymodel.data import ImageStream
from pymodel.data import load as load_data
from pymodel.errors import ConfigError, ModelError
from pymodel.importers import load
from pymodel.layers import (
    KAN,
    MAX_ORDER,
    EfficientKANLinear,
    FastKANLinear,
    KAGNLinear,
    KANLayer,
    PyKANLinear,
)

__all__ = ["import_config"]

#: Bits of everything: without training, eight lose next to nothing.
_BITS = 8
#: Of the section `model`.
#: Rows of streamed images that show their extent.
_EXTENT_ROWS = 4096
_MAX_GRID = 64


def import_config(
    source: Path, family: str, prefix: str, data: Path, label: str | None, assignments: Sequence[str]
) -> Config:
    """Return the configuration of a build that imports `source` instead of training.

    Args:
        source: the `.safetensors` file.
        family: the library.
        prefix: where the network lies in the file.
        data: rows as the network takes them: `.npz`, or else CSV.
        label: the CSV's column with the classes or the target.
        assignments: `fact=value`, or `section.key=value` for the configuration; values in YAML.

    Raises:
        ConfigError: if an assignment or the configuration is not valid.
        DataError: if the data cannot be read.
        ModelError: if the network cannot be imported, or is no chain of dense layers.
    """
    facts, overrides = _assignments(assignments)
    network = load(source, family=family, prefix=prefix, **facts)
    if not isinstance(network, KAN):
        raise ModelError(f"{source.name} became a {type(network).__name__}, but a build takes chains of dense layers")
    obstacle = table_obstacle(network)
    engines = ["tables"] if obstacle is None else [] if obstacle == "convolutions" else ["openhls"]
    document: dict[str, Any] = {
        "data": {
            "source": "npz" if data.suffix == ".npz" else "csv",
            "path": os.path.realpath(data),
            "label": label,
            "scale": "none",
            "validation_fraction": 0,
        },
        # It describes the first layer as far as the section can; what is built is what `imported` says.
        "model": {
            "widths": list(network.widths),
            **_shape(next(network.kan_layers())),
        },
        "quantize": {
            "method": "gptq",
            "activations": _BITS,
            "base_weights": _BITS,
            "spline_weights": _BITS,
            "basis": _BITS,
        },
        "train": {"epochs": 0, "qat_epochs": 0},
        "hardware": {"rtl": engines},
        "imported": {"path": os.path.realpath(source), "family": family, "prefix": prefix, "facts": facts},
    }
    if not any(override.partition("=")[0].strip() == "model.range" for override in overrides):
        first = make_config(document, Path(), overrides)
        document["model"]["range"] = _extent(first)
    return make_config(document, Path(), overrides)


def _shape(layer: KANLayer) -> dict[str, Any]:
    """Return what the section `model` says about a layer."""
    found: dict[str, Any] = {"family": "efficient_kan"}
    match layer:
        case PyKANLinear():
            found = {"family": "pykan", "grid": layer.grid_size, "order": layer.order, "base": layer.activation}
        case EfficientKANLinear():
            found |= {"grid": layer.grid_size, "order": layer.order, "base": layer.activation}
        case FastKANLinear():
            found = {"family": "fast_kan", "grid": layer.grid_size, "base": layer.activation}
        case KAGNLinear():
            found = {"family": "kagn", "order": layer.degree, "base": layer.activation}
    limits = {"grid": _MAX_GRID, "order": MAX_ORDER}
    return {key: min(value, limits[key]) if key in limits else value for key, value in found.items()}


def _extent(config: Config) -> list[float]:
    """Return the smallest and the largest training input, as the network gets it."""
    dataset = load_data(config.data, config.model.range)
    fit = dataset.fit[:_EXTENT_ROWS] if isinstance(dataset.x_train, ImageStream) else dataset.fit
    x = np.asarray(dataset.host.prepare(dataset.x_train[fit]))
    low, high = float(x.min()), float(x.max())
    if not low < high:
        low, high = low - 0.5, high + 0.5
    # Rounded outwards to few digits, so that the configuration can be read.
    unit = 10.0 ** (math.floor(math.log10(high - low)) - 2)
    return [float(f"{round_(end / unit) * unit:.6g}") for round_, end in ((math.floor, low), (math.ceil, high))]


def _assignments(assignments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return facts (names without a dot) and overrides of the configuration (with one)."""
    facts: dict[str, Any] = {}
    overrides = []
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(
                f"--set must look like base_activation=silu or quantize.activations=6, not {text!r}; change it"
            )
        if "." in name:
            overrides.append(text)
        elif name in facts:
            raise ConfigError(f"--set names the fact {name} twice; name it once")
        else:
            facts[name] = parse_yaml(value, f"the fact {text!r}")
    return facts, overrides
