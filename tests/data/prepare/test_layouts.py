"""Trees in each layout -> the files and labels that are in them."""

import os
from pathlib import Path

import pytest
from image_trees import class_folders, places365_lists

from sweeps.data.prepare.layouts import LAYOUTS, Layout, list_folders, list_places365
from sweeps.errors import InputError


@pytest.mark.parametrize("layout", ["places365", "folders"])
def test_train_and_val_folders_hold_a_class_each(tmp_path: Path, layout: Layout) -> None:
    listing = LAYOUTS[layout](class_folders(tmp_path, classes=3, train=8, holdout=4))
    assert listing.classes == ("class_00", "class_01", "class_02")
    assert listing.train[0] == ("train/class_00/00000.jpg", 0)
    assert [label for _, label in listing.train] == [0] * 8 + [1] * 8 + [2] * 8
    assert [label for _, label in listing.holdout] == [0] * 4 + [1] * 4 + [2] * 4
    assert all((tmp_path / path).is_file() for path, _ in (*listing.train, *listing.holdout))


def test_lists_name_classes_train_and_val(tmp_path: Path) -> None:
    listing = LAYOUTS["places365-lists"](places365_lists(tmp_path, classes=4, train=5, holdout=2))
    assert listing.classes == tuple(f"place_{label:02d}/indoor" for label in range(4))
    assert listing.train[0] == ("data_256/a/place_00/indoor/00000001.jpg", 0)
    assert listing.holdout[-1] == ("val_256/Places365_val_00000008.jpg", 3)
    assert all((tmp_path / path).is_file() for path, _ in (*listing.train, *listing.holdout))
    assert len(listing.train) == 20


def test_without_a_val_folder_every_tenth_image_of_a_class_is_held_out(tmp_path: Path) -> None:
    for name in ("ape", "bee"):
        (tmp_path / name).mkdir()
        for number in range(25):
            (tmp_path / name / f"{number:02d}.png").touch()
    listing = list_folders(tmp_path)
    assert listing.holdout == (("ape/09.png", 0), ("ape/19.png", 0), ("bee/09.png", 1), ("bee/19.png", 1))
    assert len(listing.train) == 46
    assert not set(listing.train) & set(listing.holdout)


def test_odd_names_are_found_and_empty_classes_and_other_files_left_out(tmp_path: Path) -> None:
    class_folders(tmp_path, classes=2)
    (tmp_path / "train" / "a class that is empty").mkdir()
    (tmp_path / "train" / ".hidden").mkdir()
    strange = tmp_path / "train" / "Zürich 日本"
    strange.mkdir()
    (strange / "naïve 'quote' \"\n.JPEG").touch()
    os.close(os.open(os.fsencode(strange) + b"/latin1-\xe9.jpg", os.O_CREAT | os.O_WRONLY))
    (strange / "Thumbs.db").touch()
    (strange / "._00000.jpg").touch()
    listing = list_folders(tmp_path)
    assert listing.classes == ("Zürich 日本", "class_00", "class_01")
    assert listing.empty == ("a class that is empty",)
    assert sorted(label for _, label in listing.train) == [0, 0] + [1] * 8 + [2] * 8
    assert all((tmp_path / path).exists() for path, _ in listing.train)


def test_a_subset_has_the_first_classes_and_at_most_so_many_images_of_each(tmp_path: Path) -> None:
    listing = list_folders(class_folders(tmp_path, classes=3, train=8, holdout=4))
    few = listing.take_subset(2, 5)
    assert few.classes == listing.classes[:2]
    assert [label for _, label in few.train] == [0] * 5 + [1] * 5
    assert set(few.train) < set(listing.train)
    assert [label for _, label in few.holdout] == [0] * 4 + [1] * 4
    assert few == listing.take_subset(2, 5)
    assert listing.take_subset(None, None) == listing
    with pytest.raises(InputError, match="3 classes with images, not 4"):
        listing.take_subset(4, None)


def test_trees_of_another_layout_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images in two classes"):
        list_folders(tmp_path)
    with pytest.raises(InputError, match=r"no folder train; give the folder"):
        list_places365(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(InputError, match="none of val, validation"):
        list_folders(tmp_path)
    with pytest.raises(InputError, match=r"no categories_places365.txt, here or one folder below"):
        LAYOUTS["places365-lists"](tmp_path)


@pytest.mark.parametrize("line", ["/a/place_00/indoor/1.jpg", "/a/place_00/indoor/1.jpg x", "x 99", "7"])
def test_a_damaged_list_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    root = places365_lists(tmp_path)
    path = root / "filelist_places365-standard" / "places365_train_standard.txt"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=r"places365_train_standard.txt: line 25 is not a path and a label"):
        LAYOUTS["places365-lists"](root)
