"""The hold-out set as a script brings it (arrays, lists, tensors, tables of pandas, batches of a data set), checked
before any training.
"""

import warnings
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUMBER_KINDS = "biuf"  # bool, integers, floats: NumPy's letters
TEXT_KINDS = "US"
MOST_BYTES = 8 * 2**30  # of a data set's inputs, which are kept in memory


def read_holdout(
    inputs: ArrayLike | Iterable[Any], labels: ArrayLike | None, float_type: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return inputs, floats as `float_type`, and labels as they are, one row per input.

    Args:
        labels: None where `inputs` gives both, in batches, see `collect_batches`.

    Raises:
        ValueError: they are no arrays of finite numbers (inputs may be text), empty, or of different lengths.
    """
    if labels is None:
        inputs, labels = collect_batches(inputs)
    elif hasattr(inputs, "element_spec") or _is_sequence_of_batches(inputs):
        raise ValueError("inputs are a data set that has the labels too; leave the argument labels out")
    input_array = _read_array("inputs", inputs)
    label_array = _read_array("labels", labels)
    if len(input_array) != len(label_array):
        raise ValueError(
            f"there are {len(input_array)} inputs and {len(label_array)} labels; give one array of "
            "inputs (the callback cannot judge a model with several) and one label for each"
        )
    if len(input_array) == 0:
        raise ValueError("the hold-out set is empty; give at least one input and its label")
    if label_array.dtype.kind in TEXT_KINDS:
        raise ValueError(
            f"labels are text, such as {str(label_array.flat[0])!r}; number the classes from 0, as "
            "numpy.unique(labels, return_inverse=True)[1] does"
        )
    _check_finite("labels", label_array)
    if input_array.dtype.kind in "bf":
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            input_array = input_array.astype(float_type)
        _check_finite("inputs", input_array)
    return input_array, label_array


def collect_batches(batches: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the inputs and labels of a data set, read once: a `tf.data.Dataset`, a `keras.utils.PyDataset`, or
    anything else that gives batches of (inputs, labels), or of (inputs, labels, weights), of which the weights are left
    out. Batches of a single input without an axis for batches are taken too.

    Raises:
        ValueError: it gives something else, has no end, or is larger than memory should hold.
    """
    inputs: list[NDArray[Any]] = []
    labels: list[NDArray[Any]] = []
    size = 0
    for batch in _iterate_batches(batches):
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3) or isinstance(batch[0], dict):
            raise ValueError(
                f"the data set gives {type(batch).__name__}s, not pairs of (inputs, labels) with one input; give the "
                "hold-out set as two arrays, inputs and labels"
            )
        inputs.append(_read_array("inputs", batch[0]))
        labels.append(np.asarray(batch[1]))
        size += inputs[-1].nbytes
        if size > MOST_BYTES:
            raise ValueError(
                f"the data set has more than {MOST_BYTES // 2**30} GiB of inputs, or no end; give a part of it, such "
                "as dataset.take(100)"
            )
    if not inputs:
        raise ValueError("the hold-out set is empty; give at least one input and its label")
    if labels[0].ndim == 0:
        return np.stack(inputs), np.stack(labels)
    return np.concatenate(inputs), np.concatenate(labels)


def _iterate_batches(batches: Any) -> Iterator[Any]:
    """Yield the batches of a data set.

    Raises:
        ValueError: it has none, or says that it never ends.
    """
    if hasattr(batches, "element_spec") and int(batches.cardinality()) == -1:  # as tf.data has it
        raise ValueError("the data set repeats for ever; give the callback one pass: leave out repeat(), or take(n)")
    if _is_sequence_of_batches(batches):
        length = batches.num_batches
        numbers = count() if length is None else range(length)
        yield from (batches[number] for number in numbers)
    elif isinstance(batches, np.ndarray) or not isinstance(batches, Iterable):
        raise ValueError("labels are missing; give the label of each input, or a data set that has both")
    else:
        yield from batches


def _is_sequence_of_batches(values: Any) -> bool:
    """Return whether it is a `keras.utils.PyDataset`; Keras need not be imported to tell."""
    return hasattr(values, "num_batches") and hasattr(values, "on_epoch_end") and hasattr(values, "__getitem__")


def to_targets(labels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the targets of a regression with one output, (inputs,).

    Raises:
        ValueError: there are several numbers per input, or one is too large for float32.
    """
    if labels.size != len(labels):
        raise ValueError(
            f"labels are {labels.shape}, the targets of a regression with several outputs; the callback can judge one "
            "output: leave it out, and report the validation loss with trial.report"
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        targets = labels.reshape(-1).astype(np.float32)
    _check_finite("labels, as float32,", targets)
    return targets


def to_classes(labels: NDArray[Any], outputs: int) -> NDArray[np.int32]:
    """Return the class of each input, (inputs,), from class numbers or from rows with a one at the class.

    Args:
        outputs: of the model; one output is the probability of the second of two classes.

    Raises:
        ValueError: labels that are not classes of this model.
    """
    classes = max(2, outputs)
    if labels.size == len(labels):
        numbers = labels.reshape(-1)
    else:
        numbers = _classes_of_rows(labels, outputs)
    unlike = np.flatnonzero(numbers != np.floor(numbers))
    if unlike.size:
        raise ValueError(
            f"label {unlike[0]} is {numbers[unlike[0]]:g}, which is no class; give whole numbers from 0 (0 and 1 for "
            "a single sigmoid), or compile the model with a regression loss such as 'mse'"
        )
    lowest = int(numbers.min())
    highest = int(numbers.max())
    if lowest == 1 and highest == classes:
        raise ValueError(
            f"labels are 1 to {highest}, and the model's classes are 0 to {classes - 1}; subtract 1 from all labels"
        )
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"labels are {lowest} to {highest}, and the model's classes are 0 to {classes - 1} (outputs: {outputs}); "
            "number the classes from 0, or give the last layer as many outputs as there are classes"
        )
    if lowest == 1 and np.unique(numbers).size == classes - 1 > 1:
        warnings.warn(
            f"the hold-out labels are 1 to {highest}, none is 0: if the classes are numbered from 1, subtract 1 and "
            "give the model one output less",
            stacklevel=2,
        )
    return numbers.astype(np.int32)


def is_one_hot(labels: NDArray[Any]) -> bool:
    """Return whether each row of labels, (inputs, classes), holds one 1 and else zeros."""
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    binary = (labels == 0) | (labels == 1)
    return bool(binary.all() and (labels.sum(axis=1) == 1).all())


def _classes_of_rows(labels: NDArray[Any], outputs: int) -> NDArray[Any]:
    if labels.ndim != 2 or labels.shape[1] != outputs:
        raise ValueError(
            f"labels are {labels.shape}, and the model has {outputs} outputs; give one class number per input, or "
            "rows of as many numbers as outputs with a one at the class"
        )
    if not is_one_hot(labels):
        raise ValueError(
            "the rows of labels are not a single one among zeros: soft labels, or several classes at once, cannot be "
            "judged; give the class of each input (numpy.argmax(labels, axis=1)), or leave the callback out and "
            "report the validation loss with trial.report"
        )
    classes: NDArray[np.intp] = np.argmax(labels, axis=1)
    return classes


def _read_array(name: str, values: ArrayLike | Iterable[Any]) -> NDArray[Any]:
    """Return values as an array of numbers or text with a first axis."""
    mend = "give one array with a row per input (a NumPy array, a list, a tensor or a pandas object)"
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as exc:  # lists of unlike lengths, a generator
        raise ValueError(f"{name} cannot be made an array, since {' '.join(str(exc).split())}; {mend}") from exc
    if array.dtype.kind == "O" and array.ndim:
        array = _read_objects(name, array)
    if array.ndim == 0:
        raise ValueError(f"{name} are a {type(values).__name__}; {mend}")
    if array.dtype.kind not in NUMBER_KINDS + TEXT_KINDS and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} are of type {array.dtype}, which are no numbers; {mend}")
    return array


def _read_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return Python objects, as tables of pandas with mixed columns hold them, as numbers or text."""
    if array.size and all(isinstance(value, str) for value in array.flat):
        return array.astype(str)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as exc:
        raise ValueError(
            f"{name} hold what is no number ({' '.join(str(exc).split())}); make numbers of it, and fill or drop what "
            "is missing"
        ) from exc


def _check_finite(name: str, array: NDArray[Any]) -> None:
    if array.dtype.kind in "biu":
        return
    wrong = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if wrong.any():
        raise ValueError(
            f"{name} hold NaN or infinity in {int(wrong.sum())} of {len(array)} rows, first in row "
            f"{int(np.argmax(wrong))}; fill or drop these rows of the hold-out set"
        )
