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
    def split(cls, images: NDArray[Any], labels: NDArray[Any], holdout_images: int, seed: int) -> "Raw":
        """Return a source without a hold-out set of its own: the seed decides which rows are held out."""
        order = np.random.default_rng(seed).permutation(len(labels))
        kept = order[:holdout_images]
        train = order[holdout_images:]
        return cls(images[train], labels[train], images[kept], labels[kept])


def assemble(raw: Raw, config: DataConfig, holdout_images: int, what: str) -> Arrays:
    """Return at most `config.images` training images and exactly `holdout_images`, with classes as balanced as the data
    allow.

    Args:
        what: how messages name the source.

    Raises:
        InputError: the arrays are of another kind than the config says, or too few.
    """
    _check(raw, config, what)
    kept = _rows(raw.holdout_labels, config, holdout_images)
    if len(kept) < holdout_images:
        raise InputError(
            f"{what}: {len(kept)} hold-out images of what data asks for; "
            f"set budget.holdout_images = {len(kept)} or less"
        )
    rows = _rows(raw.train_labels, config, config.images)
    images: NDArray[Any] | Rows
    if len(rows) == len(raw.train_images):
        images = raw.train_images
    else:
        images = Rows(raw.train_images, rows)
    if raw.train_images.ndim == 2:
        images = np.asarray(images[np.arange(len(rows))], np.float32)
    kept_images = raw.holdout_images[kept]
    labels = raw.train_labels[rows]
    kept_labels = raw.holdout_labels[kept]
    if config.task == "regression":
        mean = labels.mean()
        spread = labels.std()
        targets = [((array - mean) / spread).astype(np.float32) for array in (labels, kept_labels)]
        return Arrays(images, targets[0], _plain(kept_images), targets[1], 0)
    return Arrays(images, labels.astype(np.int32), _plain(kept_images), kept_labels.astype(np.int32), config.classes)


def _plain(images: NDArray[Any]) -> NDArray[Any]:
    if images.ndim == 2:
        return images.astype(np.float32)
    return np.ascontiguousarray(images)


def _rows(labels: NDArray[Any], config: DataConfig, most: int) -> NDArray[np.int64]:
    if config.task == "regression":
        return np.sort(np.random.default_rng(config.seed).permutation(len(labels))[:most])
    members = np.flatnonzero(labels < config.classes)
    if len(members) <= most:
        return members
    return np.sort(members[balanced_order(labels[members], config.seed)[:most]])


def _check(raw: Raw, config: DataConfig, what: str) -> None:
    parts = {"train": (raw.train_images, raw.train_labels), "holdout": (raw.holdout_images, raw.holdout_labels)}
    for name, (images, labels) in parts.items():
        if images.ndim not in (2, 4) or images.shape[1:] != raw.train_images.shape[1:]:
            raise InputError(f"{what}: {name}_images is {images.shape}; (n, height, width, channels) or (n, columns)")
        if images.ndim == 4 and images.dtype != np.uint8:
            raise InputError(f"{what}: {name}_images is {images.dtype}; images are uint8, 0 black to 255 white")
        if images.dtype.kind not in "uif" or labels.dtype.kind not in "uif":
            raise InputError(f"{what}: {name} holds {images.dtype} and {labels.dtype}; give numbers")
        if labels.shape != images.shape[:1] or not len(labels):
            raise InputError(f"{what}: {name}_labels is {labels.shape} for {len(images)} images; one label for each")
    if config.task == "regression":
        if np.ptp(raw.train_labels) == 0:
            raise InputError(f"{what}: the target is {raw.train_labels[0]} in every row; there is nothing to predict")
        return
    for name, (_, labels) in parts.items():
        if labels.dtype.kind not in "ui" or labels.min() < 0:
            raise InputError(
                f"{what}: {name}_labels are not whole numbers from 0; number the classes, "
                'or set data.task = "regression"'
            )
    there = int(raw.train_labels.max()) + 1
    if there < config.classes:
        raise InputError(f"{what}: {there} classes; set data.classes = {there} or less")
    if raw.train_images.ndim == 4 and raw.train_images.shape[1:3] != (config.image_size,) * 2:
        height, width = raw.train_images.shape[1:3]
        raise InputError(f"{what}: images of {height}x{width} pixels; set data.image_size = {height}")
