"""What hls4ml's own front end and layers get wrong without a word, refused in models of this backend."""

from __future__ import annotations

import operator
from typing import Any

from hls4ml.utils.torch import CustomFXTracer
from torch import nn

from pymodel.errors import ModelError

__all__ = ["check_graph", "check_indexing"]


def check_indexing(model: Any) -> None:
    """Check that `model` takes no part of a tensor: hls4ml 1.3 goes on with the whole one.

    Args:
        model: the torch model.

    Raises:
        ModelError: if it does; choosing one of the results of a recurrent layer is what hls4ml means by an index.
    """
    for node in CustomFXTracer().trace(model).nodes:
        if node.op != "call_function" or node.target is not operator.getitem:
            continue
        source = node.args[0]
        while source.op == "call_function" and source.target is operator.getitem:
            source = source.args[0]
        if source.op != "call_module" or not isinstance(model.get_submodule(str(source.target)), nn.RNNBase):
            raise ModelError(
                f"forward indexes the value of {source.name}, which hls4ml ignores: it would go on with the whole tensor; "
                "choose the columns before the model or in a Linear layer"
            )


def check_graph(model: Any) -> None:
    """Check that no PReLU has fewer slopes than inputs: hls4ml 1.3 reads one slope per input, whatever there is.

    Args:
        model: the hls4ml graph.

    Raises:
        ModelError: if one has.
    """
    for layer in model.get_layers():
        if layer.class_name != "PReLU":
            continue
        n_in, slopes = int(layer.get_input_variable().size()), int(layer.weights["param"].data.size)
        if slopes != n_in:
            raise ModelError(
                f"layer {layer.name} is a PReLU of {n_in} inputs with {slopes} slopes, but hls4ml reads one per input, beyond "
                f"its table; use nn.PReLU({n_in}) on a flat tensor"
            )
