"""Vital signs and scores against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from tiny_net import tiny

from sweeps.nn import models, probe


def vital_signs(x):
    x = np.asarray(x, np.float64)
    mean_square = (x**2).mean()
    dead = (x.max(0) == x.min(0)).reshape(-1, x.shape[-1]).all(0).mean()
    return x.mean(), x.std(), x.var(0).mean() / mean_square if mean_square else 0.0, dead


@pytest.mark.parametrize("shape", [(64, 20), (64, 5, 5, 7)])
def test_vital_signs_are_their_formulas(shape):
    x = np.random.default_rng(0).normal(0.5, 2, shape).astype(np.float32)
    x[..., :2] = np.maximum(x[..., :2], 100)
    assert np.allclose(probe.vital_signs(tf.constant(x)), vital_signs(x), rtol=1e-5)


def test_a_channel_whose_map_is_the_same_for_all_inputs_is_dead_though_its_positions_differ():
    x = np.random.default_rng(0).normal(size=(8, 3, 3, 4)).astype(np.float32)
    x[..., 1] = np.arange(9).reshape(3, 3)
    assert float(probe.vital_signs(tf.constant(x))[3]) == 0.25


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-20, 1e15])
def test_an_output_that_is_the_same_for_all_inputs_has_a_signal_of_exactly_zero(value):
    x = tf.fill([64, 30], tf.constant(value)) * tf.range(1.0, 31.0)
    assert probe.vital_signs(x)[2:].numpy().tolist() == [0.0, 1.0]


def test_the_outputs_are_those_of_the_activations_and_the_last_are_the_logits():
    model = models.build(tiny(batch_normalization="before", dropout="dropout"))
    names = [tensor._keras_history.operation.name for tensor in probe.outputs(model)]
    hidden = ["convolution_1", "convolution_2", "convolution_3", "convolution_4", "dense_1"]
    assert names == [*(f"{name}_activation" for name in hidden), "logits"]


def test_ranks_count_the_classes_that_are_not_surpassed():
    logits = tf.constant([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 1.0, 2.0], [np.nan, 1.0, 2.0], [5.0, np.nan, 1.0]])
    assert probe.ranks(tf.constant([0, 0, 0, 0, 0]), logits).numpy().tolist() == [0, 2, 1, 2, 1]


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_net_that_tells_no_classes_apart_hits_nothing(value):
    labels = tf.range(20)
    assert probe.score(labels, tf.fill([20, 20], tf.constant(value, tf.float32)))[1:].numpy().tolist() == [0, 0]


def test_scores_are_cross_entropy_and_hits():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 12)).astype(np.float32), rng.integers(0, 12, 50).astype(np.int32)
    loss = (np.log(np.exp(logits).sum(1)) - logits[np.arange(50), labels]).sum()
    order = np.argsort(-logits, axis=1)
    hits = [(order[:, :k] == labels[:, None]).sum() for k in (1, 5)]
    assert np.allclose(probe.score(labels, tf.constant(logits)), [loss, *hits], rtol=1e-5)
