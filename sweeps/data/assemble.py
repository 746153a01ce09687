"""Four arrays as a source has them -> Arrays as a study asks for: checked, cut to its classes and counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import LEAST_HOLDOUT_IMAGES, DataConfig
from sweeps.data.arrays import Arrays, Rows, balanced_order
from sweeps.data.checks import check_arrays, check_holdout_classes
from sweeps.data.raw import Raw
from sweeps.errors import InputError


def assemble_arrays(raw: Raw, config: DataConfig, holdout_images: int, source_name: str) -> Arrays:
    """Return at most `config.images` training images and exactly `holdout_images`, with classes as balanced as the data
    allow.

    Args:
        source_name: how messages name the source.

    Raises:
        InputError: the arrays are of another kind than the config says, or too few.
    """
    raw = raw.with_plain_labels(classes=config.task == "classification").with_plain_images()
    check_arrays(raw, config, source_name)
    holdout_rows = _choose_rows(raw.holdout_labels, config, holdout_images)
    if len(holdout_rows) < holdout_images:
        raise InputError(
            f"{source_name}: {len(holdout_rows)} hold-out images of what data asks for; "
            f"{advise_holdout(len(holdout_rows))}"
        )
    train_rows = _choose_rows(raw.train_labels, config, config.images)
    train_images: NDArray[Any] | Rows
    if len(train_rows) == len(raw.train_images):
        train_images = raw.train_images
    else:
        train_images = Rows(raw.train_images, train_rows)
    if raw.train_images.ndim == 2 or (raw.train_images.dtype.kind == "f" and raw.train_images.dtype != np.float32):
        train_images = np.asarray(train_images[np.arange(len(train_rows))], np.float32)
    train_labels = raw.train_labels[train_rows]
    holdout_labels = raw.holdout_labels[holdout_rows]
    left_out: tuple[int, ...] = ()
    if config.task == "regression":
        mean = train_labels.mean(dtype=np.float64)  # in float32 its last bits differ from processor to processor
        spread = train_labels.std(dtype=np.float64)
        train_labels = ((train_labels - mean) / spread).astype(np.float32)
        holdout_labels = ((holdout_labels - mean) / spread).astype(np.float32)
        classes = 0
    else:
        train_labels = train_labels.astype(np.int32)
        holdout_labels = holdout_labels.astype(np.int32)
        classes = config.classes
        check_holdout_classes(train_labels, holdout_labels, source_name)
        labels = np.union1d(raw.train_labels, raw.holdout_labels)
        left_out = tuple(labels[labels >= classes].tolist())
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        holdout_images=_copy_to_memory(raw.holdout_images[holdout_rows]),
        holdout_labels=holdout_labels,
        classes=classes,
        classes_left_out=left_out,
        columns=raw.columns,
        class_names=raw.class_names,
    )


def advise_holdout(available: int) -> str:
    """Return what to do where only so many images can be held out."""
    if available < LEAST_HOLDOUT_IMAGES:
        return f"a study needs at least {LEAST_HOLDOUT_IMAGES}: give more"
    return f"set budget.holdout_images = {available} or less"


def _copy_to_memory(images: NDArray[Any]) -> NDArray[Any]:
    if images.dtype != np.uint8:
        return images.astype(np.float32)
    return np.ascontiguousarray(images)


def _choose_rows(labels: NDArray[Any], config: DataConfig, most: int) -> NDArray[np.int64]:
    """Return at most `most` rows with labels that the config asks for, in their order; chosen by its seed."""
    if config.task == "regression":
        return np.sort(np.random.default_rng(config.seed).permutation(len(labels))[:most])
    members = np.flatnonzero(labels < config.classes)
    if len(members) <= most:
        return members
    return np.sort(members[balanced_order(labels[members], config.seed)[:most]])
