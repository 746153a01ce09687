"""What is wrong with arrays, in one line each: said before anything is trained."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config, DataConfig
from sweeps.data.arrays import DIGESTED, Arrays, evenly_spaced_indices
from sweeps.data.raw import Raw
from sweeps.errors import InputError
from sweeps.wording import list_first


def check_arrays(raw: Raw, config: DataConfig, source_name: str) -> None:
    """Check that the arrays are of the kind that the config says.

    Raises:
        InputError: they are not.
    """
    parts = {"train": (raw.train_images, raw.train_labels), "holdout": (raw.holdout_images, raw.holdout_labels)}
    for name, (images, labels) in parts.items():
        if images.ndim < 2 or images.shape[1:] != raw.train_images.shape[1:]:
            raise InputError(
                f"{source_name}: {name}_images is {images.shape}; (n, height, width, channels), (n, columns) or "
                "another shape that both parts have"
            )
        if images.dtype.kind not in "uif" or labels.dtype.kind not in "uif":
            raise InputError(f"{source_name}: {name} holds {images.dtype} and {labels.dtype}; give numbers")
        if labels.shape != images.shape[:1] or not len(labels):
            raise InputError(
                f"{source_name}: {name}_labels is {labels.shape} for {len(images)} images; one label for each"
            )
        _require_finite(images, f"{source_name}: {name}_images")
        _require_finite(labels, f"{source_name}: {name}_labels")
    _require_variety(raw.train_images, source_name)
    _require_labels(raw, config, source_name)


def explain_misfit(arrays: Arrays, config: Config) -> str:
    """Return why inputs and classes are not what a config says and its net takes; empty where they are.

    What a user's own net takes, it says itself.
    """
    wanted = config.data.classes if config.data.task == "classification" else 0
    if arrays.classes != wanted:
        return f"the images have {arrays.classes} classes, data.classes is {wanted}; they must agree"
    architecture = config.model.architecture
    shape = arrays.input_shape
    if architecture == "custom":
        return ""
    if len(shape) == 1:
        if architecture != "dense":
            return f'{architecture} needs images, not rows of a table; set model.architecture = "dense"'
        return ""
    if len(shape) != 3 or arrays.input_dtype != "uint8":
        given = f"{arrays.input_dtype}, (n, {', '.join(map(str, shape))})"
        return (
            f"inputs are {given}, and {architecture} takes images: uint8, (n, height, width, channels), 0 black to "
            "255 white; multiply by 255 what lies between 0 and 1 and make it uint8, or bring a net of your own "
            "(model.build)"
        )
    height, width, _ = shape
    if height in (1, 3) and width == shape[2] > 3:
        return f"images of {shape}: channels first; transpose them to (n, height, width, channels)"
    if height != width:
        return (
            f"images of {height}x{width} pixels; make them square: cut or pad them, or bring a net of your own "
            "(model.build)"
        )
    if height != config.data.image_size:
        return f"images of {height}x{width} pixels; set data.image_size = {height}"
    return ""


def check_holdout_classes(train_labels: NDArray[Any], holdout_labels: NDArray[Any], source_name: str) -> None:
    """Check that nothing is held out of a class without training images: no net could know it.

    Raises:
        InputError: of some class that is so.
    """
    untrained = np.setdiff1d(holdout_labels, train_labels)
    if len(untrained):
        raise InputError(
            f"{source_name}: hold-out images of class {list_first(untrained)}, but no training image of it; give "
            "both parts the same classes, and mix the rows where they are sorted by class"
        )
    if np.ptp(holdout_labels) == 0:
        raise InputError(
            f"{source_name}: all hold-out images are of class {holdout_labels[0]}; hold out images of every class"
        )


def _require_labels(raw: Raw, config: DataConfig, source_name: str) -> None:
    """Check that labels are classes, or in regression a target that varies.

    Raises:
        InputError: they are not.
    """
    if config.task == "regression":
        if np.ptp(raw.train_labels) == 0:
            raise InputError(
                f"{source_name}: the target is {raw.train_labels[0]} in every row; there is nothing to predict"
            )
        return
    for name, labels in (("train", raw.train_labels), ("holdout", raw.holdout_labels)):
        if labels.dtype.kind not in "ui" or labels.min() < 0:
            raise InputError(
                f"{source_name}: {name}_labels are not whole numbers from 0; number the classes (of a table, in the "
                'last column), or set data.task = "regression"'
            )
    class_count = int(raw.train_labels.max()) + 1
    _require_numbered_classes(np.union1d(raw.train_labels, raw.holdout_labels), config, source_name)
    if class_count == 1:
        raise InputError(f"{source_name}: all labels are 0, one class: give images of another")
    if class_count < config.classes:
        raise InputError(f"{source_name}: {class_count} classes; set data.classes = {class_count} or less")


def _require_finite(numbers: NDArray[Any], name: str) -> None:
    """Check that all numbers are finite in float32, with which nets are trained.

    Raises:
        InputError: one is not; it names the row and, in a table, the column.
    """
    if numbers.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        usable = np.isfinite(numbers.astype(np.float32))
    if usable.all():
        return
    place = np.argwhere(~usable)[0]
    where = f"row {place[0]}"
    if len(place) > 1:
        where += f", column {place[1]}"
    raise InputError(
        f"{name}: {where} (counted from 0) is {numbers[tuple(place)]}, not within the range of float32; "
        f"mend or remove the rows with such numbers: there are {len(np.unique(np.argwhere(~usable)[:, 0]))}"
    )


def _require_variety(images: NDArray[Any], source_name: str) -> None:
    """Check that images or rows differ; evenly spaced ones stand for all.

    Raises:
        InputError: they are all equal.
    """
    sample = images[evenly_spaced_indices(len(images), DIGESTED)]
    if len(sample) > 1 and (sample == sample[0]).all():
        raise InputError(
            f"{source_name}: all training images are equal, each value {sample.min()} to {sample.max()}; there is "
            "nothing to learn from: look at how they were made"
        )


def _require_numbered_classes(labels: NDArray[Any], config: DataConfig, source_name: str) -> None:
    """Check that classes are numbered from 0 without great gaps.

    Args:
        labels: each label that occurs, in ascending order.

    Raises:
        InputError: they begin above 0, or some stand far above the others.
    """
    if labels[0] > 0:
        raise InputError(
            f"{source_name}: labels begin at {labels[0]} and end at {labels[-1]}; count them from 0: subtract "
            f"{labels[0]} from each"
        )
    stray = labels[labels >= max(config.classes, 2 * len(labels))]
    if len(stray):
        raise InputError(
            f"{source_name}: {len(labels)} different labels, among them {list_first(stray)}; number the classes from "
            "0 without gaps, or remove the rows with these labels"
        )
