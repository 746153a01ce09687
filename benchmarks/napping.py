"""A net that takes its time without using the processor, for `cluster.py`: it naps in each step."""

import os
import time

import keras
import numpy as np
import tensorflow as tf

from sweeps.config import Config

NAP_S = "NAP_S"


class Nap(keras.layers.Layer):
    """Hands its inputs on, in training after a nap of so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return inputs
        rested = tf.numpy_function(self._rest, [], tf.float32)
        rested.set_shape(())
        return inputs + rested

    def _rest(self) -> np.float32:
        time.sleep(self.seconds)
        return np.float32(0)


def build(config: Config) -> keras.Model:
    """A linear classifier of images that naps NAP_S seconds in each training step."""
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Flatten(),
            Nap(float(os.environ[NAP_S])),
            keras.layers.Dense(
                config.data.outputs, "softmax", kernel_initializer=keras.initializers.GlorotUniform(config.seed)
            ),
        ]
    )
