"""What torch-conv-kan's B-spline layers keep in plain attributes: grid intervals, order and range."""

from __future__ import annotations

from typing import Any

from pymodel.errors import ModelError
from pymodel.importers._facts import Facts, as_integer, as_pair

__all__ = ["spline_facts"]


def spline_facts(facts: Facts, live: Any, n_basis: int) -> tuple[int, int, tuple[float, float]]:
    """Return G, k and the range of B-splines whose grid is not in the state_dict.

    Raises:
        ModelError: if they are not given, or do not make `n_basis` functions.
    """
    ends = facts.need("grid_range", "the range of the splines' grid", getattr(live, "grid_range", None), as_pair)
    size = facts.get("grid_size", getattr(live, "grid_size", None), as_integer)
    order = facts.get("spline_order", getattr(live, "spline_order", None), as_integer)
    if size is None and order is None:
        facts.need("grid_size", f"how its {n_basis} basis functions split into grid intervals and spline order")
    size = n_basis - order if size is None else size
    order = n_basis - size if order is None else order
    if size + order != n_basis or size < 1 or order < 1:
        raise ModelError(
            f"the facts grid_size {size} and spline_order {order} do not make the {n_basis} basis functions that the tensors "
            "have; correct them"
        )
    return size, order, ends
