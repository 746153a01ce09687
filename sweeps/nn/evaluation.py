"""A look at a run: what its steps, its probe and its hold-out set say, put together as a `Reading`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.data.arrays import Arrays
from sweeps.nn.probe import totals
from sweeps.readings import ChannelVitals, IncomingWeights, LayerVitals, Reading

Scored = tuple[NDArray[np.float32], NDArray[np.int32]]  # of a batch: what `probe.score` sums; classes, (batch,)


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
        signs: what `probe.vital_signs` and then `probe.incoming_weights` say of each layer, (layers, 10).
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
        train_loss: mean since the look before; not a number at step 0.
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

    def reading(self, arrays: Arrays, channels_too: bool, seconds: float) -> Reading:
        """Return all of it as the plain numbers that are judged and kept."""
        loss, loss_std, hits1, hits5 = totals([score for score, _ in self.scored], len(arrays.holdout_images))
        predicted = np.concatenate([classes for _, classes in self.scored])
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
            layers=self._layers(channels_too),
            f1=macro_f1(arrays.holdout_labels, predicted, arrays.classes) if arrays.classes else float("nan"),
            loss_std=loss_std,
        )

    def _layers(self, channels_too: bool) -> tuple[LayerVitals, ...]:
        progress = self.progress
        found = self.found
        arrays: Sequence[NDArray[np.float32] | None]
        if channels_too:
            arrays = found.channels
        else:
            arrays = [None] * len(found.channels)
        norms = zip(progress.gradient_norms, progress.update_ratios, strict=True)
        return tuple(
            LayerVitals(
                name,
                mean,
                std,
                signal,
                dead,
                float(norm),
                float(ratio),
                saturated,
                weights=IncomingWeights(*weights),
                channels=_channel_vitals(channel),
            )
            for name, (mean, std, signal, dead, saturated, *weights), (norm, ratio), channel in zip(
                self.names, found.signs.tolist(), norms, arrays, strict=True
            )
        )


def _channel_vitals(signs: NDArray[np.float32] | None) -> ChannelVitals | None:
    """Four digits are enough for a picture, and a third of the text in the store."""
    if signs is None:
        return None
    return ChannelVitals(*(tuple(float(f"{value:.4g}") for value in row) for row in signs))


def macro_f1(labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> float:
    """Mean over the classes that occur in `labels` of 2 TP / (2 TP + FP + FN); both arrays (images,)."""
    right = np.bincount(labels[labels == predicted], minlength=classes)
    there = np.bincount(labels, minlength=classes)
    array = np.bincount(predicted, minlength=classes)
    return float(np.mean((2 * right / np.maximum(there + array, 1))[there > 0]))
