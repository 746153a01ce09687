"""What is odd in data is said: where, and what to do; ordinary data have nothing odd."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeps.config import Config, DataConfig, ModelConfig
from sweeps.data.arrays import Arrays
from sweeps.data.oddities import CHECKS, find_oddities, list_warnings

RNG = np.random.default_rng(0)


def images(count: int = 200, holdout: int = 100) -> Any:
    def part(number: int) -> tuple[Any, Any]:
        labels = np.arange(number, dtype=np.int32) % 4
        return RNG.integers(0, 256, (number, 8, 8, 1), dtype=np.uint8), labels

    return Arrays(*part(count), *part(holdout), 4)


def table(columns: int = 3, task_classes: int = 0) -> Any:
    def part(number: int) -> tuple[Any, Any]:
        rows = RNG.normal(size=(number, columns)).astype(np.float32)
        return rows, RNG.normal(size=number).astype(np.float32)

    return Arrays(*part(300), *part(100), task_classes)


def warnings(arrays: Arrays, **choices: Any) -> list[str]:
    data = DataConfig(classes=4, image_size=8) if arrays.classes else DataConfig(task="regression", image_size=8)
    model = ModelConfig(architecture="dense")
    return list_warnings(find_oddities(arrays, Config.model_validate({"data": data, "model": model, **choices})))


@pytest.mark.parametrize("arrays", [images(), table()])
def test_ordinary_data_have_nothing_odd(arrays: Arrays) -> None:
    assert warnings(arrays, batch_size=32) == []
    data = DataConfig(task="regression")
    assert [finding.check for finding in find_oddities(arrays, Config.model_validate({"data": data}))] == list(CHECKS)


def test_a_batch_larger_than_the_data() -> None:
    (line,) = warnings(images(20), batch_size=64)
    assert "64" in line
    assert "20" in line


def test_images_that_were_scaled_before_they_became_bytes() -> None:
    plain = images()
    dark = replace(plain, train_images=plain.train_images // 255, holdout_images=plain.holdout_images // 255)
    assert any("scaled" in line for line in warnings(dark))


def test_images_that_are_nearly_equal() -> None:
    plain = images()
    same = np.full_like(plain.train_images, 90)
    same[::10, 0, 0] += 1
    still = replace(plain, train_images=same, holdout_images=same[:100])
    assert any("nearly equal" in line for line in warnings(still))


def test_a_split_of_which_one_part_alone_was_scaled() -> None:
    plain = images()
    (line,) = warnings(replace(plain, holdout_images=plain.holdout_images // 4))
    assert "unlike" in line
    rows = table()
    shifted = np.array(rows.holdout_images)
    shifted[:, 1] += 50
    (line,) = warnings(replace(rows, holdout_images=shifted))
    assert "column 1" in line


def test_holdout_images_that_are_training_images_too() -> None:
    plain = images()
    mixed = np.array(plain.holdout_images)
    mixed[[3, 5]] = plain.train_images[[7, 11]]
    (line,) = warnings(replace(plain, holdout_images=mixed))
    assert "2 hold-out images (2.0%)" in line
    assert "3, 5" in line


def test_training_images_that_repeat_others() -> None:
    plain = images(200)
    rows = np.arange(200)
    rows[150:] = 7
    (line,) = warnings(replace(plain, train_images=plain.train_images[rows]))
    assert "50 training images (25.0%)" in line
    assert "150 different" in line
    counted = table()
    assert warnings(replace(counted, train_images=np.round(counted.train_images[:]))) == [], (
        "few values, as in a survey"
    )


def test_columns_that_say_nothing_or_outweigh_others() -> None:
    plain = table()
    rows = np.array(plain.train_images)
    rows[:, 2] = 5
    held_out = np.array(plain.holdout_images)
    held_out[:, 2] = 5
    (line,) = warnings(replace(plain, train_images=rows, holdout_images=held_out))
    assert "column 2 has the same value" in line
    wide = replace(
        plain,
        train_images=plain.train_images[:] * np.array([1, 1e6, 1], np.float32),
        holdout_images=plain.holdout_images * np.array([1, 1e6, 1], np.float32),
    )
    assert warnings(wide) == [], "a range, or a spread, of its own scales each column"
    (line,) = warnings(wide, inputs="standardized_set")
    assert "scale each column" in line


def test_a_target_far_from_all_others_or_nearly_constant() -> None:
    plain = table()
    target = np.array(plain.train_labels)
    target[17] = 900
    (line,) = warnings(replace(plain, train_labels=target))
    assert "row 17" in line
    still = np.zeros_like(target)
    still[0] = 1
    many = replace(plain, train_images=np.tile(plain.train_images, (7, 1)), train_labels=np.tile(still, 7))
    assert all("one value" not in line for line in warnings(replace(plain, train_labels=target)))
    constant = np.zeros(2100, np.float32)
    constant[0] = 1
    assert any("one value" in line for line in warnings(replace(many, train_labels=constant)))


def test_classes_that_are_missing_few_or_everything() -> None:
    plain = images()
    labels = np.array(plain.holdout_labels)
    labels[:] = 0
    labels[:3] = 1
    lines = warnings(replace(plain, holdout_labels=labels))
    assert any("class 2, 3" in line for line in lines)
    assert any("97.0%" in line for line in lines)
    few = np.array(plain.train_labels)
    few[few == 3] = 0
    few[:2] = 3
    assert any("fewer than 5 training images of class 3" in line for line in warnings(replace(plain, train_labels=few)))


def test_advice_on_missing_classes_never_leaves_out_more() -> None:
    plain = images()
    gap = np.where(plain.train_labels == 1, 0, plain.train_labels)
    (line,) = warnings(replace(plain, train_labels=gap, holdout_labels=np.where(plain.holdout_labels == 1, 0, 0) + 2))[
        :1
    ]
    assert "no training image of class 1; number the classes without gaps" in line
    few = replace(plain, train_labels=plain.train_labels % 3, holdout_labels=plain.holdout_labels % 3)
    (line,) = warnings(few)
    assert "no training image of class 3; set data.classes = 3" in line


def test_a_mistyped_target_is_seen_among_few_rows_and_in_the_hold_out_set() -> None:
    plain = table()
    for count in (20, 100, 300):
        target = np.array(plain.train_labels[:count])
        target[7] = 1000
        few = replace(plain, train_images=plain.train_images[:count], train_labels=target / target.std())
        assert any("target of row 7" in line for line in warnings(few, batch_size=16)), count
    held_out = np.array(plain.holdout_labels)
    held_out[5] = -900
    (line,) = warnings(replace(plain, holdout_labels=held_out))
    assert "target of hold-out row 5" in line


@pytest.mark.parametrize("first", [0, 1, 500])
def test_a_column_that_numbers_the_rows_is_named(first: int) -> None:
    plain = table()
    numbers = RNG.permutation(400) + first
    numbered = replace(
        plain,
        train_images=np.column_stack([numbers[:300], plain.train_images]).astype(np.float32),
        holdout_images=np.column_stack([numbers[300:], plain.holdout_images]).astype(np.float32),
        columns=("patient", "a", "b", "c"),
    )
    lines = warnings(numbered)
    assert any("column 0 (patient) numbers the rows" in line for line in lines)
    repeated = np.array(numbered.train_images)
    repeated[3, 0] = repeated[4, 0]
    assert not any("numbers the rows" in line for line in warnings(replace(numbered, train_images=repeated)))
