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
from pymodel.importers._source import Layer, Source, check_shape, split_layers
from pymodel.importers._spline_facts import spline_facts
from pymodel.layers import EfficientKANLinear, KAGNLinear, KANLayer, prelu_name

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
    if kinds[0] is not RBF_MARKERS:
        result = _norms_apart(layers, result)
    return Chain(result)


def _gram(layer: Layer, facts: Facts, *, first: bool) -> KAGNLinear:
    """Return a `GRAMLayer` without its last steps, norm and SiLU, which are the next layer's first (`_norms_apart`)."""
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


def _norms_apart(layers: list[Layer], sums: list[KANLayer]) -> list[KANLayer]:
    """Return `sums` with what follows them in the library: a norm, then SiLU (`GRAMLayer`) or PReLU (`KANLayer`).

    A Gram layer takes the norm and the SiLU of the one before it as its own first steps. The others, and the last one of
    all, get a layer behind them with one edge per output and no basis.
    """
    result: list[KANLayer] = []
    for index, (layer, ours) in enumerate(zip(layers, sums, strict=True)):
        name = "norm" if "norm.weight" in layer.tensors else "layer_norm"
        if ours.out_features == 1:
            raise ModelError(
                f"{layer.label(name + '.weight')!r} normalises one output to a constant; train the model with two outputs or more"
            )
        result.append(ours)
        following = sums[index + 1] if index + 1 < len(sums) else None
        if not isinstance(following, KAGNLinear):
            slope = layer.tensors.get("prelu.weight")
            following = _alone(ours.out_features, "silu" if slope is None else prelu_name(float(slope)))
            result.append(following)
        norm = following.layernorm
        assert norm is not None
        copy_(norm.weight, layer.tensors[f"{name}.weight"])
        copy_(norm.bias, layer.tensors[f"{name}.bias"])
        norm.eps = float(getattr(getattr(layer.module, name, None), "eps", norm.eps))
    return result


def _alone(n: int, activation: str) -> KAGNLinear:
    """Return a layer with `y_o = activation(LayerNorm(x)_o)`: one edge per output, and no basis."""
    result = KAGNLinear(n, n, degree=1, norm="none", layernorm=True, activation=activation)
    copy_(result.base_weight, torch.eye(n))
    copy_(result.spline_weight, torch.zeros(n, n, 2))
    copy_(result.beta_weights, torch.zeros(2))
    result.apply_mask(torch.eye(n, dtype=torch.bool))
    return result


def _spline(layer: Layer, facts: Facts) -> EfficientKANLinear:
    """Return a `KANLayer` without its last steps, norm and PReLU, which are a layer of their own (`_norms_apart`)."""
    names = ("base_weight", "spline_weight", "layer_norm.weight", "layer_norm.bias", "prelu.weight")
    base, spline, *_ = layer.take(*names)
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
    result = EfficientKANLinear(n_in, n_out, grid=size, order=order, range=ends, activation=activation)
    copy_(result.base_weight, base)
    copy_(result.spline_weight, spline)
    return result


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
