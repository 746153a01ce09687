"""One image file's bytes -> a square array of the size and channels that a store holds."""

import io
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from sweeps.data.prepare.lightness import convert_to_lightness

JPEG_START = b"\xff\xd8\xff"
DEPTHS = (8, 12, 16)  # bits of a pixel that files of 16 bits and more hold
WHITE = "white"  # what lies behind transparent pixels
EXIF_WITHIN = 4096  # bytes; a camera's orientation stands in the first segments
MOST_PIXELS = 2**27  # a decoded image of three channels then takes 0.4 GB, and some copies of it
MOST_BYTES = 2**30  # of a file
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit, of which it warns at two thirds of ours
DECODED_AS = {"Gray": "GRAY", "YCbCr": "RGB", "RGB": "RGB"}  # CMYK files are left to Pillow


def decode_image(
    data: bytes, size: int, grey: bool, background: str = WHITE, depth: int = DEPTHS[-1]
) -> NDArray[np.uint8]:
    """Return the largest centred square of an image, upright, resized with an antialiasing filter.

    JPEG files are decoded at the smallest scale (1/8 to 1) that still has `size` pixels on each side.

    Args:
        size: pixels on each side of the result.
        grey: CIE L* in one channel, computed before resizing; else sRGB in three.
        background: a colour as Pillow names it, which shows where an image is transparent.
        depth: bits of a pixel in files of 16 bits and more, see `find_depth`.

    Returns:
        uint8, (size, size, 1 or 3).

    Raises:
        ValueError: these bytes are no whole image.
    """
    try:
        pixels = None
        if data.startswith(JPEG_START):
            pixels = _decode_plain_jpeg(data, size)
        if pixels is None:
            pixels = _decode_with_pillow(data, size, background, depth)
    except (OSError, SyntaxError) as exc:  # what Pillow raises for broken files
        raise ValueError(str(exc).removesuffix(" <_io.BytesIO object>")) from exc
    if grey:
        pixels = convert_to_lightness(pixels)
    elif pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    return _resize_centre(pixels, size)


def read_image_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no ordinary file, such as a pipe that would never end, or larger than an image can be.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which of a pipe waits for nobody
    with os.fdopen(opened, "rb") as file:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no ordinary file")
        if status.st_size > MOST_BYTES:
            raise ValueError(f"{status.st_size / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.1f}: shrink it first")
        return file.read()


def _require_moderate_size(width: int, height: int) -> None:
    """Check that an image has few enough pixels to be decoded in the memory of a process.

    Raises:
        ValueError: it has too many.
    """
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels, more than {MOST_PIXELS / 1e6:.0f} million: shrink it first")


def _decode_plain_jpeg(data: bytes, size: int) -> NDArray[np.uint8] | None:
    """Decode a plain JPEG file; return None where Pillow has to do it, such as CMYK, or turned by its Exif data."""
    if b"Exif\x00\x00" in data[:EXIF_WITHIN]:
        return None
    try:
        height, width, components, _ = simplejpeg.decode_jpeg_header(data)
        colorspace = DECODED_AS.get(components)
        if colorspace is None or width * height > MOST_PIXELS:
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace, min_height=size, min_width=size)
    except ValueError:  # Pillow reads some files that this decoder does not, and says what is wrong with others
        return None
    return pixels


def _decode_with_pillow(data: bytes, size: int, background: str, depth: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        _require_moderate_size(image.width, image.height)
        image.draft("RGB", (size, size))  # has an effect on JPEG files only
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: Pillow's own conversion would clip
            return _convert_to_bytes(np.asarray(image), depth)
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            upright = _lay_on_background(upright, background)
        mode = "RGB"
        if upright.mode in ("L", "1"):
            mode = "L"
        return np.atleast_3d(np.asarray(upright.convert(mode)))


def _lay_on_background(image: Image.Image, background: str) -> Image.Image:
    """Return what a viewer shows of an image that is transparent in parts: grey if the image and the background are,
    else in colours.
    """
    opaque = Image.new("RGBA", image.size, background)
    opaque.alpha_composite(image.convert("RGBA"))
    red, green, blue = ImageColor.getrgb(background)[:3]
    if image.mode in ("L", "LA", "La", "1") and red == green == blue:
        return opaque.convert("L")
    return opaque


def find_depth(files: Iterable[bytes]) -> int:
    """Return how many bits of a pixel the files of 16 bits and more hold: the smallest depth that holds them all.

    Cameras and scanners write 12 bits into files of 16. One image tells little: it may be dark.
    """
    highest = -1
    for data in files:
        damaged = (OSError, SyntaxError, ValueError)
        with suppress(*damaged), Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith("I") and image.width * image.height <= MOST_PIXELS:
                highest = max(highest, int(np.asarray(image).max(initial=0)))
    if highest < 0:
        return DEPTHS[-1]
    return next((bits for bits in DEPTHS if highest < 2**bits), DEPTHS[-1])


def _convert_to_bytes(pixels: NDArray[np.generic], depth: int) -> NDArray[np.uint8]:
    """Return whole numbers of so many bits, or floats from 0 to 1 or from 0 to 255, as bytes.

    Raises:
        ValueError: they are below 0 or too high, or no numbers: nobody can say which of them is white.
    """
    lowest = pixels.min(initial=0)
    highest = pixels.max(initial=0)
    if pixels.dtype.kind == "f":
        if not (lowest >= 0 and highest <= 255):
            raise ValueError(f"pixels from {lowest} to {highest}, where floats of 0 to 1 or 0 to 255 are understood")
        if highest <= 1:
            return np.atleast_3d(np.round(255 * pixels.astype(np.float64)).astype(np.uint8))
        return np.atleast_3d(np.round(pixels.astype(np.float64)).astype(np.uint8))
    if lowest < 0 or highest >= 2**depth:
        raise ValueError(f"pixels from {lowest} to {highest}, where 0 to {2**depth - 1} are understood")
    return np.atleast_3d((pixels.astype(np.int64) >> (depth - 8)).astype(np.uint8))


def _resize_centre(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the largest centred square of an image, resized to (size, size, channels)."""
    height, width, channels = pixels.shape
    if height == width == size:
        return pixels
    side = min(height, width)
    left = (width - side) / 2
    top = (height - side) / 2
    if channels == 1:
        image = Image.fromarray(pixels[..., 0])
    else:
        image = Image.fromarray(pixels)
    resized = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return np.asarray(resized).reshape(size, size, channels)
