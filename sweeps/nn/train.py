"""Training one trial: an iterator of readings that can be interrupted, saved and continued.

It knows nothing of studies, verdicts or storage. The same config and arrays give the same readings (but for the
seconds), whatever ran before in the process, and wherever the trial was interrupted.
"""

import threading
import time
from dataclasses import replace
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.config import Config, Inputs
from sweeps.data.arrays import Arrays, Rows, batch_indices, input_scaling
from sweeps.data.checks import explain_misfit
from sweeps.data.oddities import count_different
from sweeps.errors import TrialError
from sweeps.nn import device
from sweeps.nn.evaluation import Evaluation, Examination, Scored
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.net_parts import list_parts
from sweeps.nn.net import Scales
from sweeps.nn.probe import PROBE_IMAGES
from sweeps.nn.state import Position, SavedState
from sweeps.nn.trainer import Trainer, drop_trainers, trainer_for
from sweeps.readings import Reading

EVALUATION_BATCH = 64  # as large as the probe: inference then needs less memory than a usual step
# Of images handed to the device at once, however long the interval. A chunk's losses are summed by themselves: another
# size gives other last bits, and saved states that lie inside a chunk do not fit it (see `state.FORMAT`).
CHUNK_BYTES = 64 * 2**20
RECALIBRATION_IMAGES = 512  # of the training set, from which averages of batch normalisation are estimated
WORSE = 1.25  # times the training loss: above it the hold-out loss is measured with batch statistics too

Batch = tuple[NDArray[Any], NDArray[Any]]


def train(config: Config, arrays: Arrays, state: bytes | None = None) -> "Training":
    """Train one trial, with a reading before the first step, after each `report_interval` steps, and at the end.

    Args:
        state: of an earlier run of the trial, which is resumed; nothing is read before the first pull.
    """
    return Training(config, arrays, state)


class Training:
    """One trial's run; an error of a pull ends it."""

    def __init__(self, config: Config, arrays: Arrays, state: bytes | None) -> None:
        self._config = config
        self._arrays = arrays
        self._saved = state
        self._position = Position.start(0)
        self._seconds = 0.0
        self._resumed = time.perf_counter()
        self._trainer: Trainer | None = None
        self._trial = 0
        self._closed = False
        self._asked = False
        self._lock = threading.RLock()  # one that a signal handler may take again

    @property
    def parts(self) -> tuple[str, ...]:
        """Return what a user's net is made of, once training has begun; empty for our own nets."""
        if self._trainer is None or self._config.model.architecture != "custom":
            return ()
        return list_parts(self._trainer.net.model)

    def __iter__(self) -> "Training":
        return self

    def __next__(self) -> Reading | None:
        """Train up to the next reading; None where it was interrupted before: pull again to go on.

        Raises:
            StopIteration: the last reading has been given, or the run is closed.
            TrialError: the arrays or the saved state are not those that the config describes, or memory is too small.
            RuntimeError: another trial was started on this architecture in between; a process trains one after another.
        """
        try:
            return self._next_reading()
        except StopIteration:
            raise
        except (tf.errors.ResourceExhaustedError, MemoryError) as exc:
            if isinstance(exc, MemoryError):
                place = "the host"
            else:
                place = device.device_name()
        except BaseException:  # the position may lag behind the net
            self.close()
            raise
        # Not in the handler: the frames of the error that it handles hold the net, and so the memory.
        raise self._out_of_memory(place)

    def interrupt(self) -> None:
        """Make the running `__next__`, or else the next one, return once the current step is done. Any thread may call
        it.
        """
        with self._lock:
            self._asked = True
            if self._trainer is not None:
                self._trainer.stop.assign(True)

    def state(self) -> bytes:
        """Return all that later readings depend on, between two pulls.

        Raises:
            RuntimeError: the run is closed, or another trial has taken over the net.
        """
        if self._closed:
            raise RuntimeError("a closed run has no state")
        if self._saved is not None:  # not resumed yet, or nothing is left to do
            return self._saved
        if self._trainer is None:
            return SavedState(self._position, 0.0, []).to_bytes(self._config)
        if self._is_finished():
            values = []
        else:
            values = self._check_owner(self._trainer).values()
        return SavedState(self._position, self._elapsed_s(), values).to_bytes(self._config)

    def close(self) -> None:
        """Let go of the net; there will be no more readings."""
        with self._lock:
            self._closed = True
            self._trainer = None

    def _next_reading(self) -> Reading | None:
        if self._closed or self._is_finished():
            raise StopIteration
        if self._take_interruption():
            return None
        if self._trainer:
            trainer = self._check_owner(self._trainer)
        else:
            trainer = self._start_training()
        if not self._train_interval(trainer) or self._take_interruption():
            return None
        return self._evaluate(trainer)

    def _is_finished(self) -> bool:
        return self._position.last_reading == self._config.steps

    def _take_interruption(self) -> bool:
        """Return whether the pull is to return; asked once, it is answered once."""
        with self._lock:
            asked = self._asked
            self._asked = False
        return asked

    def _elapsed_s(self) -> float:
        return self._seconds + time.perf_counter() - self._resumed

    def _check_owner(self, trainer: Trainer) -> Trainer:
        if trainer.trial != self._trial:
            raise RuntimeError("another trial has taken over the net; finish or close one trial before the next")
        return trainer

    def _start_training(self) -> Trainer:
        """Return the trial's trainer, with the trial as it was saved or at its start."""
        config = self._config
        self._resumed = time.perf_counter()
        arrays = self._arrays
        if problem := explain_misfit(arrays, config):
            raise TrialError(problem)
        saved = None if self._saved is None else SavedState.from_bytes(self._saved, config)
        if saved is not None:
            self._position = saved.position
            self._seconds = saved.seconds
            if self._is_finished():
                raise StopIteration
        device.prepare_device()
        trainer = trainer_for(config, Architecture.from_config(config, arrays.input_shape, arrays.input_dtype))
        self._trial = trainer.reset(config, _scaling(config.inputs, arrays))
        if saved is not None and saved.variables:
            trainer.restore(saved.variables)
        else:
            self._position = Position.start(len(trainer.layers))
        self._trainer = trainer
        self._saved = None
        return trainer

    def _train_interval(self, trainer: Trainer) -> bool:
        """Return the steps that are left up to the next reading; whether all were done."""
        stop = self._position.next_reading(self._config)
        while self._position.step < stop:
            trainer.stop.assign(False)  # before the question, so that an interruption is seen by it or by the steps
            if self._take_interruption():
                return False
            self._train_chunk(trainer, stop)
        return True

    def _train_chunk(self, trainer: Trainer, stop: int) -> None:
        config = self._config
        arrays = self._arrays
        position = self._position
        batch_bytes = config.batch_size * arrays.train_images[0].nbytes
        last = min(position.step + max(1, CHUNK_BYTES // batch_bytes), stop)
        indices = batch_indices(config.seed, len(arrays.train_images), config.batch_size, position.done, last)
        images = arrays.train_images[indices]
        labels = arrays.train_labels[indices]
        self._position = position.advance(trainer.train_steps(images, labels, position.progress.loss_sum), last, stop)

    def _evaluate(self, trainer: Trainer) -> Reading | None:
        before = trainer.untrained_variables()
        arrays = self._arrays
        config = self._config
        position = self._position
        averages = None
        if trainer.normalizations and config.recalibrate_batch_normalization:
            averages = trainer.averages()
            trainer.recalibrate(_draw_batches(config.seed, arrays.train_images, arrays.train_labels))
        probed = arrays.holdout_images[:PROBE_IMAGES], arrays.holdout_labels[:PROBE_IMAGES]
        found = trainer.examine(*probed, channels_too=config.channel_vitals)
        scored = self._score_holdout(trainer, found)
        if scored is None:  # a user's net may draw random numbers here too: the next reading shall draw the same
            for variable, value in before:
                variable.assign(value)
            return None
        if averages is not None:
            trainer.set_averages(averages)
        self._position = replace(position, last_reading=position.step, loss=0.0)
        evaluation = Evaluation(position.step, position.loss, position.progress, found, scored, trainer.layers)
        reading = evaluation.make_reading(arrays, config.channel_vitals, self._elapsed_s())
        return replace(
            reading,
            passes=position.step * config.batch_size / _count_different(arrays),
            batch_loss=self._measure_batch_loss(trainer, reading),
        )

    def _measure_batch_loss(self, trainer: Trainer, reading: Reading) -> float:
        """Return the hold-out loss with batch statistics, where it may tell more than that with moving averages."""
        config = self._config
        if not trainer.normalizations or config.recalibrate_batch_normalization or reading.step == 0:
            return nan
        if reading.step < config.steps and not reading.loss > WORSE * reading.train_loss:
            return nan
        return trainer.measure_batch_loss(
            _draw_batches(config.seed, self._arrays.holdout_images, self._arrays.holdout_labels, None)
        )

    def _score_holdout(self, trainer: Trainer, probed: Examination) -> list[Scored] | None:
        """Return the scores of the whole hold-out set, whose first images have been scored; None where it was
        interrupted.
        """
        images = self._arrays.holdout_images
        labels = self._arrays.holdout_labels
        sent = [probed.scored]
        scored = []
        # All batches are sent before the first result is waited for.
        for at in range(PROBE_IMAGES, len(images), EVALUATION_BATCH):
            if self._take_interruption():
                return None
            sent.append(trainer.evaluate(images[at : at + EVALUATION_BATCH], labels[at : at + EVALUATION_BATCH]))
        for score, classes in sent:
            if self._take_interruption():
                return None
            scored.append((score.numpy(), classes.numpy()))
        return scored

    def _out_of_memory(self, place: str) -> TrialError:
        """Return the error to raise; the next trial finds the memory that all trainers had."""
        self.close()
        drop_trainers()
        return TrialError(
            f"out of memory at step {self._position.done}: batch_size {self._config.batch_size} does not fit on "
            f"{place}; take a smaller batch, image or net"
        )


def _draw_batches(
    seed: int, images: NDArray[Any] | Rows, labels: NDArray[Any], most: int | None = RECALIBRATION_IMAGES
) -> list[Batch]:
    """Return at most so many images, all if it is None, in batches of nearly equal size.

    They are drawn at random: where images lie class by class, the statistics of a batch would be those of one class.
    """
    chosen = np.random.default_rng(seed).permutation(len(images))[:most]
    parts = np.array_split(chosen, -(-len(chosen) // EVALUATION_BATCH))
    return [(images[part], labels[part]) for part in parts]


@lru_cache(maxsize=8)
def _scaling(inputs: Inputs, arrays: Arrays) -> Scales:
    return input_scaling(inputs, arrays)


@lru_cache(maxsize=8)
def _count_different(arrays: Arrays) -> int:
    return count_different(arrays.train_images)
