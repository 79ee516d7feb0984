"""The section `data`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from pymodel.errors import ConfigError
from pymodel.settings._checks import check_choice, check_integer, check_real

__all__ = ["EMBEDDED_SOURCES", "SOURCES", "DataSettings", "Scale", "Source", "TaskName"]

Source = Literal[
    "digits",
    "wine",
    "breast_cancer",
    "moons",
    "csv",
    "idx",
    "mnist",
    "npz",
    "cifar10",
    "cifar100",
    "tiny_imagenet",
    "imagenet",
]
TaskName = Literal["classification", "regression"]
Scale = Literal["auto", "standard", "minmax", "none"]
SOURCES: Final[tuple[str, ...]] = get_args(Source)
#: Sources that scikit-learn carries: no file, no download.
EMBEDDED_SOURCES: Final = ("digits", "wine", "breast_cancer", "moons")
#: Colour images that are decoded or read from records; `data.stream` applies to those in single files.
_FOLDERS: Final = ("tiny_imagenet", "imagenet")
_LABELS_100: Final = ("fine", "coarse")


@dataclass(frozen=True)
class DataSettings:
    """Where the rows come from and how they are split and scaled.

    Attributes:
        source: one of :data:`SOURCES`; `csv` reads plain and gzip files alike.
        path: the file (csv, npz), the folder (mnist, cifar10, cifar100, tiny_imagenet, imagenet) or the image file (idx);
            None for embedded sources.
        label: column of the label or target (csv); `fine` (100 classes, the default) or `coarse` (20) for cifar100.
        task: what the outputs mean.
        labels: the label file of `path` (idx only).
        test_path, test_labels: a second IDX pair to test on; without it, `test_fraction` of the rows is set aside.
        test_fraction: share of the rows set aside for the test, where the source has no test part of its own.
        validation_fraction: share of the training rows on which the best epoch is chosen; never trained on.
        seed: of both splits.
        threshold: makes every feature one bit: 1 where its raw value is at least this, 0 below (family table).
        scale: `minmax` maps `[0, max]` (images) onto the model's range, `standard` maps mean +- 3 standard deviations
            onto it; `auto` takes `minmax` for images and `standard` for tables; `none` leaves features
            and targets as they are. Colour images map 0 … 255, whatever they hold.
        size: side in pixels that images are scaled and cut to (imagenet, which needs it; tiny_imagenet, 64 without it).
        train_rows, test_rows: use only so many rows of each part, drawn by `seed` with every class's share; None uses all.
        stream: whether training images are decoded anew whenever they are read (cifar10 as JPEG, and the folders), in
            the memory of a few batches; None does so where they would fill more than 1 GiB. Test and validation rows are
            held in memory.

    Raises:
        ConfigError: for a value out of range or fields that do not combine.
    """

    source: Source
    path: Path | None = None
    label: str | None = None
    task: TaskName = "classification"
    labels: Path | None = None
    test_path: Path | None = None
    test_labels: Path | None = None
    test_fraction: float = 0.2
    validation_fraction: float = 0.1
    seed: int = 0
    threshold: float | None = None
    scale: Scale = "auto"
    size: int | None = None
    train_rows: int | None = None
    test_rows: int | None = None
    stream: bool | None = None

    def __post_init__(self) -> None:
        check_choice("data.source", self.source, SOURCES)
        check_choice("data.task", self.task, get_args(TaskName))
        check_choice("data.scale", self.scale, get_args(Scale))
        check_real("data.test_fraction", self.test_fraction, 0.0, 0.9, low_open=True)
        check_real("data.validation_fraction", self.validation_fraction, 0.0, 0.5)
        check_integer("data.seed", self.seed, 0, 2**32 - 1)
        if self.threshold is not None:
            check_real("data.threshold", self.threshold, -1e30, 1e30)
        for key in ("path", "labels", "test_path", "test_labels"):
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, Path(value))
        for key, least in (("train_rows", 2), ("test_rows", 1)):
            count = getattr(self, key)
            if count is not None:
                check_integer(f"data.{key}", count, least, 1 << 40)
        self._check_images()
        embedded = self.source in EMBEDDED_SOURCES
        if embedded and self.path is not None:
            raise ConfigError(f"data.path has no use with the embedded source {self.source!r}; remove it")
        if not embedded and self.path is None:
            raise ConfigError(f"data.source {self.source!r} needs data.path, which is missing; add it")
        if self.source == "csv" and not self.label:
            raise ConfigError("data.source 'csv' needs data.label, the column to predict; add it")
        if self.source == "cifar100" and self.label is not None:
            check_choice("data.label", self.label, _LABELS_100)
        elif self.source != "csv" and self.label is not None:
            raise ConfigError(f"data.label names a CSV column and has no use with source {self.source!r}; remove it")
        if self.source == "idx" and self.labels is None:
            raise ConfigError("data.source 'idx' needs data.labels, the label file of data.path; add it")
        if self.source != "idx":
            for key in ("labels", "test_path", "test_labels"):
                if getattr(self, key) is not None:
                    raise ConfigError(f"data.{key} has no use with source {self.source!r}; remove it")
        if (self.test_path is None) != (self.test_labels is None):
            raise ConfigError("data.test_path and data.test_labels belong together, but one is missing; add it")
        if self.task == "regression" and self.source not in ("csv", "npz"):
            raise ConfigError(f"data.source {self.source!r} has class labels; set data.task to classification")

    def _check_images(self) -> None:
        if self.size is not None:
            check_integer("data.size", self.size, 1, 1 << 10)
            if self.source not in _FOLDERS:
                raise ConfigError(f"data.size scales images in folders and has no use with {self.source!r}; remove it")
        elif self.source == "imagenet":
            raise ConfigError("data.source 'imagenet' needs data.size, the side of the scaled images; add it")
        if self.stream and self.source not in ("cifar10", *_FOLDERS):
            raise ConfigError(f"data.stream decodes images in files and has no use with {self.source!r}; remove it")
