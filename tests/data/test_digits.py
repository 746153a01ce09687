from collections import Counter

import numpy as np
import pytest

from sweeps.config import DataConfig
from sweeps.data.digits import make_digit_images
from sweeps.errors import TrialError


def config(images: int, classes: int = 10, image_size: int = 8, seed: int = 0) -> DataConfig:
    return DataConfig(source="digits", images=images, classes=classes, image_size=image_size, seed=seed)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_each_image_is_one_of_scikit_learns_with_its_label_and_none_comes_twice(size: int) -> None:
    arrays = make_digit_images(config(700, image_size=size), 300)
    images = np.concatenate([arrays.train_images, arrays.holdout_images])
    labels = np.concatenate([arrays.train_labels, arrays.holdout_labels])
    assert images.shape == (1000, size, size, 1)
    factor = size // 8
    small = images[:, ::factor, ::factor, 0]
    assert np.array_equal(np.kron(small, np.ones((1, factor, factor), np.uint8)), images[..., 0])
    from sklearn.datasets import load_digits

    bunch = load_digits()
    known = Counter(
        (image.astype(int).tobytes(), int(label)) for image, label in zip(bunch.images, bunch.target, strict=True)
    )
    ours = Counter(
        (np.rint(image / 255 * 16).astype(int).tobytes(), int(label))
        for image, label in zip(small, labels, strict=True)
    )
    assert ours <= known


def test_types_and_range() -> None:
    arrays = make_digit_images(config(100), 64)
    assert isinstance(arrays.train_images, np.ndarray)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_labels.dtype == arrays.holdout_labels.dtype == np.int32
    assert (arrays.train_images.min(), arrays.train_images.max()) == (0, 255)


def test_both_sets_are_balanced() -> None:
    arrays = make_digit_images(config(1000), 300)
    assert np.array_equal(np.bincount(arrays.holdout_labels), np.full(10, 30))
    assert np.array_equal(np.bincount(arrays.train_labels), np.full(10, 100))


def test_only_the_first_classes_are_shown() -> None:
    arrays = make_digit_images(config(200, classes=3), 64)
    assert set(arrays.train_labels) == set(arrays.holdout_labels) == {0, 1, 2}
    assert arrays.classes == 3


def test_the_seed_decides_the_holdout_set_and_the_number_of_training_images_does_not() -> None:
    first = make_digit_images(config(100), 64)
    more = make_digit_images(config(900), 64)
    other = make_digit_images(config(100, seed=1), 64)
    assert np.array_equal(first.holdout_images, more.holdout_images)
    assert isinstance(first.train_images, np.ndarray)
    assert np.array_equal(first.train_images, more.train_images[:100])
    assert not np.array_equal(first.holdout_images, other.holdout_images)


def test_all_images_can_be_used() -> None:
    from sklearn.datasets import load_digits

    arrays = make_digit_images(config(1797 - 1024), 1024)
    assert len(arrays.train_images) == 773
    counts = np.bincount(np.concatenate([arrays.train_labels, arrays.holdout_labels]))
    assert np.array_equal(counts, np.bincount(load_digits().target))


def test_too_many_training_images_are_refused_with_the_largest_number_possible() -> None:
    with pytest.raises(
        TrialError, match=r"1797 images .* 1024 held out, 773 are left .* not 774; set data.images to 773"
    ):
        make_digit_images(config(774), 1024)


@pytest.mark.parametrize("holdout", [1788, 1797, 5000])
def test_too_many_held_out_images_are_refused_with_the_largest_number_possible(holdout: int) -> None:
    with pytest.raises(TrialError, match="set holdout_images to 1787 or less"):
        make_digit_images(config(10), holdout)
    assert len(make_digit_images(config(10), 1787).train_images) == 10
