"""Optimisers by name; their equality with Keras over whole steps is tested with the trainer."""

from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_net import tiny

from sweeps import config
from sweeps.nn import optimizers
from sweeps.nn.choices import TrialChoices
from sweeps.nn.optimizers import OPTIMIZERS, SwitchedOptimizer


def test_the_table_has_every_optimizer_of_the_config() -> None:
    assert tuple(OPTIMIZERS) == get_args(config.Optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_plain_optimizer_is_keras_s_of_that_name(name: str) -> None:
    assert type(optimizers.build_optimizer(tiny(optimizer=name))) is type(keras.optimizers.get(name))


def test_mixed_float16_has_its_loss_scaled_as_compile_would() -> None:
    assert isinstance(optimizers.build_optimizer(tiny(dtype="mixed_float16")), keras.optimizers.LossScaleOptimizer)
    assert not isinstance(optimizers.build_optimizer(tiny(dtype="mixed_bfloat16")), keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("epsilon", [1e-7, 1e-1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_updates_equal_keras_s(name: str, epsilon: float) -> None:
    rng = np.random.default_rng(0)
    chosen = tiny(optimizer=name, learning_rate=0.03, epsilon=epsilon, momentum=0.8, weight_decay=0.1)
    start, gradients = rng.normal(size=12).astype(np.float32), rng.normal(size=(50, 12)).astype(np.float32)
    choices = TrialChoices()
    choices.set(chosen)
    variable, plain = tf.Variable(start), keras.Variable(start)
    ours, keras_optimizer = SwitchedOptimizer([variable], choices), optimizers.build_optimizer(chosen)
    update = tf.function(lambda gradient: ours.apply_gradients([gradient]))
    for gradient in gradients:
        update(tf.constant(gradient))
        keras_optimizer.apply([tf.constant(gradient)], [plain])
    assert np.allclose(variable, plain, rtol=2e-5, atol=2e-6)
    assert not np.allclose(variable, start, atol=1e-3)


def test_a_reset_forgets_the_past() -> None:
    choices = TrialChoices()
    choices.set(tiny(optimizer="nadam"))
    variable = tf.Variable(tf.ones(3))
    optimizer = SwitchedOptimizer([variable], choices)
    ends = []
    for _ in range(2):
        variable.assign(tf.ones(3))
        optimizer.reset()
        for _ in range(3):
            optimizer.apply_gradients([tf.constant([1.0, -2.0, 3.0])])
        ends.append(variable.numpy())
    assert np.array_equal(*ends)
