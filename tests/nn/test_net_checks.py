"""What is odd in a user's net is said before anything is trained."""

from typing import Any

import keras
import numpy as np
import own_net
import pytest
import tensorflow as tf
from tiny_net import patterns, tiny

from sweeps.config import Config
from sweeps.data.oddities import list_warnings
from sweeps.errors import InputError, TrialError
from sweeps.nn.net_checks import check_net
from sweeps.nn.probe import weight_moments
from sweeps.nn.train import train


def warnings(build: str, **choices: Any) -> list[str]:
    return list_warnings(check_net(tiny(model={"build": f"own_net:{build}"}, **choices)).findings)


def test_an_ordinary_net_has_nothing_odd() -> None:
    assert warnings("build", steps=400) == []


def test_averages_that_cannot_follow_the_steps() -> None:
    (line,) = warnings("normalized", steps=60)[:1]
    assert "2 layers" in line
    assert f"{0.99**60:.0%}" in line
    assert not any("momentum" in line for line in warnings("normalized", steps=400))
    assert not any(
        "momentum" in line for line in warnings("normalized", steps=60, recalibrate_batch_normalization=True)
    )


def test_parts_that_are_not_trained_are_counted() -> None:
    model = own_net.half(tiny(model={"build": "own_net:half"}))
    trained = sum(variable.numpy().size for variable in model.trainable_variables)
    (line,) = warnings("half")
    assert "2 layers are not trained" in line
    assert f"{trained:,} of {model.count_params():,}" in line


def test_zero_kernels_and_heavy_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: Config) -> keras.Model:
        layers = keras.layers
        keras.utils.set_random_seed(config.seed)
        first = layers.Dense(8, "relu", kernel_initializer="zeros", name="first")
        parts = [layers.Input((16, 16, 1)), layers.Flatten(), first, layers.Dropout(0.95, name="heavy")]
        return keras.Sequential([*parts, layers.Dense(config.data.outputs, "softmax")])

    monkeypatch.setattr(own_net, "build", build)
    lines = warnings("build")
    assert any("first is all zero" in line for line in lines)
    assert any("heavy" in line for line in lines)


class Loose(keras.layers.Layer):  # type: ignore[misc]  # Keras has no annotations
    """Has a trained kernel, and an output of which nobody knows the number of channels."""

    def build(self, shape: Any) -> None:
        self.matrix = self.add_weight(shape=(shape[-1], 4), name="matrix")

    def call(self, inputs: Any) -> Any:
        return keras.ops.matmul(inputs, self.matrix)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, None), dtype=inputs.dtype)


def test_layers_that_cannot_be_watched_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = keras.layers

    def build(config: Config, *, has_head: bool = True) -> keras.Model:
        keras.utils.set_random_seed(config.seed)
        inputs = layers.Input((16, 16, 1))
        flat = layers.Flatten()(inputs)
        beside = keras.ops.mean(Loose(name="loose")(flat), axis=-1, keepdims=True)
        if has_head:
            return keras.Model(inputs, layers.Dense(10, "softmax")(flat) + 0 * beside)
        return keras.Model(inputs, keras.ops.softmax(flat[:, :10] * beside))

    monkeypatch.setattr(own_net, "build", build)
    (line,) = warnings("build")
    assert "loose" in line
    monkeypatch.setattr(own_net, "build", lambda config: build(config, has_head=False))
    with pytest.raises(InputError, match="fixed number of channels"):
        check_net(tiny(model={"build": "own_net:build"}))


def test_first_weights_that_no_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: Config) -> keras.Model:
        layers = keras.layers
        return keras.Sequential([layers.Input((16, 16, 1)), layers.Flatten(), layers.Dense(10, "softmax")])

    monkeypatch.setattr(own_net, "build", build)
    (line,) = warnings("build")
    assert "set_random_seed" in line


def test_a_net_that_makes_no_numbers_and_one_with_a_layer_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = keras.layers

    def broken(config: Config) -> keras.Model:
        keras.utils.set_random_seed(config.seed)
        scale = layers.Rescaling(float("nan"))
        return keras.Sequential([layers.Input((16, 16, 1)), scale, layers.Flatten(), layers.Dense(10, "softmax")])

    monkeypatch.setattr(own_net, "build", broken)
    assert any("it is the net" in line for line in warnings("build"))

    def unreached(config: Config) -> keras.Model:
        images = layers.Input((16, 16, 1))
        hidden = layers.Dense(4, name="lost")(layers.Flatten()(images))
        stopped = layers.Lambda(keras.ops.stop_gradient)(hidden)
        return keras.Model(images, layers.Dense(10, "softmax")(stopped))

    monkeypatch.setattr(own_net, "build", unreached)
    with pytest.raises(TrialError, match="does not depend on lost/kernel"):
        list(train(tiny(model={"build": "own_net:build"}), patterns()))


def read(config: Config) -> set[str]:
    return set(check_net(config).values_read)


@pytest.mark.parametrize(
    ("reads", "names"),
    [
        (lambda config: config.activation, {"activation"}),
        (lambda config: getattr(config, "l2"), {"l2"}),  # noqa: B009
        (lambda config: config.get_value("dropout_rate"), {"dropout_rate"}),
        (lambda config: config.model_dump()["l2"], set(Config.model_fields)),
        (lambda config: vars(config)["l2"], set(Config.model_fields)),
        (lambda config: dict(config)["l2"], set(Config.model_fields)),
        (lambda config: config.to_json(), set(Config.model_fields)),
    ],
    ids=["attribute", "getattr", "by name", "dump", "vars", "dict", "text"],
)
def test_what_a_function_reads_of_its_config_is_known(
    reads: Any, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: Config) -> keras.Model:
        reads(config)
        return own_net.build(tiny())

    monkeypatch.setattr(own_net, "own", build, raising=False)
    assert read(tiny(model={"build": "own_net:own"})) == names


@pytest.mark.parametrize(("last", "odd"), [("softplus", True), ("relu", True), ("tanh", True), (None, False)])
def test_a_regression_whose_outputs_cannot_reach_the_target(
    last: str | None, odd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(config: Config) -> keras.Model:
        keras.utils.set_random_seed(config.seed)
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, last)])

    monkeypatch.setattr(own_net, "own", build, raising=False)
    config = tiny(model={"build": "own_net:own"})
    config = config.model_copy(update={"data": config.data.model_copy(update={"task": "regression"})})
    assert bool(list_warnings(check_net(config).findings)) == odd


@pytest.mark.parametrize(
    ("first", "scales"),
    [(keras.layers.BatchNormalization, True), (keras.layers.Normalization, True), (keras.layers.Flatten, False)],
)
def test_a_net_that_scales_its_columns_is_known(first: Any, scales: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: Config) -> keras.Model:
        keras.utils.set_random_seed(config.seed)
        return keras.Sequential([keras.Input((4,)), first(), keras.layers.Dense(10, "softmax")])

    monkeypatch.setattr(own_net, "own", build, raising=False)
    assert check_net(tiny(model={"build": "own_net:own"})).scales_columns == scales


def separable(config: Config) -> keras.Model:
    layers = keras.layers
    keras.utils.set_random_seed(config.seed)
    return keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Rescaling(1 / 255),
            layers.SeparableConv2D(6, 3, activation="relu", name="separable"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="depthwise"),
            layers.SeparableConv2D(10, 3, name="last"),
            layers.GlobalAveragePooling2D(),
            layers.Softmax(),
        ]
    )


def test_separable_and_recurrent_layers_are_watched_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_net, "build", separable)
    assert warnings("build", steps=400) == []
    *_, last = train(tiny(model={"build": "own_net:build"}), patterns())
    assert last is not None
    assert [layer.name for layer in last.layers] == ["separable", "depthwise", "last"]
    assert all(layer.update_ratio > 0 and layer.gradient_norm > 0 for layer in last.layers)

    def recurrent(config: Config) -> keras.Model:
        layers = keras.layers
        keras.utils.set_random_seed(config.seed)
        rows = [layers.Input((16, 16, 1)), layers.Rescaling(1 / 255), layers.Reshape((16, 16))]
        return keras.Sequential([*rows, layers.GRU(8, name="reader"), layers.Dense(10, "softmax", name="end")])

    monkeypatch.setattr(own_net, "build", recurrent)
    assert warnings("build", steps=400) == []
    *_, last = train(tiny(model={"build": "own_net:build"}), patterns())
    assert last is not None
    assert [layer.name for layer in last.layers] == ["reader", "end"]


def test_the_moments_of_a_depthwise_kernel_are_those_of_each_of_its_channels() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 2)).astype(np.float32)
    moments = weight_moments(tf.constant(kernel), 8)
    sums = kernel.reshape(9, 8).sum(axis=0)
    assert float(moments.omega_mean) == pytest.approx(sums.mean(), rel=1e-4)
    assert float(moments.omega_std) == pytest.approx(sums.std(), rel=1e-4)
    plain = weight_moments(tf.constant(kernel), 2)
    assert float(plain.omega_mean) == pytest.approx(kernel.reshape(36, 2).sum(axis=0).mean(), rel=1e-4)
