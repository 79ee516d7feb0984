"""The interface file of a kernel: names, lengths and directions of parameters that its C++ signature leaves open.

ports:              # one per parameter, in order; every key may be left out
  - {name: x, length: 8, direction: in}
  - {name: y, length: 4, direction: out}
"""

from __future__ import annotations

import re
from pathlib import Path

from hwgen._yaml import parse_yaml
from hwgen.openhls._interface import MAX_ELEMENTS, Direction
from hwgen.openhls._kernel import PortSpec
from pymodel._regular import check_regular
from pymodel.errors import ConfigError
from pymodel.suggest import suggest

__all__ = ["load_ports"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_KEYS = ("name", "length", "direction")
_MAX_BYTES = 1 << 20


def load_ports(path: Path) -> tuple[PortSpec, ...]:
    """Read an interface file.

    Raises:
        ConfigError: if it cannot be read or says something that is not understood.
    """
    try:
        if check_regular(path) > _MAX_BYTES:
            raise ConfigError(f"the interface file {path} has more than {_MAX_BYTES >> 20} MiB; is it the right file?")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the interface file {path} cannot be read ({error}); check it") from None
    document = parse_yaml(text, str(path))
    ports = document.get("ports") if isinstance(document, dict) else None
    if not isinstance(ports, list) or not isinstance(document, dict) or set(document) != {"ports"}:
        raise ConfigError(f"{path}: one key 'ports' with a list was expected; write one entry per parameter")
    return tuple(_port(entry, number, path) for number, entry in enumerate(ports, start=1))


def _port(entry: object, number: int, path: Path) -> PortSpec:
    where = f"{path}: port {number}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} must be a mapping such as {{name: x, length: 8, direction: in}}, not {entry!r}")
    for key in entry:
        if key not in _KEYS:
            raise ConfigError(f"{where} has the unknown key {key!r}; {suggest(str(key), _KEYS)}")
    name, length = entry.get("name", ""), entry.get("length", 0)
    direction = entry.get("direction", "unknown")
    if not isinstance(name, str) or (name and not _NAME.fullmatch(name)):
        raise ConfigError(f"{where}: name must be a plain identifier, not {name!r}; change it")
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= MAX_ELEMENTS:
        raise ConfigError(f"{where}: length must be 1 to {MAX_ELEMENTS}, not {length!r}; change it")
    if direction not in ("in", "out", "unknown"):
        raise ConfigError(f"{where}: direction must be in or out, not {direction!r}; change it")
    return PortSpec(name, length, Direction(direction))
