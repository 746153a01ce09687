"""What a finished trial leaves for people: a note in Markdown, and a picture, which optuna-dashboard shows in place."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import tomli_w
from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.diagnosis.autopsy import Autopsy
from sweeps.files import temporary_folder
from sweeps.optuna_private import study_id_of, trial_id_of
from sweeps.readings import Reading
from sweeps.store import notes
from sweeps.store.worker_storage import WorkerStorage
from sweeps.surfaces import escape_markdown, fence_code

if TYPE_CHECKING:
    from sweeps.optuna_private import ArtifactStore

PICTURE = "trial.png"
PICTURES = (PICTURE, "autopsy.png")  # as earlier versions named it
MOST_TRACED = 2000  # characters of a traceback's end, which says what went wrong


def keep_note(
    storage: WorkerStorage, trial: Trial, readings: Sequence[Reading], dead: bool, artifacts: "ArtifactStore | None"
) -> None:
    """Write the note of a trial that is about to end and, where there is a place for it, draw its picture.

    Args:
        readings: all of the trial, none where it could not be trained; its fate and reason are noted already.
        dead: whether its death is to be examined, and noted with its attributes too.

    Raises:
        OSError: the picture cannot be written; the note is.
    """
    study_id = study_id_of(trial.study)
    own = storage.get_trial(trial_id_of(trial))
    before = storage.note_attributes(
        trial_id_of(own)
    )  # what may fail for want of a store comes before what cannot be undone
    autopsy = None
    if dead and readings:
        autopsy = autopsies.make_trial_autopsy(readings, storage.get_all_trials(study_id, deepcopy=False), own.number)
        for name, value in autopsy.to_attributes().items():
            trial.set_user_attr(name, value)
    try:
        if artifacts is not None and readings:
            _draw_picture(storage, trial, own, readings, artifacts)
    finally:
        own_name = make_trial_note(study_id, own, autopsy)
        for name, value in notes.changed_attributes(before, trial_id_of(own), own_name).items():
            storage.set_study_system_attr(study_id, name, value)


def write_trial_note(storage: RDBStorage, study: Study, number: int, autopsy: Autopsy) -> None:
    """Write the note of a finished trial anew, with an autopsy; what a person wrote below it stays."""
    study_id = store.id_of(storage, study)
    trial = store.read_trials(study)[number]
    notes.write_note(storage.engine, study_id, trial_id_of(trial), make_trial_note(study_id, trial, autopsy))


def make_trial_note(study_id: int, trial: FrozenTrial, autopsy: Autopsy | None) -> str:
    """Return a trial's note: its autopsy, else what became of it; then its picture, config, and what it was trained
    with.
    """
    attributes = trial.user_attrs
    picture = _link_picture(study_id, trial)
    if autopsy:
        parts = [autopsy.to_markdown(picture)]
    else:
        parts = list(_describe_outcome(trial, picture))
    parts += _quote_recipe(attributes)
    return _widen_tables("\n\n".join(parts))


def _widen_tables(markdown: str) -> str:
    """Return the text with room between the columns of tables, which the dashboard sets tight: before names in the
    head.
    """
    return re.sub(r"^\|.*\|(?=\n\|-)", lambda head: head[0].replace(" | ", " | \u2002\u2002"), markdown, flags=re.M)


def _describe_outcome(trial: FrozenTrial, picture: str) -> Iterator[str]:
    attributes = trial.user_attrs
    yield f"## {str(attributes.get(store.FATE, store.INTERRUPTED)).capitalize()}"
    if reason := str(attributes.get(store.REASON, "")):
        yield escape_markdown(reason)
    if picture:
        yield picture
    if rows := list(_list_scores(trial)):
        step = attributes.get(store.STEPS, 0)
        yield "\n".join([f"| hold-out set | at step {step:,} | guessing |", "|---|--:|--:|"] + rows)
    if trace := str(attributes.get(store.TRACEBACK, ""))[-MOST_TRACED:]:
        yield f"### Traceback\n{fence_code('text', trace)}"


def _list_scores(trial: FrozenTrial) -> Iterator[str]:
    """Yield rows of a table: what the last reading measured, and what guessing scores."""
    values = trial.user_attrs
    chance = autopsies.chance_of(trial, ())
    for name, key, guess in (
        ("top-1", store.TOP1, chance.top1),
        ("top-5", store.TOP5, chance.top5),
    ):
        if key in values:
            yield f"| {name} | {values[key]:.2%} | {_format_guess(guess, '.2%')} |"
    if store.F1 in values:
        yield f"| macro F1 | {values[store.F1]:.3f} | |"
    if store.LOSS in values:
        yield f"| loss | {values[store.LOSS]:.4g} | {_format_guess(chance.loss, '.4g')} |"
    if store.GAIN in values:
        name = "R^2"
        if chance.classes:
            name = "information gain"
        yield f"| {name} | {values[store.GAIN]:.3f} | 0 |"


def _format_guess(value: float, form: str) -> str:
    """Return what guessing scores; empty where it is not known."""
    if isfinite(value):
        return format(value, form)
    return ""


def _quote_recipe(attributes: Mapping[str, Any]) -> Iterator[str]:
    config = store.read_config(attributes)
    if config is not None:
        heading = f"### Config {attributes.get(store.CONFIG_DIGEST, '')}".rstrip()
        recipe = tomli_w.dumps(config.model_dump(mode="json")).strip()
        yield f"{heading}\n{fence_code('toml', recipe)}"
    where = [str(attributes[name]) for name in (store.HOST, store.GPU) if attributes.get(name)]
    if store.SECONDS in attributes:
        where.append(f"{attributes[store.SECONDS]:,.1f} s")
    versions = [f"{name} {version}" for name, version in attributes.get(store.VERSIONS, {}).items()]
    if store.DATA_DIGEST in attributes:
        versions.append(f"data {attributes[store.DATA_DIGEST]}")
    lines = [", ".join(escape_markdown(text) for text in texts) for texts in (where, versions) if texts]
    if lines:
        yield "### Trained on\n" + "  \n".join(lines)


def _draw_picture(
    storage: WorkerStorage, trial: Trial, own: FrozenTrial, readings: Sequence[Reading], artifacts: "ArtifactStore"
) -> None:
    from optuna.artifacts import upload_artifact  # noqa: PLC0415  imports every client that is installed

    from sweeps.diagnosis.plots import draw_autopsy  # noqa: PLC0415  half a second of matplotlib, for those who draw

    title = f"{trial.study.study_name}, trial {own.number}: {own.user_attrs.get(store.REASON, '')}"
    with temporary_folder("picture") as folder:
        path = folder / PICTURE
        draw_autopsy(readings, autopsies.chance_of(own, ()), title, path)
        upload_artifact(artifact_store=artifacts, file_path=str(path), study_or_trial=trial, storage=storage)


def _link_picture(study_id: int, trial: FrozenTrial) -> str:
    """Return the trial's picture in Markdown, at its address in the dashboard; empty where there is none."""
    for name, value in trial.system_attrs.items():
        if not name.startswith("artifacts:"):
            continue
        meta = json.loads(value)
        if meta["filename"] in PICTURES:
            address = f"/artifacts/{study_id}/{trial_id_of(trial)}/{meta['artifact_id']}"
            return f"![Curves and signals: shown where the dashboard is given the place of artifacts]({address})"
    return ""
