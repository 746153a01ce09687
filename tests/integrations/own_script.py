# ruff: noqa: TID253
"""An Optuna study of small deep nets on scikit-learn's digits; the two marked lines tell the dead from the slow."""

import math

import keras
import optuna
from sklearn.datasets import load_digits

from sweeps.integrations import DeadRunPruner
from sweeps.integrations.keras import DeadRunCallback

BATCH, EPOCHS, LAYERS = 64, 8, 8
images, labels = load_digits(return_X_y=True)
images = (images / 16).astype("float32")
x, y, x_val, y_val = images[:1280], labels[:1280], images[1280:], labels[1280:]
STEPS = EPOCHS * math.ceil(len(x) / BATCH)


def objective(trial: optuna.Trial) -> float:
    activation = trial.suggest_categorical("activation", ["relu", "tanh", "sigmoid"])
    rate = trial.suggest_float("rate", 1e-4, 10.0, log=True)
    model = keras.Sequential([keras.Input((64,))])
    for number in range(LAYERS):
        model.add(keras.layers.Dense(32, activation=activation, name=f"hidden_{number + 1}"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy")
    judge = DeadRunCallback(trial, x_val, y_val, steps=STEPS)  # added
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, callbacks=[judge], verbose=0)
    return float(model.evaluate(x_val, y_val, verbose=0))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=DeadRunPruner(classes=10, steps=STEPS),  # added
    )
    study.optimize(objective, n_trials=10)
    for trial in study.trials:
        end = trial.user_attrs.get("reason") or f"ended with a loss of {trial.value:.3f}"
        print(f"{trial.number:2} {trial.params['activation']:7} {trial.params['rate']:8.4f}  {end}")
