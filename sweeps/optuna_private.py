"""All that sweeps uses of Optuna's private interface; no other module touches it.

A new minor version of Optuna may change any of this: the bound in pyproject.toml is raised after the tests have passed.
"""

from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage as CachedStorage
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

__all__ = [
    "STORAGE_LOGGER",
    "ArtifactStore",
    "CachedStorage",
    "FrozenStudy",
    "check_schema",
    "models",
    "storage_of",
    "study_id_of",
    "trial_id_of",
]

STORAGE_LOGGER = "optuna.storages._rdb.storage"


def study_id_of(study: optuna.Study) -> int:
    """Return the number by which a storage knows a study."""
    return study._study_id


def trial_id_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number by which a storage knows a trial; `trial.number` counts within the study."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return a study's storage."""
    return study._storage


def check_schema(storage: RDBStorage) -> None:
    """Check that the storage's tables are those of the installed Optuna.

    Raises:
        RuntimeError: they are not; the message says what to do.
    """
    storage._version_manager.check_table_schema_compatibility()
