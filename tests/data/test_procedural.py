import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.procedural import Scenes, make_procedural_images

SMALL = DataConfig(classes=10, images=600)
QUIET = DataConfig(classes=10, images=600, noise=0.0)


def strengths(images: NDArray[Any]) -> NDArray[Any]:
    """How strong each spatial frequency is, whatever its phase: (images, features)."""
    return np.abs(np.fft.rfft2(images[..., 0] / 255.0)).reshape(len(images), -1)


def vary(config: DataConfig, **changes: object) -> DataConfig:
    return DataConfig.model_validate({**config.model_dump(), **changes})


def trained_on(arrays: Arrays) -> NDArray[Any]:
    assert isinstance(arrays.train_images, np.ndarray)
    return arrays.train_images


def same(one: Arrays, other: Arrays) -> bool:
    return np.array_equal(trained_on(one), trained_on(other)) and np.array_equal(
        one.holdout_images, other.holdout_images
    )


def test_shapes_and_types() -> None:
    arrays = make_procedural_images(DataConfig(classes=7, images=50, image_size=24), 20)
    assert arrays.train_images.shape == (50, 24, 24, 1)
    assert arrays.holdout_images.shape == (20, 24, 24, 1)
    assert trained_on(arrays).dtype == arrays.holdout_images.dtype == np.uint8
    assert arrays.train_labels.dtype == arrays.holdout_labels.dtype == np.int32
    assert arrays.classes == 7


def test_brightness_is_spread_over_the_range() -> None:
    shares = trained_on(make_procedural_images(DataConfig(images=4000), 64)) / 255
    assert shares.mean() == pytest.approx(0.50, abs=0.01)
    assert shares.std() == pytest.approx(0.28, abs=0.01)


def test_a_seed_gives_the_same_images_again_and_another_seed_others() -> None:
    first, again, other = (make_procedural_images(vary(SMALL, seed=seed), 64) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)


def test_labels_are_balanced_and_in_no_order() -> None:
    arrays = make_procedural_images(DataConfig(classes=10, images=205), 64)
    for labels in (arrays.train_labels, arrays.holdout_labels):
        counts = np.bincount(labels, minlength=10)
        assert counts.max() - counts.min() == 1
        assert not np.array_equal(labels, np.sort(labels))
        assert not np.array_equal(labels, np.arange(len(labels)) % 10)


def test_the_holdout_set_does_not_depend_on_the_training_set() -> None:
    few, many = make_procedural_images(vary(SMALL, images=64), 64), make_procedural_images(SMALL, 64)
    assert np.array_equal(few.holdout_images, many.holdout_images)
    assert np.array_equal(few.holdout_labels, many.holdout_labels)


def test_no_image_is_both_trained_and_held_out() -> None:
    arrays = make_procedural_images(QUIET, 600)
    trained = {image.tobytes() for image in trained_on(arrays)}
    assert not trained & {image.tobytes() for image in arrays.holdout_images}
    assert len(trained) == 600


def test_fewer_classes_are_the_first_of_more() -> None:
    few, many = Scenes.of_classes(5, 3), Scenes.of_classes(5, 8)
    for name in Scenes.__slots__:
        assert np.array_equal(getattr(few, name), getattr(many, name)[:3])


def test_another_size_shows_the_same_scenes() -> None:
    small, large = make_procedural_images(QUIET, 64), make_procedural_images(vary(QUIET, image_size=64), 64)
    assert np.array_equal(small.train_labels, large.train_labels)
    shrunk = trained_on(large).reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4))
    differences = shrunk - trained_on(small)[..., 0]
    assert np.abs(differences).mean() < 4  # of 255: finer pixels see a little more of the disc's edge and the waves


def test_a_pixel_is_two_waves_a_disc_and_the_ground() -> None:
    scenes = Scenes.of_classes(0, 6).draw_variations(np.arange(6, dtype=np.int32), np.random.default_rng(0))
    images = scenes.render_brightness(0, 6, 16)
    for image, row, column in [(0, 0, 0), (1, 5, 11), (2, 15, 3), (5, 8, 8)]:
        y, x = (row + 0.5) / 16, (column + 0.5) / 16
        expected = float(scenes.base[image])
        for k in range(2):
            angle = float(scenes.orientation[image, k])
            distance = x * math.cos(angle) + y * math.sin(angle)
            wave = 2 * math.pi * float(scenes.frequency[image, k]) * distance + float(scenes.phase[image, k])
            expected += float(scenes.amplitude[image, k]) * math.sin(wave)
        if math.dist((y, x), scenes.centre[image].tolist()) < scenes.radius[image]:
            expected += float(scenes.contrast[image])
        assert images[image, row, column] == pytest.approx(expected, abs=1e-5)


def test_the_images_of_a_class_are_turned_by_their_jitter() -> None:
    scenes = Scenes.of_classes(0, 2).draw_variations(np.zeros(20_000, np.int32), np.random.default_rng(0))
    assert scenes.orientation.std(axis=0) == pytest.approx([0.08, 0.08], rel=0.03)


def test_noise_has_the_standard_deviation_asked_for() -> None:
    noisy = trained_on(make_procedural_images(vary(SMALL, noise=0.1), 64))
    quiet = trained_on(make_procedural_images(QUIET, 64))
    inside = (quiet > 130) & (quiet < 140)  # far from black and white, where clipping would take some of it
    assert (noisy[inside] / 255.0 - quiet[inside] / 255.0).std() == pytest.approx(0.1, rel=0.03)


def test_classes_can_be_learnt() -> None:
    arrays = make_procedural_images(SMALL, 200)
    features = strengths(trained_on(arrays))
    means = np.stack([features[arrays.train_labels == label].mean(axis=0) for label in range(10)])
    distances = np.linalg.norm(strengths(arrays.holdout_images)[:, None] - means, axis=2)
    assert (distances.argmin(axis=1) == arrays.holdout_labels).mean() > 0.8  # chance is .1


def test_memory_stays_near_that_of_the_images() -> None:
    tracemalloc.start()
    arrays = make_procedural_images(DataConfig(classes=10, images=2000, image_size=128), 64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - trained_on(arrays).nbytes < 16 * 2**20
