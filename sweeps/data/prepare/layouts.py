"""Trees of image files as they are downloaded -> lists of files with labels; a layout is a function in `LAYOUTS`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from sweeps.data.prepare.folders import Unused, find_class_files, list_folders, make_listing
from sweeps.data.prepare.listing import LabelledFile, Listing
from sweeps.errors import InputError

Layout = Literal["places365", "places365-lists", "folders"]
CATEGORIES_LIST = "categories_places365.txt"
TRAIN_LIST = "places365_train_standard.txt"
VAL_LIST = "places365_val.txt"
TRAIN_FOLDERS = ("data_256", "data_256_standard", "data_large", "data_large_standard")
VAL_FOLDERS = ("val_256", "val_large")


def list_places365(root: Path) -> Listing:
    """List Places365-Standard in its easy format: `root/train/CLASS/*.jpg` and `root/val/CLASS/*.jpg`."""
    missing = [name for name in ("train", "val") if not (root / name).is_dir()]
    if missing:
        raise InputError(
            f"{root}: no folder {missing[0]}; give the folder that places365standard_easyformat.tar was unpacked to "
            "(places365_standard), or take --layout places365-lists or folders"
        )
    unused = Unused()
    train = find_class_files(root, root / "train", unused)
    return make_listing(root, train, find_class_files(root, root / "val", unused), unused)


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


LAYOUTS: dict[Layout, Callable[[Path], Listing]] = {
    "places365": list_places365,
    "places365-lists": read_places365_lists,
    "folders": list_folders,
}
