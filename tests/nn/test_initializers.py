"""Initialisers by name, and under a constraint."""

from typing import get_args

import keras
import numpy as np
import pytest

from sweeps import config
from sweeps.nn.constraints import SeluDomain, StandardizeUnit
from sweeps.nn.initializers import INITIALIZERS, Constrained


def test_the_table_has_every_initializer_of_the_config():
    assert tuple(INITIALIZERS) == get_args(config.Initializer)


@pytest.mark.parametrize(("name", "make"), INITIALIZERS.items())
def test_an_initializer_is_the_one_that_keras_calls_by_its_name(name, make):
    assert type(make(seed=1)) is type(keras.initializers.get(name))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_equal_seeds_draw_equal_weights(name):
    draws = [np.asarray(INITIALIZERS[name](seed=seed)((3, 3, 2, 4))) for seed in (5, 5, 6)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_constrained_initializer_obeys_its_constraint():
    w = np.asarray(Constrained(keras.initializers.HeNormal(seed=1), StandardizeUnit(2.0))((3, 3, 4, 8)))
    assert np.allclose((w**2).sum((0, 1, 2)), 2, rtol=1e-5)


def test_a_constrained_initializer_survives_serialisation():
    initializer = Constrained(keras.initializers.LecunNormal(seed=7), SeluDomain())
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(initializer))
    assert np.array_equal(again((3, 3, 2, 4)), initializer((3, 3, 2, 4)))
