"""Trees of image files as they are downloaded -> lists of files with labels; a layout is a function in `LAYOUTS`."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from sweeps.errors import InputError

Layout = Literal["places365", "places365-lists", "folders"]
LabelledFile = tuple[str, int]  # path below the root, label

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
HOLDOUT_NAMES = ("val", "validation", "valid", "test")
HELD_OUT = 10  # where a tree has no hold-out folder, every tenth image of a class

CATEGORIES_LIST = "categories_places365.txt"
TRAIN_LIST = "places365_train_standard.txt"
VAL_LIST = "places365_val.txt"
TRAIN_FOLDERS = ("data_256", "data_256_standard", "data_large", "data_large_standard")
VAL_FOLDERS = ("val_256", "val_large")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set; labels point into `classes`.

    Attributes:
        empty: names of classes without any file; they have no label.
    """

    classes: tuple[str, ...]
    train: tuple[LabelledFile, ...]
    holdout: tuple[LabelledFile, ...]
    empty: tuple[str, ...] = ()

    @property
    def by_split(self) -> dict[str, tuple[LabelledFile, ...]]:
        """Return the files of each split."""
        return {"train": self.train, "holdout": self.holdout}

    def take_subset(self, classes: int | None, images_per_class: int | None) -> "Listing":
        """Return the first `classes`, and of each at most `images_per_class` training files, spread over the class.

        Raises:
            InputError: there are fewer classes.
        """
        if classes is None:
            class_count = len(self.classes)
        else:
            class_count = classes
        if class_count > len(self.classes):
            raise InputError(f"there are {len(self.classes)} classes with images, not {class_count}; lower --classes")
        train = tuple(file for file in self.train if file[1] < class_count)
        if images_per_class is not None:
            train = tuple(_thin_classes(train, images_per_class))
        holdout = tuple(file for file in self.holdout if file[1] < class_count)
        return replace(self, classes=self.classes[:class_count], train=train, holdout=holdout)


def _thin_classes(files: tuple[LabelledFile, ...], most: int) -> Iterator[LabelledFile]:
    """Yield at most `most` files of each class."""
    by_class: dict[int, list[LabelledFile]] = {}
    for file in files:
        by_class.setdefault(file[1], []).append(file)
    for label, members in by_class.items():
        if len(members) > most:
            chosen = np.random.default_rng(label).choice(len(members), most, replace=False)
            members = [members[index] for index in np.sort(chosen)]
        yield from members


def list_folders(root: Path) -> Listing:
    """List `root/train/CLASS/files` and `root/val/CLASS/files`, or `root/CLASS/files` with every tenth file held
    out.
    """
    if not (root / "train").is_dir():
        train = _find_class_files(root)
        holdout = {}
        for name, files in train.items():
            holdout[name] = files[HELD_OUT - 1 :: HELD_OUT]
            del files[HELD_OUT - 1 :: HELD_OUT]
        return _make_listing(root, train, holdout)
    holdout_folder = next((name for name in HOLDOUT_NAMES if (root / name).is_dir()), None)
    if holdout_folder is None:
        raise InputError(f"{root}: train is there, but none of {', '.join(HOLDOUT_NAMES)}; add the hold-out images")
    return _make_listing(root, _find_class_files(root, "train"), _find_class_files(root, holdout_folder))


def list_places365(root: Path) -> Listing:
    """List Places365-Standard in its easy format: `root/train/CLASS/*.jpg` and `root/val/CLASS/*.jpg`."""
    missing = [name for name in ("train", "val") if not (root / name).is_dir()]
    if missing:
        raise InputError(
            f"{root}: no folder {missing[0]}; give the folder that places365standard_easyformat.tar was unpacked to "
            "(places365_standard), or take --layout places365-lists or folders"
        )
    return _make_listing(root, _find_class_files(root, "train"), _find_class_files(root, "val"))


def read_places365_lists(root: Path) -> Listing:
    """List Places365-Standard as file lists beside `data_256` (or `data_large`) and `val_256` (or `val_large`)."""
    categories = _find_list(root, CATEGORIES_LIST)
    train_list = _find_list(root, TRAIN_LIST)
    val_list = _find_list(root, VAL_LIST)
    labels = dict(_read_list(categories))
    classes = tuple(name.lstrip("/")[2:] for name in sorted(labels, key=lambda name: labels[name]))
    if sorted(labels.values()) != list(range(len(classes))):
        raise InputError(f"{categories}: the labels are not 0 to {len(classes) - 1}; the list is damaged")
    train = _find_listed_files(root, train_list, TRAIN_FOLDERS, len(classes))
    holdout = _find_listed_files(root, val_list, VAL_FOLDERS, len(classes))
    return Listing(classes, train, holdout)


def _find_listed_files(root: Path, path: Path, folders: Sequence[str], classes: int) -> tuple[LabelledFile, ...]:
    """Return the files of a list, in the first of these folders that is there.

    Raises:
        InputError: none of the folders is there, or the list is damaged.
    """
    folder = next((name for name in folders if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(f"{root}: none of the folders {', '.join(folders)}; unpack the images there")
    return tuple((f"{folder}/{name.lstrip('/')}", label) for name, label in _read_list(path, classes))


def _find_list(root: Path, name: str) -> Path:
    paths = [root / name]
    paths += sorted(root.glob(f"*/{name}"))
    for path in paths:
        if path.is_file():
            return path
    raise InputError(f"{root}: no {name}, here or one folder below; unpack filelist_places365-standard.tar there")


def _read_list(path: Path, classes: int | None = None) -> Iterator[LabelledFile]:
    """Yield the paths and labels of a list.

    Raises:
        InputError: a line is not a path and a label, or the label is not less than `classes`.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal() or (classes is not None and int(label) >= classes):
            raise InputError(f"{path}: line {number} is not a path and a label: {line[:80]!r}; the list is damaged")
        yield name, int(label)


def _find_class_files(root: Path, split: str = "") -> dict[str, list[str]]:
    """Return the image files below each class folder, however deep, in the order of their names."""
    top = root / split
    try:
        names = sorted(entry.name for entry in os.scandir(top) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as exc:
        raise InputError(f"{top}: {exc.strerror or exc}; give a folder that can be read") from exc
    return {name: sorted(_find_images(top / name, root)) for name in names}


def _find_images(folder: Path, root: Path) -> Iterator[str]:
    """Yield the image files below a folder, by their paths below `root`."""
    for parent, _, names in os.walk(folder, followlinks=True):
        relative_parent = os.path.relpath(parent, root)
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield f"{relative_parent}/{name}"


def _make_listing(root: Path, train: dict[str, list[str]], holdout: dict[str, list[str]]) -> Listing:
    names = sorted(train.keys() | holdout.keys())
    classes = [name for name in names if train.get(name) or holdout.get(name)]
    if len(classes) < 2 or not any(train.values()) or not any(holdout.values()):
        raise InputError(f"{root}: no images in two classes or more; each class is a folder of image files")
    labels = {name: index for index, name in enumerate(classes)}
    return Listing(
        tuple(classes),
        train=tuple((file, labels[name]) for name, files in train.items() for file in files),
        holdout=tuple((file, labels[name]) for name, files in holdout.items() for file in files),
        empty=tuple(name for name in names if name not in labels),
    )


LAYOUTS: dict[Layout, Callable[[Path], Listing]] = {
    "places365": list_places365,
    "places365-lists": read_places365_lists,
    "folders": list_folders,
}
