"""The compiled loops of LSQ layers: the same bits going forward as torch's own passes, the same gradients going back."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pymodel.quant import _lsq_linear
from pymodel.quant._functions import round_exact, round_float
from pymodel.quant._lsq_linear import LsqBranch, lsq_facts, lsq_linear

N, I, F, CODES = 6, 9, 5, 16  # noqa: E741 - as the docstrings name them


def _step(mask: Tensor | None, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Output and all gradients of one layer."""
    torch.manual_seed(0)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape).to(dtype).requires_grad_()

    base, spline = leaf(N, I), leaf(N, I, F - 1)
    u = (torch.randn(70, I) * 9 + 8).to(dtype)
    u[0, :4] = torch.tensor([-0.5, 15.5, 2.5, 1e6])  # on the edges of codes, and far outside
    u.requires_grad_()
    step, low = (torch.tensor(value, dtype=dtype, requires_grad=True) for value in (0.3, -1.0))
    logs = [torch.tensor(value, dtype=dtype).log().requires_grad_() for value in (0.4, 0.25)]
    parts = [LsqBranch(float(log.exp()), high, 1.01, w.numel()) for log, high, w in zip(logs, (3, 7), (base, spline))]  # noqa: B905
    facts = lsq_facts(parts[0], parts[1], torch.tensor([0, 1, 1, 1, 1]), base.detach())
    tables = torch.randn(CODES, F).to(dtype), torch.randn(CODES, F).to(dtype)
    y = lsq_linear(u, step, low, (base, spline), (logs[0], logs[1]), mask, facts, tables)
    (y * torch.randn(70, N).to(dtype)).sum().backward()
    leaves = (u, step, low, base, spline, *logs)
    assert all(t.grad is not None for t in leaves)
    return [y.detach(), *(t.grad for t in leaves if t.grad is not None)]


@pytest.mark.filterwarnings("ignore:Converting a tensor")
@pytest.mark.parametrize("pruned", [False, True])
def test_loops_and_passes_agree(monkeypatch: pytest.MonkeyPatch, *, pruned: bool) -> None:
    mask = torch.rand(N, I, generator=torch.Generator().manual_seed(1)) < 0.6 if pruned else None
    looped = _step(mask)
    exact = _step(mask, torch.float64)
    monkeypatch.setattr(_lsq_linear, "_load_loops", lambda: None)  # as where numba is missing
    passes = _step(mask)
    assert torch.equal(looped[0], passes[0])
    for a, b, c in zip(looped[1:], passes[1:], exact[1:], strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-5)
        torch.testing.assert_close(a.double(), c, rtol=1e-4, atol=1e-4)
    if mask is not None:
        assert (looped[4][~mask] == 0).all()
        assert (looped[5][~mask] == 0).all()


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.one_of(st.floats(-1e9, 1e9), st.integers(-(2**40), 2**40).map(lambda n: n / 2 + 2**-40)))
def test_floats_round_as_exact_numbers(value: float) -> None:
    for near in (value, round(value) + 0.5, -0.5 + 2.0**-54, -0.5 - 2.0**-53, 0.49999999999999994, -1e-300):
        assert round_float(near) == round_exact(Fraction(near))
