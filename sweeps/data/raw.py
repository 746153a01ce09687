"""Images or rows with their labels, as a source has them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Everything that a source has.

    Attributes:
        train_images, holdout_images: numbers, (n, ...): images, (n, height, width, channels) or (n, height, width), or
            rows of a table, (n, columns), or of any other shape.
        train_labels, holdout_labels: whole numbers from 0, or in regression numbers; (n,). Columns of one number, whole
            numbers in floating point, rows with a one at the class, and texts are taken for classes too.
        columns: the names of a table's columns, where they are known.
        class_names: the names of the classes, by their numbers, where the labels were texts.
    """

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    holdout_images: NDArray[Any]
    holdout_labels: NDArray[Any]
    columns: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    @classmethod
    def split_at_random(
        cls,
        images: NDArray[Any],
        labels: NDArray[Any],
        holdout_images: int,
        seed: int,
        columns: tuple[str, ...] = (),
    ) -> Self:
        """Return a source without a hold-out set of its own: the seed decides which rows are held out."""
        order = np.random.default_rng(seed).permutation(len(labels))
        holdout = order[:holdout_images]
        train = order[holdout_images:]
        return cls(
            train_images=images[train],
            train_labels=labels[train],
            holdout_images=images[holdout],
            holdout_labels=labels[holdout],
            columns=columns,
        )

    def with_plain_labels(self, *, classes: bool) -> Self:
        """Return the same with labels of one axis and, where they are classes, as whole numbers, where that is clear.

        Args:
            classes: whether the labels are classes, and no target of a regression.
        """
        train_labels, holdout_labels = (
            _to_plain_labels(labels, classes) for labels in (self.train_labels, self.holdout_labels)
        )
        plain = replace(self, train_labels=train_labels, holdout_labels=holdout_labels)
        if classes and train_labels.ndim == 1 and _are_texts(train_labels) and _are_texts(holdout_labels):
            return plain._with_numbered_classes()
        return plain

    def _with_numbered_classes(self) -> Self:
        """Return the same with texts numbered in their order, those of both parts alike."""
        names = np.union1d(self.train_labels.astype(str), self.holdout_labels.astype(str))
        return replace(
            self,
            train_labels=np.searchsorted(names, self.train_labels.astype(str)),
            holdout_labels=np.searchsorted(names, self.holdout_labels.astype(str)),
            class_names=tuple(names.tolist()),
        )

    def with_plain_images(self) -> Self:
        """Return the same with images as uint8, (n, height, width, channels), where they are whole numbers from 0 to
        255, and with all other inputs as float32.
        """
        parts = (self.train_images, self.holdout_images)
        are_images = all(part.ndim > 2 and _fits_bytes(part) for part in parts)
        train, holdout = (_to_images(part) if are_images else _to_floats(part) for part in parts)
        return replace(self, train_images=train, holdout_images=holdout)


def _are_texts(labels: NDArray[Any]) -> bool:
    return labels.dtype.kind == "U" or (labels.dtype.kind == "O" and all(isinstance(text, str) for text in labels))


def _fits_bytes(images: NDArray[Any]) -> bool:
    """Return whether whole numbers, or truth values, lie from 0 to 255."""
    if images.dtype in (np.uint8, np.bool_):
        return True
    return images.dtype.kind in "ui" and images.size > 0 and images.min() >= 0 and images.max() <= 255


def _to_images(images: NDArray[Any]) -> NDArray[Any]:
    if images.dtype == np.bool_:
        images = images.astype(np.uint8) * 255
    elif images.dtype != np.uint8:
        images = images.astype(np.uint8)
    if images.ndim == 3:
        return images[..., np.newaxis]
    return images


def _to_floats(inputs: NDArray[Any]) -> NDArray[Any]:
    if inputs.ndim < 2 or inputs.dtype.kind not in "buif" or inputs.dtype == np.float32:
        return inputs
    if inputs.dtype.kind == "f" and inputs.dtype.itemsize > 4:
        return inputs  # what float32 does not hold is told by its place first
    return inputs.astype(np.float32)


def _to_plain_labels(labels: NDArray[Any], classes: bool) -> NDArray[Any]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not classes or not labels.size or labels.dtype.kind not in "buif":
        return labels
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        ones: NDArray[Any] = labels.argmax(axis=1)
        return ones
    if labels.ndim == 1 and labels.dtype.kind == "f" and (labels == np.round(labels)).all():
        return labels.astype(np.int64)
    return labels
