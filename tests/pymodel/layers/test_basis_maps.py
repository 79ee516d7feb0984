"""The maps that train: values of the formulas, and gradients of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from pymodel.layers import GramFunctions, RbfFunctions
from pymodel.layers._basis_maps import gram_map, rbf_map
from pymodel.layers._functions import BSplineFunctions, Functions, gram_values


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_gram_map(degree: int) -> None:
    torch.manual_seed(degree)
    z = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    factors = torch.tensor([0.0, 0.0, 0.3, -0.2, 0.1, 0.4][: degree + 1], dtype=torch.float64)
    expected = functional.silu(gram_values(torch.tanh(z), factors, degree)).transpose(-1, -2)
    torch.testing.assert_close(gram_map(z, factors, degree), expected)
    assert torch.autograd.gradcheck(lambda x: gram_map(x, factors, degree), (z,))
    if degree > 1:
        factors.requires_grad_()
        assert torch.autograd.gradcheck(lambda f: gram_map(z.detach(), f, degree), (factors,))


def test_rbf_map() -> None:
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).view(3, 4).requires_grad_()
    functions = RbfFunctions(-2.0, 2.0, 5, 0.7)
    centres = functions.centres(x)
    torch.testing.assert_close(rbf_map(x, centres, 0.7), functions.basis(x))
    assert torch.autograd.gradcheck(lambda z: rbf_map(z, centres, 0.7), (x,))


@pytest.mark.parametrize(
    "functions",
    [
        BSplineFunctions(-2.0, 2.0, 5, 3),
        BSplineFunctions(-1.0, 1.5, 1, 1, "gelu"),
        BSplineFunctions(-2.0, 2.0, 3, 7, "zero"),
        RbfFunctions(-2.0, 2.0, 8, 0.5, "relu"),
        GramFunctions((0.0, 0.0, 0.1, 0.2), "silu", "silu"),
        GramFunctions((0.0, 0.0), "tanh", "gelu"),
    ],
    ids=str,
)
def test_tables_in_closed_form_are_those_of_autograd(functions: Functions) -> None:
    points = torch.cat((torch.linspace(-9, 9, 200, dtype=torch.float64) + 0.013, torch.tensor([1e3, -1e3]).double()))
    for got, want in zip(functions.code_table(points.numpy()), functions.table(points), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), want, rtol=1e-12, atol=1e-13)
