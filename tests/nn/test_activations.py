"""Activations by name, and the gains that the config has for them."""

from typing import get_args

import keras
import numpy as np
import pytest

from sweeps import config
from sweeps.nn.activations import ACTIVATIONS, SwitchedActivation
from sweeps.nn.choices import TrialChoices


def test_the_table_has_every_activation_of_the_config() -> None:
    assert tuple(ACTIVATIONS) == get_args(config.Activation)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_usual_tau_hands_on_the_second_moment_of_a_normal_input(name: config.Activation) -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    outputs = np.asarray(ACTIVATIONS[name](nodes), dtype=np.float64)
    second_moment = (weights * outputs**2).sum() / weights.sum()
    assert config.ACTIVATION_DEFAULTS[name][1] == pytest.approx(1 / second_moment, rel=2e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_switched_layer_is_keras_s_layer_of_that_name(name: config.Activation) -> None:
    x = np.linspace(-3, 3, 24, dtype=np.float32).reshape(2, 12)
    choices = TrialChoices()
    choices.set(config.Config.model_validate({"activation": name}))
    assert np.allclose(SwitchedActivation(choices)(x), keras.layers.Activation(name)(x), atol=1e-6)
