"""What optuna-dashboard is given to show: the store, its attributes in an order and of a length that pages can bear."""

import copy
import json
from collections.abc import Container, Mapping
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from sweeps import store

# The page of a trial shows six lines of its attributes, then scrolls: what people ask first comes first.
FIRST = (
    *(store.FATE, store.REASON, "died_in_layer", "died_at_step", "autopsy_cause"),
    *(store.TOP1, store.CHANCE_TOP1, store.TOP5, store.CHANCE_TOP5, store.F1, store.LOSS, store.CHANCE_LOSS),
    *(store.GAIN, store.STEPS, store.BEST_VALUE, store.BEST_STEP, store.BEST_EPOCH),
    *(store.SECONDS, store.HOST, store.GPU, store.CONFIG_DIGEST),
)
IN_THE_NOTE = (store.SPACE_TEXT, store.SPACE_SHA256)
PLACES = {name: place for place, name in enumerate(FIRST)}
# Characters of a value, and of name and value: that page breaks no line of them, and the longest makes it as wide.
SHORT, MOST = 20, 80
NO_BREAK = "\u00a0"  # the table of trials breaks lines wherever it may, and has rows of a palm's height


class DashboardStorage(_CachedStorage):
    """Optuna's storage for pages; who takes copies of trials (the file of comma-separated values) has them whole."""

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._whole_and_shown: dict[int, tuple[FrozenTrial, FrozenTrial]] = {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = self.whole(study_id, deepcopy, states)
        return found if deepcopy else [self._shown(trial) for trial in found]

    def whole(
        self, study_id: int, deepcopy: bool = False, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """A study's trials with all that they have noted, as Optuna gives them."""
        return super().get_all_trials(study_id, deepcopy, states)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._shown(super().get_best_trial(study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        """Without the text of their search spaces, which their notes hold."""
        found = super().get_all_studies()
        for study in found:
            study.user_attrs = {name: study.user_attrs[name] for name in study.user_attrs if name not in IN_THE_NOTE}
        return found

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial with its attributes in order and cut; one that is finished is the same object each time."""
        known = self._whole_and_shown.get(trial._trial_id)
        if known is not None and known[0] is trial:
            return known[1]
        made = copy.copy(trial)
        made.user_attrs = ordered(trial.user_attrs)
        self._whole_and_shown[trial._trial_id] = (trial, made)
        return made


def ordered(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that people ask for first, then the others by name; long ones are cut."""
    names = sorted(attributes, key=lambda name: (PLACES.get(name, len(FIRST)), name))
    return {name: _cut(attributes[name], MOST - len(name)) for name in names}


def _cut(value: Any, most: int) -> Any:
    if not isinstance(value, str | list | dict):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return value if len(text) <= SHORT else cut.replace(" ", NO_BREAK)
