"""What is odd in data without being wrong: said before anything is trained, and kept with the study."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeps.config import MOST_CLASSES, Config
from sweeps.data.arrays import Arrays, Rows, evenly_spaced_indices
from sweeps.wording import count_noun, list_first

SAMPLED = 2048  # images or rows of each part that stand for all, fewer where they are large
SAMPLED_BYTES = 8 * 2**20
FEWEST_SAMPLED = 64
CHUNK = 1024  # rows that are read at once
HASHED = 200_000  # rows of each part that are compared with those of the other
DARK = 16  # of 255: a highest value up to which images look as if they had been scaled already
STILL = 1.0  # of 255: mean spread of a pixel from image to image, below which images are nearly equal
NEARLY_ALL = 0.999  # share of equal values, from which on a column is nearly constant
UNLIKE = 0.5  # of the training set's spread: difference of the means, from which on two sets look unlike
FAR_APART = 1e4  # times: between the spreads of two columns
FAR_OUT = 20.0  # standard deviations
SPREADS = "spreads of the columns"  # the name of a check
REPEATED = 0.01  # share of the training images
FEWEST = 5  # training images of a class
COMMON = 0.9  # share of one class
PREPARED = {"store", *MOST_CLASSES}  # sources whose classes are known by name, and of which some are often asked for


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says.

    Attributes:
        check: its name.
        text: what is odd, where, and what to do; empty where nothing is.
    """

    check: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class NetReport:
    """What the checks of a user's net come to.

    Attributes:
        findings: what each check says.
        values_read: names of the values that its function reads from the config.
        scales_columns: whether the first of its layers scales what enters, each column or channel by itself.
    """

    findings: tuple[Finding, ...] = ()
    values_read: frozenset[str] = frozenset()
    scales_columns: bool = False


def find_oddities(arrays: Arrays, config: Config) -> list[Finding]:
    """Return what each check says of the data that a config is trained on, in the order of `CHECKS`.

    The numbers of images or rows are counted from 0, those of columns too.
    """
    return [Finding(name, "; ".join(check(arrays, config))) for name, check in CHECKS.items()]


def _check_counts(arrays: Arrays, config: Config) -> Iterator[str]:
    count = len(arrays.train_labels)
    if config.batch_size > count:
        yield f"a batch of {config.batch_size} is more than the {count} training images that there are"


def _check_classes(arrays: Arrays, config: Config) -> Iterator[str]:
    if not arrays.classes:
        return
    trained = np.bincount(arrays.train_labels, minlength=arrays.classes)
    held_out = np.bincount(arrays.holdout_labels, minlength=arrays.classes)
    left_out = arrays.classes_left_out
    if left_out and config.data.source not in PREPARED:
        yield (
            f"data.classes = {arrays.classes} leaves out all images of class {list_first(left_out)}; set "
            f"data.classes = {left_out[-1] + 1} to have them, or number the classes without gaps"
        )
    highest = int(np.flatnonzero(trained).max())
    if len(gaps := np.flatnonzero(trained[:highest] == 0)):
        yield f"no training image of class {list_first(gaps)}; number the classes without gaps, or give images"
    if highest + 1 < arrays.classes:
        missing = range(highest + 1, arrays.classes)
        yield (f"no training image of class {list_first(missing)}; set data.classes = {highest + 1}, or give images")
    if len(few := np.flatnonzero((trained > 0) & (trained < FEWEST))):
        yield f"fewer than {FEWEST} training images of class {list_first(few)}"
    if len(empty := np.flatnonzero((held_out == 0) & (trained > 0))):
        yield f"no hold-out image of class {list_first(empty)}: hold out more, or split so that every class is there"
    largest = held_out.max() / held_out.sum()
    if largest > COMMON:
        name = int(held_out.argmax())
        yield f"{largest:.1%} of the hold-out images are of class {name}: to answer that alone is as often right"


def count_different(images: NDArray[Any] | Rows) -> int:
    """Return the number of different images or rows; where there are more than 200 000 all count as different."""
    if len(images) > HASHED:
        return len(images)
    return len(set(_hash_rows(images)))


def _check_repetitions(arrays: Arrays, config: Config) -> Iterator[str]:  # noqa: ARG001
    count = len(arrays.train_labels)
    if max(count, len(arrays.holdout_labels)) > HASHED:
        return
    known = set(_hash_rows(arrays.train_images))
    repeats = count - len(known)
    if len(arrays.input_shape) > 1 and repeats >= REPEATED * count:
        yield (
            f"{count_noun(repeats, 'training image')} ({repeats / count:.1%}) repeat others: there are {len(known):,} "
            "different ones; keep one of each, unless they were repeated on purpose"
        )
    repeated = [row for row, digest in enumerate(_hash_rows(arrays.holdout_images)) if digest in known]
    if repeated:
        share = len(repeated) / len(arrays.holdout_labels)
        yield (
            f"{count_noun(len(repeated), 'hold-out image')} ({share:.1%}) are training images too, number "
            f"{list_first(repeated)}: the score will be too good; split the data again"
        )


def _hash_rows(images: NDArray[Any] | Rows) -> Iterator[bytes]:
    for start in range(0, len(images), CHUNK):
        for row in images[start : start + CHUNK]:
            yield blake2b(np.ascontiguousarray(row).tobytes(), digest_size=12).digest()


def _check_pixels(arrays: Arrays, config: Config) -> Iterator[str]:  # noqa: ARG001
    if arrays.input_dtype != "uint8":
        return
    sample = _sample(arrays)
    highest = int(sample.max())
    if highest <= DARK:
        yield (
            f"no pixel is above {highest} of 255: images that were scaled before they were made uint8 look so; "
            "multiply them by 255, or stretch them"
        )
    elif float(sample.std(axis=0).mean()) < STILL:
        yield "images are nearly equal: on average a pixel differs by less than 1 of 255 from image to image"


def _check_columns(arrays: Arrays, config: Config) -> Iterator[str]:  # noqa: ARG001
    if len(arrays.input_shape) != 1:
        return
    rows = _sample(arrays).astype(np.float64)
    spreads = rows.std(axis=0)
    constant = np.flatnonzero(spreads == 0)
    if len(constant):
        yield f"{_name_columns(arrays, constant)} has the same value in every row; drop it"
    usual = [float(np.unique(column, return_counts=True)[1].max()) / len(rows) for column in rows.T]
    nearly = [index for index, share in enumerate(usual) if NEARLY_ALL <= share < 1]
    if nearly:
        yield f"{_name_columns(arrays, nearly)} has one value in nearly every row"
    if len(numbering := _find_row_numbers(arrays)):
        yield (
            f"{_name_columns(arrays, numbering)} numbers the rows, which says nothing of a new row, or all where the "
            "file is sorted by its target; drop it"
        )


def _find_row_numbers(arrays: Arrays) -> list[int]:
    """Return the columns that hold each whole number of a range once."""
    count = len(arrays.train_labels) + len(arrays.holdout_labels)
    if count > HASHED:
        return []
    rows = np.concatenate([arrays.train_images[np.arange(len(arrays.train_labels))], arrays.holdout_images])
    lowest = rows.min(axis=0)
    ranged = np.flatnonzero((rows.max(axis=0) - lowest == count - 1) & (lowest == np.round(lowest)))
    counted = np.arange(count)
    return [index for index in ranged.tolist() if np.array_equal(np.sort(rows[:, index]) - lowest[index], counted)]


def _name_columns(arrays: Arrays, indices: Iterable[int]) -> str:
    """Return columns by number, counted from 0, and by name where they have names."""
    names = arrays.columns
    if not names:
        return f"column {list_first(indices)}"
    return f"column {list_first(f'{index} ({names[index]})' for index in indices)}"


def _check_spreads(arrays: Arrays, config: Config) -> Iterator[str]:
    unscaled = config.model.architecture == "custom" or config.inputs == "standardized_set"
    if len(arrays.input_shape) != 1 or not unscaled:
        return
    spreads = _sample(arrays).astype(np.float64).std(axis=0)
    varying = spreads[spreads > 0]
    if len(varying) and varying.max() / varying.min() > FAR_APART:
        extremes = [int(spreads.argmax()), int(np.where(spreads > 0, spreads, np.inf).argmin())]
        yield (
            f"{_name_columns(arrays, extremes)} differ in spread by a factor of {varying.max() / varying.min():.0e}; "
            "scale each column by itself"
        )


def _check_split(arrays: Arrays, config: Config) -> Iterator[str]:  # noqa: ARG001
    train = _sample(arrays).astype(np.float64)
    holdout = _sample_rows(arrays.holdout_images).astype(np.float64)
    if len(arrays.input_shape) > 1:
        train = train.reshape(-1, 1)
        holdout = holdout.reshape(-1, 1)
    spread = train.std(axis=0)
    away = np.abs(holdout.mean(axis=0) - train.mean(axis=0))
    # The mean of few rows is uncertain by itself.
    allowed = UNLIKE * spread + 3 * holdout.std(axis=0) / np.sqrt(min(len(holdout), len(arrays.holdout_labels)))
    if len(unlike := np.flatnonzero(away > allowed)):
        where = "" if len(arrays.input_shape) > 1 else f"{_name_columns(arrays, unlike)}: "
        first = unlike[0]
        yield (
            f"{where}the training set has a mean of {train.mean(axis=0)[first]:.4g}, the hold-out set "
            f"{holdout.mean(axis=0)[first]:.4g}: they are unlike; scale both alike, or split at random"
        )


def _check_target(arrays: Arrays, config: Config) -> Iterator[str]:  # noqa: ARG001
    if arrays.classes:
        return
    train = np.asarray(arrays.train_labels, np.float64)
    usual = _leave_farthest_out(train)
    for name, target in (("", train), ("hold-out ", np.asarray(arrays.holdout_labels, np.float64))):
        away = np.abs(target - usual.mean()) / np.maximum(usual.std(), np.finfo(np.float32).eps)
        if len(far := np.flatnonzero(away > FAR_OUT)):
            yield (
                f"the target of {name}row {list_first(far)} is up to {away.max():.0f} standard deviations of the other "
                "rows from their mean: its squared error outweighs all others; take a logarithm, or look for a mistake"
            )
    most = float(np.unique(train, return_counts=True)[1].max()) / len(train)
    if most >= NEARLY_ALL:
        yield f"the target has one value in {most:.1%} of the rows"


def _leave_farthest_out(target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a target without the hundredth of its rows, one at least, that lies farthest from the median.

    What lies far out widens the spread by which it is told: of n rows none can be more than the square root of n
    standard deviations from the mean of all.
    """
    order = np.argsort(np.abs(target - np.median(target)), kind="stable")
    return target[order[: max(1, len(target) - max(1, len(target) // 100))]]


def _sample(arrays: Arrays) -> NDArray[Any]:
    return _sample_rows(arrays.train_images)


def _sample_rows(images: NDArray[Any] | Rows) -> NDArray[Any]:
    """Return evenly spaced images or rows, as many as stand for all and are few megabytes."""
    most = max(FEWEST_SAMPLED, min(SAMPLED, SAMPLED_BYTES // images[:1].nbytes))
    return images[evenly_spaced_indices(len(images), most)]


Check = Callable[[Arrays, Config], Iterator[str]]
CHECKS: dict[str, Check] = {
    "counts": _check_counts,
    "classes": _check_classes,
    "repeated images": _check_repetitions,
    "pixels": _check_pixels,
    "columns": _check_columns,
    SPREADS: _check_spreads,
    "training and hold-out set alike": _check_split,
    "target": _check_target,
}


def list_warnings(findings: Sequence[Finding]) -> list[str]:
    """Return what is odd, a line each."""
    return [f"{finding.check}: {finding.text}" for finding in findings if finding.text]
