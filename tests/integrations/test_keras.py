from typing import Any

import keras  # noqa: TID253
import numpy as np
import optuna
import pytest
from numpy.typing import NDArray
from optuna.trial import TrialState

from sweeps.integrations import DeadRunPruner
from sweeps.integrations.keras import DeadRunCallback
from sweeps.integrations.optuna import kept_readings
from sweeps.readings import Reading
from sweeps.verdict.rules import Rules

pytestmark = pytest.mark.tensorflow

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


def test_what_it_cannot_score_is_refused() -> None:
    trial = study_of().ask()
    with pytest.raises(ValueError, match="not a row with a one there"):
        DeadRunCallback(trial, X_VAL, np.eye(CLASSES)[Y_VAL], steps=STEPS)
    for wrong in ({"steps": 0}, {"steps": 9, "every": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            DeadRunCallback(trial, X_VAL, Y_VAL, **wrong)
    model = sequential(dense(None, 2), "mse")
    reading = DeadRunCallback(trial, X_VAL, X_VAL[:, 0], steps=STEPS)
    with pytest.raises(ValueError, match="must be one tensor"):
        model.fit(X, X[:, :2], verbose=0, callbacks=[reading])
