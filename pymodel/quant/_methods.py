"""The registry of quantization methods: what a name in the configuration stands for."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pymodel.quant._quantizers import ActivationQuantizer, TensorQuantizer
from pymodel.quant.qat import (
    DorefaWeights,
    DsqActivations,
    DsqWeights,
    FixedActivations,
    LsqPlusWeights,
    PactActivations,
    QilWeights,
)

__all__ = ["METHODS", "Method"]


@dataclass(frozen=True)
class Method:
    """How weights and hidden inputs are quantized.

    Attributes:
        title: as papers write it.
        paper: where it comes from.
        post_training: whether it trains no epoch (`pymodel.quant.ptq`).
        weights: class of the weights' quantizers.
        activations: class of the hidden layers' coders.
    """

    title: str
    paper: str
    post_training: bool = False
    weights: type[TensorQuantizer] = TensorQuantizer
    activations: type[ActivationQuantizer] = ActivationQuantizer


#: By the names of `quantize.method`. LSQ's codes have a learned offset too: without a ReLU they need one.
METHODS: Final = MappingProxyType(
    {
        "lsq": Method("LSQ", "Esser et al. 2020, arXiv:1902.08153"),
        "lsq_plus": Method("LSQ+", "Bhalgat et al. 2020, arXiv:2004.09576", weights=LsqPlusWeights),
        "pact": Method(
            "PACT", "Choi et al. 2018, arXiv:1805.06085", weights=DorefaWeights, activations=PactActivations
        ),
        "dorefa": Method(
            "DoReFa", "Zhou et al. 2016, arXiv:1606.06160", weights=DorefaWeights, activations=FixedActivations
        ),
        "qil": Method("QIL", "Jung et al. 2019, arXiv:1808.05779", weights=QilWeights),
        "dsq": Method("DSQ", "Gong et al. 2019, arXiv:1908.05033", weights=DsqWeights, activations=DsqActivations),
        "minmax": Method("min-max", "the extremes of weights and activations", post_training=True),
        "percentile": Method("percentile", "Li et al. 2019, CVPR, FQN", post_training=True),
        "mse": Method("MSE", "least squared error, after Banner et al. 2019, arXiv:1810.05723", post_training=True),
        "gptq": Method("GPTQ", "Frantar et al. 2023, arXiv:2210.17323", post_training=True),
        "adaround": Method("AdaRound", "Nagel et al. 2020, arXiv:2004.10568", post_training=True),
        "brecq": Method("BRECQ", "Li et al. 2021, arXiv:2102.05426", post_training=True),
        "awq": Method("AWQ", "Lin et al. 2024, arXiv:2306.00978", post_training=True),
        "hawq_v2": Method("HAWQ-V2", "Dong et al. 2020, arXiv:1911.03852", post_training=True),
    }
)
