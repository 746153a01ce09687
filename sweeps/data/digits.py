"""Handwritten digits: the 1 797 images of 8x8 pixels that come with scikit-learn; real data without a download."""

import numpy as np

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays, balanced_order
from sweeps.errors import TrialError

SIDE = 8
WHITE = 16  # the brightest value of a pixel


def digits(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the first `config.classes` digits, each pixel repeated to `config.image_size`.

    `config.seed` decides which images are held out. Both sets are balanced as far as the images of each class reach
    (174 to 183), and the hold-out set does not depend on `config.images`.

    Raises:
        TrialError: fewer images than asked for.
    """
    from sklearn.datasets import load_digits  # here, since only this source needs it and it takes a second

    small, labels = load_digits(return_X_y=True)
    chosen = np.flatnonzero(labels < config.classes)
    _check(len(chosen), config, holdout_images)
    order = chosen[balanced_order(labels[chosen], config.seed)][: holdout_images + config.images]
    grey = np.rint(small[order].reshape(-1, SIDE, SIDE, 1) * (255 / WHITE)).astype(np.uint8)
    factor = config.image_size // SIDE
    images = grey.repeat(factor, axis=1).repeat(factor, axis=2)
    classes = labels[order].astype(np.int32)
    kept = slice(None, holdout_images)
    trained = slice(holdout_images, None)
    return Arrays(images[trained], classes[trained], images[kept], classes[kept], config.classes)


def _check(there: int, config: DataConfig, holdout_images: int) -> None:
    left = there - holdout_images
    if config.images <= left:
        return
    if left >= config.classes:
        mend = f"set data.images to {left} or less, or hold out fewer"
    else:  # no value of data.images would do: each class must be shown
        mend = f"set holdout_images to {there - config.classes} or less, and data.images to what that leaves"
    raise TrialError(
        f"scikit-learn has {there} images of the first {config.classes} digits; with {holdout_images} held out, "
        f"{max(left, 0)} are left to train on, not {config.images}; {mend}"
    )
