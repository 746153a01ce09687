"""A plain deep convolutional net: stages of 3x3 convolutions with a max-pool after each, dense layers, logits."""

from typing import Any

import keras
from keras import layers

from sweeps.nn.models.architecture import Architecture, Parts


def convolutions_per_stage(convolutions: int, stages: int) -> list[int]:
    """As even as can be, the earlier stages first: 7 in 3 stages are 3, 2, 2."""
    share, left = divmod(convolutions, stages)
    return [share + (stage < left) for stage in range(stages)]


def cnn(architecture: Architecture, output: str, parts: Parts) -> keras.Model:
    """Images uint8, (batch, height, width, channels) -> probabilities or logits, float32, (batch, classes).

    Layers are named `convolution_1`, ..., `dense_1`, ..., `logits`, `output`.

    Args:
        output: `softmax` or `logits`.
    """
    table, index = architecture.model, 0
    inputs = layers.Input(architecture.input_shape, dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, dtype=architecture.dtype, name="scale")(inputs)
    for stage, convolutions in enumerate(convolutions_per_stage(table.convolutions, table.stages)):
        for _ in range(convolutions):
            x = _convolution(x, index, table.width * min(2**stage, 4), architecture, parts)
            index += 1
        x = layers.MaxPooling2D(2, dtype=architecture.dtype, name=f"pool_{stage + 1}")(x)
    x = layers.Flatten(dtype=architecture.dtype, name="flatten")(x)
    for number in range(1, table.dense + 1):
        x = _dense(x, index, f"dense_{number}", architecture, parts)
        index += 1
    # The logits stay in float32 in mixed precision: bfloat16 has too few digits to rank hundreds of classes.
    x = layers.Dense(architecture.classes, dtype="float32", name="logits", **parts.kernel(index, rank=2))(x)
    activation = "softmax" if output == "softmax" else "linear"
    return keras.Model(inputs, layers.Activation(activation, dtype="float32", name="output")(x), name="cnn")


def _convolution(x: Any, index: int, channels: int, architecture: Architecture, parts: Parts) -> Any:
    name = f"convolution_{index + 1}"
    kernel = parts.kernel(index, rank=4)
    x = layers.Conv2D(channels, 3, padding="same", dtype=architecture.dtype, name=name, **kernel)(x)
    return _activated(x, name, architecture, parts)


def _dense(x: Any, index: int, name: str, architecture: Architecture, parts: Parts) -> Any:
    kernel = parts.kernel(index, rank=2)
    x = layers.Dense(architecture.model.dense_units, dtype=architecture.dtype, name=name, **kernel)(x)
    x = _activated(x, name, architecture, parts)
    dropout = parts.dropout(index, dtype=architecture.dtype, name=f"{name}_dropout")
    return x if dropout is None else dropout(x)


def _activated(x: Any, name: str, architecture: Architecture, parts: Parts) -> Any:
    if architecture.batch_normalization:
        # Keras's momentum of 0.99 would leave the moving averages behind for most of a trial of some hundred steps.
        normalization = layers.BatchNormalization(momentum=0.9, dtype=architecture.dtype, name=f"{name}_normalization")
        x = normalization(x)
    return parts.activation(dtype=architecture.dtype, name=f"{name}_activation")(x)
