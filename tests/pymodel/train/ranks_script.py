"""What each process of `torchrun` does in test_ranks.py: `ranks_script.py OUT`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from pymodel.data import load
from pymodel.layers import build_kan
from pymodel.quant import quantize_model
from pymodel.settings import DataSettings, ModelSettings, PruneSettings, QuantizeSettings, TrainSettings
from pymodel.train import process_group, train
from pymodel.train._ranks import Ranks

FAMILIES = {
    "efficient_kan": {"grid": 4, "order": 3},
    "fast_kan": {"grid": 4, "order": 1, "norm": "layer"},
    "kagn": {"grid": 1, "order": 3, "norm": "batch"},
    "pykan": {"grid": 4, "order": 2, "arities": [[2], []]},
}
SETTINGS = TrainSettings(epochs=2, qat_epochs=1, batch_size=200, learning_rate=0.02, prune=PruneSettings(edges=200))
MODEL = ModelSettings((64, 6, 10), "kagn", norm="batch")
BITS = QuantizeSettings(activations=3, granularity="channel")


def networks() -> dict[str, nn.Module]:
    """Return float networks of all families and quantized ones, float64, the same in every process."""
    found: dict[str, nn.Module] = {}
    for family, facts in FAMILIES.items():
        torch.manual_seed(3)
        model = build_kan(family, (5, 4, 3), range=(-2.0, 2.0), **facts).double()  # type: ignore[arg-type]
        found[family] = model
        quantized = quantize_model(model.eval(), QuantizeSettings(activations=5)).double()
        quantized.calibrate(rows()[0])
        with torch.no_grad():
            quantized(rows()[0])  # norms and products settle
        found[f"{family}, quantized"] = quantized
    return found


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch of 37 rows, which two processes cannot share evenly."""
    generator = torch.Generator().manual_seed(5)
    return 4 * torch.rand(37, 5, generator=generator).double() - 2, torch.randint(0, 3, (37,), generator=generator)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what one backward pass over the whole batch leaves, and the running statistics."""
    ranks = Ranks()
    x, y, weight = ranks.share(*rows())
    model.train()
    with ranks.joint_norms(model):
        forward = ranks.parallel(model)
        loss = functional.cross_entropy(forward(x), y) * weight
        loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {name: b.clone() for name, b in model.named_buffers() if "running" in name}


def trained() -> dict[str, torch.Tensor]:
    """Return the weights and quantizers of a whole training."""
    data = load(DataSettings("digits"))
    result = train(data, MODEL, BITS, SETTINGS)
    outputs = result.float_model(torch.from_numpy(data.host.prepare(data.x_test)).float()).detach()
    return (
        {"outputs": outputs, "losses": torch.tensor([entry["loss"] for entry in result.history[:2]])}
        | {f"float.{k}": v for k, v in result.float_model.state_dict().items()}
        | {f"quantized.{k}": v for k, v in result.quantized.state_dict().items()}
    )


def calibrated() -> dict[str, torch.Tensor]:
    """Return a training without a step of QAT: float training, then calibration."""
    result = train(load(DataSettings("digits")), MODEL, BITS, replace(SETTINGS, epochs=1, qat_epochs=0))
    return dict(result.quantized.state_dict())


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group() as rank:
        assert Ranks().size == 2
        everything = {name: gradients(model) for name, model in networks().items()}
        torch.save(
            {"gradients": everything, "trained": trained(), "calibrated": calibrated()},
            Path(sys.argv[1]) / f"rank_{rank}.pt",
        )
