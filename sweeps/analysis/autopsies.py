"""Autopsies of a store's trials, and what a study's trials say together about dying and learning."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.diagnosis import survey
from sweeps.diagnosis.autopsy import LAYER_COLUMNS, Autopsy, make_autopsy, make_layer_heading, make_layer_rows
from sweeps.diagnosis.causes import Cause
from sweeps.readings import Reading
from sweeps.trials import UNKNOWN, FinishedTrial, drop_repetitions
from sweeps.verdict import Chance, Fate
from sweeps.verdict.shares import wilson_lower

CHANCE_LOSSES = (store.CHANCE_LOSS, "autopsy_chance_loss")  # as it is noted, and as it was
MOST_LAYERS = 40  # that a terminal shows
FEWEST = 8  # trials, below which a survey is silent


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
    region: tuple[survey.Region, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON encoder."""
        pairs = [{"parameters": [one, other], "importance": share} for one, other, share in self.interactions]
        return {**asdict(self), "interactions": pairs}


def list_judged(trials: Iterable[FrozenTrial]) -> list[FinishedTrial]:
    """Return the finished trials of which it is known whether they learned; not those outranked or failed, nor
    those that repeat another.
    """
    finished = drop_repetitions(store.finished_trials(trials))
    return [trial for trial in finished if trial.fate not in UNKNOWN]


def examine_trial(storage: RDBStorage, study: Study, number: int) -> Autopsy:
    """Return the autopsy of a trial, with what the study knows as of now.

    Raises:
        StoreError: no such trial, or it left no readings.
    """
    readings, _ = store.finished_readings(storage, study, number)
    return make_trial_autopsy(readings, store.read_trials(study), number)


def make_trial_autopsy(readings: Sequence[Reading], trials: Sequence[FrozenTrial], number: int) -> Autopsy:
    """Return the autopsy of one of these trials, all those of its study, with its readings, at least one."""
    trial = trials[number]
    config = store.read_config(trial.user_attrs)
    parts: list[str] = trial.user_attrs.get(store.NET_PARTS, [])
    activation = None
    names = set(parts)
    known_parts = True
    if config is not None and config.model.architecture == "custom":
        known_parts = bool(parts)
        names |= {config.optimizer, config.dtype}  # the rest may be no part of a user's net
    elif config is not None:
        activation = config.activation
        names |= {value for value in config.model_dump().values() if isinstance(value, str)}
    if config is not None and config.recalibrate_batch_normalization:
        names.add("recalibrated")
    known = list_judged(trials)
    dead = trial.user_attrs.get(store.FATE) != Fate.LEARNED
    changes = []
    if dead and known:
        changes = survey.supported_changes(store.make_finished(trial), known)
    return make_autopsy(
        readings,
        chance_of(trial, trials),
        str(trial.user_attrs.get(store.FATE, store.INTERRUPTED)),
        str(trial.user_attrs.get(store.REASON, "")),
        changes,
        activation,
        names,
        known_parts=known_parts,
    )


def render_autopsy(autopsy: Autopsy) -> RenderableType:
    """Return an autopsy for a terminal."""
    parts: list[RenderableType] = [Text(f"autopsy: {autopsy.cause}", "bold")]
    parts += [Text(sentence) for sentence in autopsy.describe_death()]
    parts.append(Text("\nwhat happened", "bold"))
    events = list(autopsy.describe_events())
    if autopsy.reason:
        events.insert(0, autopsy.reason)
    parts += [_make_item(event) for event in events]
    rows = make_layer_rows(autopsy.findings, MOST_LAYERS)
    if rows:
        parts.append(Text(f"\n{make_layer_heading(autopsy.findings, len(rows)).lower()}", "bold"))
        table = Table(*LAYER_COLUMNS[:1], box=box.SIMPLE_HEAD, pad_edge=False)
        for column in LAYER_COLUMNS[1:]:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*map(Text, row))
        parts.append(table)
    if autopsy.cause is not Cause.NONE:
        parts.append(Text("what this study supports", "bold"))
        parts += [_make_item(line.strip().removeprefix("- ")) for line in autopsy.describe_support()]
    return Group(*parts)


def _make_item(text: str) -> RenderableType:
    """Return a text behind a bullet, whose further lines are indented."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("•"), Text(text))
    return grid


def chance_of(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> Chance:
    """Return what guessing scores on a trial's data, as far as the store tells; not a number where no trial noted it.

    All trials of a study have the same labels, so another's attributes tell it as well.
    """
    attributes = [trial.user_attrs]
    attributes.extend(other.user_attrs for other in trials)
    losses = (_chance_loss(noted) for noted in attributes)
    loss = next((value for value in losses if isfinite(value)), nan)
    config = store.read_config(trial.user_attrs)
    if config is None or config.data.task == "regression":
        return Chance(nan, nan, loss, 0, *_find_training_losses(attributes))
    shares = next((noted for noted in attributes if store.CHANCE_TOP1 in noted), {})
    top1 = shares.get(store.CHANCE_TOP1, nan)
    top5 = shares.get(store.CHANCE_TOP5, nan)
    return Chance(top1, top5, loss, config.data.classes, *_find_training_losses(attributes))


def _find_training_losses(attributes: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return `Chance.train_loss` and `Chance.constant_loss` as noted; not a number in stores of early versions."""
    noted = next((values for values in attributes if store.CHANCE_TRAIN_LOSS in values), {})
    return noted.get(store.CHANCE_TRAIN_LOSS, nan), noted.get(store.CHANCE_CONSTANT_LOSS, nan)


def survey_study(study: Study) -> Survey:
    """Return what all finished trials of a study say together about dying and learning."""
    return survey_trials(study.study_name, list_judged(store.read_trials(study)))


def survey_trials(name: str, known: Sequence[FinishedTrial]) -> Survey:
    """Return what these trials say together; they are those of a study of this name that are known to have learned
    or not.
    """
    count = len(known)
    learned = sum(trial.learned for trial in known)
    note = ""
    if count < FEWEST:
        note = f"{count} finished trials say too little; {FEWEST} are the fewest"
    elif learned == 0:
        note = f"none of {count} trials learned: nothing to compare"
    elif learned == count:
        note = f"all of {count} trials learned: nothing to compare"
    if note:
        return Survey(name, count, learned, note)
    return Survey(
        study=name,
        trials=count,
        learned=learned,
        note="",
        deciders=tuple(survey.rank_deciders(known)),
        interactions=tuple(survey.find_interactions(known)),
        region=tuple(survey.find_region(known)),
    )


def render_survey(survey: Survey) -> RenderableType:
    """Return a survey for a terminal."""
    head = Text(f"{survey.study}: {survey.learned} of {survey.trials} trials learned", "bold")
    if survey.note:
        return Text(f"{survey.study}: {survey.note}")
    return Group(head, *_list_lines(survey))


def _list_lines(survey: Survey) -> Iterator[RenderableType]:
    table = Table("hyperparameter", "decides", "most learned where")
    for decider in survey.deciders:
        table.add_row(decider.name, f"{decider.importance:.0%}", decider.best)
    yield Text("share of the outcome (learned or not) that each explains alone, less what chance would")
    yield table
    for one, other, share in survey.interactions:
        yield Text(f"together {one} and {other} explain another {share:.0%}, which neither does alone")
    for number, rule in enumerate(survey.region):
        if not number:
            lead = "where runs live: "
        else:
            lead = "  and narrower:  "
        least = wilson_lower(rule.learned, rule.tried)
        yield Text(f"{lead}{rule.words}: {rule.learned} of {rule.tried} learned (95 % interval from {least:.0%} up)")
    if survey.region:
        yield Text("these are the best of many conditions looked at: try them on new trials")
    else:
        yield Text("no condition singles out where runs live")


def _chance_loss(attributes: Mapping[str, Any]) -> float:
    """Return the loss of guessing as noted, else from loss and gain (1 - loss / chance); NaN where neither is there."""
    for name in CHANCE_LOSSES:
        if name in attributes:
            return float(attributes[name])
    loss = attributes.get(store.LOSS, nan)
    gain = attributes.get(store.GAIN, nan)
    if loss > 0 and gain < 1:
        return float(loss / (1 - gain))
    return nan
