"""Training of a KAN: float with gradual pruning, quantization-aware, and frozen to the integers of the KAN IR."""

from pymodel.train._checkpoint import Checkpoint
from pymodel.train._norms import reestimate, reestimate_folded
from pymodel.train._ranks import process_group
from pymodel.train._train import TrainResult, check_widths, train, train_float

__all__ = [
    "Checkpoint",
    "TrainResult",
    "check_widths",
    "process_group",
    "reestimate",
    "reestimate_folded",
    "train",
    "train_float",
]
