"""A training killed with SIGKILL at any moment and resumed ends with the very bytes of one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pymodel.data import Dataset, load
from pymodel.errors import ConfigError, ModelError
from pymodel.layers import save_float, save_frozen
from pymodel.settings import (
    ConvSettings,
    DataSettings,
    DistillSettings,
    ModelSettings,
    PruneSettings,
    QuantizeSettings,
    TrainSettings,
)
from pymodel.train import Checkpoint, TrainResult, train

SETTINGS = TrainSettings(epochs=3, qat_epochs=2, batch_size=256, learning_rate=0.02, threads=1)
MODEL = ModelSettings((64, 6, 10))
BITS = QuantizeSettings(activations=3)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(DataSettings("digits"))


def stored(result: TrainResult, folder: Path) -> dict[str, bytes]:
    """Return the files that a build writes of a result."""
    folder.mkdir(exist_ok=True)
    if not hasattr(result.float_model, "start_quantized"):
        save_float(result.float_model, folder / "float.safetensors")  # type: ignore[arg-type]
    save_frozen(result.frozen, folder / "quantized.safetensors")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def killed(
    dataset: Dataset, settings: tuple[ModelSettings, QuantizeSettings, TrainSettings], folder: Path, step: int
) -> None:
    """Train in a forked process that kills itself with SIGKILL when it asks the clock for the `step`-th time."""
    asked = 0

    def clock() -> float:
        nonlocal asked
        asked += 1
        if asked > step:
            os.kill(os.getpid(), signal.SIGKILL)
        return float(asked)

    pid = os.fork()
    if pid == 0:
        try:
            train(dataset, *settings, checkpoint=Checkpoint(folder, 0.0, resume=True, clock=clock))
        finally:
            os._exit(1)  # it was to be killed
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


CASES = {
    "pruned": (MODEL, BITS, replace(SETTINGS, prune=PruneSettings(edges=200), augment="shift"), (5, 16, 15, 14)),
    "moving grids": (
        ModelSettings((64, 4, 10), "pykan", multiplication=1, grid_per_input=True),
        QuantizeSettings(),
        replace(SETTINGS, epochs=2),
        (7, 30),
    ),
    "taught, batch norm": (
        ModelSettings((64, 10), "kagn", norm="batch", image=(8, 8, 1), conv=(ConvSettings(3, stride=2, padding=1),)),
        QuantizeSettings(),
        replace(SETTINGS, epochs=2, distill=DistillSettings(teacher="wide", epochs=1), norms="rows"),
        (5, 20, 19),
    ),
    "tables": (
        ModelSettings((64, 8, 10), family="table", fan_in=6),
        QuantizeSettings(layer_activations=(2, 1), layer_edges=(6, 3), input=4),
        replace(SETTINGS, prune=PruneSettings(luts=150)),
        (9, 35),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_run_ends_with_the_same_bytes(digits: Dataset, tmp_path: Path, name: str) -> None:
    *settings, steps = CASES[name]
    alone = train(digits, *settings)  # type: ignore[arg-type]
    folder = tmp_path / "checkpoint"
    for step in steps:  # each goes on where the one before was killed
        killed(digits, tuple(settings), folder, step)  # type: ignore[arg-type]
        assert list(folder.glob("*.safetensors"))
    resumed = train(digits, *settings, checkpoint=Checkpoint(folder, 0.0, resume=True))  # type: ignore[arg-type]
    assert stored(resumed, tmp_path / "resumed") == stored(alone, tmp_path / "alone")
    assert resumed.history == alone.history


_SCRIPT = """
import sys
from pathlib import Path
from tests.pymodel.train.test_resume import BITS, MODEL, SETTINGS
from pymodel.data import load
from pymodel.settings import DataSettings
from pymodel.train import Checkpoint, train
train(load(DataSettings("digits")), MODEL, BITS, SETTINGS, checkpoint=Checkpoint(Path(sys.argv[1]), 0.0, resume=True))
"""


def test_another_process_kills_it(digits: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(folder)], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 120
    while not (folder / "phase_0.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    resumed = train(digits, MODEL, BITS, SETTINGS, checkpoint=Checkpoint(folder, 0.0, resume=True))
    alone = train(digits, MODEL, BITS, SETTINGS)
    assert stored(resumed, tmp_path / "resumed") == stored(alone, tmp_path / "alone")


def test_what_a_checkpoint_leaves_out_would_show(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above can fail: without the optimizer's moments, or the generator's place, other weights come out."""
    settings = (MODEL, BITS, SETTINGS)
    alone = stored(train(digits, *settings), tmp_path / "alone")
    folder = tmp_path / "checkpoint"
    for name in ("_load_optimizer", "order"):
        killed(digits, settings, folder, 20)  # in the second epoch
        with monkeypatch.context() as patch:
            if name == "order":
                patch.setattr("pymodel.train._batches.Batches.restore", lambda self, state: None)
            else:
                patch.setattr(Checkpoint, name, lambda self, optimizer, tensors: None)
            resumed = train(digits, *settings, checkpoint=Checkpoint(folder, 0.0, resume=True))
        assert stored(resumed, tmp_path / name) != alone
        Checkpoint(folder).remove()


def test_a_checkpoint_is_for_one_training(digits: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    killed(digits, (MODEL, BITS, SETTINGS), folder, 8)

    def resume(**changes: object) -> Checkpoint:
        return replace(Checkpoint(folder, 0.0, resume=True), **changes)  # type: ignore[arg-type]

    for model, bits, settings in (
        (MODEL, BITS, replace(SETTINGS, seed=1)),
        (MODEL, QuantizeSettings(), SETTINGS),
        (replace(MODEL, grid=4), BITS, SETTINGS),
    ):
        with pytest.raises(ConfigError, match="belongs to another training"):
            train(digits, model, bits, settings, checkpoint=resume())
    other = replace(digits, y_train=np.roll(digits.y_train, 1))
    with pytest.raises(ConfigError, match="belongs to another training"):
        train(other, MODEL, BITS, SETTINGS, checkpoint=resume())
    running = folder / "running.safetensors"
    content = running.read_bytes()
    running.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="truncated or corrupt"):
        train(digits, MODEL, BITS, SETTINGS, checkpoint=resume())
    running.write_bytes(content)
    train(digits, MODEL, BITS, replace(SETTINGS, checkpoint=5.0), checkpoint=resume())  # how often is no part of it
    fresh = Checkpoint(folder, 1e6)
    train(digits, MODEL, BITS, replace(SETTINGS, epochs=1, qat_epochs=0), checkpoint=fresh)
    assert not folder.exists()  # an old one is removed, and nothing is written of a training this short
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="checkpoints need a folder"):
        Checkpoint(tmp_path / "file")
