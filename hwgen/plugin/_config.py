"""`hls4ml.utils.config_from_pytorch_model` shows the KAN layers' real precisions.

hls4ml builds that configuration from classes of layers, so a type that belongs to one layer can only appear as `auto`.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["show_kan_precisions"]


def _add_precisions(config: dict[str, Any], model: Any) -> None:
    from hls4ml.utils.torch import CustomFXTracer

    from hwgen.plugin._precision import config_text
    from pymodel.layers import FrozenLayer

    def frozen(node: Any) -> FrozenLayer | None:
        module = model.get_submodule(node.target) if node.op == "call_module" else None
        return module if isinstance(module, FrozenLayer) else None

    layers = config["LayerName"]
    for node in CustomFXTracer().trace(model).nodes:
        module = frozen(node)
        readers = [frozen(user) for user in node.users]
        kinds = {reader.in_type for reader in readers if reader is not None}
        if module is not None:
            kind = module.out_type
        elif node.op == "placeholder" and None not in readers and len(kinds) == 1:
            (kind,) = kinds
        else:
            continue
        layers.setdefault(node.name, {}).setdefault("Precision", {})["result"] = config_text(kind)


def show_kan_precisions() -> None:
    """Wrap hls4ml's function, wherever it has already been imported within hls4ml."""
    import hls4ml.utils
    import hls4ml.utils.config

    original = hls4ml.utils.config.config_from_pytorch_model

    @functools.wraps(original)
    def config_from_pytorch_model(model: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        config: dict[str, Any] = original(model, *args, **kwargs)
        if "LayerName" in config:
            _add_precisions(config, model)
        return config

    hls4ml.utils.config.config_from_pytorch_model = config_from_pytorch_model
    hls4ml.utils.config_from_pytorch_model = config_from_pytorch_model
