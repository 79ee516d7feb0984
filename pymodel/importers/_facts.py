"""What a state_dict does not tell: given by the caller under the library's own names, or read off a live module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.nn import functional

from pymodel.errors import ModelError
from pymodel.layers import ACTIVATIONS, NO_BASE
from pymodel.suggest import suggest

__all__ = ["Facts", "activation_name", "as_integer", "as_pair", "as_real", "as_switch"]

#: torch's names of the activations that the layers have; lower case, without underscores.
_NAMES: Final = {name: name for name in ACTIVATIONS if name != NO_BASE} | {"swish": "silu"}
_FUNCTIONS: Final[dict[Callable[..., Any], str]] = {
    functional.silu: "silu",
    functional.gelu: "gelu",
    functional.relu: "relu",
    torch.relu: "relu",
    torch.tanh: "tanh",
    functional.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    functional.sigmoid: "sigmoid",
}


class Facts:
    """Given facts, asked for by name.

    Args:
        family: for messages.
        given: by name, as the library's constructor calls them; None stands for not given.

    Every fact that an importer asks for is known; :meth:`finish` refuses the others.
    """

    def __init__(self, family: str, given: Mapping[str, Any]) -> None:
        self._family = family
        self._given = {name: value for name, value in given.items() if value is not None}
        self._known: set[str] = set()

    def get(self, name: str, live: Any = None, kind: Callable[[str, Any], Any] | None = None) -> Any:
        """Return the fact called `name`, or None if neither the caller nor the live module tells it.

        Args:
            name: of the fact.
            live: what the live module says; None if it does not.
            kind: checks and converts a value, given its name and itself.

        Raises:
            ModelError: if the value is malformed, or the caller and the live module contradict each other.
        """
        self._known.add(name)
        convert = kind or (lambda _, value: value)
        given = convert(name, self._given[name]) if name in self._given else None
        told = None if live is None else convert(name, live)
        if given is not None and told is not None and not _same(given, told):
            raise ModelError(
                f"the fact {name} is given as {given!r}, but the live module has {told!r}; leave it out or correct it"
            )
        return told if given is None else given

    def need(self, name: str, why: str, live: Any = None, kind: Callable[[str, Any], Any] | None = None) -> Any:
        """Return the fact called `name`; as :meth:`get`, but it must be known.

        Args:
            name: of the fact.
            why: completes "the state_dict does not tell …".
            live: as in :meth:`get`.
            kind: as in :meth:`get`.

        Raises:
            ModelError: also if nobody tells it.
        """
        value = self.get(name, live, kind)
        if value is None:
            raise ModelError(
                f"the state_dict does not tell {why}; supply the fact {name}, e.g. {name}={_EXAMPLES[name]}"
            )
        return value

    def agree(self, name: str, told: Any, kind: Callable[[str, Any], Any]) -> None:
        """Check a fact that the tensors tell, if it is given.

        Raises:
            ModelError: if it differs.
        """
        given = self.get(name, None, kind)
        if given is not None and not _same(given, told):
            raise ModelError(
                f"the fact {name} is given as {given!r}, but the tensors have {told!r}; correct it or leave it out"
            )

    def ignore(self, *names: str) -> None:
        """Accept facts that do not change what a trained model computes (of initialisation and training)."""
        self._known.update(names)

    def finish(self) -> None:
        """Refuse facts that nobody asked for.

        Raises:
            ModelError: naming one.
        """
        odd = sorted(self._given.keys() - self._known)
        if odd:
            raise ModelError(f"{self._family} has no fact {odd[0]!r}; {suggest(odd[0], self._known)}")


_EXAMPLES: Final = {
    "base_activation": "'silu'",
    "base_fun": "'silu'",
    "grid_range": "[-1, 1]",
    "grid_size": "5",
    "in_dim": "8",
    "input_id": "[0, 1, 2]",
    "kernel_size": "3",
    "mult_arity": "2",
    "norm_layer": "'BatchNorm2d'",
    "padding": "1",
    "stride": "1",
    "dilation": "1",
    "groups": "1",
    "size": "(32, 32)",
    "spline_order": "3",
    "symbolic_functions": "{'0,0,0': 'sin'}",
    "width": "[4, [3, 1], 2]",
}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float | tuple) and isinstance(b, float | tuple):
        x, y = (value if isinstance(value, tuple) else (value,) for value in (a, b))
        return len(x) == len(y) and all(
            math.isclose(p, q, rel_tol=1e-6, abs_tol=1e-9) for p, q in zip(x, y, strict=True)
        )
    return bool(a == b)


def as_integer(name: str, value: Any) -> int:
    """Return an integer fact.

    Raises:
        ModelError: if it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelError(f"the fact {name} must be an integer, not {value!r}; correct it")
    return value


def as_real(name: str, value: Any) -> float:
    """Return a finite real fact.

    Raises:
        ModelError: if it is none.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ModelError(f"the fact {name} must be a finite number, not {value!r}; correct it")
    return float(value)


def as_switch(name: str, value: Any) -> bool:
    """Return a fact that is true or false.

    Raises:
        ModelError: if it is neither.
    """
    if not isinstance(value, bool):
        raise ModelError(f"the fact {name} must be true or false, not {value!r}; correct it")
    return value


def as_pair(name: str, value: Any) -> tuple[float, float]:
    """Return a range [low, high].

    Raises:
        ModelError: if it is none.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ModelError(f"the fact {name} must be a pair [low, high], not {value!r}; correct it")
    low, high = (as_real(name, end) for end in value)
    if not low < high:
        raise ModelError(f"the fact {name} must be [low, high] with low < high, not {[low, high]}; correct it")
    return low, high


def activation_name(name: str, value: Any) -> str:
    """Return our name of an activation that is given as a name, a function, a module or a module's class.

    Raises:
        ModelError: if the layers have none that computes the same.
    """
    if isinstance(value, nn.GELU) and value.approximate != "none":
        raise ModelError(
            f"the fact {name} is GELU's tanh approximation, and only the exact one (erf) is known; train with nn.GELU()"
        )
    if isinstance(value, str):
        text = value.rpartition(".")[2]
    elif isinstance(value, type):
        text = value.__name__
    elif isinstance(value, nn.Module):
        text = type(value).__name__
    else:
        text = next((ours for function, ours in _FUNCTIONS.items() if value is function), "")
    found = _NAMES.get(text.lower())
    if found is None:
        shown = repr(value) if len(repr(value)) <= 60 else type(value).__name__
        raise ModelError(
            f"the fact {name} is {shown}, which is no activation that the layers have; use one of "
            f"{', '.join(sorted(_NAMES))}, and train the model with it"
        )
    return found
