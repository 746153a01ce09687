"""A net and a data set so small that a trial takes a fraction of a second once its step is traced."""

from typing import Any

import numpy as np

from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.data.arrays import Arrays
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.trainer import Trainer, trainer_for
from sweeps.readings import Reading
from sweeps.worker.protocol import Run

CLASSES, SIZE = 10, 16


def tiny(**choices: Any) -> Config:
    """A trial of four steps on four convolutions of 4 and 8 channels and one dense layer."""
    defaults: dict[str, Any] = {
        "data": DataConfig(classes=CLASSES, images=256, image_size=SIZE),
        "model": ModelConfig(convolutions=4, stages=2, width=4, dense=1, dense_units=16),
        "steps": 4,
        "report_interval": 2,
        "batch_size": 32,
        "holdout_images": 100,
    }
    return Config(**{**defaults, **choices})


def patterns() -> Arrays:
    """Ten classes: a random pattern each, in noise."""
    rng = np.random.default_rng(0)
    pattern = rng.integers(0, 200, (CLASSES, SIZE, SIZE, 1))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, CLASSES, count).astype(np.int32)
        return (pattern[labels] + rng.integers(0, 56, (count, SIZE, SIZE, 1))).astype(np.uint8), labels

    return Arrays(*draw(256), *draw(100), CLASSES)


def trainer_of(config: Config, input_shape: tuple[int, ...] = (SIZE, SIZE, 1)) -> Trainer:
    """The trainer that `train` uses for the trial."""
    return trainer_for(config, Architecture.from_config(config, input_shape))


def next_reading(run: Run) -> Reading:
    """The next one of a run that nobody interrupts."""
    reading = next(run)
    assert reading is not None
    return reading


def readings_of(run: Run) -> list[Reading]:
    """All that are left of a run that nobody interrupts."""
    readings = []
    for reading in run:
        assert reading is not None
        readings.append(reading)
    return readings


def without_seconds(readings: list[Reading]) -> str:
    """Readings as text, in which not-a-number equals itself."""
    return repr([{**reading.to_dict(), "seconds": None} for reading in readings])
