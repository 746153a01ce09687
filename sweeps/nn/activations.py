"""Activations: a layer that applies the one of Keras's that the trial chose."""

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import keras

from sweeps.config import Activation
from sweeps.nn.choices import CHOICES, TrialChoices


class SwitchedActivation(keras.layers.Layer):
    """The activation that the trial chose; any shape."""

    def __init__(self, choices: TrialChoices, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._choices = choices

    def call(self, inputs: Any) -> Any:
        return self._choices.run_branch("activation", {name: partial(f, inputs) for name, f in ACTIVATIONS.items()})

    def flat_ends(self) -> Any:
        """Lower and upper end of the activation in use, float32, (2,); infinite where there is none."""
        ends = [FLAT_ENDS.get(name, NO_FLAT_ENDS) for name in CHOICES["activation"]]
        return keras.ops.take(keras.ops.convert_to_tensor(ends, "float32"), self._choices["activation"], axis=0)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def _swish(inputs: Any) -> Any:
    """x sigmoid(x). TensorFlow's own registers a gradient for good, and with it the graph of a trainer long gone."""
    return inputs * keras.activations.sigmoid(inputs)


# Where an activation is flat: (lower end, upper end).
FLAT_ENDS: dict[str, tuple[float, float]] = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "selu": (-1.7580993408473766, inf),
    "elu": (-1.0, inf),
}

NO_FLAT_ENDS = (-inf, inf)

ACTIVATIONS: dict[Activation, Callable[[Any], Any]] = {
    "relu": keras.activations.relu,
    "elu": keras.activations.elu,
    "selu": keras.activations.selu,
    "tanh": keras.activations.tanh,
    "sigmoid": keras.activations.sigmoid,
    "gelu": keras.activations.gelu,
    "swish": _swish,
    "leaky_relu": keras.activations.leaky_relu,
}
