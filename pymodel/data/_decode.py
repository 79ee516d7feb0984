"""One image file to pixels, with nothing allocated on the word of a header that is out of bounds.

Photographs come as JPEG, now and then as PNG under a JPEG's name. The size that such a file declares is read here, before
Pillow sees it: a file of a few bytes may declare gigabytes (a decompression bomb).
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import numpy.typing as npt
from PIL import Image

from pymodel.errors import DataError

__all__ = ["MAX_FILE_BYTES", "MAX_PIXELS", "Pixels", "decode", "resized"]

Pixels = npt.NDArray[np.uint8]

#: Larger files are no photographs.
MAX_FILE_BYTES = 64 << 20
#: ImageNet's largest image has 61 million pixels; Pillow's own limit lies at 89 million.
MAX_PIXELS = 1 << 26
_PNG = b"\x89PNG\r\n\x1a\n"
#: Start-of-frame markers: all of C0 … CF but C4, C8 and CC, which are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers without a length: TEM and the restarts.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


def declared_size(content: bytes) -> tuple[int, int] | None:
    """Return (height, width) that a JPEG or PNG declares, or None if it is neither or ends before it says so."""
    if content.startswith(_PNG):
        if len(content) < 24 or content[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", content[16:24])
        return height, width
    if not content.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF or marker in _BARE:  # fill byte, or a marker alone
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", content[place + 2 : place + 4])
        if marker in _FRAMES:
            if place + 9 > len(content):
                return None
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return height, width
        place += 2 + max(2, length)
    return None


def decode(content: bytes, what: str, *, size: tuple[int, int] | None = None) -> Image.Image:
    """Return the JPEG or PNG `content` as an RGB image; grey, palette and CMYK images are converted.

    Args:
        content: the whole file.
        what: the place to name in the message.
        size: (height, width) that is expected; None takes any.

    Raises:
        DataError: if it is no JPEG or PNG, is broken or truncated, declares another size, or is too large.
    """
    declared = declared_size(content)
    if declared is None:
        raise DataError(f"{what} is no readable JPEG or PNG image ({len(content)} bytes); fetch it again")
    height, width = declared
    if size is not None and declared != size:
        raise DataError(
            f"{what} is an image of {height}x{width} pixels, but {size[0]}x{size[1]} were expected; fetch it again"
        )
    if min(declared) < 1 or height * width > MAX_PIXELS:
        raise DataError(
            f"{what} declares {height}x{width} pixels, but images of 1 to {MAX_PIXELS >> 20} million are read; remove it"
        )
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.size == (width, height):
                return image.convert("RGB")
    except (  # what Pillow and its codecs raise for broken files
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        LookupError,
        ArithmeticError,
        TypeError,
        MemoryError,
        struct.error,
        zlib.error,
    ) as error:
        raise DataError(f"{what} is a broken image ({_first_words(error)}); fetch it again") from None
    raise DataError(f"{what} declares two sizes, of which Pillow reads the other; remove it")


def resized(image: Image.Image, side: int) -> Pixels:
    """Return (side, side, 3): the shorter side scaled to `side * 8 / 7` (bilinear), then the centre cut out.

    So is ImageNet usually read: 256 and 224 pixels. An image that has the right size is left as it is.
    """
    width, height = image.size
    if (width, height) != (side, side):
        short = max(side, round(side * 8 / 7))
        scale = short / min(width, height)
        wide, high = max(short, round(width * scale)), max(short, round(height * scale))
        left, top = (wide - side) / 2 / wide * width, (high - side) / 2 / high * height
        # Scaling the centre only: an image of 1 x 65000 pixels must not become one of 64 x 4 million.
        box = (left, top, width - left, height - top)
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.uint8)


def _first_words(error: Exception) -> str:
    return (str(error).split("\n")[0].rstrip(".") or type(error).__name__)[:120]
