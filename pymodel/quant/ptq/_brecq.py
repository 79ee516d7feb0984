"""BRECQ (Li et al. 2021, arXiv:2102.05426): the rounding of a whole block of layers, learned together.

A block of a KAN is two layers. The paper's blocks are what a skip connection spans, inside which layers depend on each
other; in a chain it is the pair whose codes lie between: the first layer's rounding decides which code its neighbour
reads, and the code's rounding is far coarser than a weight's. The output's error is weighted by the Fisher information of the
loss there (equation 10), and the steps of the codes inside the block learn along, as in the paper. Each layer starts
from its own AdaRound, softened. Pools, products and norms are inside the block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._norm import QuantNormLinear
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant.ptq._adaround import RoundingWeights, adaround, finish_rounding, learn_rounding, rectified_sigmoid
from pymodel.quant.ptq._problem import Problem, branch_quantizers

__all__ = ["BLOCK_LAYERS", "Block", "fisher"]

BLOCK_LAYERS = 2
_STEPS, _RATE, _ROWS = 500, 0.02, 256
#: Rows on which the block is compared with AdaRound layer by layer.
_JUDGED = 4096
#: Values of a block's widest layer: of a step, of that comparison, and of all rows; images are fewer than rows.
_STEP_VALUES, _JUDGED_VALUES, _MAX_VALUES = 1 << 19, 1 << 22, 1 << 25


def fisher(rest: Sequence[nn.Module], z: Tensor, batch: int = 1 << 14) -> Tensor:
    """Return the diagonal Fisher information of the float network at `z` (B, N), its mean over everything 1.

    The squared gradient of the log-likelihood of a label that the network itself draws (several outputs), or of a normal
    distribution around its output (one output); no labels are needed.

    Args:
        rest: the float layers behind `z`, none for the last layer.
        z: outputs of a layer.
        batch: rows at once.
    """
    generator = torch.Generator().manual_seed(0)
    parts = []
    for start in range(0, len(z), batch):
        with torch.enable_grad():
            at = z[start : start + batch].detach().clone().requires_grad_()
            y = at
            for layer in rest:
                y = layer(y)
            if y.shape[1] > 1:
                p = torch.softmax(y.detach(), dim=1).cpu().double()
                drawn = torch.multinomial(p, 1, generator=generator).squeeze(1).to(y.device)
                loss = functional.cross_entropy(y, drawn, reduction="sum")
            else:
                loss = y.sum()
            (gradient,) = torch.autograd.grad(loss, at)
        parts.append(gradient.square())
    square = torch.cat(parts)
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

    def learn(self, wanted: Tensor) -> None:
        """Learn the rounding of all layers and store it; the last one's bias must be set anew.

        Args:
            wanted: (B, n_nodes), what the last layer's nodes are in the float network.
        """
        layers = [problem.layer for problem in self.problems]
        first, last = self.problems[0], layers[-1]
        widest = max(max(layer.n_inputs, layer.n_nodes) for layer in layers)
        stride = max(1, -(-len(wanted) * widest // _MAX_VALUES))
        u, target = first.u[::stride], wanted[::stride]
        weight = fisher(self.rest, target, max(16, _STEP_VALUES // widest))
        settled = [branch_quantizers(layer) for layer in layers]
        for layer, (base, spline) in zip(layers, self.rounding, strict=True):
            layer.base_quantizer, layer.spline_quantizer = base, spline
        coders = [layer.quantizer for layer in layers[1:]]
        coders += [layer.normal for layer in layers if isinstance(layer, QuantNormLinear)]
        extra = [q.log_step for q in coders if isinstance(q, ActivationQuantizer)]
        # A bias takes the mean error: of a node, or of all pixels of a channel.
        channels = last.out_features if isinstance(last, QuantKANConv) else last.n_nodes
        with torch.enable_grad():

            def error(rows: Tensor) -> Tensor:
                difference = (_run(layers, first.here, u[rows]) - target[rows]).view(len(rows), -1, channels)
                centred = (difference - difference.mean(dim=(0, 1))).flatten(1)
                result: Tensor = (centred.square() * weight[rows]).sum(dim=1).mean()
                return result

            quantizers = [q for pair in self.rounding for q in pair]
            parameters = [*(q.v for q in quantizers), *extra]
            judged = torch.arange(min(len(u), _JUDGED, max(64, _JUDGED_VALUES // widest)), device=u.device)
            before, start = self._decided(error, judged), [p.detach().clone() for p in parameters]
            for quantizer in quantizers:
                quantizer.reopen()
            batch = min(_ROWS, max(16, _STEP_VALUES // widest))
            learn_rounding(quantizers, error, len(u), extra=extra, steps=_STEPS, rate=_RATE, batch=batch)
        if self._decided(error, judged) >= before:  # samples of rows misled it: AdaRound's stands
            with torch.no_grad():
                for parameter, old in zip(parameters, start, strict=True):
                    parameter.copy_(old)
        for layer, own in zip(layers, settled, strict=True):
            layer.base_quantizer, layer.spline_quantizer = own
        for problem, pair in zip(self.problems, self.rounding, strict=True):
            finish_rounding(problem, *pair)

    @torch.no_grad()
    def _decided(self, error: Callable[[Tensor], Tensor], rows: Tensor) -> float:
        """Return the error with every rounding decided."""
        quantizers = [q for pair in self.rounding for q in pair]
        saved = [q.v.detach().clone() for q in quantizers]
        for q in quantizers:
            q.v.copy_(torch.where(rectified_sigmoid(q.v) >= 0.5, 20.0, -20.0))
        found = float(error(rows))
        for q, v in zip(quantizers, saved, strict=True):
            q.v.copy_(v)
        return found


def _run(layers: Sequence[QuantKANLinear], here: Codes, u: Tensor) -> Tensor:
    """Return the real outputs of the last of `layers` for inputs of the first, in units of its codes."""
    codes = [here, *(Codes(*layer.quantizer.scaled(layer.n_inputs)) for layer in layers[1:])]
    for layer, at, after in zip(layers, codes, [*codes[1:], None], strict=True):
        u = layer(u, at, after)
    return u
