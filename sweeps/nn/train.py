"""Training one trial: a generator of readings, which knows nothing of studies, verdicts or storage.

The same config and arrays give the same readings (but for the seconds), whatever ran before in the process.
"""

import gc
import time
from collections.abc import Generator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from sweeps.config import Config
from sweeps.data.arrays import Arrays, batch_indices
from sweeps.errors import TrialError
from sweeps.nn import device
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.trainer import Progress, Trainer
from sweeps.signals import LayerVitals, Reading

PROBE_IMAGES = 64
EVALUATION_BATCH = 64  # as large as the probe: inference then needs less memory than a usual step
CHUNK_BYTES = 64 * 2**20  # of images handed to the device at once, however long the interval


@lru_cache(maxsize=4)  # each holds some 50 to 200 MiB of traced graph
def trainer_for(architecture: Architecture) -> Trainer:
    """The process's trainer of an architecture: made once, then used for trial after trial."""
    # Graphs are full of reference cycles; without this those of a dropped trainer would stay for a long time.
    gc.collect()
    return Trainer(architecture)


def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """Train one trial, with a reading before the first step, after each `report_interval` steps, and at the end.

    Raises:
        TrialError: the arrays are not those that the config describes.
        RuntimeError: another trial was started on this architecture in between; a process trains one after the other.
    """
    started = time.perf_counter()
    _check(config, arrays)
    device.prepare()
    trainer = trainer_for(Architecture.of(config, channels=arrays.train_images.shape[-1]))
    trial = trainer.reset(config)
    yield _reading(trainer, arrays, 0, None, started)
    for start in range(0, config.steps, config.report_interval):
        if trainer.trial != trial:
            raise RuntimeError("another trial has taken over the net; finish or close one trial before the next")
        stop = min(start + config.report_interval, config.steps)
        progress = _advance(trainer, config, arrays, start, stop)
        yield _reading(trainer, arrays, stop, progress, started)


def _check(config: Config, arrays: Arrays) -> None:
    shape, size = arrays.train_images.shape, config.data.image_size
    if shape[1:3] != (size, size) or arrays.holdout_images.shape[1:] != shape[1:]:
        raise TrialError(f"images are {shape[1]}x{shape[2]}, data.image_size is {size}; they must agree")
    if arrays.classes != config.data.classes:
        raise TrialError(
            f"the images have {arrays.classes} classes, data.classes is {config.data.classes}; they must agree"
        )


def _advance(trainer: Trainer, config: Config, arrays: Arrays, start: int, stop: int) -> Progress:
    batch_bytes = config.batch_size * arrays.train_images[0].nbytes
    chunk = max(1, CHUNK_BYTES // batch_bytes)
    loss = 0.0
    for first in range(start, stop, chunk):
        last = min(first + chunk, stop)
        indices = batch_indices(config.seed, len(arrays.train_images), config.batch_size, first, last)
        progress = trainer.advance(arrays.train_images[indices], arrays.train_labels[indices])
        loss += progress.loss * (last - first) / (stop - start)
    return replace(progress, loss=loss)


def _reading(trainer: Trainer, arrays: Arrays, step: int, progress: Progress | None, started: float) -> Reading:
    loss, hits1, hits5 = _evaluate(trainer, arrays)
    signs, finite = trainer.vitals(arrays.holdout_images[:PROBE_IMAGES])
    if progress is None:
        progress = Progress.none(kernels=len(trainer.layers))
    rows = zip(trainer.layers, signs.tolist(), progress.gradient_norms, progress.update_ratios, strict=True)
    return Reading(
        step=step,
        train_loss=progress.loss,
        loss=loss,
        hits1=hits1,
        hits5=hits5,
        count=len(arrays.holdout_images),
        gradient_norm=progress.gradient_norm,
        update_ratio=float(np.max(progress.update_ratios)),
        finite=finite,
        seconds=time.perf_counter() - started,
        layers=tuple(
            LayerVitals(name, mean, std, signal, dead, float(norm), float(ratio))
            for name, (mean, std, signal, dead), norm, ratio in rows
        ),
    )


def _evaluate(trainer: Trainer, arrays: Arrays) -> tuple[float, int, int]:
    """Mean loss, top-1 hits and top-5 hits on the hold-out set."""
    images, labels = arrays.holdout_images, arrays.holdout_labels
    batches = [slice(at, at + EVALUATION_BATCH) for at in range(0, len(images), EVALUATION_BATCH)]
    # All batches are sent before the first result is waited for.
    scores = [trainer.evaluate(images[batch], labels[batch]) for batch in batches]
    loss, hits1, hits5 = np.stack([score.numpy() for score in scores]).astype(np.float64).sum(axis=0).tolist()
    return loss / len(images), int(hits1), int(hits5)
