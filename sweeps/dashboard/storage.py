"""What optuna-dashboard is shown of a store: attributes in a useful order, and cut to a length that pages can show."""

import copy
import json
from collections.abc import Container, Mapping
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from sweeps import store
from sweeps.optuna_private import CachedStorage, FrozenStudy, trial_id_of

# The page of a trial shows six lines of its attributes and then scrolls: the most wanted come first.
FIRST = (
    store.FATE,
    store.REASON,
    "died_in_layer",
    "died_at_step",
    "autopsy_cause",
    store.TOP1,
    store.CHANCE_TOP1,
    store.TOP5,
    store.CHANCE_TOP5,
    store.F1,
    store.LOSS,
    store.CHANCE_LOSS,
    store.GAIN,
    store.STEPS,
    store.BEST_VALUE,
    store.BEST_STEP,
    store.BEST_EPOCH,
    store.SECONDS,
    store.HOST,
    store.GPU,
    store.CONFIG_DIGEST,
)
RANKS = {name: rank for rank, name in enumerate(FIRST)}
IN_THE_NOTE = (store.SPACE_TEXT, store.SPACE_SHA256)
# That page breaks no line of an attribute, and the longest line makes it as wide.
MOST_CHARACTERS = 80  # of a name and its value
MOST_BROKEN_CHARACTERS = 20  # of a value whose spaces may stay: the table of trials breaks lines at each
NO_BREAK_SPACE = "\u00a0"


class DashboardStorage(CachedStorage):
    """Optuna's storage, whose trials have their attributes in order and cut.

    A caller that takes copies of trials, such as the dashboard's download of a CSV file, gets them whole.
    """

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._whole_and_shown: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return a study's trials: whole if they are copied, else as pages show them."""
        trials = super().get_all_trials(study_id, deepcopy, states)
        if deepcopy:
            return trials
        return [self._cut_trial(trial) for trial in trials]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return a study's best trial as pages show it."""
        return self._cut_trial(super().get_best_trial(study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies without the text of their search spaces, which their notes hold."""
        studies = super().get_all_studies()
        for study in studies:
            study.user_attrs = {name: study.user_attrs[name] for name in study.user_attrs if name not in IN_THE_NOTE}
        return studies

    def _cut_trial(self, trial: FrozenTrial) -> FrozenTrial:
        """Return a trial with its attributes in order and cut: the same object each time for a finished trial."""
        cached = self._whole_and_shown.get(trial_id_of(trial))
        if cached is not None and cached[0] is trial:
            return cached[1]
        shown = copy.copy(trial)
        shown.user_attrs = order_attributes(trial.user_attrs)
        self._whole_and_shown[trial_id_of(trial)] = (trial, shown)
        return shown


def order_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the most wanted attributes first, then the others by name; long values are cut."""
    names = sorted(attributes, key=lambda name: (RANKS.get(name, len(FIRST)), name))
    return {name: _cut_value(attributes[name], MOST_CHARACTERS - len(name)) for name in names}


def _cut_value(value: Any, most_characters: int) -> Any:
    """Return a value as a text that fits, or as it is if it is short."""
    if not isinstance(value, str | list | dict):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) <= MOST_BROKEN_CHARACTERS:
        return value
    if len(text) > most_characters:
        text = f"{text[: most_characters - 1]}…"
    return text.replace(" ", NO_BREAK_SPACE)
