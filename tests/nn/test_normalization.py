"""Batch normalisation in evaluation, and the verdict on runs that learn in training alone."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import own_net
import pytest
from tiny_net import readings_of, tiny, trainer_of

from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.nn.models.net_parts import list_parts
from sweeps.nn.normalization import batch_statistics, find_normalizations, pool_moments, read_averages
from sweeps.nn.train import train
from sweeps.readings import Reading
from sweeps.verdict import Chance, Fate, final_verdict


def normalized(**choices: Any) -> Config:
    return tiny(**{"model": {"build": "own_net:normalized"}, "steps": 40, "report_interval": 10, **choices})


def fate_of(readings: list[Reading], arrays: Arrays) -> Fate:
    chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
    return final_verdict(readings, chance).fate


def test_layers_inside_of_layers_are_found_and_frozen_ones_are_left_alone() -> None:
    model = own_net.normalized(normalized())
    found = find_normalizations(model)
    assert len(found) == 2
    assert all(layer.trainable for layer in found)


def test_statistics_of_the_batch_are_those_of_keras_in_training() -> None:
    model = own_net.normalized(normalized())
    images = np.random.default_rng(1).integers(0, 256, (32, 16, 16, 1)).astype(np.float32)
    before = [variable.numpy() for variable in model.non_trainable_variables]
    layers = find_normalizations(model)
    with batch_statistics(layers):
        ours = keras.ops.convert_to_numpy(model(images, training=False))
    averages = read_averages(layers)
    assert [layer.momentum for layer in layers] == [0.99, 0.99]
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        variable.assign(value)
    model.get_layer(index=-2).rate = 0.0  # dropout, which evaluation has not
    theirs = keras.ops.convert_to_numpy(model(images, training=True))
    assert np.allclose(ours, theirs, atol=1e-5)
    # Keras has moved its averages by a hundredth of the way from 0 and 1.
    for layer, (mean, variance) in zip(layers, averages, strict=True):
        assert np.allclose(layer.moving_mean, 0.01 * mean, atol=1e-4)
        assert np.allclose(layer.moving_variance, 0.99 + 0.01 * variance, atol=1e-4)
    again = keras.ops.convert_to_numpy(model(images, training=False))
    assert not np.allclose(again, ours, atol=1e-3), "inference uses averages again"


def test_moments_of_batches_are_those_of_all_their_images() -> None:
    rows = np.random.default_rng(0).normal(3, 2, (100, 5))
    batches = np.split(rows, [13, 70])
    moments = [[(batch.mean(axis=0), batch.var(axis=0))] for batch in batches]
    ((mean, variance),) = pool_moments(moments, [len(batch) for batch in batches])
    assert np.allclose(mean, rows.mean(axis=0))
    assert np.allclose(variance, rows.var(axis=0))


def test_recalibration_changes_the_evaluation_and_nothing_of_the_training(arrays: Arrays) -> None:
    plain = readings_of(train(normalized(), arrays))
    averages = trainer_of(normalized()).averages()
    recalibrated = readings_of(train(normalized(recalibrate_batch_normalization=True), arrays))
    for (mean, variance), (other_mean, other_variance) in zip(
        averages, trainer_of(normalized()).averages(), strict=True
    ):
        assert np.array_equal(mean, other_mean)
        assert np.array_equal(variance, other_variance)
    for one, other in zip(plain, recalibrated, strict=True):
        assert one.train_loss == other.train_loss or one.step == 0
        assert one.gradient_norm == other.gradient_norm or one.step == 0
    assert recalibrated[-1].loss < 0.5 * plain[-1].loss
    assert recalibrated[-1].loss == pytest.approx(plain[-1].batch_loss, rel=0.5)


def test_a_net_that_lags_in_inference_is_not_called_dead_and_learns_once_recalibrated(arrays: Arrays) -> None:
    model = {"build": "own_net:lagging"}
    assert fate_of(readings_of(train(normalized(model=model), arrays)), arrays) == Fate.INFERENCE_LAGS
    readings = readings_of(train(normalized(model=model, recalibrate_batch_normalization=True), arrays))
    assert fate_of(readings, arrays) == Fate.LEARNED


def test_a_net_that_memorises_is_called_so(arrays: Arrays) -> None:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, arrays.train_images.shape, dtype=np.uint8)
    other = rng.integers(0, 256, arrays.holdout_images.shape, dtype=np.uint8)
    unrelated = replace(arrays, train_images=noise, holdout_images=other)
    config = normalized(recalibrate_batch_normalization=True, steps=120)
    readings = readings_of(train(config, unrelated))
    assert readings[-1].train_loss < 0.7
    assert fate_of(readings, unrelated) == Fate.MEMORISED


def test_a_holdout_set_unlike_the_training_set_is_called_so(arrays: Arrays) -> None:
    shuffled = np.random.default_rng(6).permutation(arrays.classes).astype(np.int32)
    renamed = replace(arrays, holdout_labels=shuffled[arrays.holdout_labels])
    many = repeat_eight_times(renamed)
    noise = np.random.default_rng(7).integers(-3, 4, many.train_images.shape)
    different = replace(many, train_images=np.clip(np.asarray(many.train_images) + noise, 0, 255).astype(np.uint8))
    readings = readings_of(train(normalized(recalibrate_batch_normalization=True), different))
    assert readings[-1].passes == pytest.approx(40 * 32 / (8 * 256))
    assert fate_of(readings, different) == Fate.HOLDOUT_DIFFERS


def test_images_that_repeat_others_are_not_new_to_the_net(arrays: Arrays) -> None:
    shuffled = np.random.default_rng(6).permutation(arrays.classes).astype(np.int32)
    many = repeat_eight_times(replace(arrays, holdout_labels=shuffled[arrays.holdout_labels]))
    readings = readings_of(train(normalized(recalibrate_batch_normalization=True), many))
    assert readings[-1].passes == pytest.approx(40 * 32 / 256)
    assert fate_of(readings, many) == Fate.MEMORISED


def repeat_eight_times(arrays: Arrays) -> Arrays:
    """Return the arrays with each training image eight times."""
    rows = np.tile(np.arange(len(arrays.train_labels)), 8)
    return replace(arrays, train_images=arrays.train_images[rows], train_labels=arrays.train_labels[rows])


def test_what_a_net_is_made_of_is_listed_in_the_words_of_a_config() -> None:
    parts = list_parts(own_net.normalized(normalized()))
    assert {"own_net", "batch_normalization", "dropout", "relu", "he_normal", "scaled_inputs"} <= set(parts)
    assert "augmentation" not in parts
