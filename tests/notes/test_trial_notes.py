"""The notes of trials, as workers leave them: what became of each, its numbers against chance, its config."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import optuna
import pytest
from fakes import TINY
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.diagnosis import plots
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.store import notes
from sweeps.verdict import Chance
from sweeps.worker.protocol import Load

Make = Callable[..., tuple[FrozenTrial, str]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A trial of a study of one, and its note."""

    def made(train: Any, *overrides: str, load: Load = fakes.load, drawn: bool = False) -> tuple[FrozenTrial, str]:
        storage = store.connect(f"sqlite:///{tmp_path}/sweeps.db", create=True)
        all_of = ["budget.trials=1", *overrides]
        study = store.create_study(storage, file.parse_space(TINY, all_of), TINY, all_of)
        fakes.work(storage, study, train, load, drawn=drawn)
        (trial,) = study.get_trials()
        attributes = storage.get_study_system_attrs(study._study_id)
        storage.engine.dispose()
        return trial, notes.note_text(attributes, trial._trial_id)

    return made


def test_a_learned_trial_has_its_numbers_against_chance(make: Make) -> None:
    trial, note = make(fakes.learning)
    assert note.startswith("## Learned\n\nlearned within 6 steps: ")
    rows = {cells[1].strip(): cells[2:-1] for row in note.splitlines() if (cells := row.split("|"))[0] == "" and row}
    hits, count = round(trial.user_attrs["top1"] * 64), 64
    labels = [index % 10 for index in range(64)]  # as fakes.load makes them
    chance = Chance.balanced(10)
    assert rows["top-1"][0].strip() == f"{hits / count:.2%}"
    assert rows["top-1"][1].strip() == f"{max(map(labels.count, labels)) / 64:.2%}"
    assert rows["top-5"][1].strip() == f"{sum(sorted((labels.count(c) for c in range(10)), reverse=True)[:5]) / 64:.2%}"
    assert rows["loss"][0].strip() == "1.15"
    assert float(rows["loss"][1]) == pytest.approx(chance.loss, abs=1e-3)
    assert float(rows["information gain"][0]) == pytest.approx(1 - 1.15 / chance.loss, abs=2e-3)


def test_the_config_in_a_note_is_the_trials(make: Make) -> None:
    trial, note = make(fakes.collapsing)
    block = re.search(r"```toml\n(.*?)\n```", note, re.DOTALL)
    assert block
    assert Config.model_validate(tomllib.loads(block[1])).to_json() == trial.user_attrs["config"]
    assert trial.user_attrs["config_digest"] in note


def test_the_picture_is_in_the_note_at_the_dashboards_address(make: Make) -> None:
    trial, note = make(fakes.learning)
    (name,) = (key.removeprefix("artifacts:") for key in trial.system_attrs if key.startswith("artifacts:"))
    assert f"](/artifacts/1/{trial._trial_id}/{name})" in note


def test_a_dead_trial_has_its_layer_and_step_of_death(make: Make) -> None:
    trial, note = make(fakes.collapsing, "verdict.control=0")
    assert note.startswith("## Autopsy: signal lost\n")
    assert (trial.user_attrs["died_in_layer"], trial.user_attrs["died_at_step"]) == ("conv_1", 2)


@fakes.run
def raising(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run whose error is full of what Markdown takes for its own."""
    raise ValueError("``` | <b> *no* __init__\n``` # end")
    yield fakes.reading(0)


def test_a_failed_trial_has_its_traceback_whatever_is_in_it(make: Make) -> None:
    trial, note = make(raising)
    assert note.startswith("## Failed\n\nValueError: ")
    assert r"\`\`\` \| \<b\> \*no\* \_\_init\_\_" in note
    block = re.search(r"^(`{4,})text\n(.*?)\n\1$", note, re.DOTALL | re.MULTILINE)
    assert block
    assert trial.user_attrs["traceback"].endswith(block[2])
    assert "### Config" in note
    assert not trial.system_attrs, "nothing was seen that could be drawn"


def test_a_trial_whose_picture_cannot_be_drawn_has_a_note_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "draw_autopsy", lambda *_: 1 / 0)
    trial, note = make(fakes.learning, drawn=True)
    assert trial.state == optuna.trial.TrialState.COMPLETE
    assert note.startswith("## Learned")
    assert "![" not in note


def test_in_regression_the_mean_is_what_is_guessed(make: Make) -> None:
    def load(config: DataConfig, holdout_images: int) -> Arrays:
        return replace(fakes.load(config, holdout_images), classes=0)  # labels are numbers

    @fakes.run
    def fitting(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
        for step in range(0, config.steps + 1, config.report_interval):
            yield fakes.reading(step, loss=8.25 - step)

    _, note = make(fitting, "data.task=regression", "study.objective=r2", load=load)
    assert note.startswith("## Learned")
    assert "top-1" not in note
    learnt, held_out = np.arange(256) % 10, np.arange(64) % 10
    assert f"| R^2 | {1 - 2.25 / np.mean((held_out - learnt.mean()) ** 2):.3f} | 0 |" in note


WORKER = """
import sys, types
sys.path.insert(0, sys.argv[1])
sys.modules["sweeps.diagnosis.plots"] = types.SimpleNamespace(draw_autopsy=None)  # fakes.py names it
import fakes
from sweeps import store
from sweeps.space import file as space_file
from sweeps.worker.worker import Worker
storage = store.connect("sqlite:///sweeps.db", create=True)
space = space_file.parse_space(fakes.TINY, ["budget.trials=1"])
study = store.create_study(storage, space, fakes.TINY, ["budget.trials=1"])
Worker(storage, fakes.collapsing, fakes.load, fakes.never, None, fakes.QUICK).serve_studies(["tiny"])
assert study.trials[0].user_attrs["autopsy_cause"]
assert "traceback" not in study.trials[0].user_attrs
assert not {"matplotlib", "optuna_dashboard"} & set(sys.modules)
"""


def test_without_a_place_for_artifacts_nothing_is_drawn_and_matplotlib_stays_away(tmp_path: Path) -> None:
    tests = str(Path(fakes.__file__).parent)
    command = [sys.executable, "-c", WORKER, tests]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
