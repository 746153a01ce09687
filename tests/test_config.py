"""Config: one recipe, strict at the edge, the same after a round trip through JSON."""

import math
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from sweeps.config import ACTIVATION_DEFAULTS, Activation, Config, DataConfig, ModelConfig

# The activations' definitions, in NumPy.
FUNCTIONS: dict[str, Any] = {
    "relu": lambda z: np.maximum(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2))),
    "swish": lambda z: z / (1 + np.exp(-z)),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.2 * z),
}


@pytest.mark.parametrize("activation", get_args(Activation))
def test_tau_keeps_the_second_moment_of_each_activation(activation: str) -> None:
    z = np.linspace(-10, 10, 20_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    second_moment = np.sum(FUNCTIONS[activation](z) ** 2 * density) * (z[1] - z[0])
    config = Config.model_validate({"activation": activation})
    assert config.tau == pytest.approx(1 / second_moment, rel=1e-4)
    assert config.initializer == ACTIVATION_DEFAULTS[activation][0]  # type: ignore[index]


def test_what_is_given_goes_before_what_is_usual() -> None:
    config = Config.model_validate({"activation": "selu", "initializer": "he_uniform", "tau": 3.0})
    assert (config.initializer, config.tau) == ("he_uniform", 3.0)


def test_json_and_back() -> None:
    config = Config.model_validate({"activation": "gelu", "learning_rate": 0.1 + 0.2, "data": {"images": 999}})
    assert Config.model_validate_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"learning_rate": math.inf}, "finite"),
        ({"dropout_rate": 1.0}, "less than 1"),
        ({"batch_size": 32.0}, "integer"),
        ({"batch_size": 20_000}, "lower batch_size or raise data.images"),
        ({"rate": 1e-3}, "Extra inputs"),
        ({"activation": "selo"}, "'selu'"),
        ({"data": {"image_size": 8}}, "raise data.image_size or lower model.stages"),
        ({"seed": 2**31}, "less than"),
    ],
)
def test_what_cannot_be_trained_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config.model_validate(values)


def test_tables_refuse_what_does_not_fit() -> None:
    with pytest.raises(ValidationError, match="whole factors"):
        DataConfig(source="digits", classes=10, images=100, image_size=20)
    with pytest.raises(ValidationError, match="cannot show"):
        DataConfig(images=100)
    with pytest.raises(ValidationError, match="cannot fill"):
        ModelConfig(convolutions=2)


def test_a_config_never_changes() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config.model_validate({}).learning_rate = 1.0
