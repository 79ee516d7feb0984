"""Folders of image files: Tiny ImageNet as published, and ImageNet's layout of one subfolder per class.

Only names are collected here; files are opened when their rows are read. Names that lists contain must be plain file
names, so that no list can point out of the folder that the user named.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pymodel.data._decode import MAX_FILE_BYTES, Pixels, decode, resized
from pymodel.data._files import read_bytes
from pymodel.errors import DataError
from pymodel.ir import IntArray
from pymodel.suggest import suggest

__all__ = ["TINY_SIDE", "ImageFiles", "LabelledFiles", "read_image_folder", "read_tiny_imagenet"]

#: Side of Tiny ImageNet's images.
TINY_SIDE = 64
_SUFFIXES = (".jpeg", ".jpg", ".png")
_MAX_LIST_BYTES = 64 << 20
_MAX_CLASSES = 22_000
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


class ImageFiles:
    """Image files, decoded one by one.

    Args:
        root: the folder that the names start at.
        names: of the files, below `root`.
        side: height and width of what comes out.
        exact: refuse images of another size, instead of scaling and cutting them (:func:`resized`).
    """

    def __init__(self, root: Path, names: list[str], side: int, *, exact: bool = False) -> None:
        self._root, self._names, self._side, self._exact = root, names, side, exact

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> Pixels:
        path = self._root / self._names[index]
        size = (self._side, self._side) if self._exact else None
        return resized(decode(read_bytes(path, MAX_FILE_BYTES), str(path), size=size), self._side)


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """Image files and their classes.

    Attributes:
        x: the files.
        y: (rows,) class indices.
    """

    x: ImageFiles
    y: IntArray


def read_tiny_imagenet(folder: Path, side: int | None) -> tuple[LabelledFiles, LabelledFiles, tuple[str, ...]]:
    """Return training part, validation part (the one to test on: the test part has no labels) and class names.

    Args:
        folder: with `wnids.txt`, `train/` and `val/`; `words.txt` gives readable names if it is there.
        side: of the images; None leaves them as they are, 64x64.

    Raises:
        DataError: if a list or a class folder is missing, or a list is broken.
    """
    _check_folder(folder, "Tiny ImageNet, with wnids.txt, train and val")
    wnids = _lines(folder / "wnids.txt")
    for wnid in wnids:
        _check_plain(wnid, folder / "wnids.txt")
    if len(set(wnids)) != len(wnids) or not 2 <= len(wnids) <= _MAX_CLASSES:
        raise DataError(f"{folder / 'wnids.txt'} must name 2 or more different classes, one a line; fetch it again")
    index_of = {wnid: index for index, wnid in enumerate(wnids)}
    names, labels = [], []
    for wnid in wnids:
        images = folder / "train" / wnid / "images"
        if not images.is_dir():
            raise DataError(f"the folder {images} of class {wnid} is missing; unpack the training images again")
        found = _image_names(images)
        if not found:
            raise DataError(f"the folder {images} of class {wnid} holds no images; unpack the training images again")
        names += [f"train/{wnid}/images/{name}" for name in found]
        labels += [index_of[wnid]] * len(found)
    tested, answers = [], []
    annotations = folder / "val" / "val_annotations.txt"
    for number, line in enumerate(_lines(annotations), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        _check_plain(name, annotations)
        if wnid not in index_of:
            raise DataError(
                f"{annotations}, line {number}: the class {wnid[:40]!r} is not in wnids.txt; "
                f"{suggest(wnid[:40], wnids)}"
            )
        tested.append(f"val/images/{name}")
        answers.append(index_of[wnid])
    if len(set(tested)) != len(tested):
        raise DataError(f"{annotations} lists an image twice; fetch it again")
    if len(tested) > 0 and not (folder / "val" / "images").is_dir():
        raise DataError(f"the folder {folder / 'val' / 'images'} is missing; unpack the validation images again")
    out, exact = (TINY_SIDE, True) if side is None else (side, False)
    return (
        _labelled(folder, names, labels, out, exact=exact),
        _labelled(folder, tested, answers, out, exact=exact),
        _readable(folder / "words.txt", wnids),
    )


def read_image_folder(folder: Path, side: int) -> tuple[LabelledFiles, LabelledFiles | None, tuple[str, ...]]:
    """Return training part, validation part (to test on) if there is one, and class names of a folder of images.

    Args:
        folder: with `train/` and `val/`, each with a subfolder per class; or with these subfolders itself.
        side: of the images, which are scaled and cut.

    Raises:
        DataError: if a folder is missing or holds no images.
    """
    _check_folder(folder, "images, with train and val")
    parted = (folder / "train").is_dir()
    root = folder / "train" if parted else folder
    classes = _class_names(root)
    if len(classes) < 2:
        raise DataError(
            f"{root} has {len(classes)} subfolders, but at least two were expected, one for each class; sort the images"
        )
    if len(classes) > _MAX_CLASSES:
        raise DataError(f"{root} has {len(classes)} subfolders, too many for classes; check data.path")
    train = _folder_part(folder, "train/" if parted else "", classes, side)
    if not parted:
        return train, None, classes
    if not (folder / "val").is_dir():
        raise DataError(
            f"{folder} has a folder train, but val is missing; add it, or point data.path to the folder train to split it"
        )
    strange = sorted(set(_class_names(folder / "val")) - set(classes))
    if strange:
        raise DataError(f"the class folder {folder / 'val' / strange[0]} has no counterpart in train; remove it")
    return train, _folder_part(folder, "val/", classes, side), classes


def _folder_part(folder: Path, prefix: str, classes: tuple[str, ...], side: int) -> LabelledFiles:
    names, labels = [], []
    for index, name in enumerate(classes):
        place = folder / (prefix + name)
        if not place.is_dir():
            raise DataError(f"the class folder {place} is missing; every class of train needs one")
        found = _image_names(place)
        if not found:
            raise DataError(f"the class folder {place} holds no images (.jpeg, .jpg or .png); fill or remove it")
        names += [f"{prefix}{name}/{file}" for file in found]
        labels += [index] * len(found)
    return _labelled(folder, names, labels, side, exact=False)


def _labelled(root: Path, names: list[str], labels: list[int], side: int, *, exact: bool) -> LabelledFiles:
    return LabelledFiles(ImageFiles(root, names, side, exact=exact), np.array(labels, dtype=np.int64))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in _scan(folder) if not entry.name.startswith(".") and entry.is_dir())
    for name in names:
        if not name.isprintable() or len(name) > 100:
            raise DataError(f"the class folder {name[:40]!r} in {folder} has no readable name; rename it")
    return tuple(names)


def _image_names(folder: Path) -> list[str]:
    """Return the image files in `folder` by name, sorted as bytes: the same order everywhere."""
    return sorted(entry.name for entry in _scan(folder) if entry.name.lower().endswith(_SUFFIXES))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read ({error.strerror}); check its permissions") from None


def _check_folder(folder: Path, what: str) -> None:
    if not folder.exists():
        raise DataError(f"the folder {folder} does not exist; point data.path to the folder of {what}")
    if not folder.is_dir():
        raise DataError(f"a folder of {what} was expected at {folder}, which is a file; name its folder")


def _check_plain(name: str, source: Path) -> None:
    if not _PLAIN.fullmatch(name):
        raise DataError(f"{source} holds {name[:60]!r}, but plain names of files and classes were expected; correct it")


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank."""
    content = read_bytes(path, _MAX_LIST_BYTES)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8 text; fetch it again") from None
    lines = [line.rstrip("\r") for line in text.split("\n")]
    found = [line for line in lines if line.strip()]
    if not found:
        raise DataError(f"{path} holds blank lines only; fetch it again")
    return found


def _readable(path: Path, wnids: list[str]) -> tuple[str, ...]:
    """Return the first word that `words.txt` has for every class, if these are there and all differ; else `wnids`."""
    if not path.exists():
        return tuple(wnids)
    words = dict.fromkeys(wnids, "")
    for line in _lines(path):
        wnid, _, rest = line.partition("\t")
        if wnid in words:
            words[wnid] = rest.split(",")[0].strip()
    names = tuple(words.values())
    good = len(set(names)) == len(names) and all(0 < len(name) <= 100 and name.isprintable() for name in names)
    return names if good else tuple(wnids)
