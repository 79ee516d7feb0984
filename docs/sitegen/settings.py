"""The reference of the configuration file, written from the settings' dataclasses and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING

import pymodel.settings
from hwgen.config import HardwareSettings, ImportSettings
from pymodel.settings import (
    ConvSettings,
    DataSettings,
    DistillSettings,
    ModelSettings,
    PruneSettings,
    QuantizeSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["attributes_of", "settings_page"]

SECTIONS: dict[str, type[DataclassInstance]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "model.conv": ConvSettings,
    "quantize": QuantizeSettings,
    "train": TrainSettings,
    "train.prune": PruneSettings,
    "train.distill": DistillSettings,
    "hardware": HardwareSettings,
    "imported": ImportSettings,
}


def attributes_of(cls: type) -> dict[str, str]:
    """Return what the section `Attributes:` of a Google docstring says of each attribute."""
    text = inspect.cleandoc(cls.__doc__ or "")
    block = re.search(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)+)", text, re.MULTILINE)
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in (block[1] if block else "").splitlines():
        start = re.match(r" {4}([\w, ]+):\s+(.*)", line)
        if start:
            names = [name.strip() for name in start[1].split(",")]
            for name in names:
                found[name] = [start[2]]
        elif line.strip():
            for name in names:
                found[name].append(line.strip())
    return {name: " ".join(lines) for name, lines in found.items()}


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if dataclasses.is_dataclass(value):
        return "see its section"
    return f"`{value}`"


def settings_page() -> str:
    """Return the page of all sections and keys as Markdown.

    Raises:
        ValueError: if a key is not described in its section's docstring.
    """
    out = [
        "# Configuration file",
        "",
        (
            "Written from the settings' dataclasses when this site is built. One YAML file configures a build; `--set section.key=value` "
            "overrides any key; an unknown key is refused with the nearest known one. `kan4ml build` writes the resolved file, every "
            "default spelled out, to `DIR/config.yaml`."
        ),
        "",
    ]
    for section, cls in SECTIONS.items():
        text = inspect.cleandoc(cls.__doc__ or "").splitlines()[0]
        described = attributes_of(cls)
        out += [f"## `{section}`", "", _plain(text), "", "| key | meaning | default |", "| --- | --- | --- |"]
        for field in dataclasses.fields(cls):
            if field.name.startswith("_"):
                continue
            if field.name not in described:
                raise ValueError(f"{cls.__name__}.{field.name} is not described in the class's docstring; add it")
            out.append(f"| `{section}.{field.name}` | {_plain(described[field.name])} | {_default(field)} |")
        out.append("")
    return "\n".join(out)


def _values(match: re.Match[str]) -> str:
    """Return the values of a constant of :mod:`pymodel.settings` in place of its name."""
    return ", ".join(f"`{value}`" for value in getattr(pymodel.settings, match[1]))


def _plain(text: str) -> str:
    """Return a docstring's sentence as Markdown: roles become literals, what would be markup is escaped."""
    text = re.sub(r":data:`([A-Z_]+)`", _values, text)
    text = re.sub(r":\w+:`~?([^`]+)`", lambda match: f"`{match[1].rsplit('.', 1)[-1]}`", text)
    parts = text.replace("|", "\\|").split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*_<])", r"\\\1", parts[i])
    return "`".join(parts)
