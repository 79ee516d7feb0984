"""KAN layers for torch: float ones for training, and frozen ones that compute the KAN IR's integers."""

from pymodel.layers._bspline import feature_table, uniform_knots
from pymodel.layers._efficient_kan import MAX_ORDER, EfficientKAN, EfficientKANLinear
from pymodel.layers._float_file import load_float, save_float
from pymodel.layers._frozen import INPUT_NAME, CoderFacts, FrozenKAN, FrozenKANLinear
from pymodel.layers._frozen_file import load_frozen, save_frozen
from pymodel.layers._handlers import ensure_layer_handlers

__all__ = [
    "INPUT_NAME",
    "MAX_ORDER",
    "CoderFacts",
    "EfficientKAN",
    "EfficientKANLinear",
    "FrozenKAN",
    "FrozenKANLinear",
    "ensure_layer_handlers",
    "feature_table",
    "load_float",
    "load_frozen",
    "save_float",
    "save_frozen",
    "uniform_knots",
]
