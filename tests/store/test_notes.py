"""Notes: optuna-dashboard reads what is written, whatever it is; what a person wrote stays; who edits can save."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from fakes import TINY
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps import store
from sweeps.space import file
from sweeps.store import leases, notes
from sweeps.store.processes import this_process

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300).map(str.strip)
TRIALS = st.sampled_from([None, 1, 11])
OLD = "*`sweeps autopsy` rewrites what stands above; what is written below this line stays.*"


def shown(attributes: dict[str, Any], trial_id: int | None) -> str:
    """As the dashboard reads it."""
    from optuna_dashboard._note import get_note_from_system_attrs

    return str(get_note_from_system_attrs(attributes, trial_id)["body"])


@settings(deadline=None)  # the first example imports the dashboard
@given(first=TEXTS, second=TEXTS, theirs=TEXTS, trial_id=TRIALS, long=st.sampled_from([1, 500]))
def test_what_is_written_is_shown_and_what_a_person_wrote_stays_below(
    first: str, second: str, theirs: str, trial_id: int | None, long: int
) -> None:
    attributes = notes.changed_attributes({}, trial_id, first * long)
    assert shown(attributes, trial_id) == f"{first * long}\n\n{notes.END}\n"
    edited = shown(attributes, trial_id) + theirs
    prefix = "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"
    pieces = range(0, len(edited), 2045)  # as the dashboard cuts them
    attributes = {f"{prefix}note_str:{index}": edited[at : at + 2045] for index, at in enumerate(pieces)}
    attributes |= {f"{prefix}note_ver": 2, **notes.changed_attributes({}, 111, "of a trial whose number begins alike")}
    for _ in range(2):
        attributes |= notes.changed_attributes(attributes, trial_id, second)
        assert shown(attributes, trial_id) == f"{second}\n\n{notes.END}\n" + (f"\n{theirs}\n" if theirs else "")
        assert notes.note_text(attributes, trial_id) == shown(attributes, trial_id)
    assert notes.changed_attributes(attributes, trial_id, second) == {}


@pytest.mark.parametrize("before", [f"## Ours\n\n{OLD}\n\nTheirs.", "Theirs."], ids=["an earlier version's", "none"])
def test_the_line_of_earlier_versions_is_known_and_a_note_without_one_is_a_persons(before: str) -> None:
    attributes = {"dashboard:5:note_ver": 3, "dashboard:5:note_str:0": before}
    attributes |= notes.changed_attributes(attributes, 5, "## New")
    assert shown(attributes, 5) == f"## New\n\n{notes.END}\n\nTheirs.\n"
    assert attributes["dashboard:5:note_ver"] == 4


def test_long_notes_fit_into_the_smallest_column_of_any_database() -> None:
    attributes = notes.changed_attributes({}, 1, "\U0001f600" * 9000)
    assert max(len(json.dumps(value)) for value in attributes.values()) < 65_535
    assert shown(attributes, 1).startswith("\U0001f600" * 9000 + "\n")
    assert len(notes.changed_attributes({}, 1, "x" * 9000)) == 2, (
        "one piece, and the version: every trial looks through all"
    )


def test_a_studys_note_that_changes_while_a_person_edits_it_can_be_saved(tmp_path: Path) -> None:
    from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version, version_is_incremented

    storage = store.connect(f"sqlite:///{tmp_path}/sweeps.db", create=True)
    study_id = optuna.create_study(storage=storage, study_name="x")._study_id
    notes.write_note(storage.engine, study_id, None, "1 of 2")
    opened = get_note_from_system_attrs(storage.get_study_system_attrs(study_id), None)
    notes.write_note(storage.engine, study_id, None, "2 of 2")
    now = storage.get_study_system_attrs(study_id)
    assert shown(now, None).startswith("2 of 2")
    assert version_is_incremented(now, None, opened["version"] + 1), "else the dashboard answers 409"
    save_note_with_version(storage, study_id, None, opened["version"] + 1, opened["body"] + "Mine.")
    notes.store_study_note(storage.engine, study_id, "2 of 2", finished=2)
    assert shown(storage.get_study_system_attrs(study_id), None) == f"2 of 2\n\n{notes.END}\n\nMine.\n"
    assert notes.finished_in_notes(storage.engine) == {study_id: 2}
    storage.engine.dispose()


def test_every_database_keeps_notes(url: str) -> None:
    storage = store.connect(url, create=True)
    study_id = optuna.create_study(storage=storage, study_name="x")._study_id
    for said in ("🙂" * 9000, "± `short`"):
        for trial_id in (None, 1, 11):
            notes.write_note(storage.engine, study_id, trial_id, said)
        attributes = storage.get_study_system_attrs(study_id)
        assert {shown(attributes, trial_id) for trial_id in (None, 1, 11)} == {f"{said}\n\n{notes.END}\n"}
    assert notes.finished_in_notes(storage.engine) == {}, "only a note of a study tells of finished trials"
    storage.engine.dispose()


def test_a_trial_that_killed_its_workers_has_a_note_and_what_a_person_wrote_of_it(url: str) -> None:
    storage = store.connect(url, create=True)
    study = store.create_study(storage, file.parse_space(TINY), TINY, [])
    worker = leases.register_worker(storage.engine, this_process(), "", "0")
    claim = leases.claim_trial(storage.engine, worker, study._study_id, 1)
    assert claim is not None
    save_note(study.trials[0], study, "Odd.")
    assert leases.take_over(storage.engine, worker, None, leases.Retries(here=1)) == 1
    note = shown(storage.get_study_system_attrs(study._study_id), claim.trial_id)
    assert note.startswith("## Failed\n\nIts worker ended without a word")
    assert note.endswith(f"{notes.END}\n\nOdd.\n")
    storage.engine.dispose()


def save_note(trial: optuna.trial.FrozenTrial, study: optuna.Study, body: str) -> None:
    """As the dashboard does."""
    from optuna_dashboard import save_note as save

    save(optuna.trial.Trial(study, trial._trial_id), body)
