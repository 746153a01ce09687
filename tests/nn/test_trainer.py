"""The switched trainer against plain Keras: the same start, the same batches, the same weights and losses."""

import gc
from typing import Any, get_args

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from tensorflow.python.framework.func_graph import FuncGraph
from tiny_net import readings_of, tiny, trainer_of

from sweeps.config import Config, DataConfig, Inputs
from sweeps.data.arrays import Arrays, batch_indices, input_scaling
from sweeps.nn import models, optimizers
from sweeps.nn.activations import ACTIVATIONS
from sweeps.nn.constraints import CONSTRAINTS
from sweeps.nn.dropout import DROPOUTS
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.net import SwitchedNet
from sweeps.nn.optimizers import OPTIMIZERS
from sweeps.nn.train import train
from sweeps.nn.trainer import Trainer

# Gradients that are zero but for rounding become whole steps under Adam; plain SGD keeps rounding small.
SMOOTH: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.02}
RATES = {"adam": 1e-3, "nadam": 1e-3, "adadelta": 1.0, "sgd": 0.05, "rmsprop": 1e-3}
CASES: list[dict[str, Any]] = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"constraint": name, "activation": "selu"} for name in CONSTRAINTS),
    *({"optimizer": name, "learning_rate": rate} for name, rate in RATES.items()),
    *({"dropout": name, "dropout_rate": 0.3} for name in DROPOUTS),
    {"constraint": "standardize_unit", "constrain_first": False},
    {"constraint": "standardize_unit", "constrain_last": False},
    {"constraint": "max_norm", "max_norm": 0.5},
    {"batch_size": 7},
    {"seed": 2**31 - 1},
    {"l2": 0.01},
    {"weight_decay": 0.1},
    {"output": "logits"},
    {"batch_normalization": "before", "constraint": "centralize_unit", **SMOOTH},
    {"batch_normalization": "after", **SMOOTH},
    {"batch_normalization": "after", "batch_normalization_affine": False, "optimizer": "sgd", "learning_rate": 2e-3},
    *({"inputs": name, **SMOOTH} for name in get_args(Inputs)),
    {"epsilon": 0.1, "momentum": 0.0, "optimizer": "sgd"},
]
GATES = {"width": 4, "excitation_ratio": 2, "dense": 1, "dense_units": 16}
NETS: list[dict[str, Any]] = [
    {"model": {"architecture": "dense", "dense": 4, "dense_units": 12}, "activation": "selu"},
    {"model": {"architecture": "dense", "dense": 2, "dense_units": 12}, "initializer": "standard_normal", **SMOOTH},
    {"model": {"architecture": "alexnet", "width": 2, "dense": 1, "stem_kernel": 5, "stem_stride": 2}},
    {"model": {"architecture": "se_blocks", "stages": 2, **GATES}, "excitation_penalty": 0.01},
    {"model": {"architecture": "se_blocks", "stages": 2, "excitation": "relu", **GATES}, "excitation_penalty": 0.1,
     "excitation_bias": "one_plus_noise"},
    {"model": {"architecture": "se_resnet", "excitation": "elu", **GATES}, "excitation_bias": "one_plus_noise"},
    {"model": {"architecture": "se_resnet", "excitation": "elu", **GATES}, "constraint": "centralize_unit", "l2": 1e-3,
     **SMOOTH},
]  # fmt: skip
MIXED = [
    {"dtype": dtype, **SMOOTH, **more}
    for dtype in ("mixed_float16", "mixed_bfloat16")
    for more in ({}, {"constraint": "standardize_unit", "dropout": "dropout", "activation": "selu"})
]


def plain_run(config: Config, arrays: Arrays, eagerly: bool = True, disturbance: float = 0.0) -> list[NDArray[Any]]:
    """Train the exported model and optimiser with Keras.

    Args:
        config: of the trial.
        arrays: the data.
        eagerly: whether Keras runs each step eagerly.
        disturbance: how much each weight is changed at the start, up or down by chance, as a share of it.

    Returns:
        The variables after the last step, and a tenth of the mean loss of each interval: it is compared ten times as
        loosely.
    """
    model = models.build_model(config, arrays.input_shape, input_scaling(config.inputs, arrays))
    if disturbance:
        rng = np.random.default_rng(0)
        for variable in model.trainable_variables:
            weights = variable.numpy()
            variable.assign(weights * (1 + disturbance * rng.choice([-1.0, 1.0], weights.shape)).astype(weights.dtype))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=config.output == "logits")
    if not arrays.classes:
        loss = keras.losses.MeanSquaredError()
    model.compile(optimizer=optimizers.build_optimizer(config), loss=loss, run_eagerly=eagerly, jit_compile=False)
    losses = []
    for batch in batch_indices(config.seed, len(arrays.train_images), config.batch_size, 0, config.steps):
        # In the reverse order sums are rounded otherwise; dropout's masks would fall on other images.
        order = batch[::-1] if disturbance and config.dropout == "none" else batch
        model(arrays.train_images[order], training=False)  # leaves the penalties of this batch in model.losses
        penalty = float(sum(model.losses))
        losses.append(model.train_on_batch(arrays.train_images[order], arrays.train_labels[order]) - penalty)
        model.reset_metrics()
    return [*variables(model), np.reshape(losses, (-1, config.report_interval)).mean(1) / 10]


def variables(model: Any) -> list[NDArray[Any]]:
    """Weights, and moving averages of batch normalisation, but no states of random generators, no scale of inputs."""
    return [v.numpy() for v in model.variables if "seed_generator" not in v.path and not v.path.startswith("scale/")]


# By how much weights are disturbed, as a share of them, and how many times as far apart as Keras is from itself two
# runs may then be. In float32 that is one rounding. In half precision a sixteenth of a rounding of bfloat16 moves some
# weights to another number; unlike a rounding of each it leaves the effect of a wrong dropout or rate visible.
DISTURBANCES = {"float32": (2.0**-24, 8), "mixed_float16": (2.0**-12, 2), "mixed_bfloat16": (2.0**-12, 2)}


def assert_equal_runs(config: Config, arrays: Arrays, tolerance: float, eagerly: bool = True) -> None:
    """Assert that our trainer and Keras agree, but for rounding.

    They agree to within `tolerance` where the net does not amplify rounding. Where it does (Adam makes whole steps of
    gradients that are nothing but rounding), how far depends on the processor's kernels, so it is measured: Keras runs
    again with disturbed weights and with each batch added up in the reverse order, and ours may be a few times as far
    from Keras as Keras is from itself (see DISTURBANCES).
    """
    readings = readings_of(train(config, arrays))
    ours = variables(trainer_of(config, arrays.input_shape).net.model)
    ours.append(np.array([reading.train_loss for reading in readings[1:]]) / 10)
    plain = plain_run(config, arrays, eagerly)
    if not all(np.allclose(*pair, rtol=tolerance, atol=tolerance) for pair in zip(ours, plain, strict=True)):
        disturbance, times = DISTURBANCES[config.dtype]
        disturbed = plain_run(config, arrays, eagerly, disturbance)
        assert distance(ours, plain) <= times * distance(plain, disturbed)
    start = variables(models.build_model(config, arrays.input_shape))
    moved = max(np.abs(mine - begun).max() for mine, begun in zip(ours[:-1], start, strict=True))
    assert moved > 1e-4, "it has trained"


def distance(some: list[NDArray[Any]], others: list[NDArray[Any]]) -> float:
    """Return the Euclidean distance between two lists of arrays."""
    return float(np.sqrt(sum(np.square(a - b).sum() for a, b in zip(some, others, strict=True))))


@pytest.mark.parametrize("choices", CASES, ids=str)
def test_four_steps_equal_plain_keras(choices: dict[str, Any], arrays: Arrays) -> None:
    assert_equal_runs(tiny(**choices), arrays, tolerance=5e-6)


@pytest.mark.parametrize("choices", NETS, ids=str)
def test_four_steps_of_each_architecture_equal_plain_keras(choices: dict[str, Any], arrays: Arrays) -> None:
    assert_equal_runs(tiny(**choices), arrays, tolerance=1e-5)


def test_four_steps_of_a_regression_equal_plain_keras(arrays: Arrays) -> None:
    rng = np.random.default_rng(0)
    rows, kept = rng.normal(3, 2, (256, 7)).astype(np.float32), rng.normal(3, 2, (100, 7)).astype(np.float32)
    table = Arrays(rows, rows[:, 0] - rows[:, 1], kept, kept[:, 0] - kept[:, 1], 0)
    config = tiny(
        data=DataConfig(source="csv", path="x", task="regression", images=256),
        model={"architecture": "dense", "dense": 3, "dense_units": 8},
        inputs="standardized_pixel",
    )
    assert_equal_runs(config, table, tolerance=5e-6)


@pytest.mark.parametrize("choices", MIXED, ids=str)
def test_four_steps_in_mixed_precision_equal_plain_keras_within_half_precision(
    choices: dict[str, Any], arrays: Arrays
) -> None:
    assert_equal_runs(tiny(**choices), arrays, tolerance=2e-3, eagerly=False)


def test_four_steps_equal_keras_s_own_traced_step(arrays: Arrays) -> None:
    config = tiny(activation="selu", constraint="selu_domain", dropout="alpha_dropout", l2=1e-3, weight_decay=0.01)
    assert_equal_runs(config, arrays, tolerance=5e-6, eagerly=False)


def test_a_reset_gives_the_weights_of_the_exported_model() -> None:
    config = tiny(activation="selu", constraint="selu_domain", seed=5)
    trainer = trainer_of(config)
    trainer.reset(config, models.UNIT)
    pairs = zip(variables(trainer.net.model), variables(models.build_model(config)), strict=True)
    assert all(np.array_equal(ours, plain) for ours, plain in pairs)


def test_every_option_of_every_choice_runs_in_one_trace(arrays: Arrays) -> None:
    trainer = trainer_of(tiny())
    list(train(tiny(), arrays))
    before = trainer.traces
    choices = [*CASES, {"steps": 3, "report_interval": 3}, {"batch_size": 5}, {"steps": 1}]
    for more in choices:
        if "batch_normalization" not in more:
            list(train(tiny(**{"steps": 1, **more}), arrays))
    assert (trainer_of(tiny()), trainer.traces) == (trainer, before)
    assert before == 3, "the loop of steps, the score and the vital signs, once each"


def test_norms_of_gradient_and_update_are_those_of_the_last_step(arrays: Arrays) -> None:
    config = tiny(optimizer="sgd", momentum=0.0, learning_rate=0.1, steps=2, report_interval=2)
    batches = batch_indices(config.seed, 256, config.batch_size, 0, 2)
    trainer = trainer_of(config)
    trainer.reset(config, models.UNIT)
    trainer.train_steps(arrays.train_images[batches[:1]], arrays.train_labels[batches[:1]])
    before = [variable.numpy() for variable in trainer.net.model.trainable_variables]
    progress = trainer.train_steps(arrays.train_images[batches[1:]], arrays.train_labels[batches[1:]])
    after = [variable.numpy() for variable in trainer.net.model.trainable_variables]
    updates = [np.linalg.norm(new - old) for new, old in zip(after, before, strict=True)]
    kernels, norms = updates[::2], [np.linalg.norm(old) for old in before[::2]]
    assert progress.gradient_norm == pytest.approx(np.linalg.norm(updates) / 0.1, rel=1e-4)
    assert np.allclose(progress.gradient_norms, np.array(kernels) / 0.1, rtol=1e-4)
    assert np.allclose(progress.update_ratios, np.array(kernels) / norms, rtol=1e-4)
    whole = readings_of(train(config, arrays))[-1]
    assert whole.gradient_norm == progress.gradient_norm
    assert [layer.update_ratio for layer in whole.layers] == progress.update_ratios.tolist()


def test_a_dropped_trainer_takes_its_graphs_with_it(arrays: Arrays) -> None:
    narrow = tiny(model=tiny().model.model_copy(update={"width": 3}))
    architecture = Architecture.from_config(narrow, arrays.input_shape)
    trainer = Trainer(architecture, SwitchedNet(architecture))
    trainer.train_steps(arrays.train_images[None, :8], arrays.train_labels[None, :8])
    gc.collect()
    before = sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())
    del trainer
    gc.collect()
    assert sum(isinstance(thing, FuncGraph) for thing in gc.get_objects()) < before - 100


def test_rates_name_every_optimizer() -> None:
    assert RATES.keys() == OPTIMIZERS.keys()
