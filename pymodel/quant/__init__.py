"""Quantization, in layers: functions, straight-through functions, quantizers, methods (QAT, PTQ), layers, presets."""

from pymodel.quant._calibrate import best_range, best_step, best_steps, covering_range
from pymodel.quant._freeze import OUTPUT_BITS, freeze
from pymodel.quant._functions import MULTIPLIER_BITS, dyadic, round_exact, round_half_up
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._live_norms import LiveNorms
from pymodel.quant._methods import METHODS, Method
from pymodel.quant._model import QuantKAN, quantize_model
from pymodel.quant._presets import PRESETS
from pymodel.quant._prune import edge_importance, edge_scores, prune_to
from pymodel.quant._quantizers import ActivationQuantizer, InputQuantizer, TensorQuantizer
from pymodel.quant._ste import fake_quantize, replace, scale_gradient
from pymodel.quant.ptq import post_training, start_from_float, start_from_gptq

__all__ = [
    "METHODS",
    "MULTIPLIER_BITS",
    "OUTPUT_BITS",
    "PRESETS",
    "ActivationQuantizer",
    "Codes",
    "InputQuantizer",
    "LiveNorms",
    "Method",
    "QuantKAN",
    "QuantKANLinear",
    "TensorQuantizer",
    "best_range",
    "best_step",
    "best_steps",
    "covering_range",
    "dyadic",
    "edge_importance",
    "edge_scores",
    "fake_quantize",
    "freeze",
    "post_training",
    "prune_to",
    "quantize_model",
    "replace",
    "round_exact",
    "round_half_up",
    "scale_gradient",
    "start_from_float",
    "start_from_gptq",
]
