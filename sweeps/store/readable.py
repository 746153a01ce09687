"""Attributes that workers noted with trials, as far as they can be read.

Whoever can write to a store can change them, as Optuna's dashboard can, and another version of sweeps may write others.
What cannot be read is left out, and its name kept, so that one trial hides no other.
"""

import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from math import prod
from typing import Any

from optuna.trial import FrozenTrial
from pydantic import ValidationError

from sweeps.config import Config
from sweeps.errors import validation_reason
from sweeps.store import attributes as names
from sweeps.verdict import Fate

UNREADABLE = "sweeps:unreadable"  # in a trial's system attributes, in memory alone: what was left out, and why
FATES = {*map(str, Fate), names.FAILED, names.INTERRUPTED}
# What decoding something raises that is none: JSON, a number, a time, a compressed text.
NO_VALUE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RecursionError,
    AttributeError,
    AssertionError,
    zlib.error,
)
MOST_NUMBERS = 2**31  # of an input

parse_config = lru_cache(maxsize=16_384)(Config.model_validate_json)  # a study is read again and again


def _explain_text(value: Any) -> str:
    return "" if isinstance(value, str) else "is no text"


def _explain_number(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "is no number"
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        return "is too large a number"
    return ""


def _explain_count(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return "" if whole and value >= 0 else "is no whole number from 0"


def _explain_bool(value: Any) -> str:
    return "" if isinstance(value, bool) else "is neither true nor false"


def _explain_fate(value: Any) -> str:
    return "" if isinstance(value, str) and value in FATES else "is no fate that this version knows"


def _explain_config(value: Any) -> str:
    try:
        parse_config(str(value))
    except ValidationError as exc:
        return f"is no recipe that this version knows: {validation_reason(exc.errors()[0])}"
    return ""


def _explain_texts(value: Any) -> str:
    texts = value.values() if isinstance(value, dict) else value
    fits = isinstance(value, dict | list) and all(isinstance(text, str) for text in texts)
    return "" if fits else "holds what is no text"


def _explain_shape(value: Any) -> str:
    fits = isinstance(value, list) and 1 <= len(value) <= 4 and not any(map(_explain_count, value))
    return "" if fits and 0 < prod(value) <= MOST_NUMBERS else "is no shape of an input"


def _explain_judged_by(value: Any) -> str:
    fits = isinstance(value, dict) and {"log_odds", "grounds", "rejections"} <= value.keys()
    return "" if fits else "is not what a judge noted"


# Attribute -> why a value cannot be its value, as the end of a sentence; empty where it can.
EXPLAIN: dict[str, Callable[[Any], str]] = {
    names.CONFIG: _explain_config,
    names.FATE: _explain_fate,
    names.INPUT_SHAPE: _explain_shape,
    names.JUDGED_BY: _explain_judged_by,
    names.VERSIONS: _explain_texts,
    names.NET_PARTS: _explain_texts,
    names.CLASS_NAMES: _explain_texts,
    names.LEARNER: _explain_bool,
    names.CONTROL: _explain_bool,
}
EXPLAIN |= dict.fromkeys(
    (names.SLOT, names.PID, names.STEPS, names.BEST_STEP, names.WOULD_STOP, names.TRAIN_IMAGES), _explain_count
)
EXPLAIN |= dict.fromkeys(
    (
        names.REASON,
        names.HOST,
        names.TRACEBACK,
        names.CAUSE,
        names.DATA_DIGEST,
        names.CONFIG_DIGEST,
        names.GPU,
        names.NO_CHECKPOINT,
        names.WOULD_STOP_REASON,
    ),
    _explain_text,
)
EXPLAIN |= dict.fromkeys(
    (
        names.SECONDS,
        names.TOP1,
        names.TOP5,
        names.F1,
        names.LOSS,
        names.GAIN,
        names.CHANCE_TOP1,
        names.CHANCE_TOP5,
        names.CHANCE_LOSS,
        names.CHANCE_TRAIN_LOSS,
        names.CHANCE_CONSTANT_LOSS,
        names.BEST_VALUE,
        names.BEST_EPOCH,
        names.LOWEST_PROGNOSIS,
        names.BEST_GAIN,
    ),
    _explain_number,
)


def find_unreadable(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of ours whose values cannot be read: name -> why, as the end of a sentence."""
    reasons = {name: explain(attributes[name]) for name, explain in EXPLAIN.items() if name in attributes}
    return {name: reason for name, reason in reasons.items() if reason}


def keep_readable(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial without what cannot be read of its attributes: the same object where all can."""
    unreadable = find_unreadable(trial.user_attrs)
    if not unreadable:
        return trial
    readable = copy(trial)
    readable.user_attrs = {name: value for name, value in trial.user_attrs.items() if name not in unreadable}
    reasons = {f"attribute {name}": reason for name, reason in unreadable.items()}
    readable.system_attrs = trial.system_attrs | {UNREADABLE: trial.system_attrs.get(UNREADABLE, {}) | reasons}
    return readable


def describe_unreadable(trials: Sequence[FrozenTrial]) -> list[str]:
    """Return a line on each trial of which something cannot be read."""
    lines = []
    for trial in trials:
        for name, reason in trial.system_attrs.get(UNREADABLE, {}).items():
            lines.append(
                f"trial {trial.number}: its {name} {reason}; it is shown without it: set it back, or read the store "
                "with the version of sweeps that wrote it"
            )
    return lines
