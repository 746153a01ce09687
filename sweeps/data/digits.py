"""Handwritten digits: the 1 797 images of 8x8 pixels that come with scikit-learn; real data without a download."""

import numpy as np

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays, balanced_order
from sweeps.errors import TrialError

SIDE = 8
WHITE = 16  # the brightest value of a pixel


def make_digit_images(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the first `config.classes` digits, each pixel repeated to `config.image_size`.

    `config.seed` decides which images are held out. Both sets are balanced as far as the images of each class reach
    (174 to 183), and the hold-out set does not depend on `config.images`.

    Raises:
        TrialError: fewer images than asked for.
    """
    from sklearn.datasets import load_digits  # here, since only this source needs it and it takes a second

    pixels, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(labels < config.classes)
    _require_enough_digits(len(chosen), config, holdout_images)
    rows = chosen[balanced_order(labels[chosen], config.seed)][: holdout_images + config.images]
    small_images = np.rint(pixels[rows].reshape(-1, SIDE, SIDE, 1) * (255 / WHITE)).astype(np.uint8)
    factor = config.image_size // SIDE
    images = small_images.repeat(factor, axis=1).repeat(factor, axis=2)
    chosen_labels = labels[rows].astype(np.int32)
    return Arrays(
        train_images=images[holdout_images:],
        train_labels=chosen_labels[holdout_images:],
        holdout_images=images[:holdout_images],
        holdout_labels=chosen_labels[:holdout_images],
        classes=config.classes,
    )


def _require_enough_digits(available: int, config: DataConfig, holdout_images: int) -> None:
    """Check that there are as many images as the config asks for.

    Args:
        available: images of the classes that were asked for.

    Raises:
        TrialError: there are fewer.
    """
    for_training = available - holdout_images
    if config.images <= for_training:
        return
    if for_training >= config.classes:
        advice = f"set data.images to {for_training} or less, or hold out fewer"
    else:  # no value of data.images would do: each class must be shown
        advice = f"set holdout_images to {available - config.classes} or less, and data.images to what that leaves"
    raise TrialError(
        f"scikit-learn has {available} images of the first {config.classes} digits; with {holdout_images} held out, "
        f"{max(for_training, 0)} are left to train on, not {config.images}; {advice}"
    )
