"""What a build keeps of its sources: a network of another library with what was said about it, or the rows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from hwgen.config import Config, ImportSettings
from pymodel.errors import ConfigError, ModelError
from pymodel.importers import extract, load
from pymodel.layers import KAN, ConvLayer, FastKANLinear, KAGNLinear, PyKANLinear

__all__ = ["keep_data", "keep_imported", "load_imported", "table_obstacle"]


def table_obstacle(network: KAN) -> str | None:
    """Return what a network has that edge tables do not cover; None if there is nothing."""
    for layer in network.kan_layers():
        if isinstance(layer, ConvLayer):
            return "convolutions"
        if isinstance(layer, PyKANLinear) and layer.multiplies:
            return "nodes that multiply"
        if isinstance(layer, FastKANLinear | KAGNLinear) and layer.layernorm is not None:
            return "LayerNorms"
    return None


def load_imported(imported: ImportSettings, config: Config) -> KAN:
    """Return the network that `imported` describes, its first layer expecting inputs in `model.range`.

    Raises:
        ConfigError: if its widths are not those of the configuration, or it has what an engine cannot build.
        ModelError: as :func:`pymodel.importers.load`, or if it is no chain of dense layers.
    """
    network = load(imported.path, family=imported.family, prefix=imported.prefix, **imported.facts)
    if not isinstance(network, KAN):
        raise ModelError(
            f"{imported.path.name} became a {type(network).__name__}, but a build takes chains of dense layers; "
            "quantize it in Python"
        )
    model = config.model
    obstacle = table_obstacle(network)
    if "tables" in config.hardware.rtl and obstacle is not None:
        raise ConfigError(
            f"hardware.rtl tables builds edge tables only, but {imported.path.name} has {obstacle}; set hardware.rtl to [openhls] "
            "or []"
        )
    if network.widths != model.widths:
        raise ConfigError(
            f"model.widths is {list(model.widths)}, but {imported.path.name} has {list(network.widths)}; correct it"
        )
    next(network.kan_layers()).input_range = model.range
    return network


def keep_imported(config: Config, imported: ImportSettings, path: Path) -> Config:
    """Write the tensors of `imported` to `path`, and return `config` with that file in its place."""
    extract(imported.path, path, prefix=imported.prefix)
    return replace(config, imported=replace(imported, path=path, prefix=""))


def keep_data(config: Config, folder: Path) -> Config:
    """Copy the file of the rows into `folder`, and return `config` with the copy in its place."""
    source = config.data.path
    assert source is not None
    copy = folder / source.name
    shutil.copyfile(source, copy)
    return replace(config, data=replace(config.data, path=copy))
