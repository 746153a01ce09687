"""Trials as a generator of readings: repeatable, independent of each other, and calm when a run explodes."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from commands import python_path
from sklearn.metrics import f1_score
from tiny_net import SIZE, next_reading, readings_of, tiny, trainer_of, without_seconds

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.errors import TrialError
from sweeps.nn import models, probe
from sweeps.nn import train as train_module
from sweeps.nn.evaluation import macro_f1
from sweeps.nn.train import train

OTHERS = [
    tiny(activation="selu", constraint="standardize_unit", optimizer="nadam", dropout="alpha_dropout", seed=1),
    tiny(optimizer="sgd", learning_rate=1e30, weight_decay=0.1, l2=0.1),
    tiny(optimizer="adadelta", learning_rate=1.0, batch_size=7, dropout="dropout", constraint="selu_domain"),
]


def test_readings_come_before_the_first_step_after_each_interval_and_at_the_end(arrays: Arrays) -> None:
    readings = readings_of(train(tiny(steps=7, report_interval=3), arrays))
    assert [reading.step for reading in readings] == [0, 3, 6, 7]
    first, last = readings[0], readings[-1]
    assert all(math.isnan(value) for value in (first.train_loss, first.gradient_norm, first.update_ratio))
    assert all(math.isfinite(value) for value in (last.train_loss, last.gradient_norm, last.update_ratio))
    assert last.update_ratio == max(layer.update_ratio for layer in last.layers)
    assert [layer.name for layer in last.layers][-2:] == ["dense_1", "logits"]
    assert [r.seconds for r in readings] == sorted(r.seconds for r in readings)


def test_a_separable_task_is_learnt(arrays: Arrays) -> None:
    config = tiny(activation="selu", constraint="standardize_unit", learning_rate=3e-3, steps=40, report_interval=40)
    start, end = readings_of(train(config, arrays))
    assert start.top1 < 0.3
    assert end.top1 > 0.95
    assert end.top5 == 1
    assert end.loss < end.train_loss < start.loss


def test_the_reading_of_a_start_is_that_of_the_exported_model(arrays: Arrays) -> None:
    config = tiny(activation="selu")
    reading = next_reading(train(config, arrays))
    model = models.build_model(config.model_copy(update={"output": "logits"}))
    logits = np.asarray(model(arrays.holdout_images))
    own = logits[np.arange(100), arrays.holdout_labels][:, None]
    loss = np.log(np.exp(logits).sum(1)).mean() - own.mean()
    ranks = (logits >= own).sum(1) - 1
    assert reading.loss == pytest.approx(loss, rel=1e-5)
    assert (reading.hits1, reading.hits5, reading.count) == ((ranks < 1).sum(), (ranks < 5).sum(), 100)
    for layer, output in zip(reading.layers, probe.layer_outputs(model), strict=True):
        tap = keras.Model(model.input, output)
        x = np.asarray(tap(arrays.holdout_images[:64]), np.float64)
        expected = [x.mean(), x.std(), x.var(0).mean() / (x**2).mean()]
        assert [layer.mean, layer.std, layer.signal] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("batch_normalization", ["none", "before"])
def test_a_trial_is_bitwise_the_same_after_other_trials(batch_normalization: str, arrays: Arrays) -> None:
    config = tiny(activation="gelu", dropout="dropout", optimizer="nadam", batch_normalization=batch_normalization)
    first = without_seconds(readings_of(train(config, arrays)))
    for other in OTHERS:
        list(train(other.model_copy(update={"batch_normalization": batch_normalization}), arrays))
    assert without_seconds(readings_of(train(config, arrays))) == first


def test_a_trial_is_bitwise_the_same_in_another_process(arrays: Arrays, tmp_path: Path) -> None:
    config = tiny(activation="selu", constraint="selu_domain", dropout="alpha_dropout", learning_rate=3e-3)
    program = (
        "from tiny_net import patterns, tiny, without_seconds\n"
        "from sweeps.config import Config\n"
        "from sweeps.nn.train import train\n"
        f"config = Config.model_validate_json({config.to_json()!r})\n"
        "print(without_seconds(list(train(config, patterns()))))"
    )
    command = [sys.executable, "-c", program]
    here = Path(__file__).parent
    environment = {"PYTHONPATH": python_path(here, here.parents[1]), "PATH": "", "HOME": str(tmp_path)}
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert other.stdout.strip() == without_seconds(readings_of(train(config, arrays)))
    assert "oneDNN" not in other.stderr


def test_the_output_and_the_interval_of_readings_change_no_result(arrays: Arrays) -> None:
    whole = readings_of(train(tiny(report_interval=4), arrays))[-1]
    parts = readings_of(train(tiny(report_interval=1, output="logits"), arrays))[-1]
    assert without_seconds([whole]) == without_seconds([dataclasses.replace(parts, train_loss=whole.train_loss)])


def test_the_size_of_a_chunk_changes_no_result(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = readings_of(train(tiny(report_interval=4), arrays))
    monkeypatch.setattr(train_module, "CHUNK_BYTES", 3 * 32 * SIZE * SIZE)
    chunked = readings_of(train(tiny(report_interval=4), arrays))
    assert chunked[-1].train_loss == pytest.approx(whole[-1].train_loss)
    assert without_seconds([dataclasses.replace(chunked[-1], train_loss=0.0)]) == (
        without_seconds([dataclasses.replace(whole[-1], train_loss=0.0)])
    )


def test_images_may_be_mapped_from_a_file(arrays: Arrays, tmp_path: Path) -> None:
    assert isinstance(arrays.train_images, np.ndarray)
    np.save(tmp_path / "images.npy", arrays.train_images)
    mapped = dataclasses.replace(arrays, train_images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    assert without_seconds(readings_of(train(tiny(), mapped))) == without_seconds(readings_of(train(tiny(), arrays)))


@pytest.mark.parametrize(
    "more",
    [{}, {"activation": "relu"}, {"batch_normalization": "before", "learning_rate": 1e38}],
    ids=str,
)
def test_a_run_that_explodes_gives_readings_that_say_so(more: dict[str, Any], arrays: Arrays) -> None:
    config = tiny(**{"optimizer": "sgd", "learning_rate": 1e30, "activation": "elu", "steps": 8, **more})
    last = readings_of(train(config, arrays))[-1]
    assert not last.finite
    assert not math.isfinite(last.train_loss)
    assert last.hits1 == 0


def test_a_diverging_run_has_a_loss_far_above_chance_or_no_number(arrays: Arrays) -> None:
    last = readings_of(train(tiny(optimizer="sgd", learning_rate=1e3, steps=8), arrays))[-1]
    assert not last.loss < 10


def test_a_skipped_step_in_float16_keeps_the_weights(arrays: Arrays) -> None:
    config = tiny(dtype="mixed_float16", activation="selu", steps=1, report_interval=1, l2=1e38)
    start, end = readings_of(train(config, arrays))
    assert not math.isfinite(end.gradient_norm)
    assert (end.loss, end.update_ratio, end.finite) == (start.loss, 0.0, True)


def test_a_trial_closed_early_does_not_disturb_the_next(arrays: Arrays) -> None:
    alone = without_seconds(readings_of(train(tiny(), arrays)))
    left = train(OTHERS[0], arrays)
    next(left)
    next(left)
    left.close()
    assert without_seconds(readings_of(train(tiny(), arrays))) == alone


def test_a_trial_whose_net_was_taken_over_stops_instead_of_going_on_with_another_s_weights(arrays: Arrays) -> None:
    first = train(tiny(), arrays)
    next(first)
    next(train(OTHERS[0], arrays))
    with pytest.raises(RuntimeError, match="another trial has taken over the net"):
        next(first)


def test_arrays_that_the_config_does_not_describe_are_refused(arrays: Arrays) -> None:
    with pytest.raises(TrialError, match="classes"):
        next(train(tiny(), dataclasses.replace(arrays, classes=9)))
    images = np.zeros((256, 8, 8, 1), np.uint8)
    with pytest.raises(TrialError, match="8x8"):
        next(train(tiny(), Arrays(images, arrays.train_labels, images[:100], arrays.holdout_labels, 10)))


def test_a_trainer_is_kept_for_its_architecture() -> None:
    assert trainer_of(tiny(seed=1, optimizer="sgd")) is trainer_of(tiny(output="logits"))


@pytest.mark.parametrize("classes", [2, 7])
def test_macro_f1_is_scikit_learn_s_over_the_classes_that_occur(classes: int) -> None:
    rng = np.random.default_rng(classes)
    for there in range(1, classes + 1):
        labels, predicted = rng.integers(0, there, 200), rng.integers(0, classes, 200)
        predicted = np.where(rng.random(200) < 0.5, labels, predicted)
        theirs = f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)
        assert macro_f1(labels, predicted, classes) == pytest.approx(theirs)


def test_a_regression_is_learnt_and_says_how_well() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(3, 2, (400, 5)).astype(np.float32)
    target = (rows[:, 0] - rows[:, 1]) / np.sqrt(8)
    table = Arrays(rows[:300], target[:300].astype(np.float32), rows[300:], target[300:].astype(np.float32), 0)
    config = tiny(
        data=DataConfig(source="csv", path="x", task="regression", images=300),
        model={"architecture": "dense", "dense": 2, "dense_units": 32},
        inputs="standardized_pixel", steps=300, report_interval=100, learning_rate=0.01,
    )  # fmt: skip
    readings = readings_of(train(config, table))
    assert readings[0].loss > 0.5
    assert readings[-1].loss < 0.02
    assert np.isnan(readings[-1].f1)
    assert readings[-1].layers[-1].name == "prediction"


def test_vital_signs_of_channels_are_those_of_the_layer_s_output(arrays: Arrays) -> None:
    reading = next_reading(train(tiny(channel_vitals=True), arrays))
    model = models.build_model(tiny())
    layer = keras.Model(model.input, model.get_layer("convolution_2_activation").output)
    output = np.asarray(layer(arrays.holdout_images[:64]))
    channels = reading.layers[1].channels
    assert channels is not None
    assert np.allclose(channels.minimum, output.min((0, 1, 2)), rtol=1e-3)
    assert np.allclose(channels.maximum, output.max((0, 1, 2)), rtol=1e-3)
    assert np.allclose(channels.std, output.std((0, 1, 2)), rtol=1e-3)
    assert next_reading(train(tiny(), arrays)).layers[1].channels is None
