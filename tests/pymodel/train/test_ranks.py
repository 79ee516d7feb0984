"""Two processes that `torchrun` starts train what one process trains on the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pymodel.train._ranks import Ranks, process_group
from tests.pymodel.train.ranks_script import gradients, networks, trained


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes stored."""
    out = tmp_path_factory.mktemp("ranks")
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    process = subprocess.run(
        [*command, str(Path(__file__).with_name("ranks_script.py")), str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=root,
        env=environment,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return [torch.load(out / f"rank_{rank}.pt") for rank in (0, 1)]


def test_gradients_are_those_of_the_whole_batch(found: list[dict[str, Any]]) -> None:
    for name, model in networks().items():
        alone = gradients(model)
        assert len(alone) > 2
        for rank in (0, 1):
            shared = found[rank]["gradients"][name]
            assert shared.keys() == alone.keys(), name
            for key, value in alone.items():
                torch.testing.assert_close(
                    shared[key], value, rtol=1e-9, atol=1e-12, msg=lambda text, at=(name, key): f"{at}: {text}"
                )


def test_both_processes_end_with_the_same_bits(found: list[dict[str, Any]]) -> None:
    for what in ("calibrated", "trained"):
        one, two = found[0][what], found[1][what]
        assert one.keys() == two.keys()
        assert all(torch.equal(value, two[key]) for key, value in one.items()), what
    steps = [key for key in found[0]["calibrated"] if "quantizer" in key and ("step" in key or "low" in key)]
    assert len(steps) >= 6


def test_the_training_is_that_of_one_process(found: list[dict[str, Any]]) -> None:
    alone = trained()
    both = found[0]["trained"]
    masks = [key for key in alone if key.endswith("mask")]
    assert all(torch.equal(alone[key], both[key]) for key in masks)  # the same edges went
    # What a constant adds before a batch normalisation has no gradient but rounding, so weights and running means may differ.
    torch.testing.assert_close(both["losses"], alone["losses"], rtol=1e-5, atol=1e-6)


def test_one_process_needs_no_group() -> None:
    with process_group() as rank:
        assert rank == 0
    ranks = Ranks()
    x, y = torch.zeros(3, 2), torch.zeros(3)
    assert ranks.size == 1
    assert ranks.share(x, y) == (x, y, 1.0)
    model = torch.nn.Linear(2, 2)
    assert ranks.parallel(model) is model


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("n", [1, 3, 4, 9, 10, 37])
def test_shares_cover_the_batch_with_the_right_weights(size: int, n: int) -> None:
    x, y = torch.arange(float(n))[:, None], torch.arange(float(n))
    total = 0.0
    seen: list[float] = []
    for rank in range(size):
        ranks = Ranks()
        ranks.rank, ranks.size = rank, size
        part, labels, weight = ranks.share(x, y)
        assert torch.equal(part[:, 0], labels)
        assert len(part) >= min(2, n)
        total += weight * float(labels.mean()) / size
        seen += labels.tolist()
    assert total == pytest.approx(float(y.mean()))
    assert set(seen) == set(y.tolist())
