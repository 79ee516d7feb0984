"""The section `train`, with what it prunes and whom it asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pymodel.errors import ConfigError
from pymodel.settings._checks import check_choice, check_integer, check_real

__all__ = ["DistillSettings", "PruneSettings", "TrainSettings"]


@dataclass(frozen=True)
class PruneSettings:
    """How many edges stay; exactly one of `fraction`, `edges`, `layers` and `luts` is given.

    Attributes:
        fraction: share of all edges to remove.
        edges: edges that stay in the whole network, ranked together.
        layers: edges that stay in each layer, ranked layer by layer.
        luts: LUTs that the circuit may cost (family table; an estimate by a rule of thumb, made before there is any).
            In that family the first three count only edges of layers without `model.fan_in`.
        start, end: the part of the float epochs during which edges go (cubic schedule).

    Raises:
        ConfigError: for a value out of range, or none or several of the three.
    """

    fraction: float | None = None
    edges: int | None = None
    layers: tuple[int, ...] | None = None
    luts: int | None = None
    start: float = 0.1
    end: float = 0.7

    def __post_init__(self) -> None:
        given = [key for key in ("fraction", "edges", "layers", "luts") if getattr(self, key) is not None]
        if len(given) != 1:
            what = " and ".join(given) if given else "none of them"
            raise ConfigError(
                f"train.prune needs exactly one of fraction, edges, layers and luts, not {what}; change it"
            )
        if self.fraction is not None:
            check_real("train.prune.fraction", self.fraction, 0.0, 1.0, high_open=True)
        if self.edges is not None:
            check_integer("train.prune.edges", self.edges, 1, 1 << 32)
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
            for count in self.layers:
                check_integer("train.prune.layers", count, 1, 1 << 32)
        if self.luts is not None:
            check_integer("train.prune.luts", self.luts, 1, 1 << 32)
        check_real("train.prune.start", self.start, 0.0, 1.0)
        check_real("train.prune.end", self.end, 0.0, 1.0)
        if not self.start <= self.end:
            raise ConfigError(f"train.prune.start {self.start:g} lies after train.prune.end {self.end:g}; swap them")

    def targets(self, sizes: tuple[int, ...]) -> int | tuple[int, ...]:
        """Return the edges that stay, in all or per layer, for a network whose layers have `sizes` edges.

        Raises:
            ConfigError: if more edges are to stay than there are, or `layers` has another length.
        """
        if self.luts is not None:
            raise ConfigError("train.prune.luts needs model.family table; give edges instead")
        total = sum(sizes)
        if self.fraction is not None:
            return max(1, total - round(self.fraction * total))
        if self.edges is not None:
            if self.edges > total:
                raise ConfigError(f"train.prune.edges is {self.edges}, but the model has {total} edges; lower it")
            return self.edges
        assert self.layers is not None
        if len(self.layers) != len(sizes):
            raise ConfigError(
                f"train.prune.layers has {len(self.layers)} numbers, but the model has {len(sizes)} layers; give one each"
            )
        for index, (count, size) in enumerate(zip(self.layers, sizes, strict=True)):
            if count > size:
                raise ConfigError(f"train.prune.layers[{index}] is {count}, but that layer has {size} edges; lower it")
        return self.layers


@dataclass(frozen=True)
class DistillSettings:
    """A teacher, whose opinion of every row joins the labels in the loss (Hinton et al. 2015, arXiv:1503.02531).

    Attributes:
        teacher: `float` (the float network teaches the QAT of its own quantized form), `wide` (a larger KAN of the same kind,
            trained first, teaches both phases), or `network` (a small convolutional or dense network, likewise). None
            stands for `network` in the family table, which has no float form of its own, and for `float` in all others.
        weight: of the teacher's part of the loss; the labels have the rest.
        temperature: T, which softens both sides.
        epochs: of the training of a teacher that is trained first.
        hidden: channels (images) or nodes of a `network`.
        factor: by which a `wide` teacher has more hidden nodes and channels.

    Raises:
        ConfigError: for a value out of range.
    """

    weight: float = 0.5
    temperature: float = 3.0
    epochs: int = 5
    hidden: int = 16
    teacher: Literal["float", "wide", "network"] | None = None
    factor: int = 2

    def __post_init__(self) -> None:
        if self.teacher is not None:
            check_choice("train.distill.teacher", self.teacher, ("float", "wide", "network"))
        check_integer("train.distill.factor", self.factor, 2, 64)
        check_real("train.distill.weight", self.weight, 0.0, 1.0, low_open=True)
        check_real("train.distill.temperature", self.temperature, 0.1, 100.0)
        check_integer("train.distill.epochs", self.epochs, 1, 100_000)
        check_integer("train.distill.hidden", self.hidden, 1, 4096)

    def kind(self, family: str) -> str:
        """Return who teaches a network of `family`.

        Raises:
            ConfigError: if the family has no such teacher.
        """
        if family == "table" and self.teacher in ("float", "wide"):
            raise ConfigError(
                f"train.distill.teacher {self.teacher} is a KAN, which the family table has no other form of; use network"
            )
        return self.teacher or ("network" if family == "table" else "float")


@dataclass(frozen=True)
class TrainSettings:
    """The two phases of training: float, then quantization-aware (QAT).

    Attributes:
        epochs: of the float phase.
        qat_epochs: of the QAT phase.
        batch_size: rows per step.
        learning_rate: at the start of the float phase; a cosine takes it to nearly 0.
        qat_learning_rate: likewise for the QAT phase.
        weight_decay: of AdamW.
        prune: edges to remove during the float phase, or None.
        distill: a teacher, or None.
        augment: `shift` moves each training image by up to one pixel, at random per step; `affine` also turns, scales and
            shears it a little; `crop_flip` moves it by up to an eighth of its side and mirrors half of them (photographs);
            None leaves rows alone.
        seed: of initialisation, shuffling and augmentation.
        threads: of torch; part of the configuration because the order of float sums depends on it. More than one pays
            from about ten thousand edges on.
        device: `cpu` or `cuda`. Two runs give the same bits on the CPU; on a GPU as far as torch's deterministic algorithms
            go.
        precision: of the float phase's products, `float32`, or `bfloat16` (autocast, weights stay float32). QAT computes
            integers, which need float32.
        compile: pass the float phase through `torch.compile`.
        norms: batch normalisation when the float phase is over: `running` keeps its running averages; `rows` re-estimates
            mean and variance on calibration rows, layer by layer, before they are folded into the weights; `quantized` does
            so, and again in the quantized network, where mean and variance are those of its rounded sums (post-training
            methods; QAT trains the folded sums, which have no statistics).
        checkpoint: seconds between two checkpoints of a build, from which `kan4ml build --resume` goes on.

    Raises:
        ConfigError: for a value out of range.
    """

    epochs: int = 30
    qat_epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 0.005
    qat_learning_rate: float = 0.002
    weight_decay: float = 1e-4
    prune: PruneSettings | None = None
    distill: DistillSettings | None = None
    augment: Literal["shift", "affine", "crop_flip"] | None = None
    seed: int = 0
    threads: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    norms: Literal["running", "rows", "quantized"] = "running"
    checkpoint: float = 60.0

    def __post_init__(self) -> None:
        check_integer("train.epochs", self.epochs, 0, 100_000)
        check_integer("train.qat_epochs", self.qat_epochs, 0, 100_000)
        check_integer("train.batch_size", self.batch_size, 1, 1 << 20)
        check_real("train.learning_rate", self.learning_rate, 0.0, 10.0, low_open=True)
        check_real("train.qat_learning_rate", self.qat_learning_rate, 0.0, 10.0, low_open=True)
        check_real("train.weight_decay", self.weight_decay, 0.0, 10.0)
        if self.augment is not None:
            check_choice("train.augment", self.augment, ("shift", "affine", "crop_flip"))
        check_integer("train.seed", self.seed, 0, 2**32 - 1)
        check_integer("train.threads", self.threads, 1, 256)
        check_choice("train.device", self.device, ("cpu", "cuda"))
        check_choice("train.precision", self.precision, ("float32", "bfloat16"))
        check_choice("train.norms", self.norms, ("running", "rows", "quantized"))
        check_real("train.checkpoint", self.checkpoint, 0.0, 1e6)
