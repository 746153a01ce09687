"""Dropout by the trial's choice draws the masks of Keras's layers."""

from typing import Any, get_args

import keras
import numpy as np
import pytest

from sweeps import config
from sweeps.nn.choices import TrialChoices
from sweeps.nn.dropout import DROPOUTS, SwitchedDropout
from sweeps.nn.seeds import layer_seed

X = np.random.default_rng(0).normal(size=(8, 50)).astype(np.float32)


def switched(kind: config.Dropout, rate: float, seed: int = 3, index: int = 2) -> SwitchedDropout:
    choices = TrialChoices()
    choices.set(config.Config.model_validate({"dropout": kind, "dropout_rate": rate, "seed": seed}))
    layer = SwitchedDropout(choices, index)
    layer.reset(seed)
    return layer


def test_the_table_has_every_dropout_of_the_config() -> None:
    assert tuple(DROPOUTS) == get_args(config.Dropout)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5])
@pytest.mark.parametrize(
    ("kind", "plain"), [("dropout", keras.layers.Dropout), ("alpha_dropout", keras.layers.AlphaDropout)]
)
def test_the_masks_of_call_after_call_are_keras_s(kind: config.Dropout, plain: Any, rate: float) -> None:
    ours, theirs = switched(kind, rate), plain(rate, seed=layer_seed(3, 2, "dropout"))
    for _ in range(3):
        assert np.allclose(ours(X, training=True), theirs(X, training=True), atol=1e-6)


@pytest.mark.parametrize("kind", DROPOUTS)
def test_nothing_is_dropped_outside_training_or_by_none(kind: config.Dropout) -> None:
    assert np.array_equal(switched(kind, 0.5)(X), X)
    assert np.array_equal(switched(kind, 0.5)(X, training=True), X) == (kind == "none")


def test_a_reset_starts_the_masks_from_the_first() -> None:
    layer = switched("dropout", 0.5)
    first, second = np.asarray(layer(X, training=True)), np.asarray(layer(X, training=True))
    layer.reset(3)
    assert np.array_equal(layer(X, training=True), first)
    assert not np.array_equal(first, second)
