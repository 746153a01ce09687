"""Every file in search_spaces/ says what it asks, how it is run and what to expect, and can be trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from commands import run_sweeps
from image_trees import class_folders, places365_lists
from PIL import Image

from sweeps import store
from sweeps.space import file as space_file
from sweeps.worker.rehearsal import rehearse

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "search_spaces").glob("*.toml"))


def first_comment(file: Path) -> str:
    lines = file.read_text().splitlines()
    end = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


def test_there_are_some() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_first_comment_has_question_command_and_what_to_expect(file: Path) -> None:
    comment = first_comment(file)
    for word in ("Question:", "Command:", "Expect:"):
        assert word in comment
    assert f"sweeps run {file.relative_to(ROOT)}" in comment


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_valid_and_asks_a_question(file: Path) -> None:
    space, _ = space_file.read_space(file)
    assert space.name == file.stem
    assert space.question.endswith("?")


@pytest.mark.parametrize("file", [file for file in FILES if "[full]" in file.read_text()], ids=lambda file: file.stem)
def test_at_full_size_every_choice_is_valid_too(file: Path) -> None:
    space, _ = space_file.read_space(file)
    configs = [space.at_full_size(config) for config in space.rehearsals()]
    assert {config.model.width for config in configs} == {64}
    assert all(config.data.image_size >= 224 and config.steps > 10_000 for config in configs)


def procedural(folder: Path) -> list[str]:
    return []


def places(folder: Path) -> list[str]:
    """Both layouts of Places365, prepared as the file's first comment says."""
    for layout, make in (("places365-lists", places365_lists), ("places365", class_folders)):
        make(folder / layout, classes=5, train=20, holdout=20)
        run(folder, "data", "prepare", layout, "--to", f"{layout}_store", "--layout", layout, "--size", "16", "--grey")
    same = [(folder / f"{name}_store" / "train-images.npy").read_bytes() for name in ("places365-lists", "places365")]
    assert same[0] == same[1]
    return ["data.path=places365-lists_store", "data.classes=5", "data.image_size=16", "data.images=100"]


def imagenet(folder: Path) -> list[str]:
    class_folders(folder / "imagenet", classes=4, train=20, holdout=20, suffix=".JPEG")
    words = ["--to", "imagenet_32", "--layout", "folders", "--size", "16", "--colour", "--classes", "4"]
    run(folder, "data", "prepare", "imagenet", *words)
    return [
        "data.classes=4",
        "data.image_size=16",
        "data.images=80",
        "budget.epoch_images=80",
        "space.batch_size=[32, 64]",
    ]


def arrays(side: int, channels: int) -> Callable[[Path], list[str]]:
    """Files of the data set's kind in the shape that Keras's loader gives; the loader itself has tests of its own."""

    def make(folder: Path) -> list[str]:
        rng, labels = np.random.default_rng(0), np.arange(200) % 10
        images = (labels[:, None, None, None] * 20 + rng.integers(0, 50, (200, side, side, channels))).astype(np.uint8)
        parts: dict[str, Any] = {"train_images": images, "train_labels": labels}
        parts |= {"holdout_images": images, "holdout_labels": labels}
        np.savez(folder / "own.npz", **parts)
        return ["data.source=arrays", "data.path=own.npz", "data.images=200", "space.batch_size=32"]

    return make


def table(folder: Path) -> list[str]:
    rows = np.random.default_rng(0).normal(size=(300, 13))
    np.savetxt(folder / "housing.csv", np.c_[rows, rows[:, 0] * 9 + 22], delimiter=",", header="a,b", comments="")
    return ["data.source=csv", "data.path=housing.csv", "data.images=200"]


# Tracing a net takes most of the time, so there are few layers.
SHALLOW = ["model.dense=1", "model.dense_units=8"]
SMALL_CNN = [*SHALLOW, "model.convolutions=2", "model.stages=2", "model.width=2"]
SMALL_CNN += ["budget.steps=4", "budget.report_interval=2"]
SMALL_DENSE = ["model.dense=2", "model.dense_units=8", "budget.epochs=2"]
SMALL_GATES = [*SHALLOW, "model.width=1", "budget.epochs=2"]
# What makes each file small, and the data that it is run on.
CASES: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "quickstart": (procedural, [*SMALL_CNN, "data.images=1024"]),
    "input_normalisation": (procedural, [*SMALL_CNN, "data.images=1024"]),
    "places365_grey_cnn": (places, [*SMALL_CNN, "space.batch_size=[16, 32]"]),
    "se_resnet_imagenet": (imagenet, [*SMALL_GATES, "space.model.excitation_ratio=16"]),
    "se_blocks_imagenet": (imagenet, [*SMALL_GATES, "model.stages=1"]),
    "alexnet_imagenet": (imagenet, SMALL_GATES),
    "snn_fashion_mnist": (arrays(28, 1), SMALL_DENSE),
    "snn_cifar10": (arrays(32, 3), SMALL_DENSE),
    "snn_boston_housing": (table, SMALL_DENSE),
}
# These go all the way from the command to a picture; of the others what depends on the file: its data and its nets.
BY_COMMAND = ("quickstart", "places365_grey_cnn")
TRIALS = 3  # by the command; of the others one, since the rehearsal has traced their nets


def run(folder: Path, *words: str) -> str:
    done = run_sweeps(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_is_run() -> None:
    assert {file.stem for file in FILES} == CASES.keys()


def settings(name: str, folder: Path) -> list[str]:
    """What makes a file small, with its data in the folder."""
    make, small = CASES[name]
    trials = TRIALS if name in BY_COMMAND else 1
    return [*make(folder), *small, f"budget.trials={trials}", "budget.holdout_images=64"]


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", [name for name in CASES if name not in BY_COMMAND])
def test_every_choice_of_it_is_trained_and_a_trial_ends(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, text = settings(name, tmp_path), (ROOT / "search_spaces" / f"{name}.toml").read_text()
    monkeypatch.chdir(tmp_path)
    space = space_file.parse_space(text, overrides)
    from sweeps.nn.datasets import load_dataset
    from sweeps.nn.train import train

    assert rehearse(space, train, load_dataset, name).configurations == len(list(space.rehearsals()))
    storage = store.connect("sqlite:///sweeps.db", create=True)
    study = store.create_study(storage, space, text, overrides)
    assert fakes.work(storage, study, train, load_dataset) == 1
    assert study.trials[0].user_attrs["fate"] != "failed"
    storage.engine.dispose()


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", BY_COMMAND)
def test_a_small_sweep_of_it_runs_from_files_to_a_summary(name: str, tmp_path: Path) -> None:
    words = [word for setting in settings(name, tmp_path) for word in ("--set", setting)]
    shown = run(tmp_path, "run", str(ROOT / "search_spaces" / f"{name}.toml"), "--workers", "1", *words)
    assert f"{name}: {TRIALS} of {TRIALS} trials" in shown
    status = json.loads(run(tmp_path, "status", name, "--json"))
    assert status["fates"].get("failed", 0) == 0
    assert sum(status["fates"].values()) == TRIALS
    run(tmp_path, "vitals", name, "0", "--to", "vitals.png")
    with Image.open(tmp_path / "vitals.png") as picture:
        assert picture.format == "PNG"
