"""Activations: a layer that picks one of Keras's by a dial."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from sweeps.config import Activation
from sweeps.nn.dials import Dials


class SwitchedActivation(keras.layers.Layer):
    """The activation that the dial `activation` points at; any shape."""

    def __init__(self, dials: Dials, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._dials = dials

    def call(self, inputs: Any) -> Any:
        return self._dials.choose("activation", {name: partial(f, inputs) for name, f in ACTIVATIONS.items()})

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def _swish(inputs: Any) -> Any:
    """x sigmoid(x). TensorFlow's own registers a gradient for good, and with it the graph of a trainer long gone."""
    return inputs * keras.activations.sigmoid(inputs)


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
