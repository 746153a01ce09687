"""Chance: what a model scores on the hold-out set that has learnt the labels' distribution and nothing else."""

from dataclasses import dataclass
from math import log
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Chance:
    """The scores of guessing.

    Attributes:
        top1: share of the most frequent hold-out class, the best that one answer to all inputs can score; not a number
            in regression.
        top5: sum of the five largest shares; not a number in regression.
        loss: cross-entropy (nats) on the hold-out set of predicting the training set's class frequencies for every
            input; ln(classes) where they are balanced. In regression the mean squared error of predicting the training
            rows' mean for every row: the variance, but for what the two sets differ.
        classes: how many classes there are; 0 in regression.
    """

    top1: float
    top5: float
    loss: float
    classes: int

    @classmethod
    def balanced(cls, classes: int) -> Self:
        """Chance of classes that are equally frequent, in training and hold-out set."""
        return cls(1 / classes, min(1.0, 5 / classes), log(classes), classes)

    @classmethod
    def of(cls, train_labels: NDArray[Any], holdout_labels: NDArray[Any], classes: int) -> Self:
        """Chance of a data set; with no classes its labels are numbers to be predicted."""
        if not classes:
            loss = float(np.mean((holdout_labels - train_labels.mean(dtype=np.float64)) ** 2))
            return cls(float("nan"), float("nan"), loss, 0)
        return cls._of_classes(train_labels, holdout_labels, classes)

    @classmethod
    def _of_classes(cls, train_labels: NDArray[np.int32], holdout_labels: NDArray[np.int32], classes: int) -> Self:
        """Count it.

        A class without training images counts as if it had one: a frequency of zero would make the loss infinite as
        soon as the hold-out set shows the class, and no model that was trained predicts an exact zero.

        Args:
            train_labels, holdout_labels: (images,), each in [0, classes).
        """
        shares = np.bincount(holdout_labels, minlength=classes) / len(holdout_labels)
        seen = np.maximum(np.bincount(train_labels, minlength=classes), 1)
        largest = np.sort(shares)[::-1]
        loss = -shares @ np.log(seen / seen.sum())
        return cls(float(largest[0]), float(largest[:5].sum()), float(loss), classes)

    def skill_score(self, loss: float) -> float:
        """Information gain over the class frequencies, or R^2: 1 is perfect, 0 no better than chance, below 0 worse.

        Args:
            loss: on the hold-out set, without regularisation.
        """
        return 1 - loss / self.loss
