"""Data sets that come with Keras; its loaders use the files in its cache, and fetch those that are missing."""

import contextlib
import os
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import keras

from sweeps import data
from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.assemble import assemble_arrays
from sweeps.data.raw import Raw
from sweeps.errors import InputError, one_line

DATASETS: dict[str, Callable[[], Any]] = {
    "fashion_mnist": keras.datasets.fashion_mnist.load_data,
    "cifar10": keras.datasets.cifar10.load_data,
    "boston_housing": keras.datasets.boston_housing.load_data,
    "california_housing": keras.datasets.california_housing.load_data,
}


@lru_cache(maxsize=2)
def load_dataset(config: DataConfig, holdout_images: int) -> Arrays:
    """Return the data set of a study: one of Keras's, else what `sweeps.data.load_arrays` finds.

    Raises:
        InputError: neither a file in Keras's cache nor a network to fetch it.
    """
    if config.source not in DATASETS:
        return data.load_arrays(config, holdout_images)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress bar
            (train, train_labels), (kept, kept_labels) = DATASETS[config.source]()
    except Exception as exc:  # Keras raises a plain Exception where there is no network
        raise InputError(
            f"{config.source}: neither in {os.environ.get('KERAS_HOME', '~/.keras')}/datasets nor to be fetched "
            f"({one_line(exc)[:180]}); put the file there, or give the machine a network"
        ) from exc
    if train.ndim == 3:
        train = train[..., None]
        kept = kept[..., None]
    raw = Raw(train, train_labels.reshape(-1), kept, kept_labels.reshape(-1))
    return assemble_arrays(raw, config, holdout_images, config.source)
