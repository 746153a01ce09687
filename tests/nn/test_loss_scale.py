"""The loss scale's arithmetic against that of Keras's LossScaleOptimizer."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from sweeps.nn import loss_scale
from sweeps.nn.loss_scale import LossScale


def scale(dynamic: bool = True) -> tuple[LossScale, Callable[[], float]]:
    made = LossScale(dynamic)
    return made, lambda: float(made.scale_loss(tf.constant(1.0)))


def test_a_good_step_updates_and_keeps_the_scale() -> None:
    made, now = scale()
    steps: list[int] = []
    made.step([tf.constant([1.0])], lambda: steps.append(1))
    assert (steps, now()) == ([1], 2.0**15)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_skips_the_step_and_halves_the_scale(bad: float) -> None:
    made, now = scale()
    steps: list[int] = []
    made.step([tf.constant([1.0]), tf.constant([bad])], lambda: steps.append(1))
    assert (steps, now()) == ([], 2.0**14)


def test_the_scale_doubles_after_enough_good_steps_in_a_row_and_a_reset_forgets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    made, now = scale()
    for gradient in (1.0, 1.0, np.inf, 1.0, 1.0):
        made.step([tf.constant([gradient])], lambda: None)
    assert now() == 2.0**14
    made.step([tf.constant([1.0])], lambda: None)
    assert now() == 2.0**15
    made.reset()
    assert now() == loss_scale.INITIAL_SCALE


def test_without_scaling_everything_passes_even_what_is_not_finite() -> None:
    made, now = scale(dynamic=False)
    steps: list[int] = []
    made.step([tf.constant([np.nan])], lambda: steps.append(1))
    assert (steps, now()) == ([1], 1.0)


def test_the_numbers_are_those_of_keras() -> None:
    plain = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert (plain.initial_scale, plain.dynamic_growth_steps) == (loss_scale.INITIAL_SCALE, loss_scale.GROWTH_STEPS)
