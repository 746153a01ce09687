"""Dropout: a layer of the kind that the trial chose, which draws the masks of Keras's own layers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from sweeps.config import Dropout
from sweeps.nn.choices import TrialChoices
from sweeps.nn.seeds import layer_seed

# -alpha * scale of SELU: what a dropped unit is set to, so that mean and variance are kept (Klambauer et al. 2017).
SELU_SATURATION = -1.6732632423543772 * 1.0507009873554805


def _dropout(inputs: Any, rate: Any, seed: Any) -> Any:
    return tf.nn.experimental.stateless_dropout(inputs, tf.cast(rate, inputs.dtype), seed)


def _alpha_dropout(inputs: Any, rate: Any, seed: Any) -> Any:
    kept = tf.cast(tf.random.stateless_uniform(tf.shape(inputs), seed) >= rate, inputs.dtype)
    slope = tf.math.rsqrt((1 - rate) * (1 + rate * SELU_SATURATION**2))
    shift = -slope * SELU_SATURATION * rate
    dropped = inputs * kept + SELU_SATURATION * (1 - kept)
    return tf.cast(slope, inputs.dtype) * dropped + tf.cast(shift, inputs.dtype)


class SwitchedDropout(keras.layers.Layer):
    """Dropout of the kind and at the rate that the trial chose; any shape.

    Args:
        index: of the kernel whose outputs are dropped; decides the seed.
    """

    def __init__(self, choices: TrialChoices, index: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._choices = choices
        self._index = index
        self.seed_generator = keras.random.SeedGenerator(0)

    def reset(self, seed: int) -> None:
        """Start the masks of the trial `seed` from the first."""
        self.seed_generator.state.assign([layer_seed(seed, self._index, "dropout"), 0])

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        # Keras's random functions fold their 64-bit seeds in this way; any other folding gives other masks.
        seed = tf.cast(tf.math.floormod(self.seed_generator.next(), tf.int32.max - 1), tf.int32)
        rate = self._choices["dropout_rate"]
        return self._choices.run_branch(
            "dropout", {name: partial(f, inputs, rate, seed) for name, f in DROPOUTS.items()}
        )

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


DROPOUTS: dict[Dropout, Callable[[Any, Any, Any], Any]] = {
    "none": lambda inputs, _rate, _seed: inputs,
    "dropout": _dropout,
    "alpha_dropout": _alpha_dropout,
}
