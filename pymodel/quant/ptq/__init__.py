"""Post-training quantization: from float weights and some rows to integers, without training."""

from pymodel.quant.ptq._adaround import RoundingWeights, rectified_sigmoid, rounding_penalty
from pymodel.quant.ptq._apply import post_training
from pymodel.quant.ptq._awq import awq_scales
from pymodel.quant.ptq._coder import output_range
from pymodel.quant.ptq._gptq import gptq_levels, least_squares_update
from pymodel.quant.ptq._hawq import allocate_bits, hutchinson_trace, sensitivities
from pymodel.quant.ptq._start import start_from_float, start_from_gptq

__all__ = [
    "RoundingWeights",
    "allocate_bits",
    "awq_scales",
    "gptq_levels",
    "hutchinson_trace",
    "least_squares_update",
    "output_range",
    "post_training",
    "rectified_sigmoid",
    "rounding_penalty",
    "sensitivities",
    "start_from_float",
    "start_from_gptq",
]
