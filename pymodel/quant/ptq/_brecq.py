"""BRECQ (Li et al. 2021, arXiv:2102.05426): the rounding of a whole block of layers, learned together.

A block of a KAN is two layers. The paper's blocks are what a skip connection spans, inside which layers depend on each
other; in a chain it is the pair whose codes lie between: the first layer's rounding decides which code its neighbour
reads, and the code's rounding is far coarser than a weight's. The output's error is weighted by the Fisher information of the
loss there (equation 10), and the steps of the codes inside the block learn along, as in the paper. Each layer starts
from its own AdaRound, softened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant.ptq._adaround import RoundingWeights, adaround, finish_rounding, learn_rounding, rectified_sigmoid
from pymodel.quant.ptq._problem import Problem, branch_quantizers

__all__ = ["BLOCK_LAYERS", "Block", "fisher"]

BLOCK_LAYERS = 2
_STEPS, _RATE = 500, 0.02
#: Rows on which the block is compared with AdaRound layer by layer.
_JUDGED = 4096


def fisher(rest: Sequence[nn.Module], z: Tensor) -> Tensor:
    """Return the diagonal Fisher information of the float network at `z` (B, N), its mean over everything 1.

    The squared gradient of the log-likelihood of a label that the network itself draws (several outputs), or of a normal
    distribution around its output (one output); no labels are needed.

    Args:
        rest: the float layers behind `z`, none for the last layer.
        z: outputs of a layer.
    """
    with torch.enable_grad():
        at = z.detach().requires_grad_()
        y = at
        for layer in rest:
            y = layer(y)
        if y.shape[1] > 1:
            generator = torch.Generator().manual_seed(0)
            p = torch.softmax(y.detach(), dim=1).cpu().double()
            drawn = torch.multinomial(p, 1, generator=generator).squeeze(1).to(y.device)
            loss = functional.cross_entropy(y, drawn, reduction="sum")
        else:
            loss = y.sum()
        (gradient,) = torch.autograd.grad(loss, at)
    square = gradient.square()
    return square / square.mean().clamp_min(1e-30)


class Block:
    """Layers whose rounding is learned together, once all of them are calibrated.

    Args:
        rest: the float layers behind the block, for the Fisher information.
    """

    def __init__(self, rest: Sequence[nn.Module]) -> None:
        self.rest = rest
        self.problems: list[Problem] = []
        self.rounding: list[tuple[RoundingWeights, RoundingWeights]] = []

    def add(self, problem: Problem) -> None:
        """Take a layer into the block; AdaRound decides its rounding for now."""
        self.problems.append(problem)
        self.rounding.append(adaround(problem))

    def learn(self) -> None:
        """Learn the rounding of all layers and store it; the last one's bias must be set anew."""
        layers = [problem.layer for problem in self.problems]
        inner = [layer.quantizer for layer in layers[1:]]
        first, last = self.problems[0], self.problems[-1]
        weight = fisher(self.rest, last.target)
        settled = [branch_quantizers(layer) for layer in layers]
        for layer, (base, spline) in zip(layers, self.rounding, strict=True):
            layer.base_quantizer, layer.spline_quantizer = base, spline
        extra = [q.log_step for q in inner if isinstance(q, ActivationQuantizer)]
        with torch.enable_grad():

            def error(rows: Tensor) -> Tensor:
                difference = _run(layers, first.here, first.u[rows]) - last.target[rows]
                centred = difference - difference.mean(dim=0)
                return (centred.square() * weight[rows]).sum(dim=1).mean()

            quantizers = [q for pair in self.rounding for q in pair]
            parameters = [*(q.v for q in quantizers), *extra]
            before, start = self._decided(error), [p.detach().clone() for p in parameters]
            for quantizer in quantizers:
                quantizer.reopen()
            learn_rounding(quantizers, error, first.u.shape[0], extra=extra, steps=_STEPS, rate=_RATE)
        if self._decided(error) >= before:  # samples of rows misled it: AdaRound's stands
            with torch.no_grad():
                for parameter, old in zip(parameters, start, strict=True):
                    parameter.copy_(old)
        for layer, own in zip(layers, settled, strict=True):
            layer.base_quantizer, layer.spline_quantizer = own
        for problem, pair in zip(self.problems, self.rounding, strict=True):
            finish_rounding(problem, *pair)

    @torch.no_grad()
    def _decided(self, error: Callable[[Tensor], Tensor]) -> float:
        """Return the error with every rounding decided, over many rows."""
        quantizers = [q for pair in self.rounding for q in pair]
        saved = [q.v.detach().clone() for q in quantizers]
        for q in quantizers:
            q.v.copy_(torch.where(rectified_sigmoid(q.v) >= 0.5, 20.0, -20.0))
        rows = self.problems[0].u.shape[0]
        found = float(error(torch.arange(min(rows, _JUDGED), device=quantizers[0].v.device)))
        for q, v in zip(quantizers, saved, strict=True):
            q.v.copy_(v)
        return found


def _run(layers: Sequence[QuantKANLinear], here: Codes, u: Tensor) -> Tensor:
    """Return the real outputs of the last of `layers` for inputs of the first, in units of its codes."""
    codes = [here, *(Codes(*layer.quantizer.scaled(layer.in_features)) for layer in layers[1:])]
    for layer, at, after in zip(layers, codes, [*codes[1:], None], strict=True):
        u = layer(u, at, after)
    return u
