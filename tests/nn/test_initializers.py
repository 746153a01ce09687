"""Initialisers by name, and under a constraint."""

from typing import Any, get_args

import keras
import numpy as np
import pytest

from sweeps import config
from sweeps.nn.constraints import SeluDomain, StandardizeUnit
from sweeps.nn.initializers import INITIALIZERS, Constrained, OnePlusNoise


def test_the_table_has_every_initializer_of_the_config() -> None:
    assert tuple(INITIALIZERS) == get_args(config.Initializer)


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "standard_normal"])
def test_an_initializer_is_the_one_that_keras_calls_by_its_name(name: config.Initializer) -> None:
    assert type(INITIALIZERS[name](seed=1)) is type(keras.initializers.get(name))


@pytest.mark.parametrize(
    ("initializer", "mean", "spread"),
    [(INITIALIZERS["standard_normal"](seed=1), 0, 1), (OnePlusNoise(seed=1), 1, 1 / 256)],
)
def test_normal_draws_have_the_mean_and_spread_that_they_are_named_for(
    initializer: Any, mean: float, spread: float
) -> None:
    draw = np.asarray(initializer((100, 1000)), np.float64)
    assert draw.mean() == pytest.approx(mean, abs=5 * spread / 316)
    assert draw.std() == pytest.approx(spread, rel=0.02)


def test_one_plus_noise_survives_serialisation() -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(OnePlusNoise(seed=7)))
    assert np.array_equal(again((50,)), OnePlusNoise(seed=7)((50,)))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_equal_seeds_draw_equal_weights(name: config.Initializer) -> None:
    draws = [np.asarray(INITIALIZERS[name](seed=seed)((3, 3, 2, 4))) for seed in (5, 5, 6)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_constrained_initializer_obeys_its_constraint() -> None:
    w = np.asarray(Constrained(keras.initializers.HeNormal(seed=1), StandardizeUnit(2.0))((3, 3, 4, 8)))
    assert np.allclose((w**2).sum((0, 1, 2)), 2, rtol=1e-5)


def test_a_constrained_initializer_survives_serialisation() -> None:
    initializer = Constrained(keras.initializers.LecunNormal(seed=7), SeluDomain())
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(initializer))
    assert np.array_equal(again((3, 3, 2, 4)), initializer((3, 3, 2, 4)))
