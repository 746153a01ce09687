"""One image file's bytes -> a square array of the size and channels that a store holds."""

import io

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sweeps.data.prepare.lightness import convert_to_lightness

JPEG_START = b"\xff\xd8\xff"
EXIF_WITHIN = 4096  # bytes; a camera's orientation stands in the first segments
DECODED_AS = {"Gray": "GRAY", "YCbCr": "RGB", "RGB": "RGB"}  # CMYK files are left to Pillow


def decode_image(data: bytes, size: int, grey: bool) -> NDArray[np.uint8]:
    """Return the largest centred square of an image, upright, resized with an antialiasing filter.

    JPEG files are decoded at the smallest scale (1/8 to 1) that still has `size` pixels on each side.

    Args:
        size: pixels on each side of the result.
        grey: CIE L* in one channel, computed before resizing; else sRGB in three.

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
            pixels = _decode_with_pillow(data, size)
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:  # what Pillow raises for broken files
        raise ValueError(str(exc).removesuffix(" <_io.BytesIO object>")) from exc
    if grey:
        pixels = convert_to_lightness(pixels)
    elif pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, axis=-1)
    return _resize_centre(pixels, size)


def _decode_plain_jpeg(data: bytes, size: int) -> NDArray[np.uint8] | None:
    """Decode a plain JPEG file; return None where Pillow has to do it (CMYK, or turned by its Exif data)."""
    if b"Exif\x00\x00" in data[:EXIF_WITHIN]:
        return None
    colorspace = DECODED_AS.get(simplejpeg.decode_jpeg_header(data)[2])
    if colorspace is None:
        return None
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colorspace, min_height=size, min_width=size)
    return pixels


def _decode_with_pillow(data: bytes, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (size, size))  # has an effect on JPEG files only
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: Pillow's own conversion would clip
            return _convert_to_bytes(np.asarray(image))
        upright = ImageOps.exif_transpose(image)
        mode = "RGB"
        if upright.mode in ("L", "1"):
            mode = "L"
        return np.atleast_3d(np.asarray(upright.convert(mode)))


def _convert_to_bytes(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    if pixels.dtype.kind == "f":
        raise ValueError(f"pixels of type {pixels.dtype} have no white")
    return np.atleast_3d((pixels.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


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
