"""CIFAR, Tiny ImageNet and image folders: every format to the pixels it holds, streamed or not, and broken ones refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pymodel.data import Dataset, ImageStream, load
from pymodel.data._decode import MAX_PIXELS, declared_size, decode, resized
from pymodel.data._split import some_rows
from pymodel.data._stream import BLOCK_ROWS, pixel_moments
from pymodel.errors import ConfigError, DataError
from pymodel.settings import DataSettings
from tests.pymodel.data.images import cifar10, cifar100, image_folder, jpeg, jpeg_pack, photographs, tiny_imagenet

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not beside the project")


def _load(source: str, path: Path, **options: Any) -> Dataset:
    return load(DataSettings(source, path, **options))  # type: ignore[arg-type]


def test_binary_cifar10_is_read_channels_last(tmp_path: Path) -> None:
    inner = tmp_path / "cifar-10-batches-bin"
    inner.mkdir()
    x, y = cifar10(inner)
    data = _load("cifar10", tmp_path)
    assert data.image == (32, 32, 3)
    assert np.array_equal(data.x_train, x[:100].reshape(100, -1))
    assert np.array_equal(data.x_test, x[100:].reshape(20, -1))
    assert np.array_equal(np.concatenate((data.y_train, data.y_test)), y)
    assert data.classes[0] == "airplane"
    assert data.features[:4] == ("pixel_0_0_red", "pixel_0_0_green", "pixel_0_0_blue", "pixel_0_1_red")
    prepared = data.host.prepare(np.array([np.zeros(3072), np.full(3072, 255.0)]))
    assert np.array_equal(prepared, [[-2.0] * 3072, [2.0] * 3072])  # whatever the images hold
    (inner / "batches.meta.txt").write_text("\n".join(f"thing {index}" for index in range(10)) + "\n\n")
    assert _load("cifar10", inner).classes[9] == "thing 9"


@pytest.mark.parametrize("label", ["fine", "coarse"])
def test_cifar100_has_two_labels(tmp_path: Path, label: str) -> None:
    x, coarse, fine = cifar100(tmp_path)
    data = _load("cifar100", tmp_path, label=label)
    expected = fine if label == "fine" else coarse
    assert np.array_equal(data.x_test, x[200:].reshape(100, -1))
    assert np.array_equal(np.concatenate((data.y_train, data.y_test)), expected)
    assert data.classes == tuple(f"{label}_{index}" for index in range(100 if label == "fine" else 20))
    assert _load("cifar100", tmp_path).n_outputs == 100


def test_packed_jpeg_streams_what_it_decodes(tmp_path: Path) -> None:
    files = jpeg_pack(tmp_path)
    pixels = np.stack([np.asarray(decode(file, "an image")) for file in files]).reshape(len(files), -1)
    whole, stream = (_load("cifar10", tmp_path, stream=flag) for flag in (None, True))
    assert isinstance(whole.x_train, np.ndarray)
    assert isinstance(stream.x_train, ImageStream)
    assert np.array_equal(whole.x_train, pixels[:20])
    assert np.array_equal(whole.x_test, pixels[20:])
    assert np.array_equal(stream.x_train[:], whole.x_train)
    assert np.array_equal(stream.x_test, whole.x_test)
    assert stream.host == whole.host
    assert np.array_equal(stream.validation, whole.validation)


def test_tiny_imagenet_layout(tmp_path: Path) -> None:
    wnids = tiny_imagenet(tmp_path)
    data = _load("tiny_imagenet", tmp_path, validation_fraction=0.25)
    assert data.image == (64, 64, 3)
    assert data.classes == ("frog", "cat", "dog")  # of wnids.txt's order, by the first word
    assert data.y_train.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.y_test.tolist() == [0, 0, 1, 1, 2, 2]
    file = tmp_path / "train" / wnids[1] / "images" / f"{wnids[1]}_1.JPEG"
    grey = np.asarray(Image.open(file))
    assert grey.ndim == 2
    assert np.array_equal(data.x_train[np.array([5])].reshape(64, 64, 3), np.repeat(grey[..., None], 3, axis=2))
    assert _load("tiny_imagenet", tmp_path, size=16).image == (16, 16, 3)
    (tmp_path / "words.txt").write_text("n01\tcat\nn02\tcat\nn03\tfrog\n")  # ambiguous
    assert _load("tiny_imagenet", tmp_path).classes == ("n03", "n01", "n02")


def test_image_folder_with_and_without_parts(tmp_path: Path) -> None:
    image_folder(tmp_path)
    data = _load("imagenet", tmp_path, size=24)
    assert (data.image, data.classes) == ((24, 24, 3), ("ants", "bees"))
    assert (len(data.y_train), len(data.y_test)) == (12, 4)
    split = _load("imagenet", tmp_path / "train", size=24, test_fraction=0.5)
    assert (len(split.y_train), len(split.y_test)) == (6, 6)
    stream = _load("imagenet", tmp_path / "train", size=24, test_fraction=0.5, stream=True, scale="standard")
    assert np.array_equal(np.asarray(stream.x_train), split.x_train)
    same = _load("imagenet", tmp_path / "train", size=24, test_fraction=0.5, scale="standard")
    assert stream.host == same.host
    np.testing.assert_allclose(
        same.host.prepare(same.x_train).std(axis=0)[np.array(same.host.feature_scale) > 0], 4 / 6, rtol=1e-9
    )


def test_resized_cuts_the_centre() -> None:
    x, y = np.meshgrid(np.arange(140), np.arange(70))
    pixels = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    out = resized(Image.fromarray(pixels), 56).astype(float)  # 64 of 70 rows, a scale of 64/70
    middle = out[28, 28]
    assert abs(middle[0] - 70) < 2
    assert abs(middle[1] - 35) < 2
    assert abs((out[28, 55, 0] - out[28, 0, 0]) / 55 - 70 / 64) < 0.02
    assert abs((out[55, 28, 1] - out[0, 28, 1]) / 55 - 70 / 64) < 0.02
    assert np.array_equal(resized(Image.fromarray(pixels[:56, :56]), 56), pixels[:56, :56])
    thin = Image.fromarray(np.zeros((1, 60000, 3), dtype=np.uint8))
    assert resized(thin, 64).shape == (64, 64, 3)  # without an image of millions of pixels in between


def test_moments_are_exact() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2 * BLOCK_ROWS + 3, 7), dtype=np.uint8)
    mean, std = pixel_moments(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(std, x.std(axis=0), rtol=1e-12)


def test_rows_are_drawn_with_every_class_and_by_seed(tmp_path: Path) -> None:
    cifar10(tmp_path)
    data = _load("cifar10", tmp_path, train_rows=30, test_rows=10)
    assert np.bincount(data.y_train).tolist() == [3] * 10
    assert np.bincount(data.y_test).tolist() == [1] * 10
    again, other = (_load("cifar10", tmp_path, train_rows=30, test_rows=10, seed=seed) for seed in (0, 1))
    assert np.array_equal(data.x_train, again.x_train)
    assert not np.array_equal(data.x_train, other.x_train)
    y = np.repeat([0, 1, 2], [50, 30, 20])
    for count in range(1, 101):
        rows = some_rows(y, count, 3, stratify=True)
        assert len(rows) == len(set(rows.tolist())) == count
        assert np.abs(np.bincount(y[rows], minlength=3) - count * np.array([0.5, 0.3, 0.2])).max() <= 1
    assert len(some_rows(y, 7, 0, stratify=False)) == 7
    wine = load(DataSettings("wine", train_rows=40, test_rows=9))
    assert (len(wine.y_train), len(wine.y_test)) == (40, 9)


def test_parts_that_do_not_fit_in_memory_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar10(tmp_path)
    monkeypatch.setattr("pymodel.data._load.MAX_HELD", 15 * 3072)
    with pytest.raises(DataError, match=r"set data\.test_rows to 15 or less"):
        _load("cifar10", tmp_path)
    _load("cifar10", tmp_path, test_rows=15)
    with pytest.raises(DataError, match=r"set data\.validation_fraction to 0\.15 or less"):
        _load("cifar10", tmp_path, test_rows=15, validation_fraction=0.3)
    monkeypatch.setattr("pymodel.data._image_sources.STREAM_BYTES", 10)
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    tiny_imagenet(tiny)
    assert isinstance(_load("tiny_imagenet", tiny, test_rows=3).x_train, ImageStream)
    assert isinstance(_load("tiny_imagenet", tiny, test_rows=3, stream=False).x_train, np.ndarray)


# --- what is broken -----------------------------------------------------------------------------------------------------


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(height: int, width: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _with_size(content: bytes, height: int, width: int) -> bytes:
    """The JPEG `content` with another size in its frame header."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def test_broken_images_are_one_sentence() -> None:
    good = jpeg(photographs(1)[0])
    assert declared_size(good) == (32, 32)
    assert decode(good, "x", size=(32, 32)).size == (32, 32)
    for content, words in (
        (b"", "no readable JPEG or PNG"),
        (b"GIF89a" + bytes(50), "no readable JPEG or PNG"),
        (good[:100], "no readable JPEG or PNG|broken"),
        (good[: len(good) // 2], "broken"),
        (_with_size(good, 65535, 65535), f"images of 1 to {MAX_PIXELS >> 20} million"),
        (_png(1 << 31, 1 << 30), "images of 1 to"),
        (_with_size(good, 0, 32), "images of 1 to"),
        (_png(20, 20), "broken"),
        (_png(20, 20)[:20], "no readable"),
        (b"\xff\xd8" + b"\xff" * 2000, "no readable"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 9, "no readable"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            decode(content, "picture.jpg")
        assert str(caught.value).startswith("picture.jpg")
    with pytest.raises(DataError, match="of 32x32 pixels, but 64x64 were expected"):
        decode(good, "x", size=(64, 64))


def test_any_damage_is_refused_or_decoded() -> None:
    good = np.frombuffer(jpeg(photographs(1)[0]), dtype=np.uint8)
    png = np.frombuffer(jpeg(photographs(1)[0], kind="PNG"), dtype=np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for index in range(600):
        content = (good if index % 2 else png).copy()
        for _ in range(rng.integers(1, 8)):
            content[rng.integers(0, len(content))] = rng.integers(0, 256)
        damaged = content.tobytes()[: rng.integers(1, len(content) + 1) if index % 3 == 0 else None]
        try:
            assert decode(damaged, "x").mode == "RGB"
        except DataError:
            refused += 1
    assert refused > 100


def _cut(name: str, keep: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return change


def _drop(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def _write(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        if path.is_symlink() or path.exists():
            path.unlink()
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def _pack(**arrays: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "cifar10_jpeg_train.npz"
        with np.load(path) as archive:
            np.savez(path, **(dict(archive) | arrays))

    return change


def _pipe(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


_ANNOTATIONS = "val/val_annotations.txt"
_BROKEN: list[tuple[str, Callable[[Path], Any], Callable[[Path], None], str]] = [
    (
        "cifar10",
        cifar10,
        _cut("data_batch_3.bin", 5000),
        "data_batch_3.bin has 5000 bytes, which is no multiple of 3073",
    ),
    ("cifar10", cifar10, _cut("test_batch.bin", 0), "test_batch.bin is empty"),
    ("cifar10", cifar10, _drop("data_batch_2.bin"), "lacks the file data_batch_2.bin"),
    ("cifar10", cifar10, _drop("data_batch_1.bin"), "lacks the file data_batch_1.bin"),
    ("cifar10", cifar10, _write("data_batch_4.bin", b"\xff" * 3073), "holds the label 255, but labels go from 0 to 9"),
    ("cifar10", cifar10, _write("batches.meta.txt", "cat\ndog\n"), "must name 10 different classes"),
    ("cifar10", cifar10, _pipe("data_batch_5.bin"), "no regular file"),
    ("cifar100", cifar100, _cut("train.bin", 3074 * 5 + 1), "no multiple of 3074"),
    ("cifar100", cifar100, _cut("train.bin", 3074 * 50), "no training image shows the class 'fine_50'"),
    ("cifar10", jpeg_pack, _drop("cifar10_jpeg_test.npz"), "does not exist"),
    ("cifar10", jpeg_pack, _cut("cifar10_jpeg_train.npz", 900), "no readable .npz file"),
    ("cifar10", jpeg_pack, _pack(lengths=np.full(20, 65535, np.uint16)), "do not fit"),
    ("cifar10", jpeg_pack, _pack(lengths=np.full(20, -1, np.int64)), "must hold the vectors"),
    ("cifar10", jpeg_pack, _pack(labels=np.full(20, 99, np.uint8)), "labels up to 99 for 10 class names"),
    ("cifar10", jpeg_pack, _pack(scans=np.zeros((3, 3), np.uint8)), "must hold the vectors"),
    ("cifar10", jpeg_pack, _pack(header=np.zeros(9, np.uint8)), "image 0 of .* is no readable JPEG"),
    ("cifar10", jpeg_pack, _pack(classes=np.array(["a"] * 10)), "name different classes|for 10 class names"),
    ("tiny_imagenet", tiny_imagenet, _drop("wnids.txt"), "wnids.txt does not exist"),
    ("tiny_imagenet", tiny_imagenet, _drop("train/n01"), "of class n01 is missing"),
    ("tiny_imagenet", tiny_imagenet, _drop("val/images"), "val/images is missing"),
    ("tiny_imagenet", tiny_imagenet, _drop(_ANNOTATIONS), "val_annotations.txt does not exist"),
    ("tiny_imagenet", tiny_imagenet, _write("wnids.txt", "n01\n../../etc\n"), "plain names of files and classes"),
    ("tiny_imagenet", tiny_imagenet, _write("wnids.txt", "n01\nn01\n"), "different classes"),
    ("tiny_imagenet", tiny_imagenet, _write("wnids.txt", b"\xff\xfe\n"), "not UTF-8"),
    ("tiny_imagenet", tiny_imagenet, _write(_ANNOTATIONS, "../../../etc/passwd\tn01\n"), "plain names"),
    ("tiny_imagenet", tiny_imagenet, _write(_ANNOTATIONS, "/etc/passwd\tn01\n"), "plain names"),
    ("tiny_imagenet", tiny_imagenet, _write(_ANNOTATIONS, ".hidden\tn01\n"), "plain names"),
    ("tiny_imagenet", tiny_imagenet, _write(_ANNOTATIONS, "val_0.JPEG\tn0l\n"), "line 1: the class 'n0l' is not in"),
    ("tiny_imagenet", tiny_imagenet, _write(_ANNOTATIONS, "val_0.JPEG\tn01\n" * 2), "lists an image twice"),
    ("tiny_imagenet", tiny_imagenet, _drop("val/images/val_3.JPEG"), "val_3.JPEG does not exist"),
    ("tiny_imagenet", tiny_imagenet, _cut("train/n02/images/n02_0.JPEG", 700), "n02_0.JPEG is (a broken|no readable)"),
    (
        "tiny_imagenet",
        tiny_imagenet,
        _write("val/images/val_1.JPEG", jpeg(photographs(1)[0])),
        "val_1.JPEG is an image of 32x32 pixels, but 64x64",
    ),
    ("imagenet", image_folder, _drop("val"), "val is missing"),
    ("imagenet", image_folder, _drop("val/bees"), "the class folder .*val/bees is missing"),
    ("imagenet", image_folder, _drop("train/ants"), "has 1 subfolders"),
    ("imagenet", image_folder, lambda folder: (folder / "val" / "wasps").mkdir(), "wasps has no counterpart in train"),
    ("imagenet", image_folder, lambda folder: (folder / "train" / "moths").mkdir(), "val/moths is missing|no images"),
    ("imagenet", image_folder, _write("train/ants/image0.jpeg", _png(1 << 20, 1 << 20)), "images of 1 to 64 million"),
    ("imagenet", image_folder, _pipe("train/ants/image1.jpeg"), "no regular file"),
]


@pytest.mark.parametrize(("source", "make", "change", "words"), _BROKEN, ids=range(len(_BROKEN)))
def test_broken_sets_are_refused(
    tmp_path: Path, source: str, make: Callable[[Path], Any], change: Callable[[Path], None], words: str
) -> None:
    make(tmp_path)
    change(tmp_path)
    size = {"size": 16} if source == "imagenet" else {}
    with pytest.raises(DataError, match=words) as caught:
        _load(source, tmp_path, **size)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("; ") >= 1  # and the remedy


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "tiny_imagenet", "imagenet"])
def test_a_folder_is_expected(tmp_path: Path, source: str) -> None:
    size = {"size": 16} if source == "imagenet" else {}
    with pytest.raises(DataError, match=r"does not exist; point data\.path to the folder of"):
        _load(source, tmp_path / "nowhere", **size)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="which is a file; name its folder"):
        _load(source, tmp_path / "file", **size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": "imagenet", "path": "x"}, r"'imagenet' needs data\.size"),
        ({"source": "cifar10", "path": "x", "size": 32}, r"data\.size scales images in folders"),
        ({"source": "imagenet", "path": "x", "size": 0}, r"data\.size must be an integer from 1"),
        ({"source": "wine", "stream": True}, r"data\.stream decodes images in files"),
        ({"source": "cifar100", "path": "x", "label": "medium"}, r"data\.label must be one of fine, coarse"),
        ({"source": "cifar10", "path": "x", "label": "fine"}, r"data\.label names a CSV column"),
        ({"source": "cifar10"}, r"'cifar10' needs data\.path"),
        ({"source": "wine", "train_rows": 1}, r"data\.train_rows must be an integer from 2"),
        ({"source": "wine", "test_rows": 0}, r"data\.test_rows must be an integer from 1"),
    ],
)
def test_settings_that_do_not_combine(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        DataSettings(**options)


# --- the real ones ------------------------------------------------------------------------------------------------------


@needs_shared
def test_shared_cifar10_test_part_has_the_published_pixels() -> None:
    data = _load("cifar10", SHARED / "cifar10", train_rows=100)
    digest = "5fce8f6a84d7de12f276662376ce80f5f19c236502ddae2e16c3f187c0386c13"
    if Image.__version__ != "13.0.0":
        pytest.skip(f"the published sum is of Pillow 13.0.0, not {Image.__version__}")
    assert hashlib.sha256(data.x_test.tobytes()).hexdigest() == digest
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert data.classes[3] == "cat"


@needs_shared
def test_shared_tiny_imagenet() -> None:
    data = _load("tiny_imagenet", SHARED / "tiny-imagenet-20", stream=True)
    assert isinstance(data.x_train, ImageStream)
    assert data.x_train.shape == (2000, 12288)
    assert (len(data.y_test), data.n_outputs) == (400, 20)
    assert "Egyptian cat" in data.classes
    part = data.x_train[data.fit[:100]]
    assert 80 < part.mean() < 150
    assert np.array_equal(part[::-1], data.x_train[data.fit[:100][::-1]])
