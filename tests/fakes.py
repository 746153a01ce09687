"""A search space that trains in a second, and runs and data that need no TensorFlow, for the worker to be given."""

import base64
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import commands
import numpy as np
import optuna
import pytest
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.diagnosis import plots
from sweeps.readings import LayerVitals, Reading
from sweeps.space import file
from sweeps.verdict import Chance
from sweeps.worker.heartbeat import Patience
from sweeps.worker.protocol import Load, Train
from sweeps.worker.worker import Worker

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)  # a PNG of one pixel
QUICK = Patience(beat_s=0.2, grace_s=2.0, outage_s=20.0, checkpoint_s=60.0, idle_s=0.05)

TINY = """
[study]
name = "tiny"
question = "Does it run?"

[budget]
trials = 4
steps = 6
report_interval = 2
holdout_images = 64

[data]
classes = 10
images = 256
image_size = 16

[model]
convolutions = 2
stages = 2
width = 4
dense = 1
dense_units = 16

[sampler]
name = "RandomSampler"

[space]
activation = ["relu", "selu"]
constraint = { choices = ["none", "standardize_unit"], when = { activation = "selu" } }
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = 32
"""

# Trials of 24 seconds that need no processor: they nap in each step, and most are at chance at their end.
NAPPING = """
[study]
name = "napping"
question = "Is anything lost?"

[budget]
trials = 4
steps = 60
report_interval = 2
holdout_images = 64

[data]
classes = 10
images = 64
image_size = 8

[model]
build = "napping:build"

[verdict]
control = 1

[sampler]
name = "RandomSampler"

[space]
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = 8
"""
NAPS = {
    "NAP_S": "0.4",
    "PYTHONPATH": commands.python_path(Path(__file__).parents[1] / "benchmarks"),
}  # for the processes that train


def reading(
    step: int,
    loss: float = 2.3,
    hits1: int = 6,
    count: int = 64,
    signal: float = 0.5,
    train_loss: float | None = None,
    finite: bool = True,
) -> Reading:
    """A reading of a net with one hidden layer."""
    layers = tuple(
        LayerVitals(name, mean=0.0, std=1.0, signal=signal, dead=0.0, gradient_norm=1.0, update_ratio=1e-3)
        for name in ("conv_1", "logits")
    )
    return Reading(
        step=step,
        train_loss=loss if train_loss is None else train_loss,
        loss=loss,
        hits1=hits1,
        hits5=min(count, 5 * hits1),
        count=count,
        gradient_norm=1.0,
        update_ratio=1e-3,
        finite=finite,
        seconds=0.0,
        layers=layers,
    )


def load(config: DataConfig, holdout_images: int) -> Arrays:
    """Blank images, balanced labels."""
    size = config.image_size

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((count, size, size, 1), np.uint8), np.arange(count, dtype=np.int32) % config.classes

    return Arrays(*part(config.images), *part(holdout_images), config.classes)


class Run:
    """A generator of readings as a run: its state is how many it has given."""

    def __init__(self, readings: Generator[Reading, None, None], state: bytes | None) -> None:
        self.readings = readings
        self.given = 0
        self.interrupted = threading.Event()
        while state is not None and self.given < int(state):
            next(self)

    def __iter__(self) -> "Run":
        return self

    def __next__(self) -> Reading | None:
        if self.interrupted.is_set():
            self.interrupted.clear()
            return None
        reading = next(self.readings)
        self.given += 1
        return reading

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def interrupt(self) -> None:
        self.interrupted.set()

    def state(self) -> bytes:
        return str(self.given).encode()

    def close(self) -> None:
        self.readings.close()


def run(
    generator: Callable[[Config, Arrays], Generator[Reading, None, None]],
) -> Callable[[Config, Arrays, bytes | None], Run]:
    """A generator of readings as `training.Train`."""
    return lambda config, arrays, state: Run(generator(config, arrays), state)


@run
def learning(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run that learns; how well depends on its config alone."""
    for step in range(0, config.steps + 1, config.report_interval):
        progress = step / config.steps
        yield reading(step, loss=2.3 * (1 - 0.5 * progress), hits1=6 + int(40 * progress * (1 + config.seed % 7) / 7))


@run
def chancing(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run that is well in all its layers, and no better than chance."""
    for step in range(0, config.steps + 1, config.report_interval):
        yield reading(step)


@run
def collapsing(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run whose logits stop telling inputs apart."""
    for step in range(0, config.steps + 1, config.report_interval):
        yield reading(step, loss=2.4, signal=1e-11 if step else 0.5)


@run
def diverging(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run whose weights are not numbers after the first steps."""
    yield reading(0)
    for step in range(config.report_interval, config.steps + 1, config.report_interval):
        yield reading(step, loss=float("nan"), finite=False)


@run
def raising(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run that cannot be built."""
    raise ValueError("the layer 'dense_9' has no input")
    yield reading(0)


def create(url: str, text: str = TINY, overrides: Sequence[str] = ()) -> None:
    """A store with a study in it, as `sweeps create` makes it, without a rehearsal."""
    storage = store.connect(url, create=True)
    store.create_study(storage, file.parse_space(text, overrides), text, overrides)
    storage.engine.dispose()


def never() -> bool:
    """A worker that nobody stops."""
    return False


def sketch(readings: Sequence[Reading], chance: Chance, title: str, path: Path) -> None:
    """A picture of nothing, in the place of one that takes a fifth of a second."""
    path.write_bytes(DOT)


@contextmanager
def sketched() -> Iterator[None]:
    """Trials' pictures are sketches meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw_autopsy", sketch)
        yield


def work(
    storage: RDBStorage,
    study: optuna.Study,
    train: Train,
    load: Load = load,
    stopping: Callable[[], bool] = never,
    *,
    drawn: bool = False,
) -> int:
    """A worker's life, in this process; its pictures are sketches unless they are to be `drawn`."""
    place = store.artifacts(storage.url)
    with nullcontext() if drawn else sketched():
        return Worker(storage, train, load, stopping, place, QUICK).serve_studies([study.study_name])
