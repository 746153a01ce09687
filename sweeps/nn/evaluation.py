"""What the steps of a run, its probe batch and its hold-out set say, put together as a `Reading`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.data.arrays import Arrays
from sweeps.nn.probe import sum_scores, unpack_signs
from sweeps.readings import ChannelVitals, IncomingWeights, LayerVitals, Reading

Scored = tuple[NDArray[np.float32], NDArray[np.int32]]  # of a batch: what `probe.score_batch` sums; classes, (batch,)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a row of steps reports.

    Attributes:
        steps: how many were done.
        loss_sum: float32, the mean losses of their batches, without regularisation, added up one by one.
        gradient_norm: global norm of the last step's gradient.
        gradient_norms, update_ratios: of the last step, float32, one per kernel; all three are zero where the row was
            interrupted before its last step.
    """

    steps: int
    loss_sum: np.float32
    gradient_norm: float
    gradient_norms: NDArray[np.float32]
    update_ratios: NDArray[np.float32]

    @classmethod
    def none(cls, kernels: int) -> Self:
        """Return the progress before the first step: norms are NaN."""
        unknown = np.full(kernels, np.nan, np.float32)
        return cls(0, np.float32(0), np.nan, unknown, unknown)


@dataclass(frozen=True, slots=True)
class Examination:
    """What the probe batch says.

    Attributes:
        signs: what `probe.pack_signs` makes of each layer, (layers, 10).
        finite: whether every trainable weight is.
        channels: minimum, maximum and std of each channel, (3, channels) per layer; zeros unless asked for.
        scored: what `Trainer.evaluate` returns of the batch.
    """

    signs: NDArray[np.float32]
    finite: bool
    channels: list[NDArray[np.float32]]
    scored: tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was seen after `step` steps.

    Attributes:
        train_loss: mean since the reading before; not a number at step 0.
        progress: of the steps since then.
        scored: of all hold-out images, in order, batch by batch.
        names: of the layers.
    """

    step: int
    train_loss: float
    progress: Progress
    found: Examination
    scored: Sequence[Scored]
    names: Sequence[str]

    def make_reading(self, arrays: Arrays, channels_too: bool, seconds: float) -> Reading:
        """Return all of it as the plain numbers that are judged and kept."""
        loss, loss_std, hits1, hits5 = sum_scores([score for score, _ in self.scored], len(arrays.holdout_images))
        f1 = float("nan")
        if arrays.classes:
            predicted = np.concatenate([classes for _, classes in self.scored])
            f1 = macro_f1(arrays.holdout_labels, predicted, arrays.classes)
        return Reading(
            step=self.step,
            train_loss=self.train_loss,
            loss=loss,
            hits1=hits1,
            hits5=hits5,
            count=len(arrays.holdout_images),
            gradient_norm=self.progress.gradient_norm,
            update_ratio=float(np.max(self.progress.update_ratios)),
            finite=self.found.finite,
            seconds=seconds,
            layers=self._layer_vitals(channels_too),
            f1=f1,
            loss_std=loss_std,
        )

    def _layer_vitals(self, channels_too: bool) -> tuple[LayerVitals, ...]:
        layers = []
        for index, name in enumerate(self.names):
            signs, weights = unpack_signs(self.found.signs[index])
            channels = None
            if channels_too:
                channels = _channel_vitals(self.found.channels[index])
            layers.append(
                LayerVitals(
                    name=name,
                    **signs._asdict(),
                    gradient_norm=float(self.progress.gradient_norms[index]),
                    update_ratio=float(self.progress.update_ratios[index]),
                    weights=IncomingWeights(**weights._asdict()),
                    channels=channels,
                )
            )
        return tuple(layers)


def _channel_vitals(signs: NDArray[np.float32]) -> ChannelVitals:
    """Return four digits of each number: enough for a picture, and a third of the text in the store."""
    minimum, maximum, std = (tuple(float(f"{value:.4g}") for value in row) for row in signs)
    return ChannelVitals(minimum=minimum, maximum=maximum, std=std)


def macro_f1(labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> float:
    """Mean over the classes that occur in `labels` of 2 TP / (2 TP + FP + FN); both arrays (images,)."""
    right = np.bincount(labels[labels == predicted], minlength=classes)
    labelled = np.bincount(labels, minlength=classes)
    named = np.bincount(predicted, minlength=classes)
    f1 = 2 * right / np.maximum(labelled + named, 1)
    return float(np.mean(f1[labelled > 0]))
