"""Images or rows with their labels, as a source has them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Everything that a source has.

    Attributes:
        train_images, holdout_images: uint8, (n, height, width, channels), or rows of a table, numbers, (n, columns).
        train_labels, holdout_labels: whole numbers from 0, or in regression numbers; (n,).
    """

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    holdout_images: NDArray[Any]
    holdout_labels: NDArray[Any]

    @classmethod
    def split_at_random(cls, images: NDArray[Any], labels: NDArray[Any], holdout_images: int, seed: int) -> Self:
        """Return a source without a hold-out set of its own: the seed decides which rows are held out."""
        order = np.random.default_rng(seed).permutation(len(labels))
        holdout = order[:holdout_images]
        train = order[holdout_images:]
        return cls(
            train_images=images[train],
            train_labels=labels[train],
            holdout_images=images[holdout],
            holdout_labels=labels[holdout],
        )
