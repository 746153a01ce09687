"""Trees in each layout -> the files and labels that are in them."""

import os
from pathlib import Path

import pytest
from image_trees import class_folders, places365_lists

from sweeps.data.prepare.folders import list_folders
from sweeps.data.prepare.layouts import LAYOUTS, Layout, list_places365
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


def write(root: Path, *paths: str, copies: int = 1) -> Path:
    """Make empty files; folders come with them."""
    for path in paths:
        for copy in range(copies):
            file = root / path.replace("*", f"{copy:02d}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


@pytest.mark.parametrize(
    ("train", "holdout"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/images", "val/images"),
        ("train_set", "validation-set"),
        ("data set/Train", "data set/Valid"),
        ("train", "dev"),
    ],
)
def test_splits_are_known_by_their_usual_names(tmp_path: Path, train: str, holdout: str) -> None:
    for split, copies in ((train, 4), (holdout, 2)):
        write(tmp_path, f"{split}/ape/*.png", f"{split}/bee/*.png", copies=copies)
    listing = list_folders(tmp_path)
    assert listing.classes == ("ape", "bee")
    assert [label for _, label in listing.train] == [0] * 4 + [1] * 4
    assert [label for _, label in listing.holdout] == [0] * 2 + [1] * 2
    assert {path.rpartition("/")[0] for path, _ in listing.holdout} == {f"{holdout}/ape", f"{holdout}/bee"}
    assert all((tmp_path / path).is_file() for path, _ in (*listing.train, *listing.holdout))


def test_of_several_hold_out_folders_val_is_taken(tmp_path: Path) -> None:
    write(tmp_path, *(f"{split}/{name}/0.png" for split in ("train", "test", "val") for name in ("ape", "bee")))
    assert {path.split("/")[0] for path, _ in list_folders(tmp_path).holdout} == {"val"}


@pytest.mark.parametrize("in_images", [True, False])
@pytest.mark.parametrize(
    ("name", "line"),
    [("val_annotations.txt", "{file}\t{name}\t0\t0\t62\t62"), ("LOC_val_solution.csv", "{stem},{name} 1 2 3")],
)
def test_flat_hold_out_images_get_their_classes_from_a_list(
    tmp_path: Path, in_images: bool, name: str, line: str
) -> None:
    write(tmp_path, "train/n01/images/*.JPEG", "train/n02/images/*.JPEG", copies=3)
    folder = "val/images" if in_images else "val"
    write(tmp_path, f"{folder}/val_*.JPEG", copies=4)
    classes = ["n02", "n01", "n01", "n02"]
    lines = [line.format(file=f"val_{n:02d}.JPEG", stem=f"val_{n:02d}", name=classes[n]) for n in range(4)]
    (tmp_path / "val" / name).write_text("\n".join(lines) + "\n")
    listing = list_folders(tmp_path)
    assert listing.classes == ("n01", "n02")
    assert dict(listing.holdout) == {f"{folder}/val_{n:02d}.JPEG": int(classes[n] == "n02") for n in range(4)}
    (tmp_path / "val" / name).write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(InputError, match=r"does not name the class of val_03.JPEG"):
        list_folders(tmp_path)
    (tmp_path / "val" / name).write_text("\n".join([*lines[:3], lines[3].replace("n02", "n09")]) + "\n")
    with pytest.raises(InputError, match="of class 'n09', which training has not"):
        list_folders(tmp_path)


def test_letters_group_classes_and_are_none_themselves(tmp_path: Path) -> None:
    write(tmp_path, "a/abbey/*.jpg", "a/apartment/inside/*.jpg", "a/apartment/outside/*.jpg", "b/bar/*.jpg", copies=10)
    assert list_folders(tmp_path).classes == ("abbey", "apartment/inside", "apartment/outside", "bar")


def test_letters_that_are_classes_stay_classes(tmp_path: Path) -> None:
    write(tmp_path, "a/*.png", "b/small/*.png", copies=10)
    assert list_folders(tmp_path).classes == ("a", "b")


def test_every_kind_that_pillow_reads_is_found_and_others_are_counted(tmp_path: Path) -> None:
    for name in ("ape", "bee"):
        write(tmp_path, *(f"{name}/*.{kind}" for kind in ("jfif", "PPM", "pgm", "jp2", "tga")), copies=2)
        write(tmp_path, f"{name}/film.mp4", f"{name}/notes", f"{name}/Thumbs.db")
    listing = list_folders(tmp_path)
    assert len(listing.train) + len(listing.holdout) == 20
    assert dict(listing.other_files) == {".mp4": 2, "": 2, ".db": 2}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            ["train/cat/*.png", "train/dog/*.png", "val/Cat/*.png", "val/dog/*.png"],
            "hold-out images of Cat, but no training",
        ),
        (["train/cat/*.png", "train/dog/*.png", "val/*.png"], "val: its images lie flat"),
        (["train/cat/*.png", "train/dog/*.png", "val/notes.txt"], "val: no images"),
        (["train/cat/*.png", "train/dog/*.png"], "none of val, validation"),
        (["test/cat/*.png", "cat/*.png", "dog/*.png"], "test is there, but no train"),
        (["train/cat/*.png", "Training/cat/*.png", "val/cat/*.png"], "Training, train are all folders for training"),
        (["cat/*.png", "dog/*.png"], "fewer than 10 images"),
        (["*.png"], "images lie flat in it"),
        (["cat/*.mp4", "dog/*.mp4"], "end in .mp4"),
    ],
)
def test_each_cause_has_a_message_of_its_own(tmp_path: Path, files: list[str], words: str) -> None:
    write(tmp_path, *files, copies=9)
    with pytest.raises(InputError, match=words):
        list_folders(tmp_path)


def test_classes_without_hold_out_images_are_named(tmp_path: Path) -> None:
    write(tmp_path, "cat/*.png", "dog/*.png", copies=20)
    write(tmp_path, "rare/*.png", copies=9)
    assert list_folders(tmp_path).without_holdout == ("rare",)


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


def test_what_is_not_taken_is_described(tmp_path: Path) -> None:
    write(
        tmp_path,
        *(f"{place}/*.png" for place in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat")),
        copies=3,
    )
    write(tmp_path, "train/stray.png")
    listing = list_folders(tmp_path)
    assert len(listing.train) == len(listing.holdout) == 6
    described = " ".join(listing.left_out)
    assert "test" in described
    assert "1 image" in described


def test_links_that_lead_back_add_no_image(tmp_path: Path) -> None:
    outside = write(tmp_path / "elsewhere", "deep/*.png", copies=3)
    (outside / "deep" / "again").symlink_to(outside)
    root = write(tmp_path / "tree", "train/cat/*.png", "train/dog/*.png", "val/cat/*.png", "val/dog/*.png", copies=10)
    before = list_folders(root)
    (root / "train" / "cat" / "back").symlink_to(root)
    (root / "train" / "cat" / "up").symlink_to(tmp_path)
    (root / "val" / "dog" / "sister").symlink_to(root / "train" / "cat")
    (root / "val" / "dog" / "elsewhere").symlink_to(outside)
    after = list_folders(root)
    assert after.train == before.train
    added = [file for file, _ in after.holdout if (file, 1) not in before.holdout and (file, 0) not in before.holdout]
    assert sorted(added) == [f"val/dog/elsewhere/deep/{copy:02d}.png" for copy in range(3)]
    assert any("4 links" in described for described in after.left_out)


def test_pipes_and_broken_links_are_left_out(tmp_path: Path) -> None:
    root = write(tmp_path, "cat/*.png", "dog/*.png", copies=12)
    before = list_folders(root)
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "zero.png").symlink_to("/dev/zero")
    (root / "dog" / "nowhere.png").symlink_to(root / "nothing.png")
    after = list_folders(root)
    assert (after.train, after.holdout) == (before.train, before.holdout)
    assert any("3 files that are pipes" in described for described in after.left_out)
