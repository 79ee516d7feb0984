"""BatchNorm and PReLU between KAN layers: the same function once folded, tables correctly rounded, integers that agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pymodel.errors import ModelError
from pymodel.ir import HostSpec, KanLinear, Task
from pymodel.layers import (
    AfterPReLU,
    EfficientKANLinear,
    FastKANLinear,
    FrozenKAN,
    KAGNLinear,
    KnotFunctions,
    PyKANLinear,
    activate,
    fold,
)
from pymodel.lower import lower
from pymodel.quant import freeze, quantize_model
from pymodel.settings import QuantizeSettings
from tests.conformance import LayerConformance


def network() -> nn.Sequential:
    """A chain of three families with everything between them, its norms and slopes as after some training."""
    torch.manual_seed(0)
    moved = PyKANLinear(3, 4, range=(-2, 2), grid=3)
    moved.update_grid_from_samples(torch.randn(80, 3))
    parts = [
        EfficientKANLinear(3, 3, range=(-2, 2)),
        nn.BatchNorm1d(3),
        nn.PReLU(init=0.2),
        nn.Dropout(0.1),
        moved,
        nn.PReLU(init=-0.3),
        FastKANLinear(4, 3),
        nn.BatchNorm1d(3, affine=False),
        EfficientKANLinear(3, 2, activation="gelu"),
    ]
    chain = nn.Sequential(*parts)
    for _ in range(30):
        chain(torch.randn(64, 3))
    for module in chain:
        if isinstance(module, nn.BatchNorm1d) and module.affine:
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return chain.eval()


class TestFolded(LayerConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def frozen(cls) -> FrozenKAN:
        model = quantize_model(fold(network()), QuantizeSettings(activations=5, basis=7))
        model.calibrate(torch.randn(200, 3))
        host = HostSpec(Task.REGRESSION, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3)
        return freeze(model, name="kan", host=host)

    def test_tables_are_those_of_the_prelu(self, frozen: FrozenKAN) -> None:
        """Every entry is within half an LSB of the float function behind the PReLU, at every representative."""
        folded = fold(network())
        for layer, node in zip(folded.kan_layers(), lower(frozen).layers, strict=True):
            assert isinstance(node, KanLinear)
            assert node.base is not None
            functions, coder = layer.functions, node.spline.coder
            x = torch.from_numpy(coder.representatives)
            inner = functions
            if isinstance(functions, AfterPReLU):
                inner, x = functions.inner, activate(functions.before, x)
                assert node.base.activation.endswith(f"of_{functions.before}")
            values = inner.table(x)[0]
            by_input = values if isinstance(inner, KnotFunctions) else values.unsqueeze(0)
            basis = node.spline.basis
            dense = basis.dense().reshape(basis.n_tables, basis.n_codes, basis.n_basis)
            assert np.abs(dense * basis.lsb - by_input[..., 1:].numpy()).max() <= basis.lsb * (0.5 + 1e-6)
            assert np.abs(node.base.table * node.base.lsb - by_input[0, :, 0].numpy()).max() <= node.base.lsb * (
                0.5 + 1e-6
            )


def test_the_function_stays() -> None:
    chain = network()
    folded = fold(chain)
    x = torch.randn(300, 3) * 2
    assert (folded(x) - chain(x)).abs().max() < 1e-5 * chain(x).abs().max() + 1e-5
    kinds = [isinstance(layer.functions, AfterPReLU) for layer in folded.kan_layers()]
    assert kinds == [False, True, True, False]


def test_slopes_of_the_tables() -> None:
    functions = list(fold(network()).kan_layers())[2].functions
    points = torch.linspace(-3, 3, 50, dtype=torch.float64)
    numeric = (functions.table(points + 1e-6)[0] - functions.table(points - 1e-6)[0]) / 2e-6
    assert (functions.table(points)[1] - numeric).abs().max() < 1e-5


KAN3 = [EfficientKANLinear(2, 2), EfficientKANLinear(2, 2)]
REFUSED = {
    "norm first": ([nn.BatchNorm1d(2), KAN3[0]], "0 is a BatchNorm1d that folds into no KAN layer"),
    "norm after prelu": ([KAN3[0], nn.PReLU(), nn.BatchNorm1d(2), KAN3[1]], "2 is a BatchNorm1d that folds into no"),
    "prelu last": ([KAN3[0], nn.PReLU()], "into the KAN layer behind it, but none comes"),
    "slopes": ([KAN3[0], nn.PReLU(2), KAN3[1]], "a PReLU with 2 slopes, but one folds"),
    "linear": ([KAN3[0], nn.Linear(2, 2)], "1 is a Linear that folds into no KAN layer"),
    "other size": ([KAN3[0], nn.BatchNorm1d(3), KAN3[1]], "must be a BatchNorm1d over 2 outputs"),
    "layernorm": ([KAN3[0], nn.PReLU(), FastKANLinear(2, 2, layernorm=True)], "a PReLU does not fold into 2"),
    "products": ([PyKANLinear(2, 0, [2]), nn.BatchNorm1d(1)], "a BatchNorm1d does not fold into 1"),
    "silu before": ([KAN3[0], nn.PReLU(), KAGNLinear(2, 1, before="silu")], "whose inputs pass silu already"),
    "nothing": ([], "none comes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fold_is_refused(what: str) -> None:
    parts, message = REFUSED[what]
    with pytest.raises(ModelError, match=message):
        fold(nn.Sequential(*parts))
