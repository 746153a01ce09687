"""Finished trials as the store keeps them: Optuna's trials, and the attributes that workers noted."""

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from sweeps.config import Config
from sweeps.errors import StoreError, validation_reason
from sweeps.store import attributes as names
from sweeps.store.readable import parse_config
from sweeps.trials import FinishedTrial


def read_config(attributes: Mapping[str, Any]) -> Config | None:
    """Return the recipe among a trial's attributes; None where it has none.

    Raises:
        StoreError: it cannot be read.
    """
    text = attributes.get(names.CONFIG)
    if text is None:
        return None
    try:
        return parse_config(str(text))
    except ValidationError as exc:
        reason = validation_reason(exc.errors()[0])
        raise StoreError(f"a trial's config cannot be read: {reason}; did a newer version of sweeps write it?") from exc


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FinishedTrial]:
    """Return the trials that count in the budget, in the order of their numbers.

    Raises:
        StoreError: the config of one cannot be read.
    """
    return [
        make_finished(trial)
        for trial in trials
        if trial.state.is_finished() and not is_interrupted(trial) and not is_added(trial)
    ]


def count_train_images(asked: int, trials: Iterable[FrozenTrial]) -> int:
    """Return how many images or rows there were to train on, as the last trial that noted it has it.

    Args:
        asked: what the file asks for, returned while no trial has noted it.
    """
    counts = [trial.user_attrs[names.TRAIN_IMAGES] for trial in trials if names.TRAIN_IMAGES in trial.user_attrs]
    if counts:
        return int(counts[-1])
    return asked


def is_interrupted(trial: FrozenTrial) -> bool:
    """Return whether a trial was given up when its study was stopped, so that it does not count in the budget."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get(names.FATE) != names.FAILED


def is_added(trial: FrozenTrial) -> bool:
    """Return whether a finished trial was added by Optuna's own means (`study.add_trial`), and not run by a worker.

    Samplers learn from it; as a result of the study it does not count.
    """
    return trial.state.is_finished() and not {names.FATE, names.CONFIG, names.SLOT} & trial.user_attrs.keys()


def is_enqueued(trial: FrozenTrial) -> bool:
    """Return whether a trial was enqueued by Optuna's own means (`study.enqueue_trial`) and has not been begun."""
    enqueued = names.ENQUEUED_VALUES in trial.system_attrs and names.SLOT not in trial.user_attrs
    return trial.state == TrialState.WAITING and enqueued


def make_finished(trial: FrozenTrial) -> FinishedTrial:
    """Return Optuna's trial as a finished one.

    Raises:
        StoreError: its config cannot be read.
    """
    attributes = trial.user_attrs
    slot = attributes.get(names.SLOT)
    value = None
    if trial.state == TrialState.COMPLETE:
        value = trial.value
    return FinishedTrial(
        number=trial.number,
        fate=attributes.get(names.FATE, names.FAILED),
        reason=attributes.get(names.REASON, ""),
        config=read_config(attributes),
        params={name: param for name, param in trial.params.items() if param is not None},
        value=value,
        top1=attributes.get(names.TOP1),
        top5=attributes.get(names.TOP5),
        f1=attributes.get(names.F1),
        loss=attributes.get(names.LOSS),
        gain=attributes.get(names.GAIN),
        chance_loss=attributes.get(names.CHANCE_LOSS),
        best_value=attributes.get(names.BEST_VALUE),
        best_step=attributes.get(names.BEST_STEP),
        best_epoch=attributes.get(names.BEST_EPOCH),
        steps=attributes.get(names.STEPS, 0),
        seconds=attributes.get(names.SECONDS, 0.0),
        would_stop=attributes.get(names.WOULD_STOP),
        slot=None if slot is None else int(slot),
        cause=str(attributes.get(names.CAUSE) or ""),
        traceback=str(attributes.get(names.TRACEBACK) or ""),
        data_digest=str(attributes.get(names.DATA_DIGEST) or ""),
    )
