"""Trees of class folders, with or without folders for the splits -> their files and labels."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from sweeps.data.prepare.listing import Listing
from sweeps.errors import InputError
from sweeps.wording import count_noun, list_first

# Words in the names of folders of a split; where a tree has several hold-out folders the first of these is taken.
TRAIN_WORDS = ("train", "training", "trainset")
HOLDOUT_WORDS = ("val", "validation", "valid", "valset", "dev", "test", "testing", "testset", "eval")
FILLERS = {"", "seg", "set", "data", "dataset", "images", "imgs", "split"}
FLAT_FOLDERS = {"images", "imgs", "data"}  # no classes, but folders for the images of all
HELD_OUT = 10  # where a tree has no hold-out folder, every tenth image of a class
LABEL_LISTS = ("*annotations*.txt", "*labels*.txt", "*labels*.csv", "*solution*.csv")
# Pillow knows the beginning of these only, or leaves them to a program that is not part of it.
UNREADABLE = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}

Files = dict[str, list[str]]  # {class: paths of its files below the root}


@dataclass(slots=True)
class Unused:
    """What lies in a tree beside its images.

    Attributes:
        files: how many end in each suffix that is no image's.
        links: to folders of the same tree, whose images would count twice or without end.
        special: pipes, devices, sockets, and links that lead nowhere.
    """

    files: Counter[str] = field(default_factory=Counter)
    links: int = 0
    special: int = 0


def _list_suffixes() -> frozenset[str]:
    """Return how names of files end that can be decoded, in small letters."""
    Image.init()
    kinds = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in kinds if kind in Image.OPEN and kind not in UNREADABLE)


SUFFIXES = _list_suffixes()


def list_folders(root: Path) -> Listing:
    """List `root/train/CLASS/files` and `root/val/CLASS/files`, or `root/CLASS/files` with every tenth file held out.

    Folders of splits have any of their usual names, also in capitals or within a folder of the same name. Images of a
    hold-out folder may lie flat beside a list that names the class of each.

    Raises:
        InputError: there are no such folders or no images in them, or classes differ between the splits.
    """
    root_of_splits = _descend(root, stop_at_splits=True)
    splits = _find_splits(root_of_splits)
    unused = Unused()
    if not splits:
        train = find_class_files(root, root_of_splits, unused)
        holdout = {}
        for name, files in train.items():
            holdout[name] = files[HELD_OUT - 1 :: HELD_OUT]
            del files[HELD_OUT - 1 :: HELD_OUT]
        return make_listing(root, train, holdout, unused, [root_of_splits])
    train_folder, holdout_folder = splits
    tops = [_descend(train_folder)]
    train = find_class_files(root, tops[0], unused)
    holdout = find_class_files(root, _descend(holdout_folder), unused)
    if not any(holdout.values()) or set(holdout) <= FLAT_FOLDERS - train.keys():
        holdout = _label_flat_files(root, holdout_folder, train)
    else:
        tops.append(_descend(holdout_folder))
    beside = [name for name in _folder_names(root_of_splits) if root_of_splits / name not in splits]
    return make_listing(root, train, holdout, unused, tops, beside)


def find_class_files(root: Path, top: Path, unused: Unused) -> Files:
    """Return the image files of each class folder in `top`, however deep, in the order of their names.

    Folders named by one letter, which hold the classes that begin with it, are no classes.

    Args:
        unused: what is there and no image is counted there.

    Raises:
        InputError: a folder cannot be read.
    """
    names = _folder_names(top)
    if names and all(_groups_by_letter(top, name) for name in names):
        classes: Files = {}
        for name in names:
            for file in _find_images(root, top / name, unused):
                parent = os.path.relpath(root / file, top / name).rpartition("/")[0]
                classes.setdefault(parent, []).append(file)
        return {name: sorted(classes[name]) for name in sorted(classes)}
    return {name: sorted(_find_images(root, top / name, unused)) for name in names}


def make_listing(
    root: Path,
    train: Files,
    holdout: Files,
    unused: Unused,
    tops: Sequence[Path] = (),
    beside: Sequence[str] = (),
) -> Listing:
    """Number the classes by their names and join the files of both splits.

    Args:
        unused: what is there and no image.
        tops: the folders that hold the class folders.
        beside: names of folders that are neither the training nor the hold-out set.

    Raises:
        InputError: there are too few classes or images, or the hold-out set has classes that training has not.
    """
    names = sorted(train.keys() | holdout.keys())
    classes = [name for name in names if train.get(name) or holdout.get(name)]
    other_files = tuple(sorted(unused.files.items()))
    if len(classes) < 2:
        raise InputError(f"{root}: no images in two classes or more; {_explain_lack(root, other_files)}")
    untrained = [name for name in classes if not train.get(name)]
    if untrained:
        raise InputError(
            f"{root}: hold-out images of {list_first(untrained)}, but no training images of that name; training has "
            f"{list_first(name for name in classes if train.get(name))}: give both the same class folders"
        )
    if not any(holdout.values()):
        raise InputError(
            f"{root}: nothing is held out of classes with fewer than {HELD_OUT} images; add images, or a folder val "
            "beside a folder train"
        )
    labels = {name: index for index, name in enumerate(classes)}
    left_out = [f"folder {name!r}, which is neither the training nor the hold-out set" for name in beside]
    for top in tops:
        flat = sum(map(_is_image, _file_names(top)))
        if flat:
            left_out.append(f"{count_noun(flat, 'image')} in no class folder, but directly in {top}")
    letters = [name for top in tops for name in _folder_names(top) if _groups_by_letter(top, name)]
    if letters and all(_groups_by_letter(top, name) for top in tops for name in _folder_names(top)):
        left_out.append(
            f"folders {list_first(dict.fromkeys(letters))} as classes: each was taken for the letter with which the "
            "classes in it begin"
        )
    if unused.links:
        left_out.append(f"{count_noun(unused.links, 'link')} to folders of the same tree, or seen before")
    if unused.special:
        left_out.append(f"{count_noun(unused.special, 'file')} that are pipes, devices or broken links")
    return Listing(
        tuple(classes),
        train=tuple((file, labels[name]) for name, files in train.items() for file in files),
        holdout=tuple((file, labels[name]) for name, files in holdout.items() for file in files),
        empty=tuple(name for name in names if name not in labels),
        other_files=other_files,
        left_out=tuple(left_out),
    )


def _explain_lack(root: Path, other_files: tuple[tuple[str, int], ...]) -> str:
    """Return why a tree may have no images in classes, and what to do."""
    if any(_is_image(name) for name in _file_names(root)):
        return "images lie flat in it: sort them into a folder for each class"
    if other_files:
        suffixes = list_first(suffix or "no suffix" for suffix, _ in other_files)
        return f"its files end in {suffixes}, which are not decoded: convert them to PNG or JPEG"
    return "each class is a folder of image files"


def _find_splits(root: Path) -> tuple[Path, Path] | None:
    """Return the folders of training and hold-out images; None where there are neither.

    Raises:
        InputError: one of the two is missing, or there are several for training.
    """
    words = {name: _split_word(name) for name in _folder_names(root)}
    train = [name for name, word in words.items() if word in TRAIN_WORDS]
    holdout = [name for name, word in words.items() if word in HOLDOUT_WORDS]
    if not train and not holdout:
        return None
    if not train:
        raise InputError(
            f"{root}: {holdout[0]} is there, but no train; add the training images, or rename {holdout[0]} if it "
            "is a class"
        )
    if len(train) > 1:
        raise InputError(f"{root}: {list_first(train)} are all folders for training; leave one of them there")
    if not holdout:
        expected = ", ".join(HOLDOUT_WORDS)
        raise InputError(
            f"{root}: {train[0]} is there, but none of {expected}; add the hold-out images, or rename "
            f"{train[0]} if it is a class"
        )
    first = min(holdout, key=lambda name: (HOLDOUT_WORDS.index(words[name]), name))
    return root / train[0], root / first


def _split_word(name: str) -> str:
    """Return the one word of a folder's name that says something, such as `train` of `Seg_Train`; else nothing."""
    words = [word for word in re.split(r"[^a-z]+", name.casefold()) if word not in FILLERS]
    if len(words) != 1:
        return ""
    return words[0]


def _descend(folder: Path, stop_at_splits: bool = False) -> Path:
    """Return the folder, or that within it which holds its folders, where there is nothing else beside it.

    Args:
        stop_at_splits: a folder for a split is not gone into.
    """
    while True:
        names = _folder_names(folder)
        if len(names) != 1 or any(_is_image(name) for name in _file_names(folder)):
            return folder
        if not _folder_names(folder / names[0]):
            return folder
        if stop_at_splits and _split_word(names[0]) in TRAIN_WORDS + HOLDOUT_WORDS:
            return folder
        folder = folder / names[0]


def _groups_by_letter(top: Path, name: str) -> bool:
    """Return whether a folder such as `a` holds folders such as `abbey`, and no images."""
    if len(name) != 1 or any(_is_image(file) for file in _file_names(top / name)):
        return False
    below = _folder_names(top / name)
    return bool(below) and all(other.casefold().startswith(name.casefold()) and len(other) > 1 for other in below)


def _label_flat_files(root: Path, folder: Path, train: Files) -> Files:
    """Return the images of a hold-out folder without class folders, by the list beside them that names their classes.

    Raises:
        InputError: there is no list, or it lacks an image or names an unknown class.
    """
    files = sorted(_find_images(root, folder, Unused()))
    if not files:
        raise InputError(f"{folder}: no images; add the hold-out images, in a folder for each class")
    lists = [path for place in (folder, folder.parent) for glob in LABEL_LISTS for path in sorted(place.glob(glob))]
    if not lists:
        raise InputError(
            f"{folder}: its images lie flat, and nothing names their classes; sort them into a folder for each class, "
            "or put a list val_annotations.txt beside them: on each line a file, a tab, and its class"
        )
    classes = _read_label_list(lists[0])
    labelled: Files = {name: [] for name in train}
    for file in files:
        path = Path(file)
        name = classes.get(path.name, classes.get(path.stem, ""))
        if name not in labelled:
            problem = f"says that {path.name} is of class {name!r}, which training has not"
            if not name:
                problem = f"does not name the class of {path.name}"
            raise InputError(f"{lists[0]}: {problem}; complete it, or sort the images into a folder for each class")
        labelled[name].append(file)
    return labelled


def _read_label_list(path: Path) -> dict[str, str]:
    """Return {file: class}, the first two things on each line, between which is a tab, a comma or a blank."""
    classes = {}
    for line in path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines():
        separator = next((character for character in "\t," if character in line), " ")
        file, _, rest = line.strip().partition(separator)
        words = re.split(r"[\t, ]", rest.strip())
        classes[file.strip()] = words[0]
    return classes


def _find_images(root: Path, folder: Path, unused: Unused) -> Iterator[str]:
    """Yield the image files below a folder, by their paths below `root`; count what else is there.

    Links are followed but for those to folders of the same tree, or to folders that were seen before.

    Raises:
        InputError: a folder cannot be read.
    """
    tree = root.resolve()
    seen = {folder.resolve()}
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        relative_parent = os.path.relpath(parent, root)
        for entry in _scan(parent):
            if entry.is_dir():
                place = Path(entry.path).resolve()
                inside = place.is_relative_to(tree) or tree.is_relative_to(place)
                if place in seen or (entry.is_symlink() and inside):
                    unused.links += 1
                    continue
                seen.add(place)
                waiting.append(Path(entry.path))
            elif not entry.is_file():
                unused.special += 1
            elif _is_image(entry.name):
                yield f"{relative_parent}/{entry.name}"
            elif not entry.name.startswith("."):
                unused.files[Path(entry.name).suffix.lower()] += 1


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _folder_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in _scan(folder) if entry.is_dir() and not entry.name.startswith("."))


def _file_names(folder: Path) -> list[str]:
    return [entry.name for entry in _scan(folder) if not entry.is_dir()]


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as exc:
        raise InputError(f"{folder}: {exc.strerror or exc}; give a folder that can be read") from exc
