"""The range of a layer's codes: from its inputs, or from what the layer makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from pymodel.quant._calibrate import best_range, covering_range
from pymodel.quant._conv import QuantKANConv
from pymodel.quant._layers import Codes, QuantKANLinear
from pymodel.quant._norm import QuantNormedLinear, QuantNormLinear
from pymodel.quant._quantizers import ActivationQuantizer
from pymodel.quant._ste import codes_of, rows_of
from pymodel.quant.ptq._unrounded import features_at, float_sums, nodes_of, sums_of
from pymodel.quant.ptq._windows import sample_windows, window_features, window_values

__all__ = ["clipped_share", "output_range", "set_input_range", "set_normal_range"]

#: Largest number of rows times inputs (windows times their inputs) of the output coder, and its grid of ends.
_MAX_VALUES, _MAX_CONV_VALUES = 1 << 17, 1 << 18
_ENDS = 9
_ROUNDS = 3
#: At most this share of the range is cut at either end.
_MAX_CUT = 0.49


def clipped_share(n_levels: int) -> float:
    """Return the share of values that the percentile method clips at either end: `1 / n_levels^2`.

    A fixed share (0.1 % is usual at 8 bits) clips next to nothing where there are three or four levels. For normal
    values this one is about that of least squared error: 0.0015 % with 256 levels, 0.4 % with 16, 6 % with 4, 11 % with 3.
    """
    return 1.0 / n_levels**2


@torch.no_grad()
def output_range(
    function: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, target: Tensor, n_codes: int
) -> tuple[float, float]:
    """Return (low, step) of codes of `inputs` with which the layer that reads them is closest to `target`.

    The error of an input is the wrong measure in a KAN: a basis has a finite range and its functions vary most in the
    middle. Gaussians on [-2, 2] see nothing of inputs beyond, which the least squared error of inputs would spend most
    of its codes on. So the error of the layer's outputs is minimised, but for its mean, which a bias takes; the ends
    are searched on a grid that narrows down.

    Args:
        function: what the float layer makes of codes (B, …), int64, given what each code stands for, (C,) float64
            on the CPU.
        inputs: (B, …), its inputs as the quantized layers before it give them.
        target: (B, N), its outputs in the float network.
        n_codes: C.
    """
    first, last = float(inputs.min()), float(inputs.max())
    if first == last:
        return best_range(inputs, n_codes)
    best, at = (float("inf"), *best_range(inputs, n_codes)), (0.0, 0.0)
    spans = [(0.0, _MAX_CUT), (0.0, _MAX_CUT)]
    width = _MAX_CUT
    points = torch.arange(n_codes, dtype=torch.float64)  # on the CPU, where tables of few codes cost least
    for _ in range(_ROUNDS):
        cuts = [torch.linspace(a, b, _ENDS, dtype=torch.float64).tolist() for a, b in spans]
        for a in cuts[0]:
            for b in cuts[1]:
                low = first + a * (last - first)
                step = (last - b * (last - first) - low) / (n_codes - 1)
                codes = codes_of((inputs - low) / step, n_codes)
                difference = function(low + step * points, codes) - target
                error = float((difference - difference.mean(dim=0)).square().sum())
                if error < best[0]:
                    best, at = (error, low, step), (a, b)
        width /= _ENDS // 2
        spans = [(max(0.0, c - width), min(_MAX_CUT, c + width)) for c in at]
    return best[1], best[2]


def _simple(kind: str, inputs: Tensor, n_codes: int) -> tuple[float, float]:
    """Return (low, step) by a coder that looks at nothing but the inputs."""
    if kind == "minmax":
        return covering_range(inputs, n_codes)
    return (
        covering_range(inputs, n_codes, clipped_share(n_codes)) if kind == "percentile" else best_range(inputs, n_codes)
    )


def _table(layer: QuantKANLinear, points: Tensor) -> Tensor:
    """Return the float features of codes, (C, F) or (I, C, F)."""
    return torch.from_numpy(layer.functions.code_table(points.numpy())[0]).to(layer.base_weight)


def _dense(layer: QuantKANLinear, points: Tensor, codes: Tensor) -> Tensor:
    """Return the float nodes for codes (B, I)."""
    if isinstance(layer, QuantNormLinear):
        return nodes_of(layer, float_sums(layer, points.to(layer.base_weight)[codes]))
    return nodes_of(layer, sums_of(layer, rows_of(codes, _table(layer, points))))


def _windows(layer: QuantKANConv, phi: Tensor) -> Tensor:
    """Return the float sums (R, N) of windows' features (R, G, K)."""
    base, spline = layer.masked_weights()
    weight = torch.cat((base.unsqueeze(-1), spline), dim=-1).view(phi.shape[1], -1, phi.shape[2])
    return torch.einsum("rgk,gnk->rgn", phi, weight).flatten(1)


@torch.no_grad()
def set_input_range(kind: str, layer: QuantKANLinear, inputs: Tensor, wanted: Tensor) -> None:
    """Settle the codes of a hidden layer by the coder called `kind`, one of `pymodel.settings.CODERS`.

    Args:
        kind: of the coder.
        layer: with its float weights.
        inputs: (B, n_inputs), what the quantized layers before it give, real.
        wanted: (B, n_inputs), its inputs in the float network.
    """
    coder = layer.quantizer
    assert isinstance(coder, ActivationQuantizer)
    if kind != "output":
        coder.set_range(*_simple(kind, inputs, coder.n_codes))
        return
    function: Callable[[Tensor, Tensor], Tensor]
    if isinstance(layer, QuantKANConv):
        g = layer.geometry
        most = max(1, _MAX_CONV_VALUES // (g.n_taps * g.channels))
        at = sample_windows(g, len(inputs), inputs.device, most)
        x, exists = window_values(inputs, at, g)

        def function(points: Tensor, codes: Tensor) -> Tensor:
            return _windows(layer, window_features(codes, exists, _table(layer, points), g.groups))

        real = features_at(layer, window_values(wanted, at, g)[0]) * exists[..., None, None]
        target = _windows(layer, real.view(*exists.shape, g.groups, -1).transpose(1, 2).reshape(len(x), g.groups, -1))
    else:
        stride = max(1, -(-inputs.numel() // _MAX_VALUES))
        x, function = inputs[::stride], partial(_dense, layer)
        target = nodes_of(layer, float_sums(layer, wanted[::stride]))
    coder.set_range(*output_range(function, x, target, coder.n_codes))


@torch.no_grad()
def set_normal_range(kind: str, layer: QuantNormLinear, unrounded: QuantKANLinear, u: Tensor, wanted: Tensor) -> None:
    """Settle the codes of what a layer's norm gives, by the coder called `kind`.

    Args:
        kind: of the coder.
        layer: whose inputs' codes are settled.
        unrounded: the same layer with its float weights.
        u: (B, I), its inputs in units of codes.
        wanted: (B, I), its inputs in the float network.
    """
    here = Codes(*layer.quantizer.scaled(1))
    stride = max(1, -(-u.numel() // _MAX_VALUES)) if kind == "output" else 1
    x = here.low + here.step * codes_of(u[::stride], layer.quantizer.n_codes).to(u)
    z = functional.layer_norm(x.to(u), (layer.in_features,), layer.gamma, layer.beta, layer.epsilon)
    n_codes = layer.normal.n_codes
    if kind == "output":
        base = features_at(unrounded, x.to(u))[..., :1]

        def function(points: Tensor, codes: Tensor) -> Tensor:
            phi = rows_of(codes, _table(unrounded, points))
            return sums_of(
                unrounded, phi if isinstance(layer, QuantNormedLinear) else torch.cat((base, phi[..., 1:]), dim=-1)
            )

        found = output_range(function, z, float_sums(unrounded, wanted[::stride]), n_codes)
    else:
        found = _simple(kind, z, n_codes)
    layer.normal.set_range(*found)
    layer.settled.fill_(True)
