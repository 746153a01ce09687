"""What a trial was trained with, beside its recipe: digests, the shape of an input, versions, the GPU."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sweeps import store
from sweeps.config import Config
from sweeps.data.arrays import Arrays, digest_arrays

PACKAGES = ("sweeps", "keras", "tensorflow", "numpy", "optuna")


def provenance_attributes(config: Config, arrays: Arrays, gpu: str) -> dict[str, Any]:
    """Return a trial's attributes that say what trained it."""
    values = {
        store.CONFIG_DIGEST: config.digest(),
        store.DATA_DIGEST: digest_arrays(arrays),
        store.INPUT_SHAPE: list(arrays.input_shape),
        store.TRAIN_IMAGES: len(arrays.train_labels),
        store.VERSIONS: installed_versions(),
    }
    if arrays.class_names:
        values[store.CLASS_NAMES] = list(arrays.class_names)
    if gpu:
        values[store.GPU] = gpu
    return values


@cache
def installed_versions() -> dict[str, str]:
    """Return the installed versions of Python and of the packages that decide what a trial does."""
    return {
        "python": platform.python_version(),
        **{name: own_name for name in PACKAGES if (own_name := _installed_version(name))},
    }


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
