from dataclasses import replace
from typing import Any

import keras  # noqa: TID253
import numpy as np
import optuna
import pytest
import tensorflow as tf  # noqa: TID253
from numpy.typing import NDArray
from optuna.trial import TrialState

from sweeps.integrations import DeadRunPruner
from sweeps.integrations.keras import DeadRunCallback
from sweeps.integrations.optuna import kept_readings
from sweeps.readings import Reading
from sweeps.verdict.rules import Rules

pytestmark = pytest.mark.tensorflow

SPARSE = "sparse_categorical_crossentropy"
CLASSES, BATCH, EPOCHS = 3, 16, 5
STEPS = EPOCHS * 8
RNG = np.random.default_rng(0)
LABELS = np.arange(400) % CLASSES
INPUTS = (RNG.normal(size=(400, 6)) + 2 * np.eye(6)[LABELS]).astype(np.float32)
X, Y, X_VAL, Y_VAL = INPUTS[:128], LABELS[:128], INPUTS[128:], LABELS[128:]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    keras.utils.set_random_seed(0)


def dense(last: str | None = "softmax", units: int = CLASSES, regularizer: Any = None) -> list[keras.layers.Layer]:
    return [
        keras.layers.Dense(12, activation="relu", name="first", kernel_regularizer=regularizer),
        keras.layers.Dense(10, activation="tanh", name="second"),
        keras.layers.Dense(units, activation=last, name="last"),
    ]


def sequential(layers: list[keras.layers.Layer], loss: Any = "sparse_categorical_crossentropy") -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Dense(12, activation="relu")
        self.last = keras.layers.Dense(CLASSES)

    def call(self, inputs: Any) -> Any:
        return self.last(self.first(inputs))


def study_of(classes: int | None = CLASSES, chance_loss: float | None = None) -> optuna.Study:
    rules = Rules(control=0.0)
    return optuna.create_study(pruner=DeadRunPruner(classes=classes, steps=999, chance_loss=chance_loss, rules=rules))


def fit(
    model: keras.Model, trial: optuna.Trial, targets: NDArray[Any] = LABELS, every: int | None = 4, **options: Any
) -> list[Reading]:
    reading = DeadRunCallback(trial, X_VAL, targets[128:], steps=STEPS, every=every)
    model.fit(X, targets[:128], batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[reading], **options)
    return readings_of(trial)


def readings_of(trial: optuna.Trial) -> list[Reading]:
    return kept_readings(trial.study.trials[trial.number])


def test_a_reading_holds_what_keras_and_numpy_say() -> None:
    model, trial = sequential(dense()), study_of().ask()
    readings = fit(model, trial)
    assert [reading.step for reading in readings] == [*range(0, STEPS + 1, 4)]
    assert trial.study.trials[0].intermediate_values == {reading.step: reading.loss for reading in readings[1:]}
    last = readings[-1]
    loss, accuracy = model.evaluate(X_VAL, Y_VAL, verbose=0)
    assert last.loss == pytest.approx(loss, rel=1e-4)
    assert last.hits1 == round(accuracy * len(X_VAL))
    assert (last.hits5, last.count) == (len(X_VAL), len(X_VAL))
    of_each = -np.log(model.predict(X_VAL, verbose=0)[np.arange(len(Y_VAL)), Y_VAL])
    assert last.loss_std == pytest.approx(of_each.std(), rel=1e-3)
    assert last.finite
    hidden = np.maximum(X_VAL[:64] @ model.layers[0].get_weights()[0] + model.layers[0].get_weights()[1], 0)
    first, second, logits = last.layers
    assert [layer.name for layer in last.layers] == ["first", "second", "last"]
    assert (first.mean, first.std) == pytest.approx((hidden.mean(), hidden.std()), rel=1e-4)
    assert first.signal == pytest.approx(hidden.var(axis=0).mean() / (hidden**2).mean(), rel=1e-4)
    assert first.dead == np.mean(hidden.std(axis=0) == 0)
    assert second.saturated >= 0
    assert logits.mean == pytest.approx(0, abs=1e-5)
    assert first.weights is not None
    assert first.weights.omega_mean == pytest.approx(model.layers[0].get_weights()[0].sum(axis=0).mean(), rel=1e-4)


def test_the_update_is_that_of_the_batch_before_the_reading() -> None:
    class Weights(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            kept.append(self.model.layers[1].get_weights()[0])

    kept: list[NDArray[np.float32]] = []
    model, trial = sequential(dense()), study_of().ask()
    callback = DeadRunCallback(trial, X_VAL, Y_VAL, steps=STEPS, every=6)
    model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[Weights(), callback])
    start, reading, _ = readings_of(trial)
    assert np.isnan([start.update_ratio, *(layer.update_ratio for layer in start.layers)]).all()
    ratio = np.linalg.norm(kept[6] - kept[5]) / np.linalg.norm(kept[5])
    assert reading.layers[1].update_ratio == pytest.approx(ratio, rel=1e-4)
    assert reading.update_ratio == max(layer.update_ratio for layer in reading.layers)


def test_the_training_loss_is_that_since_the_last_reading() -> None:
    model, trial = sequential(dense()), study_of().ask()
    readings = fit(model, trial)
    of_epochs = [
        (first.train_loss + second.train_loss) / 2 for first, second in zip(readings[1::2], readings[2::2], strict=True)
    ]
    assert of_epochs == pytest.approx(model.history.history["loss"], rel=1e-4)
    assert np.isnan(readings[0].train_loss)


def test_the_training_loss_is_without_regularisation() -> None:
    model = sequential(dense(regularizer=keras.regularizers.L2(1.0)))
    model.optimizer.learning_rate = 0.0
    last = fit(model, optuna.create_study(pruner=optuna.pruners.NopPruner()).ask())[-1]
    of_each = -np.log(model.predict(X, verbose=0)[np.arange(len(Y)), Y])
    assert model.history.history["loss"][-1] > last.train_loss + 1
    assert last.train_loss == pytest.approx(of_each[64:].mean(), abs=0.2)
    assert last.loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0)[0] - float(model.losses[0]), rel=1e-4)


def test_looking_does_not_change_training() -> None:
    def weights(callbacks: list[keras.callbacks.Callback]) -> NDArray[np.float32]:
        keras.utils.set_random_seed(1)
        model = sequential([*dense()[:2], keras.layers.BatchNormalization(), keras.layers.Dropout(0.3), dense()[2]])
        model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=callbacks)
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    looking = weights([DeadRunCallback(study_of().ask(), X_VAL, Y_VAL, steps=16, every=1)])
    np.testing.assert_array_equal(looking, weights([]))


def test_layers_whose_relus_are_all_off_have_collapsed() -> None:
    layers = dense()
    layers[0].bias_initializer = keras.initializers.Constant(-100.0)
    trial = study_of().ask()
    with pytest.raises(optuna.TrialPruned, match="collapsed at step 12: every unit of first gives the same output"):
        fit(sequential(layers), trial)
    ended = trial.study.tell(trial, state=TrialState.PRUNED)
    assert ended.user_attrs["fate"] == "collapsed"
    assert readings_of(trial)[-1].layers[0].dead == 1


def test_a_net_that_diverges_is_stopped_at_the_next_reading() -> None:
    model = sequential(dense())
    model.optimizer.learning_rate = 1e38
    with pytest.raises(optuna.TrialPruned, match="diverged at step 4: a weight is NaN or infinite"):
        fit(model, study_of().ask())


def test_another_pruners_decision_has_no_reason() -> None:
    pruner = optuna.pruners.ThresholdPruner(upper=1e-9)
    for study in (
        optuna.create_study(pruner=pruner),
        optuna.create_study(pruner=DeadRunPruner(pruner, classes=CLASSES, steps=STEPS, rules=Rules(control=0.0))),
    ):
        with pytest.raises(optuna.TrialPruned, match=r"^$"):
            fit(sequential(dense()), study.ask())
        assert not study.trials[0].user_attrs


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def alike(readings: list[Reading], others: list[Reading]) -> None:
    for reading, other in zip(readings, others, strict=True):
        assert (reading.step, reading.hits1, reading.count) == (other.step, other.hits1, other.count)
        numbers, of_other = (
            [each.loss, each.loss_std, each.train_loss, each.update_ratio]
            + [value for layer in each.layers for value in (layer.mean, layer.std, layer.signal, layer.dead)]
            for each in (reading, other)
        )
        assert numbers == pytest.approx(of_other, rel=1e-3, abs=1e-5, nan_ok=True)


def test_probabilities_and_logits_give_the_same_reading() -> None:
    of_probabilities = fit(sequential(dense()), study_of().ask())
    keras.utils.set_random_seed(0)
    of_logits = fit(sequential(dense(None), LOGITS), study_of().ask())
    keras.utils.set_random_seed(0)
    apart = fit(sequential([*dense(None), keras.layers.Softmax()]), study_of().ask())
    alike(of_probabilities, of_logits)
    alike(of_probabilities, apart)


def test_one_output_for_two_classes() -> None:
    two = (LABELS == 0).astype(int)
    model = sequential(dense("sigmoid", 1), "binary_crossentropy")
    of_probabilities = fit(model, study_of(2).ask(), two)
    loss, accuracy = model.evaluate(X_VAL, two[128:], verbose=0)
    assert of_probabilities[-1].loss == pytest.approx(loss, rel=1e-4)
    assert of_probabilities[-1].hits1 == round(accuracy * len(X_VAL))
    keras.utils.set_random_seed(0)
    of_logits = fit(
        sequential(dense(None, 1), keras.losses.BinaryCrossentropy(from_logits=True)), study_of(2).ask(), two
    )
    alike(of_probabilities, of_logits)


def test_regression() -> None:
    target = INPUTS[:, 0] - INPUTS[:, 1]
    model, trial = sequential(dense(None, 1), "mse"), study_of(None, float(target.var())).ask()
    last = fit(model, trial, target)[-1]
    assert last.loss == pytest.approx(model.evaluate(X_VAL, target[128:], verbose=0)[0], rel=1e-4)
    assert (last.hits1, last.count) == (0, len(X_VAL))
    assert len(last.layers) == 3


def test_a_functional_convolution_net_with_validation_and_class_rows() -> None:
    images = np.repeat(INPUTS.reshape(-1, 6, 1, 1), 6, axis=2)
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, name="convolution")(inputs)
    x = keras.layers.Activation("tanh")(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax", name="last")(x))
    model.compile("adam", "categorical_crossentropy")
    rows, trial = np.eye(CLASSES, dtype="float32")[LABELS], study_of().ask()
    reading = DeadRunCallback(trial, images[128:], Y_VAL[:, np.newaxis], steps=16)
    validation = (images[128:], rows[128:])
    model.fit(images[:128], rows[:128], BATCH, epochs=2, verbose=0, callbacks=[reading], validation_data=validation)
    readings = readings_of(trial)
    assert [reading.step for reading in readings] == [*range(17)]
    assert [layer.name for layer in readings[-1].layers] == ["convolution", "last"]
    assert readings[-1].loss == pytest.approx(model.history.history["val_loss"][-1], rel=1e-3)
    assert 0 <= readings[-1].layers[0].saturated < 0.1


def test_a_model_whose_layers_cannot_be_watched() -> None:
    model = Subclassed()
    model.compile(keras.optimizers.SGD(0.1), LOGITS, metrics=["accuracy"])
    readings = fit(model, study_of().ask())
    loss, accuracy = model.evaluate(X_VAL, Y_VAL, verbose=0)
    assert readings[-1].loss == pytest.approx(loss, rel=1e-4)
    assert readings[-1].hits1 == round(accuracy * len(X_VAL))
    assert all(reading.layers == () for reading in readings)
    assert readings[-1].update_ratio > 0


def test_layers_of_a_model_within_the_model_are_watched_as_if_they_were_its_own() -> None:
    def build(*, nested: bool) -> keras.Model:
        keras.utils.set_random_seed(3)
        body = [keras.layers.Dense(12, "relu", name="first"), keras.layers.Dense(8, "tanh", name="second")]
        if nested:
            body = [keras.Sequential(body, name="body")]
        model = keras.Sequential([keras.Input((6,)), *body, keras.layers.Dense(CLASSES, "softmax", name="last")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    within = fit(build(nested=True), study_of().ask())
    flat = fit(build(nested=False), study_of().ask())
    assert [layer.name for layer in within[-1].layers] == ["first", "second", "last"]
    for one, other in zip(within[-1].layers, flat[-1].layers, strict=True):
        assert one.signal == pytest.approx(other.signal, rel=1e-5)
        assert one.update_ratio == pytest.approx(other.update_ratio, rel=1e-5)


def test_predictions_far_from_zero_tell_inputs_apart() -> None:
    target = INPUTS[:, 0] - INPUTS[:, 1]
    signals = []
    for shift in (0.0, 500.0):
        keras.utils.set_random_seed(0)
        end = keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(shift), name="end")
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "tanh"), end])
        model.compile(keras.optimizers.SGD(1e-4), "mse")
        readings = fit(model, study_of(None, float(target.var())).ask(), target + shift)
        signals.append([reading.layers[-1].signal for reading in readings])
    assert signals[1] == pytest.approx(signals[0], rel=0.05)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_dead_net_is_stopped_however_its_classes_are_mixed(share: float) -> None:
    rare = (np.arange(400) % 20 >= 20 * share).astype(int)
    off = keras.layers.Dense(12, "relu", bias_initializer=keras.initializers.Constant(-99.0))
    model = keras.Sequential([keras.Input((6,)), off, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    trial = study_of(2, float(entropy)).ask()
    with pytest.raises(optuna.TrialPruned):
        fit(model, trial, rare)
    assert trial.study.trials[0].user_attrs["fate"] == "collapsed"


class Batches(keras.utils.PyDataset):
    """The hold-out set, 50 images at a time."""

    def __len__(self) -> int:
        return -(-len(X_VAL) // 50)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        rows = slice(50 * index, 50 * index + 50)
        return X_VAL[rows], Y_VAL[rows]


def dataset() -> tf.data.Dataset:
    """The hold-out set; not made when this file is read: TensorFlow's first operation fixes its threads."""
    return tf.data.Dataset.from_tensor_slices((X_VAL, Y_VAL))


@pytest.mark.parametrize(
    "make",
    [
        lambda: dataset().batch(64),
        dataset,
        lambda: dataset().batch(100).map(lambda x, y: (x, y, tf.ones_like(y))),
        Batches,
        lambda: [(X_VAL[:7].tolist(), Y_VAL[:7].tolist()), (X_VAL[7:], Y_VAL[7:])],
        lambda: ((X_VAL[at : at + 30], Y_VAL[at : at + 30]) for at in range(0, len(X_VAL), 30)),
    ],
    ids=["tf.data", "tf.data, one by one", "with weights", "PyDataset", "list of batches", "generator"],
)
def test_a_data_set_is_read_as_the_arrays_that_it_holds(make: Any) -> None:
    keras.utils.set_random_seed(1)
    model = sequential(dense())
    model.compile("sgd", "sparse_categorical_crossentropy")
    trials = [study_of().ask(), study_of().ask()]
    both = [DeadRunCallback(trials[0], X_VAL, Y_VAL, steps=8), DeadRunCallback(trials[1], make(), steps=8)]
    model.fit(X, Y, BATCH, epochs=1, verbose=0, callbacks=both)
    of_arrays, of_dataset = ([replace(each, seconds=0) for each in readings_of(trial)] for trial in trials)
    assert of_dataset == of_arrays


@pytest.mark.parametrize(
    ("make", "labels", "words"),
    [
        (lambda: dataset().batch(64).repeat(), None, "repeats for ever"),
        (lambda: dataset().batch(64), Y_VAL, "leave the argument labels out"),
        (Batches, Y_VAL, "leave the argument labels out"),
        (lambda: X_VAL, None, "labels are missing"),
        (X_VAL.tolist, None, "not pairs"),
        (lambda: dataset().map(lambda x, y: ({"image": x}, y)).batch(8), None, "not pairs"),
        (lambda: dataset().take(0), None, "empty"),
    ],
)
def test_what_is_no_data_set_for_it_is_refused_with_the_mend(make: Any, labels: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DeadRunCallback(study_of().ask(), make(), labels, steps=8)


def test_a_sequential_model_that_is_built_by_its_first_batch_is_watched() -> None:
    model = keras.Sequential(dense())
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert [len(reading.layers) for reading in fit(model, study_of().ask(), every=None)] == [3] * 21


def test_steps_that_keras_runs_together_are_looked_at_together() -> None:
    model = sequential(dense())
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=4)
    readings = fit(model, study_of().ask(), every=3)
    assert [reading.step for reading in readings] == [*range(0, STEPS + 1, 4)]
    assert all(np.isnan(reading.update_ratio) for reading in readings)


def test_training_in_several_parts_is_one_run() -> None:
    model, trial = sequential(dense()), study_of().ask()
    reading = DeadRunCallback(trial, X_VAL, Y_VAL, steps=STEPS, every=10)
    for _ in range(2):
        model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[reading])
    assert [reading.step for reading in readings_of(trial)] == [0, 10, 20, 30]


def test_a_script_can_be_replayed_without_a_study() -> None:
    reading = DeadRunCallback(optuna.trial.FixedTrial({}), X_VAL, Y_VAL, steps=STEPS)
    sequential(dense()).fit(X, Y, verbose=0, callbacks=[reading])


def after_an_epoch(model: keras.Model, labels: NDArray[Any]) -> Reading:
    trial = optuna.create_study(pruner=optuna.pruners.NopPruner()).ask()
    callback = DeadRunCallback(trial, X_VAL, labels[128:], steps=8, every=8)
    model.fit(X, labels[:128], batch_size=BATCH, verbose=0, callbacks=[callback])
    return readings_of(trial)[-1]


BINARY = (LABELS == 0).astype(int)
BINARY_FORMS = {
    "int": BINARY,
    "float": BINARY.astype(np.float32),
    "bool": BINARY == 1,
    "column": BINARY[:, np.newaxis].astype(np.float64),
    "unsigned": BINARY.astype(np.uint8),
}


@pytest.mark.parametrize("form", BINARY_FORMS)
@pytest.mark.parametrize("last", ["sigmoid", None])
def test_one_output_with_binary_cross_entropy_has_two_classes(form: str, last: str | None) -> None:
    labels = BINARY_FORMS[form]
    model = sequential(dense(last, 1), keras.losses.BinaryCrossentropy(from_logits=last is None))
    model.compile("sgd", model.loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0 if last is None else 0.5)])
    reading = after_an_epoch(model, labels)
    loss, accuracy = model.evaluate(X_VAL, labels[128:], verbose=0)
    assert reading.loss == pytest.approx(loss, rel=1e-4)
    assert reading.hits1 == round(accuracy * len(X_VAL))


def test_a_dead_net_with_float_binary_labels_is_stopped() -> None:
    layers = dense("sigmoid", 1)
    layers[0].bias_initializer = keras.initializers.Constant(-100.0)
    balanced = (np.arange(400) % 2).astype(np.float32)
    trial = study_of(2).ask()
    with pytest.raises(optuna.TrialPruned, match="collapsed"):
        fit(sequential(layers, "binary_crossentropy"), trial, balanced)
    assert readings_of(trial)[0].loss == pytest.approx(np.log(2), rel=0.2)


ROWS = np.eye(CLASSES, dtype="float32")[LABELS]
CLASS_CASES: dict[str, tuple[str | None, Any, NDArray[Any]]] = {
    "float classes": ("softmax", "sparse_categorical_crossentropy", LABELS.astype(np.float32)),
    "column of classes": ("softmax", "sparse_categorical_crossentropy", LABELS[:, np.newaxis]),
    "one-hot rows": ("softmax", "categorical_crossentropy", ROWS),
    "one-hot integers": ("softmax", "categorical_crossentropy", ROWS.astype(int)),
    "one-hot logits": (None, keras.losses.CategoricalCrossentropy(from_logits=True), ROWS),
    "function": ("softmax", keras.losses.sparse_categorical_crossentropy, LABELS),
    "in a list": ("softmax", ["categorical_crossentropy"], ROWS),
    "sigmoids": ("sigmoid", "sparse_categorical_crossentropy", LABELS),
    "divergence": ("softmax", "kl_divergence", ROWS),
}


@pytest.mark.parametrize("case", CLASS_CASES)
def test_classes_are_scored_as_keras_scores_them(case: str) -> None:
    last, loss, labels = CLASS_CASES[case]
    model = sequential(dense(last), loss)
    reading = after_an_epoch(model, labels)
    evaluated, accuracy = model.evaluate(X_VAL, labels[128:], verbose=0)
    assert reading.loss == pytest.approx(evaluated, rel=1e-4)
    assert reading.hits1 == round(accuracy * len(X_VAL))


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize(
    ("last", "units", "loss", "labels"),
    [("softmax", CLASSES, LOGITS, LABELS), ("sigmoid", 1, keras.losses.BinaryCrossentropy(from_logits=True), BINARY)],
    ids=["softmax", "sigmoid"],
)
def test_a_loss_of_logits_behind_an_activation_is_scored_as_keras_does(
    last: str, units: int, loss: Any, labels: NDArray[Any]
) -> None:
    model = sequential(dense(last, units), loss)
    reading = after_an_epoch(model, labels)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, labels[128:], verbose=0)[0], rel=1e-4)


@pytest.mark.parametrize(
    ("units", "loss", "labels"),
    [(CLASSES, "sparse_categorical_crossentropy", LABELS), (1, "binary_crossentropy", BINARY)],
    ids=["classes", "binary"],
)
def test_outputs_without_an_activation_are_warned_of_and_clipped_as_keras_does(
    units: int, loss: str, labels: NDArray[Any]
) -> None:
    model = sequential(dense(None, units), loss)
    with pytest.warns(UserWarning, match="from_logits=True"):
        reading = after_an_epoch(model, labels)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, labels[128:], verbose=0)[0], rel=1e-4)


def test_probabilities_of_an_unknown_last_layer_are_scored_as_keras_does() -> None:
    model = sequential([*dense(), keras.layers.Dropout(0.1)])
    reading = after_an_epoch(model, LABELS)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0)[0], rel=1e-4)


def test_the_last_activation_is_found_in_a_nested_model() -> None:
    inner = keras.Sequential([keras.Input((6,)), *dense()])
    model = keras.Sequential([keras.Input((6,)), inner])
    model.compile("sgd", lambda true, predicted: keras.losses.sparse_categorical_crossentropy(true, predicted))
    reading = after_an_epoch(model, LABELS)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0), rel=1e-4)


@pytest.mark.parametrize(
    "loss",
    ["mse", "mae", "huber", "log_cosh", keras.losses.Huber(2.0)],
    ids=["mse", "mae", "huber", "log_cosh", "object"],
)
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_a_regression_loss_makes_numbers_of_any_labels(loss: Any, kind: type) -> None:
    target: NDArray[Any] = (np.arange(400) % 7).astype(kind)
    model = sequential(dense(None, 1), loss)
    model.compile("adam", loss, metrics=["mse"])
    reading = after_an_epoch(model, target)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, target[128:], verbose=0)[1], rel=1e-4)
    assert reading.hits1 == 0
    assert np.isfinite(reading.train_loss) == (loss == "mse")


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.CategoricalCrossentropy(label_smoothing=0.2),
        keras.losses.CategoricalCrossentropy(reduction="sum"),
        "categorical_focal_crossentropy",
        "mse",
    ],
    ids=["smoothed", "sum", "focal", "squares"],
)
def test_a_training_loss_of_another_unit_is_left_out(loss: Any) -> None:
    model = sequential(dense(), loss)
    reading = after_an_epoch(model, ROWS)
    of_each = keras.losses.categorical_crossentropy(ROWS[128:], model.predict(X_VAL, verbose=0))
    assert reading.loss == pytest.approx(np.mean(of_each), rel=1e-4)
    assert np.isnan(reading.train_loss)


class LastDeclaredFirst(keras.Model):
    """Its layers are declared in another order than they are called in."""

    def __init__(self, last: str | None, units: int = CLASSES) -> None:
        super().__init__()
        self.last = keras.layers.Dense(units, activation=last)
        self.first = keras.layers.Dense(12, activation="relu")

    def call(self, inputs: Any) -> Any:
        return self.last(self.first(inputs))


class SoftmaxInCall(Subclassed):
    def call(self, inputs: Any) -> Any:
        return keras.ops.softmax(super().call(inputs))


def mean_of_entropies(true: Any, predicted: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(true, predicted)


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (lambda: LastDeclaredFirst("softmax"), SPARSE),
        (lambda: LastDeclaredFirst("softmax"), mean_of_entropies),
        (lambda: LastDeclaredFirst(None), LOGITS),
        (SoftmaxInCall, SPARSE),
        (SoftmaxInCall, mean_of_entropies),
        (SoftmaxInCall, LOGITS),
    ],
    ids=["declared", "declared, own loss", "declared, logits", "softmax", "softmax, own loss", "softmax, logits"],
)
def test_a_subclassed_model_is_scored_as_keras_does(make: Any, loss: Any) -> None:
    model = make()
    model.compile("sgd", loss)
    reading = after_an_epoch(model, LABELS)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0), rel=1e-4)


def squares(true: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.square(true - predicted), axis=-1)


def test_two_classes_that_are_compared_by_their_squares_are_classes() -> None:
    model = sequential(dense("sigmoid", 1), "mse")
    reading = after_an_epoch(model, BINARY.astype("float32"))
    entropies = keras.losses.binary_crossentropy(BINARY[128:, np.newaxis], model.predict(X_VAL, verbose=0))
    assert reading.loss == pytest.approx(np.mean(entropies), rel=1e-4)
    assert reading.hits1 > 0
    assert np.isnan(reading.train_loss)


@pytest.mark.parametrize(("classes", "hits"), [(None, False), (2, True)])
def test_the_pruner_says_what_a_loss_of_one_s_own_does_not(classes: int | None, hits: bool) -> None:
    model = sequential(dense(None, 1), squares)
    trial = study_of(classes, chance_loss=1.0).ask()
    model.fit(X, BINARY[:128], verbose=0, callbacks=[DeadRunCallback(trial, X_VAL, BINARY[128:] * 1.0, steps=8)])
    assert (readings_of(trial)[-1].hits1 > 0) == hits


@pytest.mark.parametrize(
    ("last", "units", "loss", "labels", "classes", "mend"),
    [
        (None, 1, "mse", BINARY, 2, "classes=None"),
        ("softmax", CLASSES, SPARSE, LABELS, None, "classes=3"),
        ("softmax", CLASSES, SPARSE, LABELS, 10, "classes=3"),
        ("sigmoid", 1, "binary_crossentropy", BINARY, 3, "classes=2"),
    ],
)
def test_a_pruner_that_was_made_for_something_else_is_refused_with_the_mend(
    last: str | None, units: int, loss: Any, labels: NDArray[Any], classes: int | None, mend: str
) -> None:
    trial = study_of(classes, chance_loss=1.0).ask()
    callback = DeadRunCallback(trial, X_VAL, labels[128:], steps=STEPS)
    with pytest.raises(ValueError, match=mend):
        sequential(dense(last, units), loss).fit(X, labels[:128], verbose=0, callbacks=[callback])


@pytest.mark.parametrize(
    "weights", [{"class_weight": dict.fromkeys(range(3), 0.1)}, {"sample_weight": np.full(128, 0.1)}]
)
def test_a_weighted_training_loss_is_no_sign_of_learning(weights: dict[str, Any]) -> None:
    layers = dense()
    layers[0].bias_initializer = keras.initializers.Constant(-100.0)
    trial = study_of().ask()
    with pytest.warns(UserWarning, match="weights of classes or samples"), pytest.raises(optuna.TrialPruned):
        fit(sequential(layers), trial, **weights)


def test_the_training_loss_of_a_net_that_already_knows_is_kept() -> None:
    model = sequential(dense())
    model.fit(X, Y, epochs=40, verbose=0)
    trial = study_of().ask()
    assert np.isfinite(fit(model, trial)[-1].train_loss)


class Frame:
    """Holds a table and converts it as pandas does."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._values, dtype, copy=copy)


INPUT_FORMS: dict[str, Any] = {
    "list": (X_VAL.tolist(), Y_VAL.tolist()),
    "tensor": None,  # TensorFlow is not to begin while tests are collected
    "frame": (Frame(X_VAL), Frame(Y_VAL)),
    "objects": (Frame(X_VAL.astype(object)), Frame(Y_VAL.astype(object))),
    "float64": (X_VAL.astype(np.float64), Y_VAL.astype(np.float64)),
}


@pytest.mark.parametrize("form", INPUT_FORMS)
def test_the_hold_out_set_may_be_anything_that_numpy_reads(form: str) -> None:
    if form == "tensor":
        inputs, labels = map(keras.ops.convert_to_tensor, (X_VAL, Y_VAL))
    else:
        inputs, labels = INPUT_FORMS[form]
    model = sequential(dense())
    trial = study_of().ask()
    callback = DeadRunCallback(trial, inputs, labels, steps=8, every=8)
    model.fit(X, Y, batch_size=BATCH, verbose=0, callbacks=[callback])
    assert readings_of(trial)[-1].loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0)[0], rel=1e-4)


WITH_NAN = np.where(np.arange(len(X_VAL))[:, np.newaxis] == 3, np.nan, X_VAL)
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "lengths": (X_VAL, Y_VAL[:-1], "272 inputs and 271 labels"),
    "empty": (X_VAL[:0], Y_VAL[:0], "empty"),
    "NaN in inputs": (WITH_NAN, Y_VAL, "inputs hold NaN or infinity in 1 of 272 rows, first in row 3"),
    "NaN in labels": (X_VAL, WITH_NAN[:, 0], "labels hold NaN"),
    "too large": (X_VAL.astype(np.float64) * 1e300, Y_VAL, "inputs hold NaN or infinity"),
    "text": (X_VAL, Y_VAL.astype(str), "labels are text"),
    "text objects": (X_VAL, Y_VAL.astype(str).astype(object), "labels are text"),
    "missing": (X_VAL, [*Y_VAL[:-1], None], "labels"),
    "mixed objects": ([["a", 1.0]] * len(Y_VAL), Frame(np.array([*Y_VAL[:-1], {}], object)), "hold what is no number"),
    "ragged": ([[1.0], [1.0, 2.0]], [0, 1], "cannot be made an array"),
    "dates": (X_VAL, np.full(len(Y_VAL), "2020-01-01", "datetime64[D]"), "no numbers"),
    "a generator": ((row for row in X_VAL), Y_VAL, "inputs are a generator"),
    "a number": (X_VAL, 1, "labels are a int"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hold_out_set_that_cannot_be_used_is_refused_in_one_line(case: str) -> None:
    inputs, labels, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        DeadRunCallback(study_of().ask(), inputs, labels, steps=STEPS)
    assert "\n" not in str(caught.value)


def hinge_like(true: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.maximum(1 - true * predicted, 0), axis=-1)


UNFIT: dict[str, tuple[str | None, int, Any, Any, str]] = {
    "from 1": ("softmax", CLASSES, SPARSE, Y_VAL + 1, "subtract 1"),
    "binary from 1": ("sigmoid", 1, "binary_crossentropy", Y_VAL % 2 + 1, "subtract 1"),
    "minus one": ("sigmoid", 1, "binary_crossentropy", Y_VAL % 2 * 2 - 1, "number the classes from 0"),
    "too high": ("softmax", CLASSES, SPARSE, Y_VAL + 5, "number the classes from 0"),
    "fractions": ("softmax", CLASSES, SPARSE, Y_VAL + 0.5, "whole numbers"),
    "soft binary labels": ("sigmoid", 1, "binary_crossentropy", Y_VAL / 2, "whole numbers"),
    "soft rows": ("softmax", CLASSES, "categorical_crossentropy", np.full((272, 3), 1 / 3), "soft labels"),
    "several classes": ("sigmoid", CLASSES, "binary_crossentropy", np.ones((272, 3)), "several classes at once"),
    "rows of 4": ("softmax", CLASSES, "categorical_crossentropy", np.eye(4)[Y_VAL], "give one class number"),
    "one output": (None, 1, SPARSE, Y_VAL % 2, "binary_crossentropy"),
    "several numbers": (None, 2, "mse", X_VAL[:, :2], "several outputs"),
    "several targets": (None, 1, "mse", X_VAL[:, :2], "several outputs"),
    "floats and a loss of one's own": (None, 1, hinge_like, (Y_VAL % 2).astype(float), "does not say"),
    "hinge": (None, 1, "hinge", Y_VAL % 2 * 2 - 1, "does not say"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_labels_that_do_not_fit_the_model_are_refused_before_training(case: str) -> None:
    last, units, loss, labels, message = UNFIT[case]
    model = sequential(dense(last, units), loss)
    before = model.get_weights()
    callback = DeadRunCallback(study_of().ask(), X_VAL, labels, steps=STEPS)
    with pytest.raises(ValueError, match=message) as caught:
        model.fit(X, X[:, :units], verbose=0, callbacks=[callback])
    assert "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_hold_out_labels_without_a_zero_are_warned_of() -> None:
    model = sequential(dense("softmax", CLASSES + 1))
    callback = DeadRunCallback(study_of(CLASSES + 1).ask(), X_VAL, Y_VAL + 1, steps=STEPS)
    with pytest.warns(UserWarning, match="none is 0"):
        model.fit(X, Y + 1, verbose=0, callbacks=[callback])


def test_inputs_that_the_model_does_not_take_are_refused_in_one_line() -> None:
    callback = DeadRunCallback(study_of().ask(), X_VAL[:, :4], Y_VAL, steps=STEPS)
    with pytest.raises(ValueError, match=r"does not take the hold-out inputs, \(272, 4\)") as caught:
        sequential(dense()).fit(X, Y, verbose=0, callbacks=[callback])
    assert "\n" not in str(caught.value)


def test_a_model_with_two_outputs_is_refused() -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(2)(inputs)])
    model.compile("sgd", ["mse", "mse"])
    callback = DeadRunCallback(study_of().ask(), X_VAL, Y_VAL, steps=STEPS)
    with pytest.raises(ValueError, match="one output tensor"):
        model.fit(X, [X[:, :1], X[:, :2]], verbose=0, callbacks=[callback])


def test_steps_below_one_are_refused() -> None:
    for wrong in ({"steps": 0}, {"steps": 9, "every": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            DeadRunCallback(study_of().ask(), X_VAL, Y_VAL, **wrong)


class RateByEpoch(keras.callbacks.Callback):
    """Sets the learning rate at the beginning of each epoch."""

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.model.optimizer.learning_rate = self.rates[epoch]


def test_a_rate_that_begins_at_nothing_is_no_sign_of_a_frozen_net() -> None:
    class FromNothing(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return keras.ops.where(step < 24, 0.0, 0.1)

    by_callback = sequential(dense())
    trial = study_of().ask()
    callback = DeadRunCallback(trial, X_VAL, Y_VAL, steps=STEPS, every=2)
    rates = RateByEpoch([0.0, 0.0, 0.05, 0.1, 0.1])
    by_callback.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[rates, callback])
    assert readings_of(trial)[-1].step == STEPS
    scheduled = sequential(dense())
    scheduled.compile(keras.optimizers.SGD(FromNothing()), SPARSE)
    assert fit(scheduled, study_of().ask(), every=2)[-1].step == STEPS


def test_a_rate_that_stays_at_nothing_is_stopped_at_half() -> None:
    model = sequential(dense())
    model.optimizer.learning_rate = 0.0
    trial = study_of().ask()
    with pytest.raises(optuna.TrialPruned, match="frozen"):
        fit(model, trial, every=2)
    assert readings_of(trial)[-1].step == STEPS // 2


@pytest.mark.parametrize("loss", [SPARSE, "own"])
def test_a_softmax_of_keras_ops_is_scored_as_keras_does(loss: str, recwarn: pytest.WarningsRecorder) -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(CLASSES)(inputs)))
    compiled: Any = loss
    if loss == "own":
        compiled = lambda true, predicted: keras.losses.sparse_categorical_crossentropy(true, predicted)  # noqa: E731
    model.compile("sgd", compiled)
    reading = after_an_epoch(model, LABELS)
    assert reading.loss == pytest.approx(model.evaluate(X_VAL, Y_VAL, verbose=0), rel=1e-4)
    assert not [warning for warning in recwarn if "from_logits" in str(warning.message)]


def test_a_model_with_training_steps_and_optimisers_of_its_own_is_watched() -> None:
    class Own(Subclassed):
        def train_step(self, data: Any) -> Any:
            inputs, labels = data
            with tf.GradientTape() as tape:
                loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, self(inputs), True))
            weights = [variable.value for variable in self.trainable_variables]
            for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                weight.assign_sub(0.1 * gradient)
            return {"loss": loss}

    model = Own()
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer = None
    readings = fit(model, study_of().ask())
    assert readings[-1].step == STEPS
    assert readings[-1].loss < readings[0].loss
