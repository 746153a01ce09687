"""Users' own nets: trained as Keras would train them, watched and judged as ours are."""

from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import own_net
import pytest
from tiny_net import next_reading, readings_of, tiny, without_seconds

from sweeps.config import Config
from sweeps.data.arrays import Arrays, batch_indices
from sweeps.errors import InputError
from sweeps.nn import optimizers
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.custom import build_custom
from sweeps.nn.net import describe_structure
from sweeps.nn.train import train
from sweeps.nn.trainer import Trainer, trainer_for


def own(**choices: Any) -> Config:
    return tiny(**{"model": {"build": "own_net:build"}, "l2": 1e-3, **choices})


def trainer_of(config: Config) -> Trainer:
    return trainer_for(config, Architecture.from_config(config, (16, 16, 1)))


@pytest.mark.parametrize("output", ["softmax", "logits"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_four_steps_equal_keras_s_own(output: str, optimizer: str, arrays: Arrays) -> None:
    config = own(output=output, optimizer=optimizer, learning_rate=0.01)
    readings = readings_of(train(config, arrays))
    ours = trainer_of(config).net.model
    model = own_net.build(config)
    for layer in model.layers:  # ours obey their constraints from the start
        if getattr(layer, "kernel_constraint", None) is not None:
            layer.kernel.assign(layer.kernel_constraint(layer.kernel))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=output == "logits")
    model.compile(optimizers.build_optimizer(config), loss, jit_compile=False)
    for batch in batch_indices(config.seed, 256, config.batch_size, 0, config.steps):
        model.train_on_batch(arrays.train_images[batch], arrays.train_labels[batch])
    for mine, theirs in zip(ours.weights, model.weights, strict=True):
        assert np.allclose(mine, theirs, atol=2e-5)
    outputs = keras.ops.convert_to_numpy(model(arrays.holdout_images, training=False))
    assert readings[-1].loss == pytest.approx(float(np.mean(loss(arrays.holdout_labels, outputs))), abs=1e-4)


def test_readings_have_a_row_for_each_layer_with_a_kernel(arrays: Arrays) -> None:
    reading = readings_of(train(own(channel_vitals=True), arrays))[-1]
    assert len(reading.layers) == 3
    assert [len(layer.channels.std) for layer in reading.layers if layer.channels] == [4, 8, 10]
    assert all(0 < layer.signal <= 1 for layer in reading.layers)


def test_signal_and_loss_do_not_depend_on_how_the_output_is_written(arrays: Arrays) -> None:
    softmax, logits = (next_reading(train(own(output=output), arrays)) for output in ("softmax", "logits"))
    assert softmax.loss == pytest.approx(logits.loss, abs=1e-5)
    assert (softmax.hits1, softmax.hits5) == (logits.hits1, logits.hits5)


def test_trials_that_differ_in_seed_and_numbers_share_a_trace_and_others_do_not(arrays: Arrays) -> None:
    first = trainer_of(own())
    list(train(own(), arrays))
    traces = first.traces
    list(train(own(seed=5, learning_rate=0.02, optimizer="rmsprop"), arrays))
    assert (trainer_of(own(seed=7)), first.traces) == (first, traces)
    assert trainer_of(own(activation="tanh")) is not first
    assert trainer_of(own(l2=1e-2)) is not first


def test_a_trial_is_the_same_whatever_ran_before(arrays: Arrays) -> None:
    fresh = readings_of(train(own(seed=3), arrays))
    list(train(own(seed=4, optimizer="sgd"), arrays))
    assert without_seconds(readings_of(train(own(seed=3), arrays))) == without_seconds(fresh)


def test_structure_tells_nets_apart_but_not_their_names_and_seeds() -> None:
    assert describe_structure(own_net.build(own(seed=1))) == describe_structure(own_net.build(own(seed=2)))
    relu, elu = (describe_structure(own_net.build(own(activation=name))) for name in ("relu", "elu"))
    assert relu != elu


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.at_all:build", "there is no module"),
        ("own_net:nothing", "own_net has no nothing"),
        ("own_net:not_a_model", "returned str; return a functional or Sequential Keras model"),
        ("own_net:subclassed", "returned Subclassed; return a functional or Sequential"),
        ("own_net:wrong_outputs", r"outputs are \[\(None, 7\)\]; one input and one output \(None, 10\)"),
        ("own_net:without_softmax", "must be probabilities"),
        ("own_net:with_sigmoid", "end the net in a softmax"),
        ("own_net:one_model", "weights of the trial before"),
        ("own_net:one_layer", "weights of the trial before"),
    ],
)
def test_what_is_no_net_is_refused_with_the_mend(path: str, words: str, arrays: Arrays) -> None:
    with pytest.raises(InputError, match=words):
        next(train(own(model={"build": path}), arrays))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("by_name", (8, 3)),
        ("by_name_and_config", (8, 3)),
        ("config_last", (8, 3)),
        ("by_config", (8, 3)),
        ("by_any_name", (8, 3)),
        ("with_defaults", (8, 1)),
        ("positional_config", (8, 3)),
    ],
)
def test_own_hyperparameters_reach_the_function_by_name_or_in_the_config(
    function: str, expected: tuple[int, int], arrays: Arrays
) -> None:
    my = {"units": 8, "depth": 3}
    if function == "with_defaults":
        del my["depth"]
    config = own(model={"build": f"own_net:{function}"}, my=my)
    read: set[str] = set()
    model = build_custom(config, read)
    hidden = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][:-1]
    assert ({layer.units for layer in hidden}, len(hidden)) == ({expected[0]}, expected[1])
    assert {f"my.{name}" for name in my} <= read
    assert next_reading(train(config, arrays)).step == 0


def test_a_hyperparameter_that_nobody_reads_is_not_among_those_read() -> None:
    read: set[str] = set()
    build_custom(own(model={"build": "own_net:by_config"}, my={"units": 8, "depth": 1, "other": 2}), read)
    assert "my.other" not in read


def test_a_parameter_without_a_value_is_told(arrays: Arrays) -> None:
    with pytest.raises(InputError, match=r"its parameter depth gets no value; set space\.my\.depth"):
        next(train(own(model={"build": "own_net:by_name"}, my={"units": 8}), arrays))


def test_a_softmax_under_logits_is_refused(arrays: Arrays) -> None:
    with pytest.raises(InputError, match="and are no logits"):
        next(train(own(model={"build": "own_net:with_softmax"}, output="logits"), arrays))


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("with_softmax", "softmax"),
        ("without_softmax", "logits"),
        ("with_sigmoid", "logits"),
        ("one_frozen_layer", "softmax"),
    ],
)
def test_outputs_that_fit_and_frozen_layers_that_are_shared_are_no_mistake(
    path: str, output: str, arrays: Arrays
) -> None:
    for seed in (0, 1):
        config = own(model={"build": f"own_net:{path}"}, output=output, seed=seed)
        assert np.isfinite(next_reading(train(config, arrays)).loss)


def test_a_function_of_the_user_s_own_is_that_of_its_trial(arrays: Arrays) -> None:
    def losses(activation: str) -> list[float]:
        config = own(model={"build": "own_net:closing"}, activation=activation)
        return [reading.loss for reading in readings_of(train(config, arrays))]

    alone = losses("tanh")
    assert losses("relu") != alone
    assert losses("tanh") == alone


def towers(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    inputs = keras.Input((16, 16, 1))
    flat = keras.layers.Flatten()(inputs)
    left = keras.layers.Dense(config.data.outputs, name="left")(flat)
    right = keras.layers.Dense(config.data.outputs, name="right")(flat)
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Add()([left, right])))


def nested_head(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    head = keras.Sequential([keras.Input((8,)), keras.layers.Dense(config.data.outputs, "softmax", name="inner")])
    body = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(8, name="body"), head]
    return keras.Sequential(body)


def softmax_apart(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    ends = [keras.layers.Dense(config.data.outputs, name="head"), keras.layers.Softmax()]
    return keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), *ends])


def twins(config: Config) -> keras.Model:
    """Two nested models whose layers have the same name, which no flat model can have: each is one layer."""
    keras.utils.set_random_seed(config.seed)

    def part(name: str) -> keras.Model:
        return keras.Sequential([keras.layers.Dense(8, "relu", name="same")], name=name)

    head = keras.layers.Dense(config.data.outputs, "softmax", name="head")
    body = [keras.Input((16, 16, 1)), keras.layers.Flatten(), part("first"), part("second"), head]
    return keras.Sequential(body)


class Inside(keras.Model):  # type: ignore[misc]  # Keras has no annotations
    """A subclassed model, which is called like a layer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = keras.layers.Dense(8, "relu")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def subclassed_inside(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    head = keras.layers.Dense(config.data.outputs, "softmax", name="head")
    inside = Inside(name="inside")
    return keras.Sequential([keras.Input((16, 16, 1)), keras.layers.Flatten(), inside, head])


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (towers, ["left", "outputs"]),
        (nested_head, ["body", "inner"]),
        (softmax_apart, ["head"]),
        (twins, ["first", "second", "head"]),
        (subclassed_inside, ["inside", "head"]),
    ],
)
def test_the_outputs_are_named_after_the_layer_that_makes_them_and_no_other(
    build: Any, names: list[str], arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_net, "built", build, raising=False)
    reading = next_reading(train(own(model={"build": "own_net:built"}), arrays))
    assert [layer.name for layer in reading.layers] == names
    assert all(np.isfinite(layer.signal) for layer in reading.layers)


def transferred(config: Config, *, nested: bool) -> keras.Model:
    """A backbone with batch normalisation and dropout, once as a model within the model and once layer by layer."""
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    parts = [
        layers.Conv2D(4, 3, name="inner", kernel_initializer=keras.initializers.HeNormal(seed=config.seed)),
        layers.BatchNormalization(momentum=0.5),
        layers.ReLU(),
        layers.Dropout(0.3, seed=config.seed),
        layers.GlobalAveragePooling2D(),
    ]
    head = layers.Dense(10, "softmax", name="head", kernel_initializer=keras.initializers.HeNormal(seed=config.seed))
    inputs = keras.Input((16, 16, 1))
    scaled = layers.Rescaling(1 / 255)(inputs)
    if nested:
        inside = keras.Input((16, 16, 1))
        outputs = inside
        for part in parts:
            outputs = part(outputs)
        return keras.Model(inputs, head(keras.Model(inside, outputs, name="backbone")(scaled)))
    for part in parts:
        scaled = part(scaled)
    return keras.Model(inputs, head(scaled))


def test_a_model_within_the_model_is_trained_and_watched_as_its_layers_would_be(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for nested in (True, False):
        monkeypatch.setattr(own_net, "made", partial(transferred, nested=nested), raising=False)
        runs.append(readings_of(train(own(model={"build": "own_net:made"}), arrays)))
    assert [layer.name for layer in runs[0][-1].layers] == ["inner", "head"]
    assert without_seconds(runs[0]) == without_seconds(runs[1])


def test_a_frozen_backbone_is_run_and_only_what_is_trained_is_watched(
    arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def frozen(config: Config) -> keras.Model:
        model = transferred(config, nested=True)
        model.get_layer("backbone").trainable = False
        return model

    monkeypatch.setattr(own_net, "made", frozen, raising=False)
    readings = readings_of(train(own(model={"build": "own_net:made"}), arrays))
    assert [layer.name for layer in readings[-1].layers] == ["head"]
    assert readings[-1].layers[0].update_ratio > 0


def series(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    return keras.Sequential([keras.Input((20, 3)), layers.LSTM(8, name="memory"), layers.Dense(4, "softmax")])


def tokens(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    parts = [layers.Embedding(30, 8, name="words"), layers.GlobalAveragePooling1D(), layers.Dense(4, "softmax")]
    return keras.Sequential([keras.Input((None,)), *parts])


def flat_images(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    parts = [layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4, "softmax")]
    return keras.Sequential([keras.Input((6, 9)), *parts])


def volumes(config: Config) -> keras.Model:
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    parts = [layers.Rescaling(1 / 255), layers.Conv3D(4, 3), layers.Flatten(), layers.Dense(4, "softmax")]
    return keras.Sequential([keras.Input((5, 5, 5, 1)), *parts])


@pytest.mark.parametrize(
    ("build", "shape", "kind"),
    [
        (series, (20, 3), "float"),
        (tokens, (12,), "words"),
        (flat_images, (6, 9, 1), "bytes"),
        (volumes, (5, 5, 5, 1), "float"),
        (volumes, (5, 5, 5, 1), "bytes"),
    ],
)
def test_inputs_of_any_shape_are_trained_as_keras_would(
    build: Any, shape: tuple[int, ...], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_net, "made", build, raising=False)
    rng = np.random.default_rng(0)
    draw: dict[str, Any] = {
        "float": lambda size: np.float32(rng.normal(size=size)),
        "words": lambda size: rng.integers(0, 30, size).astype(np.float32),
        "bytes": lambda size: rng.integers(0, 256, size, dtype=np.uint8),
    }
    labels = [np.arange(count, dtype=np.int32) % 4 for count in (128, 64)]
    inputs = [draw[kind]((count, *shape)) for count in (128, 64)]
    given = Arrays(inputs[0], labels[0], inputs[1], labels[1], 4)
    data = {"classes": 4, "images": 128}
    config = own(model={"build": "own_net:made"}, data=data, optimizer="sgd", learning_rate=0.01, l2=0.0, steps=4)
    config = config.model_copy(update={"holdout_images": 64})
    reading = readings_of(train(config, given))[-1]
    model = build(config)
    model.compile(keras.optimizers.SGD(0.01, momentum=config.momentum), "sparse_categorical_crossentropy")
    for indices in batch_indices(config.seed, 128, config.batch_size, 0, 4):
        model.train_on_batch(inputs[0][indices], labels[0][indices])
    assert reading.loss == pytest.approx(model.evaluate(inputs[1], labels[1], verbose=0), rel=1e-4)


def test_a_net_for_other_inputs_is_told_apart_before_it_is_trained(arrays: Arrays) -> None:
    small = replace(
        arrays, train_images=arrays.train_images[:, :12, :12], holdout_images=arrays.holdout_images[:, :12, :12]
    )
    with pytest.raises(InputError, match=r"takes inputs of \(16, 16, 1\), and the data have \(12, 12, 1\)"):
        next(train(own(), small))


def unscaled(config: Config, end: str | None = "softmax") -> keras.Model:
    """A net on raw pixels, whose softmax is sure of itself from the beginning."""
    keras.utils.set_random_seed(config.seed)
    layers = keras.layers
    parts = [layers.Flatten(), layers.Dense(32, "relu"), layers.Dense(config.data.outputs, end)]
    return keras.Sequential([keras.Input((16, 16, 1)), *parts])


def softmax_layer(config: Config) -> keras.Model:
    return keras.Sequential([keras.Input((16, 16, 1)), unscaled(config, None), keras.layers.Softmax()])


@pytest.mark.parametrize("build", [unscaled, softmax_layer])
def test_a_softmax_that_is_sure_and_wrong_is_trained_as_keras_does(
    build: Any, arrays: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_net, "made", build, raising=False)
    config = own(model={"build": "own_net:made"}, optimizer="sgd", learning_rate=1e-3, momentum=0.0, l2=0.0)
    readings = readings_of(train(config, arrays))
    model = build(config)
    model.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    losses = [model.evaluate(arrays.holdout_images, arrays.holdout_labels, verbose=0)]
    for indices in batch_indices(config.seed, len(arrays.train_labels), config.batch_size, 0, config.steps):
        model.train_on_batch(arrays.train_images[indices], arrays.train_labels[indices])
    losses.append(model.evaluate(arrays.holdout_images, arrays.holdout_labels, verbose=0))
    assert losses[0] > 100, "no logarithm of a rounded probability is as large"
    assert [readings[0].loss, readings[-1].loss] == pytest.approx(losses, rel=1e-3)
    assert readings[-1].layers[-1].gradient_norm > 0
