"""A study's note, which optuna-dashboard shows: its question, how it stands, and how to read it.

Written when the study is made; kept fresh by whoever finishes its last trial, by `sweeps run` and `sweeps dashboard`.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.analysis import summary as summaries
from sweeps.analysis.summary import FATES, Summary
from sweeps.analysis.values import get_drawn_values
from sweeps.space.space import Budget, Space
from sweeps.store import notes, queue
from sweeps.store.trials import Trials
from sweeps.surfaces import escape_markdown, fence_code, quote_argument, quote_code
from sweeps.verdict import Fate

MEANINGS = {
    Fate.LEARNED: "at the end of its steps, clearly better than guessing",
    Fate.ABOVE_CHANCE: "better than guessing, but not clearly yet",
    Fate.INFERENCE_LAGS: "learns, but the moving averages of batch normalisation lag behind",
    Fate.MEMORISED: "learns its training images alone",
    Fate.HOLDOUT_DIFFERS: "learns, but the hold-out set is unlike the training set",
    Fate.AT_CHANCE: "no better than guessing: at the end, or stopped with a prognosis that no learner had",
    Fate.COLLAPSED: "every input gives the same output, or a layer is dead or saturated",
    Fate.FROZEN: "the steps left could not move the weights",
    Fate.DIVERGED: "a weight or the loss is no finite number",
    Fate.NOT_FINITE: "the loss or a weight is no finite number before the first step",
    Fate.OUTRANKED: "stopped: others were better",
    store.FAILED: "could not be trained; its note says why",
}
GAP = "\u2002\u2002"  # between the columns of a table, which the dashboard sets tight


def refresh_note(storage: RDBStorage, study: Study) -> None:
    """Have a study's note say how it stands; what a person wrote below it stays.

    Raises:
        StoreError: the study was not made by sweeps.
    """
    write_study_note(storage, study, Trials(store.id_of(storage, study)).read_trials(storage.engine))


def write_study_note(storage: RDBStorage, study: Study, trials: Sequence[FrozenTrial]) -> None:
    """Write the note of a study from its trials, in the order of their numbers."""
    study_id = store.id_of(storage, study)
    space = store.space_of(study)
    parts = [make_study_note(study_id, space, trials)]
    if warnings := study.user_attrs.get(store.WARNINGS):
        parts.append(
            "### What was odd before it began\n\n"
            + "\n".join(f"* {escape_markdown(str(warning))}" for warning in warnings)
        )
    parts.extend(_quote_file(study.user_attrs))
    finished = summaries.summarise_trials(space, trials).done
    notes.store_study_note(storage.engine, study_id, "\n\n".join(parts), finished)


def list_stale(storage: RDBStorage) -> list[str]:
    """Return the names of the studies of sweeps whose notes tell of fewer or more trials than have finished."""
    finished = notes.finished_in_notes(storage.engine)
    studies = queue.queued_studies(storage.engine)
    return [study.name for study in studies if finished.get(study.study_id) != study.done]


def make_study_note(study_id: int, space: Space, trials: Sequence[FrozenTrial]) -> str:
    """Return how a study stands and how it is to be read, in Markdown; the same for the same finished trials."""
    summary = summaries.summarise_trials(space, trials)
    parts = (_describe_state(study_id, space, summary), _describe_comparison(space, trials), _how_to_read(space))
    return "\n\n".join(line for part in parts for line in part)


def _describe_state(study_id: int, space: Space, summary: Summary) -> Iterator[str]:
    if space.question:
        yield f"## {escape_markdown(space.question)}"
    yield f"### As of {summary.done:,} of {summary.trials:,} trials"
    counts = [f"| {fate} | {summary.fates.get(fate, 0):,} | {GAP}{MEANINGS[fate]} |" for fate in FATES]
    yield "\n".join([f"| fate | {GAP}trials | {GAP}meaning |", "|:--|--:|:--|"] + counts)
    if summary.steps_saved:
        every = summary.steps_run + summary.steps_saved
        yield f"Steps saved: {summary.steps_saved:,} of {every:,} ({summary.steps_saved / every:.0%})."
    if summary.would_stop:
        learned = f"{summary.would_stop_learned} of them learned"
        yield f"Controls, which are never stopped, that would have been: {summary.would_stop}; {learned}."
    if (best := summary.best) is not None and best.value is not None and summary.fates.get(Fate.LEARNED):
        value = f"{space.measure.title} {summaries.format_objective(space.objective, best.value)}"
        page = f"/dashboard/studies/{study_id}/trials?numbers={best.number}"
        yield f"Best: {value}, [trial {best.number}]({page}): {quote_code(get_drawn_values(space, best))}"


def _describe_comparison(space: Space, trials: Sequence[FrozenTrial]) -> Iterator[str]:
    yield "### What is compared"
    objective = space.measure
    lines = [
        f"Trials are compared by {objective.definition}: the {objective.better} the better. "
        f"{_find_chance(space, trials)}"
    ]
    data = space.data
    where = ""
    if space.data.path:
        where = f" ({escape_markdown(space.data.path)})"
    what = "numbers to be predicted"
    if data.task == "classification":
        what = f"{data.classes:,} classes"
    images = store.count_train_images(data.images, trials)
    lines += [
        f"Budget: {_format_budget(space.budget)}.",
        f"Data: {escape_markdown(data.source)}{where}, {what}, {images:,} to train on.",
    ]
    if changed := _find_changes_of_data(space, trials):
        numbers = ", ".join(map(str, changed))
        lines.append(f"The data changed with trial {numbers}: trials before and after are not comparable.")
    if space.confirms:
        lines.append(f"It runs candidates of {quote_code(space.confirms)} again.")
    yield "\n".join(f"* {line}" for line in lines)
    if rows := list(_list_truncated(space)):
        yield "It is a truncation of something larger:"
        yield "\n".join([f"| | {GAP}here | {GAP}in full |", "|:--|--:|--:|"] + rows)


def _find_changes_of_data(space: Space, trials: Sequence[FrozenTrial]) -> list[int]:
    """Return the numbers of the trials that were the first on data other than the first trial's."""
    if not space.data.is_of_user:
        return []
    first: dict[str, int] = {}
    for trial in trials:
        if store.DATA_DIGEST in trial.user_attrs:
            first.setdefault(trial.user_attrs[store.DATA_DIGEST], trial.number)
    return list(first.values())[1:]


def _find_chance(space: Space, trials: Sequence[FrozenTrial]) -> str:
    """Return what guessing scores, as the workers counted it; before that, as far as the file tells."""
    known = next((trial for trial in trials if store.GAIN in trial.user_attrs), None)
    if known is not None:
        chance = autopsies.chance_of(known, trials)
        loss = f"a loss of {chance.loss:.4g}"
        if not chance.classes:
            return f"Predicting the mean has {loss}."
        known_shares = (("top-1", chance.top1), ("top-5", chance.top5))
        shares = [f"{value:.2%} in {name}" for name, value in known_shares if isfinite(value)]
        return f"Guessing scores {', '.join(shares)} and has {loss}."
    if space.data.task == "regression":
        return "Chance is predicting the mean."
    return f"Guessing is right once in {space.data.classes:,} times where classes are equally frequent."


def _format_budget(budget: Budget) -> str:
    name = f"{budget.steps:,} steps, a reading every {budget.report_interval:,}"
    if budget.epochs:
        name = f"{budget.epochs:,} epochs of {budget.epoch_images:,} images, a reading after each"
    return f"{budget.trials:,} trials of {name}, at {budget.holdout_images:,} hold-out images"


def _list_truncated(space: Space) -> Iterator[str]:
    """Yield rows of a table: what is smaller here than at full size."""
    for name, table in space.tables.get("full", {}).items():
        for key, full in table.items():
            here = getattr(getattr(space, name), key)
            shown = ""
            if here:
                shown = _group_digits(here)
            yield f"| {name}.{key} | {shown} | {_group_digits(full)} |"


def _group_digits(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _how_to_read(space: Space) -> Iterator[str]:
    if space.data.task == "regression":
        measure = "R^2"
    else:
        measure = "information gain, 1 - loss / loss of guessing"
    if space.measure.direction == "maximize":
        sign = ""
    else:
        sign = ", with a minus before it since less is better here"
    yield "### How to read it"
    name = quote_argument(space.name)
    survey = quote_code(f"sweeps survey {name}")
    commands = [
        quote_code(f"sweeps {command}")
        for command in (
            f"status {name}",
            f"autopsy {name} TRIAL",
            f"report {name}",
            f"export --trial TRIAL --to FOLDER {name}",
        )
    ]
    lines = (
        "Each finished trial has a note with what became of it and why, a picture (its curves against chance, and the "
        "signal of each layer over the steps) and its config; `fate` and `reason` lead its attributes.",
        f"Intermediate values are {measure}{sign}: 0 is chance, 1 is perfect. In *History* a pruned trial stands at "
        f"its last one, not at its {space.measure.title}: switch *Include PRUNED trials* off to compare.",
        "*Hyperparameter Importance* may contradict the survey: it explains how much the objective varies among "
        "complete trials, without those that were stopped because they were dead, and counts a parameter with "
        f"conditions once for each. {survey} explains which trials learned, over all of them.",
        f"In a terminal: {', '.join(commands)}.",
    )
    yield "\n".join(f"* {line}" for line in lines)


def _quote_file(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the search space as the person wrote it, and what was set otherwise."""
    yield "### Search space"
    if overrides := attributes[store.SPACE_OVERRIDES]:
        yield "With " + ", ".join(quote_code(f"--set {override}") for override in overrides)
    yield fence_code("toml", attributes[store.SPACE_TEXT].strip())
