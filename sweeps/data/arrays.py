"""Arrays: images and labels as the trainer takes them, their scaling, and the order in which a trial sees them."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sweeps.config import Inputs

SAMPLED = 10_000  # images whose statistics stand for all
DIGESTED = 1024  # images of each part that stand for all in a digest


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
        """Return the shape of an array that held these rows."""
        return (len(self.chosen), *self.array.shape[1:])


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """A data set in memory or mapped from files.

    Attributes:
        train_images, holdout_images: uint8, (images, height, width, channels), 0 black to 255 white; or the rows of a
            table, float32, (rows, columns); or for a user's own net inputs of any shape, uint8 or float32.
        train_labels, holdout_labels: int32, (images,), each in [0, classes); in regression the targets, float32,
            standardised by mean and spread of the training rows.
        classes: how many classes there are; 0 in regression.
        classes_left_out: labels of the source that are `classes` or above, in ascending order: their images are not
            here.
        columns: the names of a table's columns, where the source has them.
        class_names: the names of the classes, by their numbers, where the source has them.
    """

    train_images: NDArray[np.uint8] | NDArray[np.float32] | Rows
    train_labels: NDArray[np.int32] | NDArray[np.float32]
    holdout_images: NDArray[np.uint8] | NDArray[np.float32]
    holdout_labels: NDArray[np.int32] | NDArray[np.float32]
    classes: int
    classes_left_out: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one image or row."""
        return self.train_images.shape[1:]

    @property
    def input_dtype(self) -> Literal["uint8", "float32"]:
        """Return the dtype of images or rows."""
        if self.holdout_images.dtype == np.uint8:
            return "uint8"
        return "float32"


@lru_cache(maxsize=2)  # the trials of a study share their arrays
def digest_arrays(arrays: Arrays) -> str:
    """Return the first 12 hexadecimal digits of a sha256 of shapes, dtypes, all labels and evenly spaced images of both
    parts.

    Equal data have equal digests; data that differ in a few images only may have equal ones too.
    """
    state = hashlib.sha256(str(arrays.classes).encode())
    parts = ((arrays.train_images, arrays.train_labels), (arrays.holdout_images, arrays.holdout_labels))
    for images, labels in parts:
        sample = images[evenly_spaced_indices(len(images), DIGESTED)]
        for array in (labels, sample):
            state.update(f"{images.shape} {array.dtype}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:12]


def evenly_spaced_indices(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` indices below `count`, evenly spaced, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


def input_scaling(inputs: Inputs, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scale and offset, so that `images * scale + offset` is what `inputs` names (see `Config`).

    Mean, spread and range are those of up to 10 000 training images, evenly spaced. What is constant in them is not
    scaled up.

    Returns:
        float32, each of one number or of the shape of an image, with which it can be multiplied.
    """
    images = arrays.train_images
    table = len(arrays.input_shape) == 1
    low = np.zeros(1)
    high = np.full(1, 255.0)
    if table or inputs.startswith("standardized"):
        sample = images[evenly_spaced_indices(len(images), SAMPLED)].astype(np.float64)
    if table:
        low = sample.min(axis=0)
        high = sample.max(axis=0)
    match inputs:
        case "unit":
            scale = 1 / np.where(high > low, high - low, 1.0)
            offset = -low * scale
        case "centred":
            scale = 1 / np.where(high > low, high - low, 1.0)
            offset = -low * scale - 0.5
        case "standardized_set":
            scale = 1 / np.where(sample.std() > 0, sample.std(), 1.0).reshape(1)
            offset = -sample.mean() * scale
        case "standardized_pixel":
            spread = sample.std(axis=0)
            scale = 1 / np.where(spread > 0, spread, 1.0)
            offset = -sample.mean(axis=0) * scale
    return scale.astype(np.float32), offset.astype(np.float32)


def batch_indices(seed: int, images: int, batch_size: int, start: int, stop: int) -> NDArray[np.int64]:
    """Return the indices of the training images of steps `start` (included) to `stop` (excluded).

    Every epoch is a permutation of its own, drawn from (seed, epoch); batches run on over the end of an epoch. It is a
    function of the step alone, so that a resumed trial sees what an uninterrupted one would have seen.

    Returns:
        int64, (stop - start, batch_size).
    """
    first = start * batch_size
    end = stop * batch_size
    epochs = range(first // images, -(-end // images))
    order = np.concatenate([np.random.default_rng((seed, epoch)).permutation(images) for epoch in epochs])
    offset = first - epochs.start * images
    return order[offset : offset + end - first].reshape(stop - start, batch_size)


def balanced_order(labels: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Return a random order in which every beginning holds the classes in equal numbers, until one of them runs out."""
    generator = np.random.default_rng(seed)
    rank_in_class = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank_in_class[members] = generator.permutation(len(members))
    return np.lexsort((generator.random(len(labels)), rank_in_class))
