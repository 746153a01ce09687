"""A net as a user would write it, found by its import path."""

import keras
from keras import layers

from sweeps.config import Config


def build(config: Config) -> keras.Model:
    """Two convolutions and a softmax, with a constraint and a regulariser of its own, and automatic names."""
    seeded = keras.initializers.GlorotUniform(seed=config.seed)
    limited = keras.constraints.MaxNorm(0.5, [0, 1, 2])
    return keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation=config.activation, kernel_initializer=seeded),
            layers.Conv2D(8, 3, use_bias=False, kernel_initializer=seeded, kernel_constraint=limited),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.3, seed=config.seed),
            layers.GlobalAveragePooling2D(),
            layers.Dense(
                config.data.outputs,
                kernel_regularizer=keras.regularizers.L2(config.l2),
                kernel_initializer=seeded,
                activation="softmax" if config.output == "softmax" else None,
            ),
        ]
    )


def not_a_model(config: Config) -> str:
    return "a model"


def wrong_outputs(config: Config) -> keras.Model:
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Flatten(), layers.Dense(7)])


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def subclassed(config: Config) -> keras.Model:
    return Subclassed()
