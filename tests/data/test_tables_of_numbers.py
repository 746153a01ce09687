"""Regression: tables of numbers, and targets in units of the training rows' spread."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from sweeps import data
from sweeps.config import DataConfig
from sweeps.errors import InputError
from sweeps.verdict import Chance

ROWS = np.random.default_rng(0).normal(5, 3, (200, 4))


def csv(path: Path, **values: Any) -> DataConfig:
    return DataConfig(**{"source": "csv", "path": str(path), "task": "regression", "images": 1000, **values})


def test_a_csv_file_is_split_by_the_seed_and_its_target_standardised(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    np.savetxt(path, ROWS, delimiter=",", header="a,b,c,price", comments="")
    arrays = data.load_arrays(csv(path), 64)
    assert arrays.train_images.shape == (136, 3)
    assert arrays.classes == 0
    assert isinstance(arrays.train_images, np.ndarray)
    rows = np.concatenate([arrays.train_images[np.arange(136)], arrays.holdout_images])
    assert np.allclose(np.sort(rows[:, 0]), np.sort(ROWS[:, 0]), rtol=1e-6)
    assert arrays.train_labels.mean() == pytest.approx(0, abs=1e-5)
    assert arrays.train_labels.std() == pytest.approx(1, abs=1e-5)
    by_first = {round(row[0], 4): row[3] for row in ROWS}
    targets = np.array([by_first[round(float(row[0]), 4)] for row in arrays.holdout_images])
    train_targets = np.array([by_first[round(float(row[0]), 4)] for row in arrays.train_images])
    assert np.allclose(arrays.holdout_labels, (targets - train_targets.mean()) / train_targets.std(), atol=1e-5)
    other = data.load_arrays(csv(path, seed=1), 64)
    assert not np.array_equal(other.holdout_images, arrays.holdout_images)
    np.savetxt(path, ROWS, delimiter=",")  # without names
    data.load_arrays.cache_clear()
    assert np.array_equal(data.load_arrays(csv(path), 64).holdout_images, arrays.holdout_images)


def test_chance_of_a_regression_is_the_mean_and_r2_its_gain() -> None:
    rng = np.random.default_rng(1)
    train, kept = rng.normal(2, 3, 500), rng.normal(2, 3, 400)
    chance = Chance.of(train, kept, 0)
    assert chance.loss == pytest.approx(np.mean((kept - train.mean()) ** 2))
    assert np.isnan(chance.top1)
    predicted = kept + rng.normal(0, 1, 400)
    r2 = 1 - ((kept - predicted) ** 2).sum() / ((kept - train.mean()) ** 2).sum()
    assert chance.skill_score(float(np.mean((kept - predicted) ** 2))) == pytest.approx(r2)


def test_the_diabetes_table_is_scikit_learn_s() -> None:
    arrays = data.load_arrays(DataConfig(source="diabetes", task="regression", images=1000), 100)
    rows, _ = load_diabetes(return_X_y=True, scaled=False)
    assert arrays.train_images.shape == (342, 10)
    there = {tuple(row) for row in rows.astype(np.float32).tolist()}
    assert {tuple(row) for row in arrays.holdout_images.tolist()} <= there


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lower budget.holdout_images|not a table"),
        ("a,b\n1,2\n3,x\n", "not a table of numbers"),
        ("1,2\n3\n", "not a table of numbers"),
        ("1\n" * 100, "columns"),
        ("1,2\n" * 30, "lower budget.holdout_images"),
        ("".join(f"{n},7\n" for n in range(100)), "the target is 7.0 in every row"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_tables_that_cannot_be_learnt_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        data.load_arrays(csv(tmp_path / "bad.csv"), 64)


def test_a_table_may_hold_classes(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", np.c_[ROWS, np.arange(200) % 3], delimiter=",")
    arrays = data.load_arrays(csv(tmp_path / "t.csv", task="classification", classes=3), 64)
    assert arrays.train_images.shape == (136, 4)
    assert set(arrays.train_labels.tolist()) == {0, 1, 2}
