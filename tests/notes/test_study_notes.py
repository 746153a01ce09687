"""The note of a study: what it says of a search space, and who keeps it fresh, how often."""

from collections import Counter
from pathlib import Path
from typing import Any

import fakes
import pytest
import sqlalchemy
from fakes import TINY

from sweeps import store
from sweeps.analysis.summary import FATES
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.store import notes

PLACES = Path(__file__).parents[2] / "search_spaces"


def made(folder: Path, *overrides: str) -> Any:
    storage = store.connect(f"sqlite:///{folder}/sweeps.db", create=True)
    space = file.parse_space(TINY, list(overrides))
    return storage, store.create_study(storage, space, TINY, list(overrides))


def note_of(storage: Any, study: Any) -> str:
    return notes.note_text(storage.get_study_system_attrs(study._study_id), None)


def test_before_its_first_trial_it_says_what_is_asked_and_what_it_truncates() -> None:
    space, _ = file.read_space(PLACES / "places365_grey_cnn.toml")
    note = study_notes.make_study_note(7, space, [])
    assert note.startswith("## Why does deep SELU on grey Places365 stay at 1 of 365, and what rescues it?")
    assert "### As of 0 of 60 trials" in note
    assert "Guessing is right once in 365 times" in note
    assert "60 trials of 300 steps, a reading every 20, at 3,650 hold-out images" in note
    assert "| data.images | 100,000 | 2,000,000 |" in note
    assert "| model.width | 16 | 64 |" in note


def test_where_less_is_better_and_in_regression_it_says_so() -> None:
    space = file.parse_space(TINY, ["study.objective=loss"])
    note = study_notes.make_study_note(1, space, [])
    assert "compared by the hold-out loss: the less the better" in note
    assert "with a minus before it since less is better here: 0 is chance" in note
    prices, _ = file.read_space(PLACES / "snn_boston_housing.toml")
    note = study_notes.make_study_note(1, prices, [])
    assert "Chance is predicting the mean." in note
    assert "Intermediate values are R^2: 0 is chance" in note
    assert "27 trials of 50 epochs of 404 images, a reading after each" in note


def test_the_worker_that_ends_the_last_trial_writes_it_and_writes_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Any, ...]] = []
    once = study_notes.write_study_note

    def write(*words: Any) -> None:
        written.append(words)
        once(*words)

    monkeypatch.setattr(study_notes, "write_study_note", write)
    storage, study = made(tmp_path, "budget.trials=6")
    runs = iter([fakes.learning] * 4 + [fakes.collapsing, fakes.diverging])
    fakes.work(storage, study, lambda config, arrays, state: next(runs)(config, arrays, state))
    assert len(written) == 1
    note = note_of(storage, study)
    assert "### As of 6 of 6 trials" in note
    counted = {cells[1].strip(): cells[2].strip() for line in note.splitlines() if len(cells := line.split("|")) == 5}
    fates = Counter(trial.user_attrs["fate"] for trial in study.trials)
    assert fates["learned"] == 4
    assert {fate: int(counted[fate]) for fate in counted.keys() & set(FATES)} == {fate: fates[fate] for fate in FATES}
    best = max(study.trials, key=lambda trial: trial.value or 0)
    assert f"[trial {best.number}](/dashboard/studies/1/trials?numbers={best.number})" in note
    assert f"top-1 {best.value:.2%}" in note
    assert TINY.strip() in note
    assert "`--set budget.trials=6`" in note
    storage.engine.dispose()


def test_a_note_is_stale_while_it_tells_of_other_trials_than_have_finished(tmp_path: Path) -> None:
    storage, study = made(tmp_path, "budget.trials=2")
    assert study_notes.list_stale(storage) == ["tiny"]
    study_notes.refresh_note(storage, study)
    assert study_notes.list_stale(storage) == []
    stop = iter([False, False, True])
    fakes.work(storage, study, fakes.learning, stopping=lambda: next(stop, True))
    done = sum(trial.state.is_finished() for trial in study.trials)
    assert bool(study_notes.list_stale(storage)) == bool(done)
    fakes.work(storage, study, fakes.learning)
    assert study_notes.list_stale(storage) == []
    before = storage.get_study_system_attrs(study._study_id)
    forget = "DELETE FROM study_system_attributes WHERE key = 'sweeps:note_finished'"
    with storage.engine.begin() as db:
        db.execute(sqlalchemy.text(forget))  # as a version before left the store
    assert study_notes.list_stale(storage) == ["tiny"]
    study_notes.refresh_note(storage, study)
    assert storage.get_study_system_attrs(study._study_id) == before
    storage.engine.dispose()
