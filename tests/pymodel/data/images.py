"""Small image data sets in the published formats, written by the tests."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["cifar10", "cifar100", "image_folder", "jpeg", "jpeg_pack", "photographs", "tiny_imagenet"]

Pixels = npt.NDArray[np.uint8]


def photographs(n: int, side: int = 32, seed: int = 0) -> Pixels:
    """(n, side, side, 3), smooth enough that JPEG changes them little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    a = rng.uniform(0, 6, (n, 3, 1, 1))
    waves = np.sin(a * x + rng.uniform(0, 6, (n, 3, 1, 1))) * np.cos(a[:, ::-1] * y)
    return np.rint(127.5 * (1 + waves)).astype(np.uint8).transpose(0, 2, 3, 1).copy()


def jpeg(pixels: Pixels, mode: str = "RGB", kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, quality=90)
    return file.getvalue()


def _records(x: Pixels, labels: list[npt.NDArray[np.uint8]]) -> bytes:
    planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    return np.concatenate([label[:, None] for label in labels] + [planes], axis=1).tobytes()


def cifar10(folder: Path, rows: int = 20) -> tuple[Pixels, npt.NDArray[np.uint8]]:
    """Write the six binary batches of `rows` images each; return all images and labels, the test batch last."""
    x = photographs(6 * rows)
    y = (np.arange(6 * rows) % 10).astype(np.uint8)
    for index in range(6):
        part = slice(index * rows, (index + 1) * rows)
        name = f"data_batch_{index + 1}.bin" if index < 5 else "test_batch.bin"
        (folder / name).write_bytes(_records(x[part], [y[part]]))
    return x, y


def cifar100(folder: Path) -> tuple[Pixels, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Write `train.bin` (200 images) and `test.bin` (100); return images, coarse and fine labels, the test part last."""
    x = photographs(300)
    fine = (np.arange(300) % 100).astype(np.uint8)
    coarse = (fine // 5).astype(np.uint8)
    for name, part in (("train.bin", slice(0, 200)), ("test.bin", slice(200, 300))):
        (folder / name).write_bytes(_records(x[part], [coarse[part], fine[part]]))
    return x, coarse, fine


def jpeg_pack(folder: Path, n: int = 20, n_test: int = 10) -> list[bytes]:
    """Write the two packed npz files; return all images as JPEG files, test part last."""
    files = [jpeg(image) for image in photographs(n + n_test)]
    length = min(next(i for i in range(2000) if a[i] != b[i]) for a, b in itertools.pairwise(files))
    for name, part in (("cifar10_jpeg_train.npz", files[:n]), ("cifar10_jpeg_test.npz", files[n:])):
        scans = [file[length:-2] for file in part]
        np.savez(
            folder / name,
            header=np.frombuffer(part[0][:length], dtype=np.uint8),
            lengths=np.array([len(scan) for scan in scans], dtype=np.uint16),
            scans=np.frombuffer(b"".join(scans), dtype=np.uint8),
            labels=(np.arange(len(part)) % 10).astype(np.uint8),
            classes=np.array([f"class{index}" for index in range(10)]),
        )
    return files


def tiny_imagenet(folder: Path, rows: int = 4, n_test: int = 2) -> list[str]:
    """Write three classes of the official layout; return their wnids."""
    wnids = ["n03", "n01", "n02"]
    x = photographs(3 * (rows + n_test), 64)
    (folder / "wnids.txt").write_text("\n".join(wnids) + "\n")
    (folder / "words.txt").write_text("n01\tcat, tabby\nn02\tdog\nn03\tfrog, toad\nn99\tnothing\n")
    (folder / "val" / "images").mkdir(parents=True)
    lines = []
    for index, wnid in enumerate(wnids):
        images = folder / "train" / wnid / "images"
        images.mkdir(parents=True)
        for k in range(rows):
            grey = "L" if k == 1 else "RGB"
            (images / f"{wnid}_{k}.JPEG").write_bytes(jpeg(x[index * rows + k], grey))
        for k in range(n_test):
            name = f"val_{index * n_test + k}.JPEG"
            (folder / "val" / "images" / name).write_bytes(jpeg(x[3 * rows + index * n_test + k]))
            lines.append(f"{name}\t{wnid}\t0\t0\t63\t63")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return wnids


def image_folder(folder: Path, sides: tuple[tuple[int, int], ...] = ((40, 50), (64, 30), (32, 32))) -> None:
    """Write two classes with a few images of several sizes, `train` and `val`."""
    for part in ("train", "val"):
        for c, name in enumerate(("ants", "bees")):
            place = folder / part / name
            place.mkdir(parents=True)
            for k in range(6 if part == "train" else 2):
                high, wide = sides[k % len(sides)]
                pixels = photographs(1, 80, seed=10 * c + k)[0, :high, :wide]
                kind = "PNG" if k == 3 else "JPEG"
                (place / f"image{k}.{kind.lower()}").write_bytes(jpeg(pixels, kind=kind))
            (place / "notes.txt").write_text("not an image")
