"""CIE L* by tables against scikit-image's."""

import numpy as np
from skimage.color import rgb2lab

from sweeps.data.prepare.lightness import convert_to_lightness


def test_lightness_of_colours_is_that_of_scikit_image_within_a_quarter_of_a_hundredth() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    corners = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    for image in (colours, corners):
        assert np.abs(convert_to_lightness(image)[..., 0] / 2.55 - rgb2lab(image)[..., 0]).max() < 0.25


def test_every_grey_is_as_light_in_one_channel_as_in_three() -> None:
    grey = np.arange(256, dtype=np.uint8)[:, None, None]
    assert np.array_equal(convert_to_lightness(grey), convert_to_lightness(grey.repeat(3, axis=-1)))
    assert convert_to_lightness(grey)[0] == 0
    assert convert_to_lightness(grey)[255] == 255
    assert (np.diff(convert_to_lightness(grey).ravel().astype(int)) >= 0).all()
