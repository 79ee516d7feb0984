"""Methods of quantization-aware training beyond LSQ: how weights and codes get their levels, and their gradients."""

from pymodel.quant.qat._activations import DsqActivations, FixedActivations, PactActivations
from pymodel.quant.qat._soft import soft_staircase, staircase_stiffness
from pymodel.quant.qat._weights import DorefaWeights, DsqWeights, LsqPlusWeights, QilWeights

__all__ = [
    "DorefaWeights",
    "DsqActivations",
    "DsqWeights",
    "FixedActivations",
    "LsqPlusWeights",
    "PactActivations",
    "QilWeights",
    "soft_staircase",
    "staircase_stiffness",
]
