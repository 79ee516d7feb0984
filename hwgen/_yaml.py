"""Safe YAML for configurations: plain data only, no aliases, no key twice, `1e-3` is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from pymodel.errors import ConfigError

__all__ = ["parse_yaml"]

_FLOAT = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class _Loader(yaml.SafeLoader):
    """`SafeLoader` that refuses aliases (a few lines of them can unfold to gigabytes) and repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]  # types-PyYAML leaves the parser untyped
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                raise yaml.MarkedYAMLError(problem="a key must be a plain word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-3 for text, because it has no point; every user takes it for a number.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(text: str, where: str) -> object:
    """Return the plain data in the YAML `text`.

    Args:
        text: one YAML document.
        where: its file, for the message.

    Raises:
        ConfigError: with the line, if the text is no YAML, holds an alias or a key twice, or is nested too deeply.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = " ".join((error.problem or error.context or "not valid YAML").split())
        raise ConfigError(f"{where}{line}: {problem}; correct the YAML there") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where} is not valid YAML ({' '.join(str(error).split())}); correct it") from None
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply for a configuration; is it the right file?") from None
