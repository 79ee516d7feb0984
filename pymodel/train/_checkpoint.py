"""Training that survives being killed: all that the next step depends on, in files that are replaced atomically.

A checkpoint holds model, optimizer, the best state so far, the generators, the place in epoch and phase, and the history. A
phase that is over leaves its result in a file of its own (`phase_0.safetensors` …); the phase in progress is in
`running.safetensors`. What lies between the phases (building the network, pruning to the target, calibrating) is
computed again, which gives the same bits. On one machine, a run that was killed and resumed ends with the weights of a run that
was not, byte for byte, on the CPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pymodel._version import __version__
from pymodel.errors import ConfigError, ModelError
from pymodel.layers._safetensors import read_file, write_file

__all__ = ["Checkpoint", "Place", "Stateful", "fingerprint"]

_KIND: Final = "training"
_SCHEMA: Final = 1
_HASHED_ROWS: Final = 1024


class Stateful(Protocol):
    """Something outside the model that changes while it trains, such as a pruning schedule."""

    def state(self) -> list[float]:
        """Return the state as numbers."""

    def restore(self, state: Sequence[float]) -> None:
        """Continue from what :meth:`state` returned."""


@dataclass
class Place:
    """Where a phase is, and what it has found so far.

    Attributes:
        epoch: from 1.
        done: batches of this epoch that are trained on.
        order: state of the batches' generator when the epoch began.
        total: sum of the losses of this epoch's rows.
        rows: how many these are.
        best: score (value, negative loss) and state of the best epoch, if there is one.
    """

    epoch: int = 1
    done: int = 0
    order: Tensor | None = None
    total: float = 0.0
    rows: int = 0
    best: tuple[tuple[float, float], dict[str, Tensor]] | None = None


def fingerprint(arrays: Mapping[str, Any], facts: object) -> str:
    """Return a hash of what a training depends on: 1,024 rows and the shape of every array, and JSON facts."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(facts, sort_keys=True, default=str).encode())
    digest.update(json.dumps([__version__, torch.__version__, np.__version__]).encode())
    for name, array in arrays.items():
        n = len(array)
        rows = np.unique(np.linspace(0, n - 1, min(n, _HASHED_ROWS)).astype(np.int64)) if n else np.arange(0)
        part = np.ascontiguousarray(array[rows])
        digest.update(f"{name} {n} {part.shape[1:]} {part.dtype}".encode())
        digest.update(part.tobytes())
    return digest.hexdigest()


def _generators() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states of all global generators, as tensors and as JSON."""
    tensors = {"generators.torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["generators.cuda"] = torch.cuda.get_rng_state()
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - libraries may draw from it
    tensors["generators.numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    legacy = [str(kind), int(position), int(has_gauss), float(cached).hex()]
    return tensors, {"python": [version, list(words), gauss], "numpy": legacy}


def _set_generators(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    torch.set_rng_state(tensors["generators.torch"])
    if "generators.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generators.cuda"])
    version, words, gauss = document["python"]
    random.setstate((version, tuple(words), gauss))
    kind, position, has_gauss, cached = document["numpy"]
    keys = tensors["generators.numpy"].numpy().astype(np.uint32)
    np.random.set_state((kind, keys, position, has_gauss, float.fromhex(cached)))  # noqa: NPY002


def _packed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return epochs with their floats as `["…"]` in hexadecimal, which JSON keeps whatever they are."""
    return [{k: [v.hex()] if isinstance(v, float) else v for k, v in epoch.items()} for epoch in history]


def _unpacked(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: float.fromhex(v[0]) if isinstance(v, list) else v for k, v in epoch.items()} for epoch in history]


@dataclass
class Checkpoint:
    """The files of one training.

    Args:
        folder: where they lie; created when the first is written.
        seconds: between two of them; 0 writes after every step.
        resume: go on from what is there; otherwise it is removed.
        clock: seconds since any moment.

    Raises:
        ConfigError: if the folder is a file or cannot be written.
    """

    folder: Path
    seconds: float = 60.0
    resume: bool = False
    clock: Callable[[], float] = time.monotonic
    mark: str = field(default="", init=False)
    writes: bool = field(default=True, init=False)
    _phase: int = field(default=-1, init=False)
    _last: float = field(default=0.0, init=False)
    _begun: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"checkpoints need a folder, but {self.folder} is a file; move it away")

    def begin(self, mark: str, *, writes: bool = True) -> bool:
        """Start a training that `mark` identifies; return whether it goes on from files that are there.

        Args:
            mark: of :func:`fingerprint`.
            writes: whether this process writes (one of several does).

        Raises:
            ConfigError: if the files belong to another training.
        """
        self.mark, self.writes, self._phase = mark, writes, -1
        self._last = self._begun = self.clock()
        found = sorted(self.folder.glob("*.safetensors")) if self.folder.is_dir() else []
        if not self.resume:
            if writes:
                self.remove()
            return False
        for path in found:
            self._read(path)
        return bool(found)

    def remove(self) -> None:
        """Remove the files, and the folder if nothing else is in it."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob("*.safetensors*"):
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    # --- phases -----------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        """A phase begins."""
        self._phase += 1

    @property
    def _done_path(self) -> Path:
        return self.folder / f"phase_{self._phase}.safetensors"

    @property
    def _running_path(self) -> Path:
        return self.folder / "running.safetensors"

    def finished(self, model: nn.Module, batches_restore: Callable[[Tensor], None]) -> list[dict[str, Any]] | None:
        """If this phase is over already, load its result into `model`, set the generators, and return its epochs."""
        if not self.resume or not self._done_path.is_file():
            return None
        document, tensors = self._read(self._done_path)
        self._load(model, tensors, "model.", self._done_path)
        batches_restore(tensors["order"])
        _set_generators(tensors, document)
        return _unpacked(document["history"])

    def finish(self, model: nn.Module, order: Tensor, history: list[dict[str, Any]]) -> None:
        """Keep the result of this phase: `model`, the state of the batches' generator, and its epochs.

        Unless the training is so short that nothing would be lost.
        """
        if self.clock() - self._begun < self.seconds:
            return
        tensors, document = _generators()
        tensors |= {f"model.{k}": v for k, v in model.state_dict().items()} | {"order": order}
        self._write(self._done_path, tensors, document | {"history": _packed(history)})
        if self.writes:
            self._running_path.unlink(missing_ok=True)

    def continued(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, keeps: Sequence[Stateful]
    ) -> tuple[Place, list[dict[str, Any]]] | None:
        """If this phase was in progress, load all its state and return its place and its epochs so far."""
        if not self.resume or not self._running_path.is_file():
            return None
        document, tensors = self._read(self._running_path)
        if document["phase"] != self._phase:
            return None
        self._load(model, tensors, "model.", self._running_path)
        self._load_optimizer(optimizer, tensors)
        for part, state in zip(keeps, document["keeps"], strict=True):
            part.restore([float.fromhex(value) for value in state])
        best = None
        if document["best"] is not None:
            value, loss = (float.fromhex(text) for text in document["best"])
            best = (value, loss), {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}
        _set_generators(tensors, document)
        total = float.fromhex(document["total"])
        place = Place(document["epoch"], document["done"], tensors["order"], total, document["rows"], best)
        return place, _unpacked(document["history"])

    def due(self) -> bool:
        """Return whether it is time for the next file."""
        return self.writes and self.clock() - self._last >= self.seconds

    def save(
        self,
        place: Place,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        keeps: Sequence[Stateful],
        history: list[dict[str, Any]],
    ) -> None:
        """Write the state of the phase in progress."""
        assert place.order is not None
        tensors, document = _generators()
        tensors |= {f"model.{k}": v for k, v in model.state_dict().items()} | {"order": place.order}
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in values.items()}
        if place.best is not None:
            tensors |= {f"best.{k}": v for k, v in place.best[1].items()}
        document |= {
            "phase": self._phase,
            "epoch": place.epoch,
            "done": place.done,
            "total": place.total.hex(),
            "rows": place.rows,
            "best": None if place.best is None else [value.hex() for value in place.best[0]],
            "keeps": [[float(value).hex() for value in part.state()] for part in keeps],
            "history": _packed(history),
        }
        self._write(self._running_path, tensors, document)
        self._last = self.clock()

    # --- files ------------------------------------------------------------------------------------------------------

    def _write(self, path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
        if not self.writes:
            return
        new = path.with_name(path.name + ".new")
        try:
            # Tensors that share memory would be refused; a copy of each is what the file holds anyway.
            copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
            write_file(new, {"kind": _KIND, "schema": _SCHEMA, "mark": self.mark, **document}, copies)
            with new.open("rb") as file:
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise ConfigError(f"the checkpoint {path} cannot be written ({error.strerror}); free space there") from None

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        document, tensors = read_file(path, _KIND)
        if document.get("schema") != _SCHEMA:
            raise ModelError(f"{path} is a checkpoint of another version; start again without resuming")
        if document.get("mark") != self.mark:
            raise ConfigError(
                f"the checkpoint {path} belongs to another training (configuration, data or versions differ); use the "
                "same ones, or start again without resuming"
            )
        return document, tensors

    def _load(self, model: nn.Module, tensors: Mapping[str, Tensor], prefix: str, path: Path) -> None:
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            model.load_state_dict(state)
        except RuntimeError:
            raise ModelError(
                f"{path} does not hold the network of this training; start again without resuming"
            ) from None

    def _load_optimizer(self, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
