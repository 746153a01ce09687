"""Autopsies of a store's trials and surveys of its studies, made of fake runs; and the commands that show them."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from commands import run_sweeps
from fakes import TINY
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.diagnosis.causes import Cause
from sweeps.errors import StoreError
from sweeps.notes import trial as trial_notes
from sweeps.space import file
from sweeps.store import notes


def constrained(config: Config, arrays: Arrays, state: bytes | None) -> Any:
    """ReLU learns; SELU only with a constraint."""
    lives = config.activation == "relu" or config.constraint == "standardize_unit"
    return (fakes.learning if lives else fakes.collapsing)(config, arrays, state)


def made(folder: Path, trials: int, train: Any = constrained) -> tuple[RDBStorage, optuna.Study]:
    storage = store.connect(f"sqlite:///{folder}/sweeps.db", create=True)
    overrides = [f"budget.trials={trials}", "budget.steps=8", "space.activation=selu"]
    space = file.parse_space(TINY, overrides)
    study = store.create_study(storage, space, TINY, overrides)
    fakes.work(storage, study, train)
    return storage, study


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of SELU nets of which those with the constraint learned."""
    folder = tmp_path_factory.mktemp("sixteen")
    return folder, *made(folder, 16)


def number_of(study: optuna.Study, fate: str) -> int:
    return next(trial.number for trial in study.trials if trial.user_attrs["fate"] == fate)


def note_of(study: optuna.Study, number: int) -> str:
    """A trial's note as optuna-dashboard reads it."""
    from optuna_dashboard import get_note

    return str(get_note(optuna.trial.Trial(study, study.trials[number]._trial_id)))


def save_note(study: optuna.Study, number: int, body: str) -> None:
    """Keep a note as optuna-dashboard does."""
    from optuna_dashboard import save_note

    save_note(optuna.trial.Trial(study, study.trials[number]._trial_id), body)


def trial(number: int, fate: str | None, state: TrialState, **params: Any) -> optuna.trial.FrozenTrial:
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution([value]) for name, value in params.items()
    }
    made = create_trial(
        state=state,
        value=1.0 if state == TrialState.COMPLETE else None,
        params=params,
        distributions=distributions,
        user_attrs={} if fate is None else {"fate": fate},
    )
    made.number = number
    return made


def test_trials_that_say_nothing_about_life_and_death_are_left_out() -> None:
    trials = [
        trial(0, "learned", TrialState.COMPLETE, activation="relu"),
        trial(1, "at chance", TrialState.PRUNED, activation="selu"),
        trial(2, "outranked", TrialState.PRUNED),
        trial(3, "failed", TrialState.FAIL),
        trial(4, "interrupted", TrialState.FAIL),
        trial(5, None, TrialState.FAIL),
        trial(6, None, TrialState.RUNNING),
        trial(7, "frozen", TrialState.PRUNED),
    ]
    judged = autopsies.list_judged(trials)
    assert [(trial.number, trial.params, trial.fate, trial.learned) for trial in judged] == [
        (0, {"activation": "relu"}, "learned", True),
        (1, {"activation": "selu"}, "at chance", False),
        (7, {}, "frozen", False),
    ]


def test_a_dead_trial_is_examined_with_what_the_study_supports(sixteen: Any) -> None:
    _, storage, study = sixteen
    found = autopsies.examine_trial(storage, study, number_of(study, "collapsed"))
    assert found.cause is Cause.SIGNAL_LOST
    assert (found.fate, found.activation) == ("collapsed", "selu")
    assert found.reason.startswith("collapsed at step")
    assert found.changes[0].parameter == "constraint"
    assert found.chance.loss == pytest.approx(math.log(10), abs=1e-3)
    assert found.chance.top1 == pytest.approx(7 / 64)
    assert "with constraint standardize_unit, 0 of" in found.to_markdown()


def test_a_learner_is_examined_without_changes(sixteen: Any) -> None:
    _, storage, study = sixteen
    found = autopsies.examine_trial(storage, study, number_of(study, "learned"))
    assert (found.cause, found.changes) == (Cause.NONE, ())


@pytest.mark.parametrize("number", [99, 16])
def test_a_trial_without_readings_is_one_line(sixteen: Any, number: int) -> None:
    _, storage, study = sixteen
    with pytest.raises(StoreError, match=f"has no readings of a trial {number}"):
        autopsies.examine_trial(storage, study, number)


def test_chance_is_as_its_worker_counted_it_or_as_another_trials_did(sixteen: Any) -> None:
    _, _, study = sixteen
    trials = study.get_trials(deepcopy=False)
    exact = autopsies.chance_of(trials[0], trials)
    mute = trial(99, "diverged", TrialState.PRUNED)
    mute.user_attrs = {"config": trials[0].user_attrs["config"]}
    assert autopsies.chance_of(mute, trials) == pytest.approx(exact, nan_ok=True)
    assert math.isnan(autopsies.chance_of(mute, []).loss)
    mute.user_attrs["autopsy_chance_loss"] = 2.25
    assert autopsies.chance_of(mute, trials).loss == 2.25


def test_the_dashboard_reads_the_note_back_and_what_a_person_wrote_stays(tmp_path: Path) -> None:
    storage, study = made(tmp_path, 1, fakes.collapsing)
    found = autopsies.examine_trial(storage, study, 0)
    trial_notes.write_trial_note(storage, study, 0, found)
    note = note_of(study, 0)
    assert note.startswith("## Autopsy: ")
    assert all(line in note for line in found.to_markdown().splitlines() if not line.startswith("| layer"))
    save_note(study, 0, note + "Mine: look at the labels.\n" + "x" * 5000)
    trial_notes.write_trial_note(storage, study, 0, replace(found, reason="so it was"))
    again = note_of(study, 0)
    assert "so it was" in again
    assert again.count("## Autopsy") == 1
    assert again.endswith("Mine: look at the labels.\n" + "x" * 5000 + "\n")
    # A shorter note leaves nothing of the longer one behind, and the dashboard, which counts versions, goes on.
    save_note(study, 0, "")
    trial_notes.write_trial_note(storage, study, 0, found)
    assert note_of(study, 0) == note
    attributes = storage.get_study_system_attrs(storage.get_study_id_from_name("tiny"))
    version = attributes[f"dashboard:{study.trials[0]._trial_id}:note_ver"]
    assert version == 5, "the worker wrote the first, and writing the same again is no version"


def test_a_note_of_a_persons_own_is_kept_below_ours(tmp_path: Path) -> None:
    storage, study = made(tmp_path, 1, fakes.collapsing)
    save_note(study, 0, "Odd.")
    for _ in range(2):
        trial_notes.write_trial_note(storage, study, 0, autopsies.examine_trial(storage, study, 0))
        assert note_of(study, 0).endswith(f"{notes.END}\n\nOdd.\n")


def test_a_worker_keeps_what_a_person_wrote_while_the_trial_ran(tmp_path: Path) -> None:
    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        save_note(optuna.load_study(study_name="tiny", storage=f"sqlite:///{tmp_path}/sweeps.db"), 0, "Odd.")
        return fakes.collapsing(config, arrays, state)

    storage, study = made(tmp_path, 1, train)
    assert note_of(study, 0).startswith("## Autopsy")
    assert note_of(study, 0).endswith(f"{notes.END}\n\nOdd.\n")
    assert study.trials[0].user_attrs.items() >= autopsies.examine_trial(storage, study, 0).to_attributes().items()


def test_a_survey_names_what_decides(sixteen: Any) -> None:
    _, _, study = sixteen
    found = autopsies.survey_study(study)
    assert (found.trials, found.note) == (16, "")
    assert 0 < found.learned < 16
    assert found.deciders[0].name == "constraint"
    assert found.region[0].words.startswith("constraint standardize_unit")


def test_few_trials_or_one_outcome_are_said_to_tell_nothing(tmp_path: Path) -> None:
    _, study = made(tmp_path, 3)
    assert autopsies.survey_study(study).note == "3 finished trials say too little; 8 are the fewest"
    (tmp_path / "all").mkdir()
    _, study = made(tmp_path / "all", 8, fakes.collapsing)
    assert autopsies.survey_study(study).note == "none of 8 trials learned: nothing to compare"


def test_the_autopsy_command_prints_draws_and_notes(sixteen: Any, tmp_path: Path) -> None:
    folder, storage, study = sixteen
    number = number_of(study, "collapsed")
    picture = tmp_path / "autopsy.png"
    done = run_sweeps("autopsy", "tiny", str(number), "--to", str(picture), cwd=folder)
    assert done.returncode == 0, done.stderr
    autopsy = autopsies.examine_trial(storage, study, number)
    shown = " ".join(done.stdout.split())
    for text in (*autopsy.describe_death(), *autopsy.describe_events()):
        assert " ".join(text.split()) in shown
    assert all(layer.name in shown for layer in autopsy.findings.layers)
    assert "##" not in shown
    done = run_sweeps("autopsy", "tiny", str(number), "--markdown", cwd=folder)
    assert done.stdout == autopsy.to_markdown() + "\n"
    assert picture.stat().st_size > 10_000
    assert note_of(study, number).startswith(done.stdout.splitlines()[0])
    assert "![Curves and signals" in note_of(study, number), "the worker's picture stays in it"


def test_mistakes_are_one_line_and_exit_code_2(sixteen: Any) -> None:
    folder, _, _ = sixteen
    for words, line in (
        (["autopsy", "tiny", "99"], "study 'tiny' has no readings of a trial 99; see sweeps status"),
        (["autopsy", "other", "0"], "no study 'other'"),
        (["autopsy", "tiny", "0", "--to", "x.nonsense"], "give --to a .png, .svg or .pdf"),
        (["survey", "other"], "no study 'other'"),
    ):
        done = run_sweeps(*words, cwd=folder)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert line in done.stderr


def test_the_survey_command_speaks_to_people_and_to_machines(sixteen: Any) -> None:
    folder, _, study = sixteen
    shown = run_sweeps("survey", "tiny", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    found = autopsies.survey_study(study)
    assert f"tiny: {found.learned} of 16 trials learned" in shown.stdout
    assert "where runs live: constraint standardize_unit" in shown.stdout
    values = json.loads(run_sweeps("survey", "tiny", "--json", cwd=folder).stdout)
    assert values == json.loads(json.dumps(found.to_dict()))
    assert values["deciders"][0]["name"] == "constraint"


def test_a_survey_of_too_few_trials_is_one_line_and_no_failure(tmp_path: Path) -> None:
    made(tmp_path, 2)
    done = run_sweeps("survey", "tiny", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "tiny: 2 finished trials say too little; 8 are the fewest\n")
    assert json.loads(run_sweeps("survey", "tiny", "--json", cwd=tmp_path).stdout)["deciders"] == []


@pytest.mark.parametrize("words", [["autopsy", "tiny", "0"], ["survey", "tiny"]])
def test_the_commands_never_import_what_is_heavy(words: list[str], sixteen: Any) -> None:
    folder, _, _ = sixteen
    program = (
        "import sys\nfrom sweeps.cli.app import app\nsys.argv = ['sweeps', *sys.argv[1:]]\napp(standalone_mode=False)\n"
        "heavy = {'tensorflow', 'keras', 'optuna_dashboard', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
