"""Exported nets in other processes: the start, the losses and the ends of the trials, with plain Keras alone."""

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest

from sweeps import store
from sweeps.config import Config
from sweeps.data.arrays import batch_indices, input_scaling
from sweeps.nn.datasets import load_dataset
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.train import train
from sweeps.nn.trainer import trainer_for
from sweeps.space import file

# Three recipes that have nothing in common, by way of conditions on the activation.
IMAGES = """
[study]
name = "images"

[budget]
trials = 3
steps = 4
report_interval = 2
holdout_images = 64

[data]
classes = 10
images = 256
image_size = 16

[model]
convolutions = 2
stages = 2
width = 4
dense = 1
dense_units = 16

[full]
model = { width = 6, dense_units = 24 }
data = { image_size = 24, classes = 12 }
budget = { steps = 40 }

[sampler]
name = "GridSampler"

[space]
activation = ["selu", "elu", "tanh"]
constraint = [
  { value = "standardize_unit", when = { activation = "selu" } },
  { value = "max_norm", when = { activation = "tanh" } },
]
max_norm = 0.5
dropout = [
  { value = "alpha_dropout", when = { activation = "selu" } },
  { value = "dropout", when = { activation = "tanh" } },
]
batch_normalization = { value = "before", when = { activation = "elu" } }
optimizer = [
  { value = "sgd", when = { activation = "elu" } },
  { value = "nadam", when = { activation = "tanh" } },
  "adam",
]
learning_rate = [{ value = 0.02, when = { activation = "elu" } }, 1e-3]
inputs = [
  { value = "centred", when = { activation = "elu" } },
  { value = "standardized_pixel", when = { activation = "tanh" } },
  "unit",
]
output = [{ value = "logits", when = { activation = "tanh" } }, "softmax"]
l2 = 1e-3
weight_decay = { value = 0.01, when = { activation = "tanh" } }
batch_size = 32
"""
TABLE = """
[study]
name = "table"
objective = "r2"

[budget]
trials = 1
steps = 4
report_interval = 2
holdout_images = 100

[data]
source = "diabetes"
task = "regression"
images = 300

[model]
architecture = "dense"
dense = 2
dense_units = 8

[space]
activation = "selu"
constraint = "selu_domain"
learning_rate = 1e-3
batch_size = 25
"""
# What both processes run: a net's start, then its losses where Keras trains it. Once more with the net saved and loaded
# before the first step, and after each interval where it has no dropout: Keras keeps no state of random generators.
FITTED = """
import hashlib, json, sys
sys.path.insert(0, ".")
{first}
import keras
import numpy as np

def losses(model, data, interval, again):
    found = []
    for at in range(0, len(data["x"]), interval):
        x, y = (np.concatenate(data[key][at : at + interval]) for key in "xy")
        fitted = model.fit(x, y, batch_size=data["x"].shape[1], shuffle=False, verbose=0)
        scores = model.evaluate(data["kept_x"], data["kept_y"], batch_size=64, verbose=0, return_dict=True)
        found.append([fitted.history["data_loss"][0], scores["data_loss"]])
        model = again(model)
    return found

def saved(model):
    model.save("saved.keras")
    loaded = keras.saving.load_model("saved.keras")
    loaded.run_eagerly = True  # a trace for each net that is loaded would take longer
    return loaded

def compiled(name, asked, data):
    model, optimizer, loss = made(name, data["train"] if asked["learns"] else None)
    if asked["regression"]:
        metric = keras.metrics.MeanSquaredError(name="data_loss")
    else:
        metric = keras.metrics.SparseCategoricalCrossentropy(name="data_loss", from_logits=asked["logits"])
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric])
    return model

def answer(name, asked):
    data = dict(np.load(name + ".npz"))
    model = compiled(name, asked, data)
    weights = [np.asarray(weight) for weight in model.weights]
    again = (lambda model: model) if asked["dropout"] else saved
    return {{
        "parameters": sum(weight.size for weight in weights),
        "digest": hashlib.sha256(b"".join(weight.astype("<f4").tobytes() for weight in weights)).hexdigest(),
        "losses": losses(model, data, asked["interval"], lambda model: model),
        "saved": losses(saved(compiled(name, asked, data)), data, asked["interval"], again),
        "full": full(name, data["full"] if asked["learns"] else None).count_params(),
    }}

{made}

with open("asked.json") as file:
    print(json.dumps({{name: answer(name, asked) for name, asked in json.load(file).items()}}))
"""
WITH_SWEEPS = """
import sweeps

def made(name, images):
    loaded = sweeps.load(name + ".toml", as_trained=True)  # its data can be loaded here
    return loaded.model, loaded.optimizer, loaded.loss

def full(name, images):
    return sweeps.load(name + ".toml", images=images).model
"""
STANDALONE = """
import importlib

def made(name, images):
    module = importlib.import_module(name)
    given = [] if images is None else [images]
    return module.build_as_trained(*given), module.optimizer(), module.loss()

def full(name, images):
    return importlib.import_module(name).build(*([] if images is None else [images]))
"""
PROGRAMS = {
    "sweeps": FITTED.format(first="", made=WITH_SWEEPS),
    "module": FITTED.format(first='sys.modules["sweeps"] = None  # cannot be imported', made=STANDALONE),
}


@dataclass(frozen=True)
class Exported:
    """A trial, and what two other processes found of its export."""

    config: Config
    losses: list[list[float]]  # of each reading but the first: of training since the last, and on the hold-out images
    provenance: dict[str, Any]
    found: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Trials trained here by a worker, exported by the command, trained again in other processes."""
    folder = tmp_path_factory.mktemp("elsewhere")
    url = f"sqlite:///{folder}/sweeps.db"
    storage = store.connect(url, create=True)
    trials = {}
    for text in (IMAGES, TABLE):
        space = file.parse_space(text)
        study = store.create_study(storage, space, text, [])
        fakes.work(storage, study, train, load_dataset)
        numbers = [word for trial in study.trials for word in ("--trial", str(trial.number))]
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "sweeps",
            "export",
            space.name,
            "--to",
            folder / space.name,
            "--module",
            *numbers,
        ]
        subprocess.run([*command, "--storage", url], check=True, capture_output=True)
        for trial in study.trials:
            readings = store.readings(storage.engine, store.id_of(storage, study), trial.number)[1:]
            looked = [[reading.train_loss, reading.loss] for reading in readings]
            config = Config.model_validate_json(trial.user_attrs[store.CONFIG])
            trials[f"{space.name}_{trial.number}"] = (config, looked)
    storage.engine.dispose()
    asked = {name: hand_over(folder, name, config) for name, (config, _) in trials.items()}
    (folder / "asked.json").write_text(json.dumps(asked))
    found = {kind: elsewhere(folder, program) for kind, program in PROGRAMS.items()}
    documents = {name: tomllib.loads((folder / f"{name}.toml").read_text()) for name in trials}
    return {
        name: Exported(*trial, documents[name]["provenance"], {kind: answers[name] for kind, answers in found.items()})
        for name, trial in trials.items()
    }


def hand_over(folder: Path, name: str, config: Config) -> dict[str, Any]:
    """The export of a trial under a name of its own, with the arrays in the order in which the trial saw them."""
    study, _, number = name.partition("_")
    for suffix in (".toml", ".py"):
        shutil.copy(folder / study / f"trial_{number}{suffix}", folder / f"{name}{suffix}")
    arrays = load_dataset(config.data, config.holdout_images)
    images, labels = arrays.train_images[np.arange(len(arrays.train_labels))], arrays.train_labels
    batches = batch_indices(config.seed, len(labels), config.batch_size, 0, config.steps)
    full = np.random.default_rng(0).integers(0, 256, (50, 24, 24, 1), dtype=np.uint8) if images.ndim == 4 else images
    np.savez(
        folder / f"{name}.npz",
        train=images,
        x=images[batches],
        y=labels[batches],
        full=full,
        kept_x=arrays.holdout_images,
        kept_y=arrays.holdout_labels,
    )
    return {
        "interval": config.report_interval,
        "logits": config.output == "logits",
        "regression": config.data.task == "regression",
        "dropout": config.dropout != "none",
        "learns": images.ndim == 2 or config.inputs.startswith("standardized"),
    }


def elsewhere(folder: Path, program: str) -> dict[str, Any]:
    """What a program prints that runs apart from here, with nothing of this environment."""
    command = [sys.executable, "-I", "-c", program]
    done = subprocess.run(command, cwd=folder, env={"HOME": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


TRIALS = ("images_0", "images_1", "images_2", "table_0")


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("name", TRIALS)
def test_the_start_is_the_trials(name: str, kind: str, exported: dict[str, Exported]) -> None:
    trial = exported[name]
    arrays = load_dataset(trial.config.data, trial.config.holdout_images)
    trainer = trainer_for(trial.config, Architecture.from_config(trial.config, arrays.input_shape))
    trainer.reset(trial.config, input_scaling(trial.config.inputs, arrays))
    weights = [weight.numpy() for weight in trainer.net.model.weights if not weight.path.startswith("scale/")]
    digest = hashlib.sha256(b"".join(weight.astype("<f4").tobytes() for weight in weights)).hexdigest()
    found = trial.found[kind]
    assert (found["parameters"], found["digest"]) == (sum(weight.size for weight in weights), digest)
    assert (trial.provenance["parameters_as_trained"], trial.provenance["weights_sha256"]) == (
        found["parameters"],
        digest,
    )
    assert trial.provenance["parameters"] == found["full"]


@pytest.mark.parametrize("after", ["losses", "saved"])
@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("name", TRIALS)
def test_keras_s_own_fit_gives_the_losses_of_the_trial(
    name: str, kind: str, after: str, exported: dict[str, Exported]
) -> None:
    trial = exported[name]
    assert np.allclose(trial.found[kind][after], trial.losses, rtol=1e-4), (trial.found[kind][after], trial.losses)


def test_the_trials_differ_and_their_losses_move(exported: dict[str, Exported]) -> None:
    first = [trial.losses[0] for trial in exported.values()]
    assert len({round(loss, 3) for loss, _ in first}) == len(first)
    assert all(abs(trial.losses[0][1] - trial.losses[-1][1]) > 1e-3 for trial in exported.values())
    assert exported["images_0"].provenance["parameters"] > exported["images_0"].provenance["parameters_as_trained"]
