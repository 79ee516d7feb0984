"""Conversion as `kan4ml build` does it: quiet, with every setting given."""

from __future__ import annotations

import contextlib
import io as text_io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from hwgen._reuse import reuse_factors
from hwgen.plugin._node import reuse_domain
from pymodel.errors import ConfigError, ModelError
from pymodel.layers import FrozenKAN, FrozenKANConv, FrozenKANLinear

__all__ = ["PROJECT_NAME", "convert_frozen"]

#: Name of the generated project and of its top function.
PROJECT_NAME = "kan_top"
_STRATEGIES = {"latency": "Latency", "resource": "Resource", "edge_table": "EdgeTable"}


def convert_frozen(
    model: nn.Module,
    output_dir: Path,
    *,
    part: str,
    clock_ns: float,
    strategy: str,
    reuse_factor: int | str | Sequence[int | str],
    io: str,
) -> Any:
    """See :func:`hwgen.plugin.convert`."""
    import hls4ml

    from hwgen.plugin._layer import BACKEND_NAME

    if not isinstance(model, FrozenKAN):
        raise ModelError(f"a FrozenKAN can be converted, not a {type(model).__name__}; freeze the model first")
    if strategy not in _STRATEGIES:
        raise ConfigError(f"strategy must be one of {', '.join(_STRATEGIES)}, not {strategy!r}; choose one")
    kan = [(name, layer) for name, layer in model.named_layers() if isinstance(layer, FrozenKANLinear | FrozenKANConv)]
    domains = [reuse_domain(layer.ir_node(name, "x"), io)[0] for name, layer in kan]
    reuse = reuse_factors("reuse_factor", reuse_factor, domains)
    config = {
        "Model": {
            "Precision": "ap_fixed<16,6>",
            "ReuseFactor": 1,
            "Strategy": _STRATEGIES[strategy],
            "ChannelsLastConversion": "off",
        },
        "LayerName": {name: {"ReuseFactor": r} for (name, _), r in zip(kan, reuse, strict=True)},
        "InputShape": (len(model.host.features),),
    }
    with contextlib.redirect_stdout(text_io.StringIO()):
        result = hls4ml.converters.convert_from_pytorch_model(
            model,
            output_dir=str(output_dir),
            project_name=PROJECT_NAME,
            backend=BACKEND_NAME,
            hls_config=config,
            part=part,
            clock_period=clock_ns,
            io_type=io,
            portable=True,
        )
        result.write()
    return result
