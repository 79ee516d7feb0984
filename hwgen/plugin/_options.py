"""What the user's configuration may say about a KAN layer; hls4ml ignores what it does not know."""

from __future__ import annotations

import difflib
from typing import Any

from pymodel.errors import ConfigError

__all__ = ["check_options"]

_OPTIONS = ("Precision", "ReuseFactor", "Strategy", "Trace")
_PRECISIONS = ("result", "default")


def check_options(config: Any, name: str, class_name: str) -> None:
    """Check that the configuration asks nothing of a KAN layer that would not be done.

    Args:
        config: hls4ml's `HLSConfig`.
        name: of the layer in hls4ml.
        class_name: hls4ml's class of layer.

    Raises:
        ConfigError: for an option that KAN layers do not have, or a precision of anything but the result: the widths inside
            a layer follow from its constants.
    """
    for section, key in (("LayerName", name), ("LayerType", class_name)):
        options = config.config["HLSConfig"].get(section, {}).get(key) or {}
        for option in options:
            if option not in _OPTIONS:
                near = difflib.get_close_matches(option, _OPTIONS, n=1, cutoff=0.75)
                raise ConfigError(
                    f"{section} {key} has the option {option!r}, but KAN layers have {', '.join(_OPTIONS)}; "
                    + (f"write {near[0]}" if near else "remove it")
                )
        precision = options.get("Precision")
        for variable, text in precision.items() if isinstance(precision, dict) else ():
            if variable not in _PRECISIONS and text != "auto":
                raise ConfigError(
                    f"{section} {key} asks for {text} as the precision of {variable}, but the types inside a KAN layer "
                    "follow from the frozen model; remove it"
                )
