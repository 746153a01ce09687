from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeps.data import arrays
from sweeps.data.arrays import Arrays, Rows, batch_indices, input_scaling

sizes = st.integers(1, 40)


@given(seed=st.integers(0, 2**31), images=sizes, batch=sizes, start=st.integers(0, 30), steps=st.tuples(sizes, sizes))
def test_a_stretch_of_steps_may_be_cut_anywhere(
    seed: int, images: int, batch: int, start: int, steps: tuple[int, int]
) -> None:
    cut, stop = start + steps[0], start + sum(steps)
    whole = batch_indices(seed, images, batch, start, stop)
    halves = [batch_indices(seed, images, batch, start, cut), batch_indices(seed, images, batch, cut, stop)]
    assert whole.shape == (sum(steps), batch)
    assert np.array_equal(whole, np.concatenate(halves))


@given(seed=st.integers(0, 2**31), images=sizes, batch=sizes, epochs=st.integers(1, 4))
def test_every_epoch_shows_each_image_once(seed: int, images: int, batch: int, epochs: int) -> None:
    steps = -(-epochs * images // batch)
    order = batch_indices(seed, images, batch, 0, steps).ravel()[: epochs * images].reshape(epochs, images)
    assert np.array_equal(np.sort(order), np.tile(np.arange(images), (epochs, 1)))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = batch_indices(0, 100, 100, 0, 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, batch_indices(1, 100, 100, 0, 1)[0])


IMAGES = np.random.default_rng(0).integers(0, 256, (500, 6, 5, 3), dtype=np.uint8)
TABLE = np.random.default_rng(0).normal([5, -2, 0], [3, 1, 100], (400, 3)).astype(np.float32)


def scaled(inputs: str, images: np.ndarray) -> np.ndarray:
    labels = np.zeros(len(images), np.int32)
    scale, offset = input_scaling(inputs, Arrays(images, labels, images, labels, 2))  # type: ignore[arg-type]
    return images * scale.astype(np.float64) + offset


def test_images_are_scaled_as_their_name_says() -> None:
    images = IMAGES.copy()
    images[:, 0, 0, 0] = 9  # a pixel that is the same in all images
    assert np.allclose(scaled("unit", images), images / 255)
    assert np.allclose(scaled("centred", images), images / 255 - 0.5, atol=1e-6)
    whole = scaled("standardized_set", images)
    assert whole.mean() == pytest.approx(0, abs=1e-5)
    assert whole.std() == pytest.approx(1, abs=1e-5)
    pixels = scaled("standardized_pixel", images)
    assert np.allclose(pixels.mean(axis=0), 0, atol=1e-4)
    spread = pixels.std(axis=0)
    assert spread[0, 0, 0] == 0
    assert np.allclose(np.delete(spread.ravel(), 0), 1, atol=1e-4)


def test_columns_of_a_table_are_scaled_by_their_own_range() -> None:
    unit = scaled("unit", TABLE)
    assert np.allclose(unit.min(axis=0), 0, atol=1e-5)
    assert np.allclose(unit.max(axis=0), 1, atol=1e-5)
    assert np.allclose(scaled("centred", TABLE), unit - 0.5, atol=1e-5)
    columns = scaled("standardized_pixel", TABLE)
    assert np.allclose(columns.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(columns.std(axis=0), 1, atol=1e-4)


def test_rows_are_read_when_they_are_asked_for() -> None:
    rows = Rows(IMAGES, np.array([7, 3, 3, 499]))
    assert len(rows) == 4
    assert rows.shape == (4, 6, 5, 3)
    assert np.array_equal(rows[np.array([[0, 3], [2, 1]])], IMAGES[np.array([[7, 499], [3, 3]])])


def test_equal_data_have_equal_digests_and_others_have_others() -> None:
    def digest(**changes: NDArray[Any]) -> str:
        images = np.random.default_rng(0).integers(0, 256, (2000, 4, 4, 1), np.uint8)
        labels = np.arange(2000, dtype=np.int32) % 3
        parts: dict[str, Any] = {
            "train_images": images[:1900],
            "train_labels": labels[:1900],
            "holdout_images": images[1900:],
            "holdout_labels": labels[1900:],
        }
        return arrays.digest_arrays(Arrays(**{**parts, **changes}, classes=3))

    assert digest() == digest()
    assert len({digest(), digest(train_labels=np.zeros(1900, np.int32))}) == 2
    assert len({digest(), digest(holdout_images=np.zeros((100, 4, 4, 1), np.uint8))}) == 2
    assert len({digest(), digest(train_images=np.zeros((1900, 4, 4, 1), np.uint8))}) == 2
