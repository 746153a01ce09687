"""Each architecture against the same net written out in plain Keras layers: shapes, parameters, outputs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from tiny_net import tiny

from sweeps.config import Config
from sweeps.nn import models
from sweeps.nn.probe import kernel_layers

CLASSES = 10


def conv(x: Any, channels: int, size: int, strides: int = 1) -> Any:
    return layers.Conv2D(channels, size, strides=strides, padding="same", activation="relu")(x)


def overlapping(x: Any) -> Any:
    return layers.MaxPooling2D(3, strides=2, padding="same")(x)


def gate(x: Any, ratio: int, activation: str) -> Any:
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Dense(channels // ratio, activation="relu")(y)
    return layers.Multiply()([x, layers.Dense(channels, activation=activation)(y)])


def head(x: Any, dense: int, units: int) -> Any:
    x = layers.Flatten()(x)
    for _ in range(dense):
        x = layers.Dense(units, activation="relu")(x)
    return layers.Dense(CLASSES, activation="softmax")(x)


def cnn(x: Any) -> Any:
    for channels in (4, 8, 16):
        x = layers.MaxPooling2D()(conv(conv(x, channels, 3), channels, 3))
    return head(x, 2, 12)


def dense(x: Any) -> Any:
    return head(x, 5, 12)


def alexnet(x: Any) -> Any:
    x = overlapping(conv(x, 4, 5, strides=2))
    x = overlapping(conv(x, 12, 5))
    return head(overlapping(conv(conv(conv(x, 24, 3), 16, 3), 16, 3)), 2, 12)


def se_blocks(x: Any) -> Any:
    for channels in (4, 8, 16):
        x = layers.MaxPooling2D()(gate(conv(x, channels, 3), 2, "sigmoid"))
    return head(x, 2, 12)


def se_resnet(x: Any) -> Any:
    x = overlapping(gate(conv(x, 4, 5, strides=2), 2, "elu"))
    x = overlapping(gate(conv(conv(x, 12, 5), 12, 3), 2, "elu"))
    x = conv(x, 24, 3)
    x = layers.Add()([x, gate(conv(conv(x, 24, 3), 24, 3), 2, "elu")])
    x = conv(x, 16, 3)
    x = layers.Add()([x, gate(conv(conv(x, 16, 3), 16, 3), 2, "elu")])
    return head(overlapping(conv(x, 16, 3)), 2, 12)


HEAD = {"width": 4, "dense": 2, "dense_units": 12}
STEM = {"stem_kernel": 5, "stem_stride": 2}
CASES: list[tuple[Callable[[Any], Any], dict[str, Any]]] = [
    (cnn, {"architecture": "cnn", "convolutions": 6, "stages": 3, **HEAD}),
    (dense, {"architecture": "dense", "dense": 5, "dense_units": 12}),
    (alexnet, {"architecture": "alexnet", **STEM, **HEAD}),
    (se_blocks, {"architecture": "se_blocks", "stages": 3, "excitation_ratio": 2, **HEAD}),
    (se_resnet, {"architecture": "se_resnet", "excitation": "elu", "excitation_ratio": 2, **STEM, **HEAD}),
]


@pytest.mark.parametrize(("by_hand", "table"), CASES, ids=[case[1]["architecture"] for case in CASES])
@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 16, 3)])
def test_it_is_the_net_that_one_would_write_by_hand(
    by_hand: Callable[[Any], Any], table: dict[str, Any], shape: tuple[int, ...]
) -> None:
    ours = models.build_model(tiny(model=table, activation="relu"), shape)
    inputs = layers.Input(shape)
    theirs = keras.Model(inputs, by_hand(layers.Rescaling(1 / 255)(inputs)))
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    assert ours.count_params() == theirs.count_params()
    rng = np.random.default_rng(0)
    ours.set_weights([rng.normal(0, 0.3, w.shape) for w in ours.weights])
    theirs.set_weights(ours.get_weights())
    images = rng.integers(0, 256, (5, *shape), dtype=np.uint8)
    assert np.allclose(ours(images), theirs(images.astype(np.float32)), atol=1e-5)
    assert np.asarray(ours(images)).std() > 1e-3


def test_the_residual_net_has_ten_convolutions_two_joins_four_gates_and_three_dense_layers() -> None:
    config = Config.model_validate({"model": {"architecture": "se_resnet", "dense": 2}})
    model = models.build_model(config, (32, 32, 3))
    kinds = [type(layer).__name__ for layer in model.layers]
    assert (kinds.count("Conv2D"), kinds.count("Add"), kinds.count("Multiply")) == (10, 2, 4)
    dense_layers = [layer.name for layer in kernel_layers(model) if isinstance(layer, layers.Dense)]
    assert [name for name in dense_layers if not name.startswith("se_")] == ["dense_1", "dense_2", "logits"]


@pytest.mark.parametrize("architecture", ["se_resnet", "se_blocks"])
def test_gates_that_start_near_one_change_next_to_nothing(architecture: str) -> None:
    table = {"architecture": architecture, "excitation": "relu", "width": 4, "dense": 1, "dense_units": 8}
    config = tiny(model=table, excitation_bias="one_plus_noise", initializer="glorot_uniform")
    model = models.build_model(config, (16, 16, 3))
    gates = [layer.output for layer in model.layers if layer.name.endswith("_gate")]
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    for values in keras.Model(model.input, gates)(images):
        assert 0.5 < float(np.mean(values)) < 1.5
    biases = np.concatenate([layer.bias for layer in model.layers if layer.name.endswith("_excitation")])
    assert biases.mean() == pytest.approx(1, abs=0.005)
    assert 0.5 / 256 < biases.std() < 2 / 256


def test_the_penalty_on_gates_is_its_formula_whatever_the_batch() -> None:
    table = {"architecture": "se_blocks", "stages": 2, "width": 4, "dense": 1, "dense_units": 8}
    model = models.build_model(tiny(model=table, excitation_penalty=0.25), (16, 16, 3))
    gates = keras.Model(model.input, [layer.output for layer in model.layers if layer.name.endswith("_gate")])
    for batch in (1, 5, 32):
        images = np.random.default_rng(batch).integers(0, 256, (batch, 16, 16, 3), dtype=np.uint8)
        model(images)
        wanted = sum(0.25 * np.mean((1 - np.asarray(values)) ** 2) for values in gates(images))
        assert float(sum(model.losses)) == pytest.approx(wanted, rel=1e-5)
