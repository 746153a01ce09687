"""Users' own arrays and functions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps import data
from sweeps.config import DataConfig
from sweeps.data.custom import NAMES
from sweeps.errors import InputError

RNG = np.random.default_rng(0)
WHOLE: dict[str, Any] = {
    "train_images": RNG.integers(0, 256, (300, 12, 12, 3), dtype=np.uint8),
    "train_labels": np.arange(300) % 5,
    "holdout_images": RNG.integers(0, 256, (100, 12, 12, 3), dtype=np.uint8),
    "holdout_labels": np.arange(100) % 5,
}


def config(path: Path, **values: Any) -> DataConfig:
    return DataConfig(
        **{"source": "arrays", "path": str(path), "classes": 5, "images": 300, "image_size": 12, **values}
    )


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(tmp_path / "own.npz", **WHOLE)
    return tmp_path / "own.npz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, array in WHOLE.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_an_npz_file_and_a_folder_hold_the_same(npz: Path, folder: Path) -> None:
    for path in (npz, folder):
        arrays = data.load_arrays(config(path), 100)
        for name in NAMES:
            assert np.array_equal(getattr(arrays, name), WHOLE[name])
        assert arrays.classes == 5
        assert arrays.train_labels.dtype == np.int32
    assert isinstance(data.load_arrays(config(folder), 100).train_images, np.memmap)


def test_classes_and_counts_can_be_cut(npz: Path) -> None:
    arrays = data.load_arrays(config(npz, classes=3, images=60), 64 - 4)
    assert np.bincount(arrays.train_labels).tolist() == [20, 20, 20]
    assert np.bincount(arrays.holdout_labels).tolist() == [20, 20, 20]
    chosen = arrays.train_images[np.arange(60)]
    assert {image.tobytes() for image in chosen} < {image.tobytes() for image in WHOLE["train_images"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_labels": None}, "train_labels is not a file in the archive; it must hold train_images"),
        ({"train_labels": WHOLE["train_labels"][:-1]}, r"train_labels is \(299,\) for 300 images"),
        ({"train_images": WHOLE["train_images"][..., 0]}, r"train_images is \(300, 12, 12\); \(n, height"),
        ({"train_images": WHOLE["train_images"] / 255}, "float64; images are uint8"),
        ({"holdout_images": WHOLE["holdout_images"][:, :8]}, r"holdout_images is \(100, 8, 12, 3\)"),
        ({"holdout_labels": WHOLE["holdout_labels"] - 1}, "holdout_labels are not whole numbers from 0"),
        ({"train_labels": WHOLE["train_labels"] * 0.5}, "train_labels are not whole numbers from 0"),
        ({"train_labels": WHOLE["train_labels"] % 4}, "4 classes; set data.classes = 4 or less"),
        ({"train_labels": WHOLE["train_labels"].astype(str)}, "give numbers"),
        (
            {"train_labels": WHOLE["train_labels"] + 1, "holdout_labels": WHOLE["holdout_labels"] + 1},
            "begin at 1 and end at 5",
        ),
        (
            {"train_labels": np.where(WHOLE["train_labels"] == 3, 255, WHOLE["train_labels"])},
            "different labels, among them 255",
        ),
        ({"train_labels": np.where(WHOLE["train_labels"] == 0, 2**40, WHOLE["train_labels"])}, str(2**40)),
        (
            {"train_labels": np.where(WHOLE["train_labels"] == 2, 1, WHOLE["train_labels"])},
            "of class 2, but no training",
        ),
        ({"holdout_labels": np.full(100, 4)}, "all hold-out images are of class 4"),
        ({"train_images": np.full((300, 12, 12, 3), 9, np.uint8)}, "all training images are equal, each value 9 to 9"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_with_the_mend(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    whole = {name: array for name, array in {**WHOLE, **change}.items() if array is not None}
    np.savez(tmp_path / "bad.npz", **whole)
    with pytest.raises(InputError, match=words):
        data.load_arrays(config(tmp_path / "bad.npz"), 100)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_float32_does_not_hold_are_refused_with_their_place(tmp_path: Path, value: float) -> None:
    table: dict[str, Any] = {
        "train_images": RNG.normal(size=(300, 4)),
        "train_labels": RNG.normal(size=300),
        "holdout_images": RNG.normal(size=(100, 4)),
        "holdout_labels": RNG.normal(size=100),
    }
    for name, array in table.items():
        damaged = array.copy()
        damaged[7, ...] = np.where(np.arange(damaged[7].size) == damaged[7].size - 1, value, 0).reshape(
            damaged[7].shape
        )
        np.savez(tmp_path / "bad.npz", **{**table, name: damaged})
        data.load_arrays.cache_clear()
        with pytest.raises(InputError, match=f"{name}: row 7"):
            data.load_arrays(config(tmp_path / "bad.npz", task="regression"), 100)


def test_images_that_are_not_square_get_advice_that_helps(tmp_path: Path) -> None:
    whole = {**WHOLE, "train_images": WHOLE["train_images"][:, :6], "holdout_images": WHOLE["holdout_images"][:, :6]}
    np.savez(tmp_path / "flat.npz", **whole)
    with pytest.raises(InputError, match="images of 6x12 pixels; make them square"):
        data.load_arrays(config(tmp_path / "flat.npz"), 100)


def test_files_that_are_none_are_refused(tmp_path: Path, npz: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "cut.npz").write_bytes(npz.read_bytes()[:-2000])
    np.save(tmp_path / "one.npy", WHOLE["train_images"])
    with pytest.raises(InputError, match=r"one.npy: one array; give an .npz file"):
        data.load_arrays(config(tmp_path / "one.npy"), 100)
    for path in (tmp_path / "nowhere.npz", tmp_path / "text.npz", tmp_path / "cut.npz", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="cannot be read"):
            data.load_arrays(config(path), 100)
    with pytest.raises(InputError, match=r"set data.image_size = 12"):
        data.load_arrays(config(npz, image_size=16), 100)
    with pytest.raises(InputError, match=r"set budget.holdout_images = 100 or less"):
        data.load_arrays(config(npz), 101)


def test_a_function_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_data.py").write_text(
        "import numpy as np\n"
        "def load(config, holdout_images):\n"
        "    def part(n):\n"
        "        labels = np.arange(n) % 2\n"
        "        images = np.zeros((n, config.image_size, config.image_size, 1), np.uint8)\n"
        "        images[labels == 1] = 7\n"
        "        return images, labels\n"
        "    return (*part(config.images), *part(holdout_images))\n"
        "def nothing(config, holdout_images): return None\n"
    )
    monkeypatch.chdir(tmp_path)
    table = DataConfig(source="their_data:load", classes=2, images=10, image_size=8)
    arrays = data.load_arrays(table, 64)
    assert arrays.train_images.shape == (10, 8, 8, 1)
    assert arrays.holdout_labels.tolist() == [0, 1] * 32
    with pytest.raises(InputError, match="returned NoneType; return train_images, train_labels"):
        data.load_arrays(table.model_copy(update={"source": "their_data:nothing"}), 64)
    with pytest.raises(InputError, match="their_data has no missing"):
        data.load_arrays(table.model_copy(update={"source": "their_data:missing"}), 64)


@pytest.mark.parametrize("form", ["column", "floats", "one-hot", "truths"])
def test_labels_may_come_as_keras_and_numpy_write_them(tmp_path: Path, form: str) -> None:
    forms: dict[str, Any] = {
        "column": lambda labels: labels[:, None],
        "floats": lambda labels: labels.astype(np.float32),
        "one-hot": lambda labels: np.eye(5, dtype=np.float32)[labels],
        "truths": lambda labels: np.eye(5, dtype=bool)[labels],
    }
    own: dict[str, Any] = {
        name: forms[form](array) if name.endswith("labels") else array for name, array in WHOLE.items()
    }
    np.savez(tmp_path / "own.npz", **own)
    arrays = data.load_arrays(config(tmp_path / "own.npz"), 100)
    assert np.array_equal(arrays.train_labels, WHOLE["train_labels"])
    assert np.array_equal(arrays.holdout_labels, WHOLE["holdout_labels"])


def test_classes_that_data_classes_leaves_out_are_kept_in_mind(tmp_path: Path) -> None:
    labels = {name: array for name, array in WHOLE.items() if name.endswith("labels")}
    np.savez(tmp_path / "own.npz", **{**WHOLE, **{name: np.where(row == 4, 7, row) for name, row in labels.items()}})
    arrays = data.load_arrays(config(tmp_path / "own.npz"), 64)
    assert arrays.classes_left_out == (7,)
    np.savez(tmp_path / "own.npz", **{**WHOLE, **{name: row + 2 for name, row in labels.items()}})
    with pytest.raises(InputError, match=r"begin at 2.*subtract 2"):
        data.load_arrays(config(tmp_path / "own.npz", classes=7), 100)
