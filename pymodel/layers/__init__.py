"""KAN layers for torch: float ones for training, and frozen ones that compute the KAN IR's integers."""

from pymodel.layers._frozen import INPUT_NAME, CoderFacts, FrozenKAN, FrozenKANLinear
from pymodel.layers._frozen_file import load_frozen, save_frozen

__all__ = ["INPUT_NAME", "CoderFacts", "FrozenKAN", "FrozenKANLinear", "load_frozen", "save_frozen"]
