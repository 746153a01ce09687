"""Trees of image files as they are downloaded -> lists of files with labels; a layout is a function in `LAYOUTS`."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from sweeps.errors import InputError

Layout = Literal["places365", "places365-lists", "folders"]
File = tuple[str, int]  # path below the root, label

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
HOLDOUT_NAMES = ("val", "validation", "valid", "test")
HELD_OUT = 10  # where a tree has no hold-out folder, every tenth image of a class

LISTS = ("categories_places365.txt", "places365_train_standard.txt", "places365_val.txt")
TRAIN_FOLDERS = ("data_256", "data_256_standard", "data_large", "data_large_standard")
VAL_FOLDERS = ("val_256", "val_large")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set; labels point into `classes`.

    Attributes:
        empty: names of classes without any file; they have no label.
    """

    classes: tuple[str, ...]
    train: tuple[File, ...]
    holdout: tuple[File, ...]
    empty: tuple[str, ...] = ()

    def subset(self, classes: int | None, images_per_class: int | None) -> "Listing":
        """Return the first `classes`, and of each at most `images_per_class` training files, spread over the class.

        Raises:
            InputError: there are fewer classes.
        """
        if classes is None:
            wanted = len(self.classes)
        else:
            wanted = classes
        if wanted > len(self.classes):
            raise InputError(f"there are {len(self.classes)} classes with images, not {wanted}; lower --classes")
        train = tuple(file for file in self.train if file[1] < wanted)
        if images_per_class is not None:
            train = tuple(_thinned(train, images_per_class))
        holdout = tuple(file for file in self.holdout if file[1] < wanted)
        return replace(self, classes=self.classes[:wanted], train=train, holdout=holdout)


def _thinned(files: tuple[File, ...], most: int) -> Iterator[File]:
    by_class: dict[int, list[File]] = {}
    for file in files:
        by_class.setdefault(file[1], []).append(file)
    for label, members in by_class.items():
        if len(members) > most:
            kept = np.random.default_rng(label).choice(len(members), most, replace=False)
            members = [members[index] for index in np.sort(kept)]
        yield from members


def folders(root: Path) -> Listing:
    """List `root/train/CLASS/files` and `root/val/CLASS/files`, or `root/CLASS/files` with every tenth file held
    out.
    """
    if not (root / "train").is_dir():
        classes = _class_files(root)
        held = {name: files[HELD_OUT - 1 :: HELD_OUT] for name, files in classes.items()}
        left = {name: [file for file in files if file not in set(held[name])] for name, files in classes.items()}
        return _labelled(root, left, held)
    holdout = next((name for name in HOLDOUT_NAMES if (root / name).is_dir()), None)
    if holdout is None:
        raise InputError(f"{root}: train is there, but none of {', '.join(HOLDOUT_NAMES)}; add the hold-out images")
    return _labelled(root, _class_files(root, "train"), _class_files(root, holdout))


def places365(root: Path) -> Listing:
    """List Places365-Standard in its easy format: `root/train/CLASS/*.jpg` and `root/val/CLASS/*.jpg`."""
    missing = [name for name in ("train", "val") if not (root / name).is_dir()]
    if missing:
        raise InputError(
            f"{root}: no folder {missing[0]}; give the folder that places365standard_easyformat.tar was unpacked to "
            "(places365_standard), or take --layout places365-lists or folders"
        )
    return _labelled(root, _class_files(root, "train"), _class_files(root, "val"))


def places365_lists(root: Path) -> Listing:
    """List Places365-Standard as file lists beside `data_256` (or `data_large`) and `val_256` (or `val_large`)."""
    categories, train, val = (_list(root, name) for name in LISTS)
    names = dict(_rows(categories))
    classes = tuple(name.lstrip("/")[2:] for name, _ in sorted(names.items(), key=lambda item: item[1]))
    if sorted(names.values()) != list(range(len(classes))):
        raise InputError(f"{categories}: the labels are not 0 to {len(classes) - 1}; the list is damaged")
    parts = {}
    for path, choices in ((train, TRAIN_FOLDERS), (val, VAL_FOLDERS)):
        folder = next((name for name in choices if (root / name).is_dir()), None)
        if folder is None:
            raise InputError(f"{root}: none of the folders {', '.join(choices)}; unpack the images there")
        parts[path] = tuple((f"{folder}/{name.lstrip('/')}", label) for name, label in _rows(path, len(classes)))
    return Listing(classes, parts[train], parts[val])


def _list(root: Path, name: str) -> Path:
    paths = [root / name, *sorted(root.glob(f"*/{name}"))]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(f"{root}: no {name}, here or one folder below; unpack filelist_places365-standard.tar there")
    return path


def _rows(path: Path, classes: int | None = None) -> Iterator[File]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal() or (classes is not None and int(label) >= classes):
            raise InputError(f"{path}: line {number} is not a path and a label: {line[:80]!r}; the list is damaged")
        yield name, int(label)


def _class_files(root: Path, split: str = "") -> dict[str, list[str]]:
    """Image files below each class folder, however deep, in the order of their names."""
    top = root / split
    try:
        names = sorted(entry.name for entry in os.scandir(top) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as exc:
        raise InputError(f"{top}: {exc.strerror or exc}; give a folder that can be read") from exc
    return {name: sorted(_images(top / name, root)) for name in names}


def _images(folder: Path, root: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder, followlinks=True):
        below = os.path.relpath(parent, root)
        yield from (
            f"{below}/{name}" for name in names if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        )


def _labelled(root: Path, train: dict[str, list[str]], holdout: dict[str, list[str]]) -> Listing:
    names = sorted(train.keys() | holdout.keys())
    classes = [name for name in names if train.get(name) or holdout.get(name)]
    if len(classes) < 2 or not any(train.values()) or not any(holdout.values()):
        raise InputError(f"{root}: no images in two classes or more; each class is a folder of image files")
    label = {name: index for index, name in enumerate(classes)}
    return Listing(
        tuple(classes),
        train=tuple((file, label[name]) for name, files in train.items() for file in files),
        holdout=tuple((file, label[name]) for name, files in holdout.items() for file in files),
        empty=tuple(name for name in names if name not in label),
    )


LAYOUTS: dict[Layout, Callable[[Path], Listing]] = {
    "places365": places365,
    "places365-lists": places365_lists,
    "folders": folders,
}
