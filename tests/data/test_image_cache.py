"""A prepared store as the data of a study."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_trees import class_folders

from sweeps import data
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays, Rows
from sweeps.data.checks import explain_misfit
from sweeps.data.prepare import Options, prepare
from sweeps.errors import InputError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    source = class_folders(folder / "tree", classes=4, train=20, holdout=30)
    prepare(source, folder / "store", Options("folders", 16, False), lambda *_: None)
    return folder / "store"


def config(store: Path, **values: Any) -> DataConfig:
    return DataConfig(**{"source": "store", "path": str(store), "image_size": 16, "classes": 4, "images": 80, **values})


def test_the_whole_store_is_mapped_in_its_order(path: Path) -> None:
    arrays = data.load_arrays(config(path), 120)
    assert isinstance(arrays.train_images, np.memmap)
    assert arrays.train_images.shape == (80, 16, 16, 3)
    wanted = np.array([[3, 70], [0, 12]])
    assert np.array_equal(arrays.train_images[wanted], np.load(path / "train-images.npy")[wanted])
    assert np.array_equal(arrays.train_labels, np.load(path / "train-labels.npy"))
    assert np.array_equal(arrays.holdout_images, np.load(path / "holdout-images.npy"))


def test_fewer_classes_and_images_are_a_balanced_part(path: Path) -> None:
    arrays = data.load_arrays(config(path, classes=3, images=30), 90)
    assert np.bincount(arrays.train_labels).tolist() == [10, 10, 10]
    assert np.bincount(arrays.holdout_labels).tolist() == [30, 30, 30]
    assert arrays.classes == 3
    assert isinstance(arrays.train_images, Rows)
    assert isinstance(arrays.train_images.array, np.memmap)
    rows = arrays.train_images.chosen
    assert np.array_equal(np.load(path / "train-labels.npy")[rows], arrays.train_labels)
    other = data.load_arrays(config(path, classes=3, images=30, seed=1), 90)
    assert not np.array_equal(rows, other.train_images.chosen)  # type: ignore[union-attr]


def test_asking_for_more_images_than_there_are_takes_all(path: Path) -> None:
    assert len(data.load_arrays(config(path, images=1000), 64).train_images) == 80


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "nowhere"}, "nowhere: no image store; make one with sweeps data prepare"),
        ({"image_size": 32}, r"images of 16x16 pixels; set data.image_size = 16"),
        ({"classes": 5}, r"4 classes; set data.classes = 4 or less"),
    ],
)
def test_a_store_that_does_not_fit_is_refused_with_the_mend(path: Path, change: dict[str, Any], message: str) -> None:
    changed = config(path, **change)
    with pytest.raises(InputError, match=message):
        require_fit(data.load_arrays(changed, 64), changed)


def require_fit(arrays: Arrays, of: DataConfig) -> None:
    """Refuse data that our nets do not take, as training does."""
    if problem := explain_misfit(arrays, Config.model_validate({"data": of})):
        raise InputError(problem)


def test_too_few_holdout_images_and_damaged_files_are_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"120 hold-out images .* set budget.holdout_images = 120 or less"):
        data.load_arrays(config(path), 121)
    for name, content in (("store.json", "{"), ("train-labels.npy", ""), ("holdout-images.npy", None)):
        copy = tmp_path / name
        copy.mkdir()
        for file in path.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        (copy / name).unlink() if content is None else (copy / name).write_text(content)
        with pytest.raises(InputError, match="prepare the store again"):
            data.load_arrays(config(copy), 64)
