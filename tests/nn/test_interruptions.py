"""Interruptions inside chosen steps and evaluation batches: the readings are those of a trial that was left alone."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_net import SIZE, tiny, trainer_of, without_seconds

from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.nn import train as train_module
from sweeps.nn import trainer as trainer_module
from sweeps.nn.optimizers import OPTIMIZERS
from sweeps.nn.train import train
from sweeps.nn.trainer import Trainer
from sweeps.readings import Reading
from sweeps.worker.protocol import Run

Pulled = Callable[..., tuple[str, int]]
STEPS, INTERVAL = 11, 4
CASES: list[dict[str, Any]] = [
    *({"optimizer": name, "dropout": "dropout", "weight_decay": 0.01} for name in OPTIMIZERS),
    {"dropout": "alpha_dropout", "activation": "selu", "constraint": "standardize_unit", "l2": 1e-3},
    {"batch_size": 96, "optimizer": "nadam", "seed": 3},  # an epoch has fewer than three batches
    {"batch_normalization": "before", "optimizer": "rmsprop", "channel_vitals": True},
    {"dtype": "mixed_float16", "dropout": "dropout", "optimizer": "rmsprop"},
    {"dtype": "mixed_float16", "optimizer": "sgd", "l2": 1e38},  # every step is skipped and halves the loss scale
    {"model": {"build": "own_net:build"}, "l2": 1e-3},
    {"model": {"build": "own_net:always_random"}},
    {"model": {"build": "own_net:half"}},
    {"model": {"build": "own_net:normalized"}},
    {"model": {"build": "own_net:normalized"}, "recalibrate_batch_normalization": True},
]


def uneven(**choices: Any) -> Config:
    return tiny(**{"steps": STEPS, "report_interval": INTERVAL, "holdout_images": 100, **choices})


class Interruptions:
    """Interrupts a run inside the steps and evaluation batches of its pulls with these numbers, from 1."""

    def __init__(self, steps: Collection[int] = (), batches: Collection[int] = ()) -> None:
        self.left = {"step": set(steps), "batch": set(batches)}
        self.done = {"step": 0, "batch": 0}
        self.run: Run | None = None

    def pull(self, run: Run) -> Reading | Literal["end"] | None:
        self.run = run
        try:
            return next(run, "end")
        finally:
            self.run = None

    def count(self, kind: str) -> None:
        if self.run is not None:
            self.done[kind] += 1
            if self.done[kind] in self.left[kind]:
                self.run.interrupt()


@pytest.fixture(scope="module")
def pulled() -> Iterator[Pulled]:
    """Pulls all readings of a run, with trainers whose steps and evaluations call Python; chunks have three steps."""
    plan, step, evaluate = [Interruptions()], Trainer._train_step, Trainer.evaluate

    def counted_step(self: Trainer, *args: Any) -> list[Any]:
        results = step(self, *args)
        with tf.control_dependencies([*results, tf.py_function(lambda: plan[0].count("step"), [], [])]):
            return [tf.identity(result) for result in results]

    def counted_evaluate(self: Trainer, *args: Any) -> tuple[Any, Any]:
        plan[0].count("batch")
        return evaluate(self, *args)

    def pulled(
        run: Run,
        steps: Collection[int] = (),
        batches: Collection[int] = (),
        saving: Callable[[bytes], Run | None] = lambda _state: None,
    ) -> tuple[str, int]:
        """Readings, and how often there was none; `saving` may give another run for a state."""
        plan[0] = Interruptions(steps, batches)
        readings, pauses = [], 0
        while (reading := plan[0].pull(run)) != "end":
            if reading is None:
                pauses += 1
                run = saving(run.state()) or run
            else:
                readings.append(reading)
        return without_seconds(readings), pauses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "_trainers", OrderedDict())
        patch.setattr(Trainer, "_train_step", counted_step)
        patch.setattr(Trainer, "evaluate", counted_evaluate)
        patch.setattr(train_module, "CHUNK_BYTES", 3 * 32 * SIZE * SIZE)
        patch.setattr(train_module, "EVALUATION_BATCH", 12)  # three for each reading
        yield pulled


@pytest.mark.parametrize("choices", CASES, ids=str)
def test_a_trial_saved_and_gone_on_with_is_bitwise_that_which_was_left_alone(
    choices: dict[str, Any], arrays: Arrays, pulled: Pulled
) -> None:
    config = uneven(**choices)
    require_the_same(config, arrays, pulled)
    trainer = trainer_of(config)
    assert trainer.traces == 3 + bool(trainer.normalizations), "a state costs no trace"


def test_so_is_one_whose_net_is_built_anew_for_each_trial(arrays: Arrays, pulled: Pulled) -> None:
    require_the_same(uneven(model={"build": "own_net:closing"}), arrays, pulled)


def require_the_same(config: Config, arrays: Arrays, pulled: Pulled) -> None:
    """The readings of a trial that was left alone equal those of one that was saved, eight times, and gone on with."""
    whole, pauses = pulled(train(config, arrays))
    assert pauses == 0

    def after_another_trial(state: bytes) -> Run:
        list(train(config.model_copy(update={"seed": 99, "steps": 2}), arrays))
        return train(config, arrays, state)

    parts, pauses = pulled(train(config, arrays), {2, 4, 5, 7, 11}, {2, 6, 7}, after_another_trial)
    assert parts == whole
    assert pauses == 8


@settings(max_examples=25, derandomize=True)
@given(
    steps=st.sets(st.integers(1, STEPS)),
    batches=st.sets(st.integers(1, 12)),
    saved=st.lists(st.booleans(), min_size=24, max_size=24),
)
def test_wherever_it_is_interrupted_a_trial_stays_the_same(
    steps: set[int], batches: set[int], saved: list[bool], arrays: Arrays, pulled: Pulled
) -> None:
    config = uneven(dropout="dropout")
    whole, _ = pulled(train(config, arrays))
    turn = iter(saved)
    run = train(config, arrays)
    parts, pauses = pulled(run, steps, batches, lambda state: train(config, arrays, state) if next(turn) else None)
    assert parts == whole
    assert pauses == len(steps | {100 + batch for batch in batches})
