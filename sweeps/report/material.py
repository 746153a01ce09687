"""What a report is made from: a study as the store held it at one moment."""

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
    """A study's trials, in the order of their numbers, and those of the studies that confirm it.

    Attributes:
        readings: of the trials with these numbers, those that left any: (number, looks in the order of their steps).
    """

    space: Space
    trials: Sequence[FrozenTrial]
    readings: Readings
    confirming: tuple[tuple[Space, Sequence[FrozenTrial]], ...] = ()


def read_material(storage: RDBStorage, study: Study) -> Material:
    """Read a study.

    Raises:
        StoreError: it was not made by sweeps.
    """
    space = store.space_of(study)
    study_id = store.id_of(storage, study)
    again = [
        (own_space, store.id_of(storage, its))
        for its, own_space in ranking.list_confirmations(storage, study.study_name)
    ]
    return Material(
        space,
        Trials(study_id).read_trials(storage.engine),
        lambda numbers: store.readings_of_each(storage.engine, study_id, numbers),
        tuple((this_space, Trials(its_id).read_trials(storage.engine)) for this_space, its_id in again),
    )
