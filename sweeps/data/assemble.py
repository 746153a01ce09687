"""Four arrays as a source has them -> Arrays as a study asks for: checked, cut to its classes and counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays, Rows, balanced_order
from sweeps.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """Everything that a source has.

    Attributes:
        train_images, holdout_images: uint8, (n, height, width, channels), or rows of a table, numbers, (n, columns).
        train_labels, holdout_labels: whole numbers from 0, or in regression numbers; (n,).
    """

    train_images: NDArray[Any]
    train_labels: NDArray[Any]
    holdout_images: NDArray[Any]
    holdout_labels: NDArray[Any]

    @classmethod
    def split_at_random(cls, images: NDArray[Any], labels: NDArray[Any], holdout_images: int, seed: int) -> "Raw":
        """Return a source without a hold-out set of its own: the seed decides which rows are held out."""
        order = np.random.default_rng(seed).permutation(len(labels))
        holdout = order[:holdout_images]
        train = order[holdout_images:]
        return cls(
            train_images=images[train],
            train_labels=labels[train],
            holdout_images=images[holdout],
            holdout_labels=labels[holdout],
        )


def assemble_arrays(raw: Raw, config: DataConfig, holdout_images: int, source_name: str) -> Arrays:
    """Return at most `config.images` training images and exactly `holdout_images`, with classes as balanced as the data
    allow.

    Args:
        source_name: how messages name the source.

    Raises:
        InputError: the arrays are of another kind than the config says, or too few.
    """
    _require_usable(raw, config, source_name)
    holdout_rows = _choose_rows(raw.holdout_labels, config, holdout_images)
    if len(holdout_rows) < holdout_images:
        raise InputError(
            f"{source_name}: {len(holdout_rows)} hold-out images of what data asks for; "
            f"set budget.holdout_images = {len(holdout_rows)} or less"
        )
    train_rows = _choose_rows(raw.train_labels, config, config.images)
    train_images: NDArray[Any] | Rows
    if len(train_rows) == len(raw.train_images):
        train_images = raw.train_images
    else:
        train_images = Rows(raw.train_images, train_rows)
    if raw.train_images.ndim == 2:
        train_images = np.asarray(train_images[np.arange(len(train_rows))], np.float32)
    train_labels = raw.train_labels[train_rows]
    holdout_labels = raw.holdout_labels[holdout_rows]
    if config.task == "regression":
        mean = train_labels.mean()
        spread = train_labels.std()
        train_labels = ((train_labels - mean) / spread).astype(np.float32)
        holdout_labels = ((holdout_labels - mean) / spread).astype(np.float32)
        classes = 0
    else:
        train_labels = train_labels.astype(np.int32)
        holdout_labels = holdout_labels.astype(np.int32)
        classes = config.classes
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        holdout_images=_copy_to_memory(raw.holdout_images[holdout_rows]),
        holdout_labels=holdout_labels,
        classes=classes,
    )


def _copy_to_memory(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim == 2:
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


def _require_usable(raw: Raw, config: DataConfig, source_name: str) -> None:
    """Check that the arrays are of the kind that the config says.

    Raises:
        InputError: they are not.
    """
    parts = {"train": (raw.train_images, raw.train_labels), "holdout": (raw.holdout_images, raw.holdout_labels)}
    for name, (images, labels) in parts.items():
        if images.ndim not in (2, 4) or images.shape[1:] != raw.train_images.shape[1:]:
            raise InputError(
                f"{source_name}: {name}_images is {images.shape}; (n, height, width, channels) or (n, columns)"
            )
        if images.ndim == 4 and images.dtype != np.uint8:
            raise InputError(f"{source_name}: {name}_images is {images.dtype}; images are uint8, 0 black to 255 white")
        if images.dtype.kind not in "uif" or labels.dtype.kind not in "uif":
            raise InputError(f"{source_name}: {name} holds {images.dtype} and {labels.dtype}; give numbers")
        if labels.shape != images.shape[:1] or not len(labels):
            raise InputError(
                f"{source_name}: {name}_labels is {labels.shape} for {len(images)} images; one label for each"
            )
    if config.task == "regression":
        if np.ptp(raw.train_labels) == 0:
            raise InputError(
                f"{source_name}: the target is {raw.train_labels[0]} in every row; there is nothing to predict"
            )
        return
    for name, (_, labels) in parts.items():
        if labels.dtype.kind not in "ui" or labels.min() < 0:
            raise InputError(
                f"{source_name}: {name}_labels are not whole numbers from 0; number the classes, "
                'or set data.task = "regression"'
            )
    class_count = int(raw.train_labels.max()) + 1
    if class_count < config.classes:
        raise InputError(f"{source_name}: {class_count} classes; set data.classes = {class_count} or less")
    if raw.train_images.ndim == 4 and raw.train_images.shape[1:3] != (config.image_size, config.image_size):
        height, width = raw.train_images.shape[1:3]
        raise InputError(f"{source_name}: images of {height}x{width} pixels; set data.image_size = {height}")
