"""Chance: what a model scores on the hold-out set that has learnt the labels' distribution and nothing else."""

from dataclasses import dataclass
from math import isfinite, log, nan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

LEAST_LOSS = 1e-3  # nats: guessing is divided by, also where all images are of one class


@dataclass(frozen=True, slots=True)
class Chance:
    """The scores of guessing.

    Attributes:
        top1: share of the most frequent hold-out class, the best that one answer to all inputs can score; not a number
            in regression.
        top5: sum of the five largest shares; not a number in regression.
        loss: cross-entropy (nats) on the hold-out set of predicting the training set's class frequencies for every
            input, never above ln(classes), which is that of predicting all classes alike. Hold-out images of a class
            that training lacks are left out. In regression the mean squared error of predicting the training rows'
            mean for every row: the variance, but for what the two sets differ.
        classes: how many classes there are; 0 in regression.
        train_loss: of the same answer on the training set: the entropy of its class frequencies, or the variance of
            its target; not a number where unknown.
        constant_loss: the lowest loss that any answer can have which is the same for all hold-out images: the entropy
            of their class frequencies, or the variance of their target; not a number where unknown.
    """

    top1: float
    top5: float
    loss: float
    classes: int
    train_loss: float = nan
    constant_loss: float = nan

    @property
    def training_loss(self) -> float:
        """Return what guessing scores on the training set; on the hold-out set where that is unknown."""
        if isfinite(self.train_loss):
            return self.train_loss
        return self.loss

    @property
    def bar_loss(self) -> float:
        """Return the loss that no answer has which ignores the inputs: the lower of `loss` and `constant_loss`.

        Where the hold-out set has another mix of classes than the training set, a net on its way from one constant
        answer to another may pass below `loss` without looking at its inputs.
        """
        if isfinite(self.constant_loss):
            return min(self.loss, self.constant_loss)
        return self.loss

    @classmethod
    def balanced(cls, classes: int) -> Self:
        """Chance of classes that are equally frequent, in training and hold-out set."""
        return cls(1 / classes, min(1.0, 5 / classes), log(classes), classes)

    @classmethod
    def of(cls, train_labels: NDArray[Any], holdout_labels: NDArray[Any], classes: int) -> Self:
        """Chance of a data set; with no classes its labels are numbers to be predicted."""
        if not classes:
            mean = train_labels.mean(dtype=np.float64)
            loss = float(np.mean((holdout_labels - mean) ** 2))
            return cls(
                top1=nan,
                top5=nan,
                loss=loss,
                classes=0,
                train_loss=float(np.var(train_labels, dtype=np.float64)),
                constant_loss=float(np.var(holdout_labels, dtype=np.float64)),
            )
        return cls._of_classes(train_labels, holdout_labels, classes)

    @classmethod
    def _of_classes(cls, train_labels: NDArray[np.int32], holdout_labels: NDArray[np.int32], classes: int) -> Self:
        """Count it.

        Args:
            train_labels, holdout_labels: (images,), each in [0, classes).
        """
        seen = np.bincount(train_labels, minlength=classes)
        asked = np.bincount(holdout_labels, minlength=classes)
        largest = np.sort(asked / asked.sum())[::-1]
        known = seen > 0
        loss = log(classes)
        if asked[known].any():
            logs = np.log(seen[known] / seen.sum())
            loss = min(loss, float(-(asked[known] @ logs) / asked[known].sum()))
        return cls(
            top1=float(largest[0]),
            top5=float(largest[:5].sum()),
            loss=max(loss, LEAST_LOSS),
            classes=classes,
            train_loss=_entropy(seen),
            constant_loss=_entropy(asked),
        )

    def skill_score(self, loss: float) -> float:
        """Information gain over the class frequencies, or R^2: 1 is perfect, 0 no better than chance, below 0 worse.

        Args:
            loss: on the hold-out set, without regularisation.
        """
        return 1 - loss / self.loss


def _entropy(counts: NDArray[np.intp]) -> float:
    """Return the entropy of class frequencies, in nats."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares @ np.log(shares)))
