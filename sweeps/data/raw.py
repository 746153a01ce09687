"""Images or rows with their labels, as a source has them."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Everything that a source has.

    Attributes:
        train_images, holdout_images: uint8, (n, height, width, channels), or rows of a table, numbers, (n, columns).
        train_labels, holdout_labels: whole numbers from 0, or in regression numbers; (n,). Columns of one number, whole
            numbers in floating point, and rows with a one at the class are taken for classes too.
        columns: the names of a table's columns, where they are known.
    """

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    holdout_images: NDArray[Any]
    holdout_labels: NDArray[Any]
    columns: tuple[str, ...] = ()

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
        labels = [_to_plain_labels(labels, classes) for labels in (self.train_labels, self.holdout_labels)]
        return replace(self, train_labels=labels[0], holdout_labels=labels[1])


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
