"""Arrays: images and labels as the trainer takes them, and the order in which a trial sees them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of a mapped array, read when they are asked for.

    Attributes:
        array: (all rows, ...).
        chosen: int64, (rows,).
    """

    array: NDArray[Any]
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        rows: NDArray[Any] = self.array[self.chosen[index]]
        return rows

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array that held these rows."""
        return (len(self.chosen), *self.array.shape[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """A data set in memory or mapped from files.

    Attributes:
        train_images, holdout_images: uint8, (images, height, width, channels), 0 black to 255 white.
        train_labels, holdout_labels: int32, (images,), each in [0, classes).
        classes: how many classes there are.
    """

    train_images: NDArray[np.uint8] | Rows
    train_labels: NDArray[np.int32]
    holdout_images: NDArray[np.uint8]
    holdout_labels: NDArray[np.int32]
    classes: int


def batch_indices(seed: int, images: int, batch_size: int, start: int, stop: int) -> NDArray[np.int64]:
    """Indices of the training images of steps `start` (included) to `stop` (excluded).

    Every epoch is a permutation of its own, drawn from (seed, epoch); batches run on over the end of an epoch. It is a
    function of the step alone, so that a resumed trial sees what an uninterrupted one would have seen.

    Returns:
        int64, (stop - start, batch_size).
    """
    first, last = start * batch_size, stop * batch_size
    epochs = range(first // images, -(-last // images))
    order = np.concatenate([np.random.default_rng((seed, epoch)).permutation(images) for epoch in epochs])
    offset = first - epochs.start * images
    return order[offset : offset + last - first].reshape(stop - start, batch_size)


def balanced_order(labels: NDArray[np.int32], seed: int) -> NDArray[np.int64]:
    """A random order in which every beginning holds the classes in equal numbers, until one of them runs out."""
    generator = np.random.default_rng(seed)
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = generator.permutation(len(members))
    return np.lexsort((generator.random(len(labels)), turn))
