"""Users' own arrays and functions."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps import data
from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.data.checks import explain_misfit
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
        ({"train_labels": None}, "holds holdout_images, holdout_labels, train_images; it must hold train_images"),
        ({"train_labels": WHOLE["train_labels"][:-1]}, r"train_labels is \(299,\) for 300 images"),
        ({"train_images": WHOLE["train_images"][..., 0]}, r"holdout_images is \(100, 12, 12, 3\); \(n, height"),
        ({"holdout_images": WHOLE["holdout_images"][:, :8]}, r"holdout_images is \(100, 8, 12, 3\)"),
        ({"holdout_labels": WHOLE["holdout_labels"] - 1}, "holdout_labels are not whole numbers from 0"),
        ({"train_labels": WHOLE["train_labels"] * 0.5}, "train_labels are not whole numbers from 0"),
        ({"train_labels": WHOLE["train_labels"] % 4}, "4 classes; set data.classes = 4 or less"),
        ({"train_labels": WHOLE["train_labels"].astype(str)}, "train holds uint8 and <U21; give numbers"),
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
        (dict.fromkeys(("train_labels", "holdout_labels"), None), "must hold train_images"),
        ({"train_labels": np.zeros(300, int), "holdout_labels": np.zeros(100, int)}, "all labels are 0, one class"),
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


def misfit(path: Path, **values: Any) -> str:
    """Why our nets do not take what a file holds."""
    of = config(path, **values)
    return explain_misfit(
        data.load_arrays(of, 100), Config.model_validate({"data": of, "model": ModelConfig(architecture="alexnet")})
    )


def change(path: Path, function: Any) -> Path:
    """A file whose images a function has changed."""
    images = {name: function(array) for name, array in WHOLE.items() if name.endswith("images")}
    np.savez(path, **{**WHOLE, **images})
    return path


def test_what_our_nets_do_not_take_gets_advice_that_helps(tmp_path: Path, npz: Path) -> None:
    assert misfit(npz) == ""
    assert "set data.image_size = 12" in misfit(npz, image_size=16)
    assert "transpose" in misfit(change(tmp_path / "first.npz", lambda images: images.transpose(0, 3, 1, 2)))
    assert "make them square" in misfit(change(tmp_path / "flat.npz", lambda images: images[:, :6]))
    assert "multiply by 255" in misfit(change(tmp_path / "scaled.npz", lambda images: images / 255))
    own = Config.model_validate({"data": config(tmp_path / "flat.npz"), "model": ModelConfig(build="my_nets:build")})
    assert explain_misfit(data.load_arrays(own.data, 100), own) == "", "a net of one's own says what it takes"


@pytest.mark.parametrize(
    ("function", "shape", "dtype"),
    [
        (lambda images: images.astype(np.int64), (12, 12, 3), "uint8"),
        (lambda images: images[..., 0], (12, 12, 1), "uint8"),
        (lambda images: images[..., 0] > 99, (12, 12, 1), "uint8"),
        (lambda images: images / 255, (12, 12, 3), "float32"),
        (lambda images: (images / 255).astype(np.float16), (12, 12, 3), "float32"),
        (lambda images: images.astype(np.int16) * 100, (12, 12, 3), "float32"),
        (lambda images: images[:, :, 0] / 255, (12, 3), "float32"),
        (lambda images: images.reshape(-1, 2, 6, 12, 3), (2, 6, 12, 3), "uint8"),
    ],
)
def test_inputs_of_any_shape_and_type_are_taken_as_they_are(
    function: Any, shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    arrays = data.load_arrays(config(change(tmp_path / "other.npz", function)), 100)
    assert (arrays.input_shape, arrays.input_dtype) == (shape, dtype)
    for name in ("train_images", "holdout_images"):
        expected = function(WHOLE[name])
        if expected.dtype == np.bool_:
            expected = expected * 255
        loaded = getattr(arrays, name)[np.arange(100)]
        np.testing.assert_allclose(loaded.reshape(expected[:100].shape), expected[:100], rtol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "y_train", "X_val", "y_val"),
        ("train_x", "train_y", "valid_x", "valid_y"),
        ("images_train", "labels_train", "images_test", "labels_test"),
        ("train_data", "train_targets", "test_data", "test_targets"),
    ],
)
def test_arrays_have_other_usual_names(names: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", **dict(zip(names, WHOLE.values(), strict=True)), beside=np.zeros(3))
    arrays = data.load_arrays(config(tmp_path / "named.npz"), 100)
    assert np.array_equal(arrays.holdout_images, WHOLE["holdout_images"])
    assert np.array_equal(arrays.train_labels, WHOLE["train_labels"])
    (tmp_path / "folder").mkdir()
    for name, array in zip(names, WHOLE.values(), strict=True):
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    mapped = data.load_arrays(config(tmp_path / "folder"), 100)
    assert np.array_equal(mapped.holdout_labels, WHOLE["holdout_labels"])


def test_of_inputs_and_labels_alone_the_seed_holds_out_some(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x=WHOLE["train_images"], y=WHOLE["train_labels"])
    arrays = data.load_arrays(config(tmp_path / "plain.npz"), 100)
    assert (len(arrays.train_images), len(arrays.holdout_images)) == (200, 100)
    there = {image.tobytes() for image in arrays.train_images[np.arange(200)]}
    assert not there & {image.tobytes() for image in arrays.holdout_images}
    np.savez(tmp_path / "uneven.npz", x=WHOLE["train_images"], y=WHOLE["train_labels"][:-1])
    with pytest.raises(InputError, match="300 inputs and 299 labels"):
        data.load_arrays(config(tmp_path / "uneven.npz"), 100)


@pytest.mark.parametrize("dtype", [str, object])
def test_labels_that_are_texts_are_numbered_in_their_order(dtype: type, tmp_path: Path) -> None:
    words = np.array(["owl", "bat", "cow", "ant", "emu"])
    texts = {name: words[WHOLE[name]].astype(dtype) for name in ("train_labels", "holdout_labels")}
    (tmp_path / "their_texts.py").write_text("parts = None\ndef load(config, held_out):\n    return parts\n")
    sys.path.insert(0, str(tmp_path))
    try:
        module: Any = importlib.import_module("their_texts")
        module.parts = tuple({**WHOLE, **texts}.values())
        arrays = data.load_arrays(DataConfig(source="their_texts:load", classes=5, images=300, image_size=12), 100)
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["their_texts"]
        data.load_arrays.cache_clear()
    assert arrays.class_names == ("ant", "bat", "cow", "emu", "owl")
    for name in ("train_labels", "holdout_labels"):
        assert [arrays.class_names[label] for label in getattr(arrays, name)] == texts[name].tolist()


def test_files_that_are_none_are_refused(tmp_path: Path, npz: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "cut.npz").write_bytes(npz.read_bytes()[:-2000])
    np.save(tmp_path / "one.npy", WHOLE["train_images"])
    with pytest.raises(InputError, match=r"one.npy: one array; give an .npz file"):
        data.load_arrays(config(tmp_path / "one.npy"), 100)
    for path in (tmp_path / "nowhere.npz", tmp_path / "text.npz", tmp_path / "cut.npz", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=r"cannot be read|holds no array"):
            data.load_arrays(config(path), 100)
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
