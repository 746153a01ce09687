"""Training one trial: a generator of readings, which knows nothing of studies, verdicts or storage.

The same config and arrays give the same readings (but for the seconds), whatever ran before in the process.
"""

import gc
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config, Inputs
from sweeps.data.arrays import Arrays, batch_indices, input_scaling
from sweeps.errors import TrialError
from sweeps.nn import device
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.custom import custom
from sweeps.nn.net import CustomNet, Net, Scales, SwitchedNet, structure
from sweeps.nn.probe import PROBE_IMAGES, totals
from sweeps.nn.trainer import Examination, Progress, Trainer
from sweeps.signals import ChannelVitals, IncomingWeights, LayerVitals, Reading

MOST_TRAINERS = 8  # each holds some 50 to 200 MiB of traced graph
MOST_PARAMETERS = 50_000_000  # of the trainers kept beside a new one: weights, slots and a copy of each
EVALUATION_BATCH = 64  # as large as the probe: inference then needs less memory than a usual step
CHUNK_BYTES = 64 * 2**20  # of images handed to the device at once, however long the interval


_trainers: OrderedDict[tuple[Architecture, str], Trainer] = OrderedDict()  # the least recently used first


def trainer_for(config: Config, architecture: Architecture) -> Trainer:
    """The process's trainer of an architecture, or of a user's net: made once, then used for trial after trial."""
    if architecture.model.architecture != "custom":
        return _kept((architecture, ""), lambda: SwitchedNet(architecture))
    model = custom(config)
    try:
        text = structure(model)
    except (TypeError, ValueError, NotImplementedError):  # a net that Keras cannot describe serves one trial
        return Trainer(architecture, CustomNet(config, model))
    return _kept((architecture, f"{config.output} {text}"), lambda: CustomNet(config, model))


def _kept(key: tuple[Architecture, str], net: Callable[[], Net]) -> Trainer:
    if key in _trainers:
        _trainers.move_to_end(key)
        return _trainers[key]
    while len(_trainers) >= MOST_TRAINERS or sum(map(_parameters, _trainers.values())) > MOST_PARAMETERS:
        _trainers.popitem(last=False)
    gc.collect()  # graphs are full of reference cycles: without this those of a dropped trainer would stay for long
    _trainers[key] = Trainer(key[0], net())
    return _trainers[key]


def _parameters(trainer: Trainer) -> int:
    return int(trainer.net.model.count_params())


@lru_cache(maxsize=8)
def _scaling(inputs: Inputs, arrays: Arrays) -> Scales:
    return input_scaling(inputs, arrays)


def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """Train one trial, with a reading before the first step, after each `report_interval` steps, and at the end.

    Raises:
        TrialError: the arrays are not those that the config describes.
        RuntimeError: another trial was started on this architecture in between; a process trains one after the other.
    """
    started = time.perf_counter()
    _check(config, arrays)
    device.prepare()
    trainer = trainer_for(config, Architecture.of(config, arrays.input_shape))
    trial = trainer.reset(config, _scaling(config.inputs, arrays))
    yield _reading(trainer, config, arrays, 0, None, started)
    for start in range(0, config.steps, config.report_interval):
        if trainer.trial != trial:
            raise RuntimeError("another trial has taken over the net; finish or close one trial before the next")
        stop = min(start + config.report_interval, config.steps)
        progress = _advance(trainer, config, arrays, start, stop)
        yield _reading(trainer, config, arrays, stop, progress, started)


def _check(config: Config, arrays: Arrays) -> None:
    shape, size = arrays.input_shape, config.data.image_size
    if len(shape) == 3 and (shape[:2] != (size, size) or arrays.holdout_images.shape[1:] != shape):
        raise TrialError(f"images are {shape[0]}x{shape[1]}, data.image_size is {size}; they must agree")
    if len(shape) == 1 and config.model.architecture not in ("dense", "custom"):
        raise TrialError(
            f'{config.model.architecture} needs images, not rows of a table; set model.architecture = "dense"'
        )
    wanted = config.data.classes if config.data.task == "classification" else 0
    if arrays.classes != wanted:
        raise TrialError(f"the images have {arrays.classes} classes, data.classes is {wanted}; they must agree")


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


def _reading(
    trainer: Trainer, config: Config, arrays: Arrays, step: int, progress: Progress | None, started: float
) -> Reading:
    probed = arrays.holdout_images[:PROBE_IMAGES], arrays.holdout_labels[:PROBE_IMAGES]
    found = trainer.examine(*probed, channels_too=config.channel_vitals)
    loss, loss_std, hits1, hits5, f1 = _evaluate(trainer, arrays, found)
    if progress is None:
        progress = Progress.none(kernels=len(trainer.layers))
    each = found.channels if config.channel_vitals else [None] * len(found.channels)
    rows = zip(trainer.layers, found.signs.tolist(), progress.gradient_norms, progress.update_ratios, each, strict=True)
    return Reading(
        step=step,
        train_loss=progress.loss,
        loss=loss,
        hits1=hits1,
        hits5=hits5,
        count=len(arrays.holdout_images),
        gradient_norm=progress.gradient_norm,
        update_ratio=float(np.max(progress.update_ratios)),
        finite=found.finite,
        seconds=time.perf_counter() - started,
        layers=tuple(
            LayerVitals(
                *(name, mean, std, signal, dead, float(norm), float(ratio), saturated),
                weights=IncomingWeights(*weights),
                channels=_channel_vitals(channel),
            )
            for name, (mean, std, signal, dead, saturated, *weights), norm, ratio, channel in rows
        ),
        f1=f1,
        loss_std=loss_std,
    )


def _channel_vitals(signs: NDArray[np.float32] | None) -> ChannelVitals | None:
    """Four digits are enough for a picture, and a third of the text in the store."""
    if signs is None:
        return None
    return ChannelVitals(*(tuple(float(f"{value:.4g}") for value in row) for row in signs))


def _evaluate(trainer: Trainer, arrays: Arrays, probed: Examination) -> tuple[float, float, int, int, float]:
    """Mean and spread of the loss, top-1 hits, top-5 hits and macro F1 on the hold-out set.

    Args:
        probed: the first images have been scored.
    """
    images, labels = arrays.holdout_images, arrays.holdout_labels
    batches = [slice(at, at + EVALUATION_BATCH) for at in range(PROBE_IMAGES, len(images), EVALUATION_BATCH)]
    # All batches are sent before the first result is waited for.
    results = [probed.scored, *(trainer.evaluate(images[batch], labels[batch]) for batch in batches)]
    loss, loss_std, hits1, hits5 = totals([score.numpy() for score, _ in results], len(images))
    predicted = np.concatenate([classes.numpy() for _, classes in results])
    f1 = macro_f1(labels, predicted, arrays.classes) if arrays.classes else float("nan")
    return loss, loss_std, hits1, hits5, f1


def macro_f1(labels: NDArray[Any], predicted: NDArray[Any], classes: int) -> float:
    """Mean over the classes that occur in `labels` of 2 TP / (2 TP + FP + FN); both arrays (images,)."""
    right = np.bincount(labels[labels == predicted], minlength=classes)
    there, said = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    return float(np.mean((2 * right / np.maximum(there + said, 1))[there > 0]))
