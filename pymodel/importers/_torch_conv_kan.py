"""torch-conv-kan (Drokin), dense: `KAGN` (`GRAMLayer`), `KAN` (`KANLayer`) and `FastKAN` (`FastKANLayer`).

The kind of layer shows in its tensors. Dropout between layers has a number, but does nothing outside of training.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from pymodel.errors import ModelError
from pymodel.importers._chain import Chain, check_chain, copy_
from pymodel.importers._facts import Facts, activation_name, as_integer, as_pair
from pymodel.importers._fast_kan import RBF_MARKERS, fast_kan_layer
from pymodel.importers._layers import PReLUSplineLinear
from pymodel.importers._source import Layer, Source, check_shape, split_layers
from pymodel.layers import KAGNLinear, KANLayer

__all__ = ["import_dense"]

_GRAM: Final = frozenset({"grams_basis_weights"})
_SPLINE: Final = frozenset({"spline_weight"})


def import_dense(source: Source, facts: Facts) -> Chain:
    """Return the dense network or layer in `source`.

    Raises:
        ModelError: if tensors or facts are missing, wrong or contradictory.
    """
    layers = split_layers(source, _GRAM | _SPLINE | RBF_MARKERS, gaps=True)
    facts.ignore("dropout", "first_dropout", "l1_decay", "spline_weight_init_scale")
    kinds = [next(m for m in (_GRAM, _SPLINE, RBF_MARKERS) if m & layer.tensors.keys()) for layer in layers]
    if len(set(kinds)) > 1:
        raise ModelError(
            f"{source.where} mixes {', '.join(sorted({min(kind) for kind in kinds}))} layers; import them one by one, with a "
            "prefix each"
        )
    result: list[KANLayer] = []
    for index, layer in enumerate(layers):
        if kinds[0] is _GRAM:
            result.append(_gram(layer, facts, first=index == 0))
        elif kinds[0] is _SPLINE:
            result.append(_spline(layer, facts))
        else:
            result.append(_rbf(layer, facts))
    check_chain(layers, [(layer.in_features, layer.out_features) for layer in result], facts)
    single = next((layer for layer, ours in zip(layers, result, strict=True) if ours.out_features == 1), None)
    if single is not None and kinds[0] is _GRAM:
        raise ModelError(
            f"{single.label('norm.weight')!r} normalises one output to a constant; train the model with two outputs or more"
        )
    if kinds[0] is _GRAM:
        result = _norms_first(layers, result)
    return Chain(result)


def _gram(layer: Layer, facts: Facts, *, first: bool) -> KAGNLinear:
    """Return a `GRAMLayer` without its last steps, norm and SiLU, which are the next layer's first (`_norms_first`)."""
    names = ("beta_weights", "grams_basis_weights", "base_weights", "norm.weight", "norm.bias")
    beta, gram, base, *_ = layer.take(*names)
    if gram.dim() != 3 or gram.shape[2] < 2:
        raise ModelError(
            f"{layer.label('grams_basis_weights')!r} has shape {tuple(gram.shape)} where (inputs, outputs, degree + 1) with a "
            "degree of at least 1 was expected; check the family"
        )
    n_in, n_out, n_basis = (int(n) for n in gram.shape)
    check_shape(layer, "beta_weights", (n_basis,))
    check_shape(layer, "base_weights", (n_out, n_in))
    for name in names[3:]:
        check_shape(layer, name, (n_out,))
    live: Any = layer.module
    activation = facts.need(
        "base_activation",
        "the activation (of base branch, polynomials and output alike)",
        getattr(live, "act", None),
        activation_name,
    )
    if activation != "silu":
        raise ModelError(
            f"the fact base_activation is {activation!r}, but Gram layers are known with SiLU only; train the model with nn.SiLU"
        )
    facts.agree("degree", n_basis - 1, as_integer)
    result = KAGNLinear(
        n_in, n_out, degree=n_basis - 1, before="identity" if first else "silu", norm="none", layernorm=not first
    )
    copy_(result.beta_weights, beta)
    copy_(result.base_weight, base)
    copy_(result.spline_weight, gram.permute(1, 0, 2))
    return result


def _norms_first(layers: list[Layer], sums: list[KANLayer]) -> list[KANLayer]:
    """Return `sums` with every `GRAMLayer`'s norm in front of the next layer, and a last layer that is norm and SiLU."""
    result = [*sums, _silu(sums[-1].out_features)]
    for layer, following in zip(layers, result[1:], strict=True):
        assert isinstance(following, KAGNLinear)
        norm = following.layernorm
        assert norm is not None
        copy_(norm.weight, layer.tensors["norm.weight"])
        copy_(norm.bias, layer.tensors["norm.bias"])
        live: Any = layer.module
        norm.eps = float(getattr(getattr(live, "norm", None), "eps", norm.eps))
    return result


def _silu(n: int) -> KAGNLinear:
    """Return a layer with `y_o = SiLU(LayerNorm(x)_o)`: one edge per output, and no basis."""
    result = KAGNLinear(n, n, degree=1, norm="none", layernorm=True)
    copy_(result.base_weight, torch.eye(n))
    copy_(result.spline_weight, torch.zeros(n, n, 2))
    copy_(result.beta_weights, torch.zeros(2))
    result.apply_mask(torch.eye(n, dtype=torch.bool))
    return result


def _spline(layer: Layer, facts: Facts) -> PReLUSplineLinear:
    names = ("base_weight", "spline_weight", "layer_norm.weight", "layer_norm.bias", "prelu.weight")
    base, spline, scale, shift, slope = layer.take(*names)
    if spline.dim() != 3:
        raise ModelError(
            f"{layer.label('spline_weight')!r} has shape {tuple(spline.shape)} where (outputs, inputs, G + k) was expected; "
            "check the family"
        )
    n_out, n_in, n_basis = (int(n) for n in spline.shape)
    check_shape(layer, "base_weight", (n_out, n_in))
    for name in names[2:4]:
        check_shape(layer, name, (n_out,))
    check_shape(layer, "prelu.weight", (1,))
    live: Any = layer.module
    size, order, ends = spline_facts(facts, live, n_basis)
    activation = facts.need(
        "base_activation", "the activation of the base branch", getattr(live, "base_activation", None), activation_name
    )
    result = PReLUSplineLinear(n_in, n_out, grid=size, order=order, range=ends, activation=activation)
    copy_(result.base_weight, base)
    copy_(result.spline_weight, spline)
    copy_(result.norm.weight, scale)
    copy_(result.norm.bias, shift)
    copy_(result.prelu.weight, slope)
    result.norm.eps = float(getattr(getattr(live, "layer_norm", None), "eps", result.norm.eps))
    return result


def spline_facts(facts: Facts, live: Any, n_basis: int) -> tuple[int, int, tuple[float, float]]:
    """Return G, k and the range of B-splines whose grid is not in the state_dict.

    Raises:
        ModelError: if they are not given, or do not make `n_basis` functions.
    """
    ends = facts.need("grid_range", "the range of the splines' grid", getattr(live, "grid_range", None), as_pair)
    size = facts.get("grid_size", getattr(live, "grid_size", None), as_integer)
    order = facts.get("spline_order", getattr(live, "spline_order", None), as_integer)
    if size is None and order is None:
        facts.need("grid_size", f"how its {n_basis} basis functions split into grid intervals and spline order")
    size = n_basis - order if size is None else size
    order = n_basis - size if order is None else order
    if size + order != n_basis or size < 1 or order < 1:
        raise ModelError(
            f"the facts grid_size {size} and spline_order {order} do not make the {n_basis} basis functions that the tensors "
            "have; correct them"
        )
    return size, order, ends


def _rbf(layer: Layer, facts: Facts) -> KANLayer:
    if "layernorm.weight" not in layer.tensors:
        raise ModelError(
            f"the state_dict lacks {layer.label('layernorm.weight')!r}, which every FastKANLayer of torch-conv-kan has; give "
            "the whole layer, or family fast_kan"
        )
    result = fast_kan_layer(layer, facts)
    facts.agree("grid_size", result.grid_size, as_integer)
    facts.agree("grid_range", (result.low, result.high), as_pair)
    return result
