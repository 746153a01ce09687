"""A prepared image store: a folder of arrays that the workers of a machine map and share through its page cache.

store.json           format, shape, class names, counts and checksums per split, where it came from
train-images.npy     uint8, (images, height, width, channels); holdout-images.npy alike
train-labels.npy     int32, (images,); holdout-labels.npy alike
skipped.tsv          files that were left out, and why
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.assemble import assemble_arrays
from sweeps.data.raw import Raw
from sweeps.errors import InputError

FORMAT = 1
SPLITS = ("train", "holdout")


@dataclass(frozen=True, slots=True)
class SplitInfo:
    """One split: how many images, and the sha256 of the two files."""

    images: int
    sha256_images: str
    sha256_labels: str


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The description of an image store, which is in its `store.json`.

    Attributes:
        shape: height, width, channels of an image.
        classes: names; labels point at them.
        splits: by name, see `SPLITS`.
        origin: source folder, layout, options, versions, and the time of making.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    origin: dict[str, Any]

    def to_json(self) -> str:
        """Return the text of `store.json`."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n"

    @classmethod
    def read_from(cls, store: Path) -> Self:
        """Return the description of a store.

        Raises:
            InputError: there is no whole store of this format.
        """
        try:
            values = json.loads((store / "store.json").read_text())
            if values.pop("format") != FORMAT:
                raise InputError(f"{store}: a store of another format; prepare it again with this version")
            splits = {name: SplitInfo(**split) for name, split in values.pop("splits").items()}
            return cls(
                shape=tuple(values["shape"]),
                classes=tuple(values["classes"]),
                splits=splits,
                origin=values["origin"],
            )
        except FileNotFoundError as exc:
            raise InputError(f"{store}: no image store; make one with sweeps data prepare") from exc
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise InputError(f"{store}/store.json: damaged ({exc}); prepare the store again") from exc


def open_split(store: Path, info: StoreInfo, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the images, mapped read-only, and the labels of a split.

    Raises:
        InputError: a file is missing or of another size than the description says.
    """
    try:
        images = np.load(store / f"{split}-images.npy", mmap_mode="r")
        labels = np.load(store / f"{split}-labels.npy")
    except (OSError, EOFError, ValueError) as exc:
        raise InputError(f"{store}: {split} cannot be opened ({exc}); prepare the store again") from exc
    if images.shape != (info.splits[split].images, *info.shape) or labels.shape != images.shape[:1]:
        raise InputError(f"{store}: {split} has not the size that store.json says; prepare the store again")
    return images, labels


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_image_cache(config: DataConfig, holdout_images: int) -> Arrays:
    """Return at most `config.images` images of the first `config.classes` classes of the store at `config.path`, with
    balanced classes.

    Training images stay mapped; the hold-out images of a study are copied into memory.

    Raises:
        InputError: no such store, or it has fewer classes, images or pixels than asked for.
    """
    path = Path(config.path)
    info = StoreInfo.read_from(path)
    train = open_split(path, info, "train")
    holdout = open_split(path, info, "holdout")
    raw = Raw(train_images=train[0], train_labels=train[1], holdout_images=holdout[0], holdout_labels=holdout[1])
    return assemble_arrays(raw, config, holdout_images, source_name=str(path))
