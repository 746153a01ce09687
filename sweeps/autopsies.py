"""Autopsies of a store's trials, kept with them, and what a study's trials say together about dying and learning."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, isfinite, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps import history, store
from sweeps.signals import Reading
from sweeps.store.worker_storage import WorkerStorage
from sweeps.verdict import Chance, Fate, survey
from sweeps.verdict.autopsy import Autopsy, autopsy
from sweeps.verdict.shares import wilson

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

# Fates that say nothing about whether a trial would have learned.
LEFT_OUT = (Fate.OUTRANKED, store.FAILED, store.INTERRUPTED)
CHANCE_LOSS = "autopsy_chance_loss"
FEWEST = 8  # trials, below which a survey is silent
# optuna-dashboard keeps notes as system attributes of the study, cut into pieces that any database takes.
NOTE_PIECE = 2045
END_OF_NOTE = "*`sweeps autopsy` rewrites what stands above; what is written below this line stays.*"


Draw = Callable[[Sequence[Reading], Chance, str, Path], None]


@dataclass(frozen=True, slots=True)
class Survey:
    """What decides between dying and learning in one study.

    Attributes:
        note: why nothing can be said; empty where something can.
        interactions: (one, other, share of the outcome's entropy that they explain beyond what each does).
        region: conditions under which most runs learned, each rule with those before it.
    """

    study: str
    trials: int
    learned: int
    note: str
    deciders: tuple[survey.Decider, ...] = ()
    interactions: tuple[tuple[str, str, float], ...] = ()
    region: tuple[survey.Rule, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON encoder."""
        pairs = [{"parameters": [one, other], "importance": share} for one, other, share in self.interactions]
        return {**asdict(self), "interactions": pairs}


def tried(trials: Iterable[FrozenTrial]) -> list[survey.Tried]:
    """The finished trials that tell something; outranked, failed and interrupted ones do not."""
    return [
        _tried(trial)
        for trial in trials
        if trial.state.is_finished() and trial.user_attrs.get(store.FATE, store.INTERRUPTED) not in LEFT_OUT
    ]


def examine(storage: RDBStorage, study: Study, number: int) -> Autopsy:
    """The autopsy of a trial, with what the study knows as of now.

    Raises:
        StoreError: no such trial, or it left no readings.
    """
    readings, _ = history.readings_of(storage, study, number)
    return _examined(readings, study.get_trials(deepcopy=False), number)


def _examined(readings: Sequence[Reading], trials: Sequence[FrozenTrial], number: int) -> Autopsy:
    trial = trials[number]
    config = json.loads(trial.user_attrs.get(store.CONFIG, "{}"))
    known = tried(trials)
    dead = trial.user_attrs.get(store.FATE) != Fate.LEARNED
    changes = survey.supported_changes(_tried(trial), known) if dead and known else []
    return autopsy(
        readings,
        chance_of(trial, trials),
        str(trial.user_attrs.get(store.FATE, store.INTERRUPTED)),
        str(trial.user_attrs.get(store.REASON, "")),
        changes,
        config.get("activation"),
        {value for value in config.values() if isinstance(value, str)},
    )


def write(storage: RDBStorage, study: Study, number: int, found: Autopsy) -> None:
    """Keep an autopsy as a finished trial's note, which optuna-dashboard shows.

    What a person wrote into the note stays, below ours.
    """
    study_id = store.id_of(storage, study)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    for name, value in _noted(found, storage.get_study_system_attrs(study_id), trial_id).items():
        storage.set_study_system_attr(study_id, name, value)


def keep(
    storage: WorkerStorage, trial: Trial, readings: Sequence[Reading], draw: Draw, artifacts: "ArtifactStore | None"
) -> None:
    """Examine a trial that is about to end: attributes, note and, where there is a place for it, the picture.

    Args:
        readings: all looks of the trial, at least one; its fate and reason are noted with it already.
        draw: (readings, chance, title, path) -> the picture, written.

    Raises:
        OSError: the picture cannot be written.
    """
    study_id = trial.study._study_id
    found = _examined(readings, storage.get_all_trials(study_id, deepcopy=False), trial.number)
    for name, value in found.attributes().items():
        trial.set_user_attr(name, value)
    for name, value in _noted(found, storage.note(trial._trial_id), trial._trial_id).items():
        storage.set_study_system_attr(study_id, name, value)
    if artifacts is None:
        return
    from optuna.artifacts import upload_artifact  # noqa: PLC0415  imports every client that is installed

    with TemporaryDirectory() as place:
        path = Path(place) / "autopsy.png"
        draw(readings, found.chance, found.reason, path)
        upload_artifact(artifact_store=artifacts, file_path=str(path), study_or_trial=trial, storage=storage)


def chance_of(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> Chance:
    """Chance as a trial's worker counted it, as far as the store tells: its loss is NaN where no trial noted it.

    All trials of a study have the same labels, so another's attributes tell it as well.
    """
    known = (value for each in (trial, *trials) if isfinite(value := _chance_loss(each.user_attrs)))
    attributes = (each.user_attrs for each in (trial, *trials))
    top1 = next((each[store.CHANCE_TOP1] for each in attributes if store.CHANCE_TOP1 in each), nan)
    data = json.loads(trial.user_attrs.get(store.CONFIG, "{}")).get("data", {})
    classes = data.get("classes", 0) if data.get("task") != "regression" else 0
    return Chance(top1 if classes else nan, nan, next(known, nan), classes)


def look_over(study: Study) -> Survey:
    """What all finished trials of a study say together about dying and learning."""
    known = tried(study.get_trials(deepcopy=False))
    learned = sum(each.learned for each in known)
    counts = (study.study_name, len(known), learned)
    if len(known) < FEWEST:
        return Survey(*counts, f"{len(known)} finished trials say too little; {FEWEST} are the fewest")
    if learned in (0, len(known)):
        return Survey(*counts, f"{'all' if learned else 'none'} of {len(known)} trials learned: nothing to compare")
    found = (survey.deciders(known), survey.interactions(known), survey.region(known))
    return Survey(*counts, "", *map(tuple, found))  # type: ignore[arg-type]


def render(found: Survey) -> RenderableType:
    """A survey for a terminal."""
    head = Text(f"{found.study}: {found.learned} of {found.trials} trials learned", "bold")
    if found.note:
        return Text(f"{found.study}: {found.note}")
    return Group(head, *_lines(found))


def _lines(found: Survey) -> Iterator[RenderableType]:
    table = Table("hyperparameter", "decides", "most learned where")
    for each in found.deciders:
        table.add_row(each.name, f"{each.importance:.0%}", each.best)
    yield Text("share of the outcome (learned or not) that each explains alone, less what chance would")
    yield table
    for one, other, share in found.interactions:
        yield Text(f"together {one} and {other} explain another {share:.0%}, which neither does alone")
    for number, rule in enumerate(found.region):
        lead = "where runs live: " if not number else "  and narrower:  "
        least = wilson(rule.learned, rule.tried)
        yield Text(f"{lead}{rule.words}: {rule.learned} of {rule.tried} learned (95 % interval from {least:.0%} up)")
    if found.region:
        yield Text("these are the best of many conditions looked at: try them on new trials")
    else:
        yield Text("no condition singles out where runs live")


def _tried(trial: FrozenTrial) -> survey.Tried:
    fate = str(trial.user_attrs.get(store.FATE, store.INTERRUPTED))
    values = {name: value for name, value in trial.params.items() if value is not None}
    return survey.Tried(trial.number, values, fate, fate == Fate.LEARNED)


def _chance_loss(attributes: Mapping[str, Any]) -> float:
    """As noted, else from loss and gain, which is 1 - loss / chance; NaN where they do not tell."""
    if CHANCE_LOSS in attributes:
        return float(attributes[CHANCE_LOSS])
    loss, gain = attributes.get(store.LOSS, nan), attributes.get(store.GAIN, nan)
    return float(loss / (1 - gain)) if loss > 0 and gain < 1 else nan


def _noted(found: Autopsy, attributes: Mapping[str, Any], trial_id: int) -> dict[str, Any]:
    """The attributes of a note that holds an autopsy, and below it what a person has written.

    Args:
        attributes: of the study, those of the note as it is among them.
    """
    version, pieces = _note(attributes, trial_id)
    theirs = "".join(pieces).split(END_OF_NOTE, 1)[-1].strip()
    ours = f"{found.markdown()}\n\n{END_OF_NOTE}\n"
    return _pieces(f"{ours}\n{theirs}\n" if theirs else ours, trial_id, version + 1, len(pieces))


def _note(attributes: Mapping[str, Any], trial_id: int) -> tuple[int, list[str]]:
    """Version and pieces of a trial's note, from the study's system attributes; (0, []) where there is none."""
    prefix = f"dashboard:{trial_id}:note_str:"
    count = sum(name.startswith(prefix) for name in attributes)
    pieces = [attributes.get(f"{prefix}{piece}", "") for piece in range(count)]
    return attributes.get(f"dashboard:{trial_id}:note_ver", 0), pieces


def _pieces(body: str, trial_id: int, version: int, before: int) -> dict[str, Any]:
    """The attributes that `optuna_dashboard.save_note` would set; importing it costs a light command two seconds.

    Args:
        before: how many pieces the note had; those too many become empty.
    """
    count = max(before, ceil(len(body) / NOTE_PIECE))
    cut = [body[piece * NOTE_PIECE : (piece + 1) * NOTE_PIECE] for piece in range(count)]
    texts = {f"dashboard:{trial_id}:note_str:{piece}": text for piece, text in enumerate(cut)}
    return {f"dashboard:{trial_id}:note_ver": version, **texts}
