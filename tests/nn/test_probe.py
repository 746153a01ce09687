"""Vital signs and scores against NumPy."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from tiny_net import next_reading, patterns, tiny

from sweeps.nn import models, probe
from sweeps.nn.activations import FLAT_ENDS, NO_FLAT_ENDS
from sweeps.nn.train import train


def vital_signs(outputs: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x = outputs.astype(np.float64)
    mean_square = (x**2).mean()
    dead = (x.max(0) == x.min(0)).reshape(-1, x.shape[-1]).all(0).mean()
    return x.mean(), x.std(), x.var(0).mean() / mean_square if mean_square else 0.0, dead


@pytest.mark.parametrize("shape", [(64, 20), (64, 5, 5, 7)])
def test_vital_signs_are_their_formulas(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(0.5, 2, shape).astype(np.float32)
    x[..., :2] = np.maximum(x[..., :2], 100)
    signs = probe.vital_signs(tf.constant(x), NO_FLAT_ENDS)
    assert np.allclose((signs.mean, signs.std, signs.signal, signs.dead), vital_signs(x), rtol=1e-5)


def test_a_channel_whose_map_is_the_same_for_all_inputs_is_dead_though_its_positions_differ() -> None:
    x = np.random.default_rng(0).normal(size=(8, 3, 3, 4)).astype(np.float32)
    x[..., 1] = np.arange(9).reshape(3, 3)
    assert float(probe.vital_signs(tf.constant(x), NO_FLAT_ENDS).dead) == 0.25


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-20, 1e15])
def test_an_output_that_is_the_same_for_all_inputs_has_a_signal_of_exactly_zero(value: float) -> None:
    x = tf.fill([64, 30], tf.constant(value)) * tf.range(1.0, 31.0)
    signs = probe.vital_signs(x, NO_FLAT_ENDS)
    assert (float(signs.signal), float(signs.dead)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("activation", "flat"),
    [
        ("tanh", lambda x: np.abs(np.tanh(x)) >= 0.99),
        ("sigmoid", lambda x: np.abs(1 / (1 + np.exp(-x)) - 0.5) >= 0.49),
        ("selu", lambda x: 1.0507 * 1.67326 * (1 - np.exp(np.minimum(x, 0))) >= 1.0507 * 1.67326 - 0.01),
        ("elu", lambda x: 1 - np.exp(np.minimum(x, 0)) >= 0.99),
    ],
)
def test_saturated_is_the_share_of_outputs_at_a_flat_end(
    activation: str, flat: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> None:
    x = np.random.default_rng(0).normal(0, 4, (64, 500)).astype(np.float32)
    output = getattr(keras.activations, activation)(x)
    ends = tf.constant(FLAT_ENDS[activation])
    assert float(probe.vital_signs(output, ends).saturated) == pytest.approx(
        flat(x.astype(np.float64)).mean(), abs=1e-4
    )


@pytest.mark.parametrize(("activation", "known"), [("relu", False), ("selu", True), ("sigmoid", True)])
def test_a_trial_knows_where_its_activation_is_flat(activation: str, known: bool) -> None:
    first = next_reading(train(tiny(activation=activation), patterns()))
    assert [not np.isnan(layer.saturated) for layer in first.layers] == [*[known] * 5, False]


def test_incoming_weights_are_summed_per_unit_and_compared_with_the_domain() -> None:
    kernel = np.random.default_rng(0).normal(0, 1 / 6, (3, 3, 4, 50))
    kernel[..., :10] -= kernel[..., :10].mean((0, 1, 2))
    kernel[..., :10] /= np.sqrt((kernel[..., :10] ** 2).sum((0, 1, 2)))
    omega, tau = kernel.sum((0, 1, 2)), (kernel**2).sum((0, 1, 2))
    inside = np.mean((np.abs(omega) <= 0.1) & (tau >= 0.95) & (tau <= 1.1))
    assert inside >= 0.2
    expected = {
        "omega_mean": omega.mean(),
        "omega_std": omega.std(),
        "tau_mean": tau.mean(),
        "tau_std": tau.std(),
        "in_domain": inside,
    }
    moments = probe.weight_moments(tf.constant(kernel), kernel.shape[-1])._asdict()
    assert {name: float(value) for name, value in moments.items()} == pytest.approx(expected, abs=1e-5)


def test_the_outputs_are_those_of_the_activations_and_the_last_are_the_logits() -> None:
    model = models.build_model(tiny(batch_normalization="before", dropout="dropout"))
    names = [tensor._keras_history.operation.name for tensor in probe.layer_outputs(model)]
    hidden = ["convolution_1", "convolution_2", "convolution_3", "convolution_4", "dense_1"]
    assert names == [*(f"{name}_activation" for name in hidden), "logits"]


def test_ranks_count_the_classes_that_are_not_surpassed() -> None:
    logits = tf.constant([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 1.0, 2.0], [np.nan, 1.0, 2.0], [5.0, np.nan, 1.0]])
    assert probe.compute_ranks(tf.constant([0, 0, 0, 0, 0]), logits).numpy().tolist() == [0, 2, 1, 2, 1]


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_a_net_that_tells_no_classes_apart_hits_nothing(value: float) -> None:
    labels = tf.range(20)
    assert probe.score_batch(labels, tf.fill([20, 20], tf.constant(value, tf.float32)))[2:].numpy().tolist() == [0, 0]


def test_scores_are_cross_entropy_and_hits() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 12)).astype(np.float32), rng.integers(0, 12, 50).astype(np.int32)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(50), labels]
    order = np.argsort(-logits, axis=1)
    hits = [(order[:, :k] == labels[:, None]).sum() for k in (1, 5)]
    sums = [losses.sum(), (losses**2).sum(), *hits]
    assert np.allclose(probe.score_batch(labels, tf.constant(logits)), sums, rtol=1e-5)
