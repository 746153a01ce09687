"""The input of a report: a study as the store held it at one moment."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import ranking
from sweeps.readings import Reading
from sweeps.space.space import Space
from sweeps.store.trials import Trials

Readings = Callable[[Sequence[int]], Iterator[tuple[int, list[Reading]]]]


@dataclass(frozen=True, slots=True)
class Material:
    """A study's trials, in the order of their numbers, and the trials of the studies that confirm it.

    Attributes:
        readings: takes numbers of trials; yields (number, readings in the order of their steps) of those that have
            readings.
        confirming: the studies that confirm it, each with its trials.
        warnings: what its rehearsal found odd, a line each.
    """

    space: Space
    trials: Sequence[FrozenTrial]
    readings: Readings
    confirming: tuple[tuple[Space, Sequence[FrozenTrial]], ...] = ()
    warnings: tuple[str, ...] = ()


def read_material(storage: RDBStorage, study: Study) -> Material:
    """Read a study and the studies that confirm it.

    Raises:
        StoreError: it was not made by sweeps.
    """
    space = store.space_of(study)
    study_id = store.id_of(storage, study)
    confirming_ids = [
        (confirming_space, store.id_of(storage, confirming_study))
        for confirming_study, confirming_space in ranking.list_confirmations(storage, study.study_name)
    ]
    return Material(
        space=space,
        trials=Trials(study_id).read_trials(storage.engine),
        readings=lambda numbers: store.readings_of_each(storage.engine, study_id, numbers),
        confirming=tuple(
            (confirming_space, Trials(confirming_id).read_trials(storage.engine))
            for confirming_space, confirming_id in confirming_ids
        ),
        warnings=tuple(study.user_attrs.get(store.WARNINGS, ())),
    )
