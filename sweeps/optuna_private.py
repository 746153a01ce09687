"""All that sweeps uses of Optuna's private interface; no other module touches it.

A new minor version of Optuna may change any of this: the bound in pyproject.toml is raised after the tests have passed.
"""

import io
import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import CmaEsSampler
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
    "CheckedCmaEsSampler",
    "FrozenStudy",
    "check_schema",
    "models",
    "rdb_storage_of",
    "storage_of",
    "study_id_of",
    "trial_id_of",
]

STORAGE_LOGGER = "optuna.storages._rdb.storage"
# All that a pickled optimiser of cmaes names: its class and arrays of numbers. Other names could run code.
PARTS_OF_OPTIMIZERS = {
    ("cmaes._cma", "CMA"),
    ("cmaes._cmawm", "CMAwM"),
    ("cmaes._sepcma", "SepCMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
}


class CheckedCmaEsSampler(CmaEsSampler):
    """Optuna's sampler, which keeps its optimiser as a pickle in the attributes of trials, where others may write: only
    what such an optimiser consists of is unpickled.
    """

    def _restore_optimizer(self, completed_trials: Sequence[FrozenTrial]) -> Any:
        """Return the optimiser that the last trial with one holds; None where none does.

        Raises:
            pickle.UnpicklingError: it is something else.
        """
        for trial in reversed(completed_trials):
            texts = {key: text for key, text in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)}
            if texts:
                return _OptimizerUnpickler(io.BytesIO(bytes.fromhex(self._concat_optimizer_attrs(texts)))).load()
        return None


class _OptimizerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names.

        Raises:
            pickle.UnpicklingError: it is no part of an optimiser.
        """
        if (module, name) not in PARTS_OF_OPTIMIZERS:
            raise pickle.UnpicklingError(f"the optimiser's state names {module}.{name}, which is no part of one")
        return super().find_class(module, name)


def study_id_of(study: optuna.Study) -> int:
    """Return the number by which a storage knows a study."""
    return study._study_id


def trial_id_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number by which a storage knows a trial; `trial.number` counts within the study."""
    return trial._trial_id


def storage_of(study: optuna.Study) -> BaseStorage:
    """Return a study's storage."""
    return study._storage


def rdb_storage_of(study: optuna.Study) -> RDBStorage | None:
    """Return the database behind a study's storage, also behind Optuna's cache; None where there is none."""
    storage = study._storage
    if isinstance(storage, CachedStorage):
        storage = storage._backend
    if isinstance(storage, RDBStorage):
        return storage
    return None


def check_schema(storage: RDBStorage) -> None:
    """Check that the storage's tables are those of the installed Optuna.

    Raises:
        RuntimeError: they are not; the message says what to do.
    """
    storage._version_manager.check_table_schema_compatibility()
