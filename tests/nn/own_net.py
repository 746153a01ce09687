"""A net as a user would write it, found by its import path."""

from functools import cache
from typing import Any

import keras
import tensorflow as tf
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


def _dense(config: Config, activation: str | None) -> keras.Model:
    hidden = layers.Dense(8, "relu", kernel_initializer=keras.initializers.HeNormal(seed=config.seed))
    last = layers.Dense(config.data.outputs, activation, kernel_initializer=keras.initializers.HeNormal(seed=1))
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Rescaling(1 / 255), layers.Flatten(), hidden, last])


def without_softmax(config: Config) -> keras.Model:
    return _dense(config, None)


def with_softmax(config: Config) -> keras.Model:
    return _dense(config, "softmax")


def with_sigmoid(config: Config) -> keras.Model:
    return _dense(config, "sigmoid")


@cache
def one_model(config: Config) -> keras.Model:
    """Return the same model at each call with a config."""
    return _dense(config, "softmax")


@cache
def _one_layer(trainable: bool) -> layers.Layer:
    return layers.Dense(8, "relu", trainable=trainable)


def _around_one_layer(config: Config, trainable: bool) -> keras.Model:
    last = layers.Dense(config.data.outputs, "softmax")
    flat = layers.Flatten()
    return keras.Sequential([layers.Input((16, 16, 1)), flat, _one_layer(trainable), last])


def one_layer(config: Config) -> keras.Model:
    """Return new models around a layer that is always the same."""
    return _around_one_layer(config, trainable=True)


def one_frozen_layer(config: Config) -> keras.Model:
    """Return new models around a layer that is always the same, and is not trained."""
    return _around_one_layer(config, trainable=False)


def not_a_model(config: Config) -> str:
    return "a model"


def wrong_outputs(config: Config) -> keras.Model:
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Flatten(), layers.Dense(7)])


class Subclassed(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


def subclassed(config: Config) -> keras.Model:
    return Subclassed()


@keras.saving.register_keras_serializable("own_net")
class Jitter(layers.Layer):
    """Noise, in inference too, so that readings move a random generator."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any) -> Any:
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.generator)


def always_random(config: Config) -> keras.Model:
    head = layers.Dense(
        config.data.outputs, "softmax", kernel_initializer=keras.initializers.GlorotUniform(config.seed)
    )
    scale = layers.Rescaling(1 / 255)
    return keras.Sequential([layers.Input((16, 16, 1)), scale, layers.Flatten(), Jitter(config.seed), head])


def half(config: Config) -> keras.Model:
    """Weights that are never trained in the two dtypes of two bytes, one of which numpy cannot write to a file."""
    seeded = {"kernel_initializer": keras.initializers.GlorotUniform(seed=config.seed)}
    frozen = [layers.Dense(256, dtype=dtype, trainable=False, **seeded) for dtype in ("bfloat16", "float16")]
    head = layers.Dense(config.data.outputs, activation="softmax", dtype="float32", **seeded)
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Rescaling(1 / 255), layers.Flatten(), *frozen, head])


@keras.saving.register_keras_serializable("own_net")
class Greedy(layers.Layer):
    """Asks for a petabyte in each training step."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        return inputs + tf.reduce_sum(tf.zeros(tf.concat([tf.shape(inputs)[:1], [2**30, 2**15]], 0)))


def greedy(config: Config) -> keras.Model:
    head = layers.Dense(config.data.outputs, activation="softmax")
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Flatten(), Greedy(), head])


def enormous(config: Config) -> keras.Model:
    """Weights of two petabytes."""
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Dense(2**21), layers.Dense(2**28), layers.Flatten()])


@keras.saving.register_keras_serializable("own_net")
class Block(layers.Layer):
    """A convolution and batch normalisation inside of a layer, as people write blocks."""

    def __init__(self, momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.normalize = layers.BatchNormalization(momentum=momentum)

    def build(self, input_shape: Any) -> None:
        self.normalize.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.ops.relu(self.normalize(inputs, training=training))


def normalized(config: Config, momentum: float = 0.99, offset: float = 0.0) -> keras.Model:
    """An ordinary net with Keras's momentum of .99, a layer of normalisation that is not trained, and dropout."""
    seed = config.seed
    frozen = layers.BatchNormalization(trainable=False)
    return keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Rescaling(1 / 255, offset),
            layers.Conv2D(8, 3, use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed)),
            Block(momentum),
            frozen,
            layers.Conv2D(8, 3, use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed + 1)),
            layers.BatchNormalization(momentum=momentum),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.2, seed=seed),
            layers.Dense(config.data.outputs, "softmax", kernel_initializer=keras.initializers.HeNormal(seed + 2)),
        ]
    )


def lagging(config: Config) -> keras.Model:
    """The momentum of MobileNet, on inputs that batch normalisation alone centres."""
    return normalized(config, momentum=0.999, offset=20.0)


def closing(config: Config) -> keras.Model:
    """An activation of a user's own, which reads the config."""

    def own_activation(inputs: Any) -> Any:
        return keras.ops.relu(inputs) if config.activation == "relu" else inputs * 0.0

    seeded = {"kernel_initializer": keras.initializers.GlorotUniform(seed=config.seed)}
    hidden = layers.Dense(8, activation=own_activation, **seeded)
    head = layers.Dense(config.data.outputs, "softmax", **seeded)
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Rescaling(1 / 255), layers.Flatten(), hidden, head])


def _stack(units: int, depth: int, outputs: int = 10) -> keras.Model:
    hidden = [layers.Dense(units, "relu") for _ in range(depth)]
    last = layers.Dense(outputs, "softmax")
    return keras.Sequential([layers.Input((16, 16, 1)), layers.Rescaling(1 / 255), layers.Flatten(), *hidden, last])


def by_name(units: int, depth: int) -> keras.Model:
    """Takes what varies and nothing else."""
    return _stack(units, depth)


def by_name_and_config(recipe: Config, depth: int, *, units: int) -> keras.Model:
    """Takes the config as its first parameter, whatever its name."""
    return _stack(units, depth, recipe.data.outputs)


def config_last(units: int, depth: int = 2, config: Config | None = None) -> keras.Model:
    """Takes the config by its name."""
    assert config is not None
    return _stack(units, depth, config.data.outputs)


def by_config(config: Config) -> keras.Model:
    """Reads all from the config."""
    return _stack(config.my["units"], config.my.get("depth", 1), config.data.outputs)


def by_any_name(config: Config, **values: int) -> keras.Model:
    """Takes whatever there is."""
    return _stack(**values, outputs=config.data.outputs)


def with_defaults(units: int = 4, depth: int = 1) -> keras.Model:
    """Has defaults for what a condition leaves out."""
    return _stack(units, depth)


def positional_config(config: Config, /, units: int, depth: int) -> keras.Model:
    """Takes the config without a name."""
    return _stack(units, depth, config.data.outputs)
