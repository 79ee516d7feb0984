"""Training of a KAN: float with gradual pruning, quantization-aware, and frozen to the integers of the KAN IR."""

from pymodel.train._train import TrainResult, check_widths, train

__all__ = ["TrainResult", "check_widths", "train"]
