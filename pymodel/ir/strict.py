"""Strict reading of JSON that somebody may have damaged: every key there, none left over, right types, finite numbers.

The functions raise :class:`MalformedError`; each loader turns it into its own kind of user error.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn, TypeVar

from pymodel.ir._fixed import FixedPoint, Overflow, Rounding
from pymodel.ir._program import HostSpec, Task

__all__ = [
    "NUMBER",
    "Fields",
    "MalformedError",
    "check_fields",
    "check_schema",
    "enum_from",
    "fixed_from",
    "host_from",
    "host_to_json",
    "numbers_from",
    "refuse_constant",
    "strings_from",
]

Fields = dict[str, Any]
#: The types of a JSON number.
NUMBER = (int, float)
_T = TypeVar("_T")
_AGAIN = "build the model again with this version of kan4ml"


class MalformedError(ValueError):
    """A document is not what it should be; the message is a sentence without the file's name."""


def refuse_constant(text: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's JSON parser accepts; give this to it as `parse_constant`."""
    raise MalformedError(f"{text} is not a JSON number; {_AGAIN}")


def check_fields(value: object, where: str, **types: type | tuple[type, ...]) -> Fields:
    """Return `value` if it is an object with exactly the given keys and types, and finite numbers.

    Raises:
        MalformedError: otherwise.
    """
    if not isinstance(value, dict):
        raise MalformedError(f"{where} must be an object, not {type(value).__name__}; {_AGAIN}")
    missing, extra = sorted(types.keys() - value.keys()), sorted(map(str, value.keys() - types.keys()))
    if missing or extra:
        what = f"lacks {missing}" if missing else f"has the unknown keys {extra}"
        raise MalformedError(f"{where} {what}; {_AGAIN}")
    for key, expected in types.items():
        got = value[key]
        if not isinstance(got, expected) or (isinstance(got, bool) and expected is not bool):
            raise MalformedError(f"{where}.{key} has the wrong type {type(got).__name__}; {_AGAIN}")
        if expected == NUMBER:
            numbers_from([got], f"{where}.{key}")
    return value


def check_schema(found: int, *expected: int) -> int:
    """Return the schema version of a document; MalformedError unless this version of kan4ml reads it."""
    if found not in expected:
        known = " and ".join(map(str, expected))
        raise MalformedError(f"it has schema {found}, this version of kan4ml reads {known}; build the model again")
    return found


def numbers_from(value: list[Any], where: str) -> tuple[float, ...]:
    """Return a list of finite numbers as a tuple of floats; MalformedError otherwise."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise MalformedError(f"{where} must be a list of numbers; {_AGAIN}")
    try:
        result = tuple(float(v) for v in value)
    except OverflowError:
        result = (math.inf,)
    if not all(map(math.isfinite, result)):
        raise MalformedError(f"{where} must hold finite numbers; {_AGAIN}")
    return result


def strings_from(value: list[Any], where: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple; MalformedError otherwise."""
    if not all(isinstance(v, str) for v in value):
        raise MalformedError(f"{where} must be a list of strings; {_AGAIN}")
    return tuple(value)


def enum_from(kind: type[_T], name: str, where: str) -> _T:
    """Return the member `name` of an enum; MalformedError if there is none."""
    try:
        return kind[name]  # type: ignore[index,no-any-return]
    except KeyError:
        raise MalformedError(f"{where} is {name!r}, which this version of kan4ml does not know; {_AGAIN}") from None


def fixed_from(value: object, where: str) -> FixedPoint:
    """Return the fixed-point type that `FixedPoint.to_json` described."""
    f = check_fields(value, where, width=int, integer=int, signed=bool, rounding=str, overflow=str)
    rounding, overflow = enum_from(Rounding, f["rounding"], where), enum_from(Overflow, f["overflow"], where)
    return FixedPoint(f["width"], f["integer"], f["signed"], rounding, overflow)


def host_to_json(host: HostSpec) -> Fields:
    """Return a JSON-serialisable description of `host`."""
    return {
        "task": host.task.name.lower(),
        "features": list(host.features),
        "feature_offset": list(host.feature_offset),
        "feature_scale": list(host.feature_scale),
        "classes": list(host.classes),
        "target": host.target,
        "target_offset": host.target_offset,
        "target_scale": host.target_scale,
    }


def host_from(value: object) -> HostSpec:
    """Return the host part that :func:`host_to_json` described; MalformedError (or IRError) if it is malformed."""
    f = check_fields(
        value,
        "host",
        task=str,
        features=list,
        feature_offset=list,
        feature_scale=list,
        classes=list,
        target=str,
        target_offset=NUMBER,
        target_scale=NUMBER,
    )
    return HostSpec(
        task=enum_from(Task, f["task"].upper(), "host.task"),
        features=strings_from(f["features"], "host.features"),
        feature_offset=numbers_from(f["feature_offset"], "host.feature_offset"),
        feature_scale=numbers_from(f["feature_scale"], "host.feature_scale"),
        classes=strings_from(f["classes"], "host.classes"),
        target=f["target"],
        target_offset=float(f["target_offset"]),
        target_scale=float(f["target_scale"]),
    )
