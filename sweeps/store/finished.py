"""Finished trials as the store keeps them: Optuna's trials, and the attributes that workers noted."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from sweeps.config import Config
from sweeps.errors import StoreError, validation_reason
from sweeps.store import attributes as names
from sweeps.trials import FinishedTrial

_parse_config = lru_cache(maxsize=16_384)(Config.model_validate_json)  # a study is read again and again


def read_config(attributes: Mapping[str, Any]) -> Config | None:
    """Return the recipe among a trial's attributes; None where it has none.

    Raises:
        StoreError: it cannot be read.
    """
    text = attributes.get(names.CONFIG)
    if text is None:
        return None
    try:
        return _parse_config(str(text))
    except ValidationError as exc:
        reason = validation_reason(exc.errors()[0])
        raise StoreError(f"a trial's config cannot be read: {reason}; did a newer version of sweeps write it?") from exc


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FinishedTrial]:
    """Return the trials that count in the budget, in the order of their numbers.

    Raises:
        StoreError: the config of one cannot be read.
    """
    return [make_finished(trial) for trial in trials if trial.state.is_finished() and not is_interrupted(trial)]


def is_interrupted(trial: FrozenTrial) -> bool:
    """Return whether a trial was given up when its study was stopped, so that it does not count in the budget."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get(names.FATE) != names.FAILED


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
        best_value=attributes.get(names.BEST_VALUE),
        best_step=attributes.get(names.BEST_STEP),
        best_epoch=attributes.get(names.BEST_EPOCH),
        steps=attributes.get(names.STEPS, 0),
        seconds=attributes.get(names.SECONDS, 0.0),
        would_stop=attributes.get(names.WOULD_STOP),
        slot=None if slot is None else int(slot),
        cause=str(attributes.get(names.CAUSE) or ""),
        traceback=str(attributes.get(names.TRACEBACK) or ""),
    )
