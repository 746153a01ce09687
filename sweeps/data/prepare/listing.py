"""The files of a data set with their labels, before any of them is decoded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sweeps.errors import InputError

LabelledFile = tuple[str, int]  # path below the root, label


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set; labels point into `classes`.

    Attributes:
        empty: names of classes without any file; they have no label.
        other_files: (suffix, files with it) of what lies between the images and is none that can be decoded.
        left_out: other folders and images that are there and not taken, described.
    """

    classes: tuple[str, ...]
    train: tuple[LabelledFile, ...]
    holdout: tuple[LabelledFile, ...]
    empty: tuple[str, ...] = ()
    other_files: tuple[tuple[str, int], ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def by_split(self) -> dict[str, tuple[LabelledFile, ...]]:
        """Return the files of each split."""
        return {"train": self.train, "holdout": self.holdout}

    @property
    def without_holdout(self) -> tuple[str, ...]:
        """Return the names of classes that have training files only."""
        held_out = {label for _, label in self.holdout}
        return tuple(name for label, name in enumerate(self.classes) if label not in held_out)

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
