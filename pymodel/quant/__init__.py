"""Quantization-aware training, in layers: functions, straight-through functions, quantizers, layers, presets."""

from pymodel.quant._calibrate import best_range, best_step
from pymodel.quant._freeze import OUTPUT_BITS, freeze
from pymodel.quant._functions import MULTIPLIER_BITS, dyadic, round_exact, round_half_up
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._model import QuantKAN, quantize_model
from pymodel.quant._presets import PRESETS
from pymodel.quant._prune import edge_importance, edge_scores, prune_to
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.quant._ste import fake_quantize, replace, scale_gradient

__all__ = [
    "MULTIPLIER_BITS",
    "OUTPUT_BITS",
    "PRESETS",
    "ActivationQuantizer",
    "Codes",
    "InputQuantizer",
    "QuantKAN",
    "QuantKANLinear",
    "TensorQuantizer",
    "best_range",
    "best_step",
    "dyadic",
    "edge_importance",
    "edge_scores",
    "fake_quantize",
    "freeze",
    "prune_to",
    "quantize_model",
    "replace",
    "round_exact",
    "round_half_up",
    "scale_gradient",
]
