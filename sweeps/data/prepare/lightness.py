"""CIE L*: how light an image looks, as one channel of bytes; the network's greyscale input is L* / 100.

Y is computed from linear light (sRGB, D65), which the luma of a JPEG file is not: that differs by up to 8.6 of 100.
"""

import numpy as np
from numpy.typing import NDArray

# Row of Y in the sRGB to XYZ matrix (IEC 61966-2-1), for white Y = 1.
LUMINANCE = (0.2126729, 0.7151522, 0.0721750)
STEPS = 65_535  # Y in whole numbers: three tables of them are added, and the sum points into a fourth


def convert_to_lightness(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return round(255 L* / 100) of each pixel, within 0.25 of the exact L* (of 100), which is what a byte can hold.

    Args:
        images: sRGB or grey, uint8, (..., 3) or (..., 1).

    Returns:
        uint8, (..., 1).
    """
    if images.shape[-1] == 1:
        return GREY_TABLE[images]
    red, green, blue = TABLES
    luminance = red[images[..., 0]]
    luminance += green[images[..., 1]]
    luminance += blue[images[..., 2]]
    return LIGHTNESS_TABLE[luminance][..., np.newaxis]


def _linearise_srgb(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the light of an sRGB value in [0, 1] (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _lightness_of_luminance(luminance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return L* in [0, 100] of Y in [0, 1] (CIE 15)."""
    return 116 * np.where(luminance > 0.008856, np.cbrt(luminance), 7.787 * luminance + 16 / 116) - 16


def _round_to_bytes(lightness: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(lightness, 0, 100) * 2.55).astype(np.uint8)


def _make_luminance_tables() -> tuple[NDArray[np.uint16], ...]:
    """Return the share of each channel's value in Y, in steps.

    They are rounded as a running sum, so that white comes to STEPS and no more.
    """
    linear = _linearise_srgb(np.arange(256) / 255)
    weights = np.array(LUMINANCE) / sum(LUMINANCE)
    sums = np.concatenate([np.zeros(1), np.cumsum(weights)])
    edges = np.rint(STEPS * np.outer(sums, linear))
    return tuple(np.diff(edges, axis=0).astype(np.uint16))


TABLES = _make_luminance_tables()
LIGHTNESS_TABLE = _round_to_bytes(_lightness_of_luminance(np.arange(STEPS + 1) / STEPS))
GREY_TABLE = _round_to_bytes(_lightness_of_luminance(_linearise_srgb(np.arange(256) / 255)))
