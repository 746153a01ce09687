"""What is swept: a trial draws 12 parameters and has 20 reports; nothing is trained, between two looks a run sleeps."""

import random
from functools import cache

import numpy as np
import optuna
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.readings import IncomingWeights, LayerVitals, Reading
from sweeps.space import file, samplers
from sweeps.space.space import Space

REPORTS, LAYERS = 20, 8
SPACE = f"""
[study]
name = "store"
[budget]
trials = 1000000
steps = {10 * REPORTS}
report_interval = 10
holdout_images = 256
[data]
classes = 10
images = 256
image_size = 16
[sampler]
name = "SAMPLER"
[space]
activation = ["relu", "elu", "selu", "tanh"]
initializer = ["he_normal", "lecun_normal", "glorot_normal"]
optimizer = ["adam", "nadam", "sgd"]
constraint = ["none", "centralize_unit", "standardize_unit"]
inputs = ["unit", "centred"]
batch_size = {{ low = 16, high = 128, step = 16 }}
learning_rate = {{ low = 1e-5, high = 1e-1, log = true }}
epsilon = {{ low = 1e-8, high = 1e-3, log = true }}
l2 = {{ low = 1e-7, high = 1e-2, log = true }}
weight_decay = {{ low = 1e-7, high = 1e-2, log = true }}
momentum = {{ low = 0.0, high = 0.99 }}
dropout_rate = {{ low = 0.0, high = 0.5 }}
"""


def suggest(trial: optuna.Trial) -> None:
    """The 12 parameters of SPACE, as a user of Optuna draws them."""
    trial.suggest_categorical("activation", ["relu", "elu", "selu", "tanh"])
    trial.suggest_categorical("initializer", ["he_normal", "lecun_normal", "glorot_normal"])
    trial.suggest_categorical("optimizer", ["adam", "nadam", "sgd"])
    trial.suggest_categorical("constraint", ["none", "centralize_unit", "standardize_unit"])
    trial.suggest_categorical("inputs", ["unit", "centred"])
    trial.suggest_int("batch_size", 16, 128, step=16)
    trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
    trial.suggest_float("epsilon", 1e-8, 1e-3, log=True)
    trial.suggest_float("l2", 1e-7, 1e-2, log=True)
    trial.suggest_float("weight_decay", 1e-7, 1e-2, log=True)
    trial.suggest_float("momentum", 0.0, 0.99)
    trial.suggest_float("dropout_rate", 0.0, 0.5)


def make_study(storage: RDBStorage, name: str, sampler: str) -> Space:
    """A study of SPACE, on offer to workers."""
    text = SPACE.replace('"store"', f'"{name}"').replace("SAMPLER", sampler)
    space = file.parse_space(text, [], name)
    store.create_study(storage, space, text, [])
    return space


@cache
def readings() -> tuple[Reading, ...]:
    """Of a run that learns; numbers have all their digits, since these are what is stored."""
    rng = random.Random(0)

    def layer(index: int) -> LayerVitals:
        weights = IncomingWeights(rng.gauss(0, 1), rng.random(), rng.random(), rng.random(), rng.random())
        numbers = (rng.gauss(0, 1), rng.random(), rng.uniform(0.2, 0.8), 0.0, rng.random(), 1e-3 * rng.random())
        return LayerVitals(f"conv_{index}", *numbers, saturated=rng.random(), weights=weights)

    def reading(look: int) -> Reading:
        loss, hits = 2.3 - 0.06 * look + 0.01 * rng.random(), 26 + 8 * look
        gradient_norm, update_ratio = rng.random(), 1e-3 * rng.random()
        layers = tuple(map(layer, range(LAYERS)))
        seconds, f1 = look + rng.random(), rng.random()
        return Reading(
            step=10 * look,
            train_loss=loss + 0.01 * rng.random(),
            loss=loss,
            hits1=hits,
            hits5=min(256, 5 * hits),
            count=256,
            gradient_norm=gradient_norm,
            update_ratio=update_ratio,
            finite=True,
            seconds=seconds,
            layers=layers,
            f1=f1,
            loss_std=1.0,
        )

    return tuple(map(reading, range(REPORTS + 1)))


@cache
def arrays(classes: int) -> Arrays:
    """Balanced labels."""
    images, labels = np.zeros((256, 16, 16, 1), np.uint8), np.arange(256, dtype=np.int32) % classes
    return Arrays(images, labels, images, labels, classes)


def load(config: DataConfig, holdout_images: int) -> Arrays:  # noqa: ARG001  (`training.Load`)
    """No work."""
    return arrays(config.classes)


def usual_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Plain Optuna's TPE with the options that ours has by default."""
    text = SPACE.replace("SAMPLER", samplers.DEFAULT_SAMPLER)
    return samplers.make_sampler(file.parse_space(text, [], "store"), seed)
