import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from sweeps.verdict import Chance


def labels(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


@pytest.mark.parametrize("classes", [2, 10, 365])
def test_balanced_classes(classes: int) -> None:
    chance = Chance.of(labels(*[6] * classes), labels(*[3] * classes), classes)
    assert chance.classes == classes
    assert chance.top1 == pytest.approx(1 / classes)
    assert chance.top5 == pytest.approx(min(1, 5 / classes))
    assert chance.loss == pytest.approx(math.log(classes))


def test_unbalanced_classes_score_what_scikit_learn_counts() -> None:
    from sklearn.metrics import log_loss, top_k_accuracy_score

    trained, held_out = (50, 20, 15, 5, 5, 3, 2), (25, 10, 8, 2, 2, 1, 1)
    chance = Chance.of(labels(*trained), labels(*held_out), 7)
    truth = labels(*held_out)
    guess = np.tile(np.array(trained) / 100, (len(truth), 1))
    assert chance.loss == pytest.approx(log_loss(truth, guess, labels=list(range(7))))
    assert chance.loss < math.log(7)
    best = np.tile(np.array(held_out, float), (len(truth), 1))
    assert chance.top1 == pytest.approx(top_k_accuracy_score(truth, best, k=1))
    assert chance.top5 == pytest.approx(top_k_accuracy_score(truth, best, k=5))


def test_a_small_holdout_set_is_counted_as_it_is() -> None:
    balanced = np.arange(1024, dtype=np.int32) % 365
    assert Chance.of(balanced, balanced, 365).top1 == pytest.approx(3 / 1024)


def test_guessing_is_never_worse_than_naming_all_classes_alike() -> None:
    chance = Chance.of(labels(99, 1), labels(50, 50), 2)
    assert chance.loss == pytest.approx(math.log(2))
    assert chance.constant_loss == pytest.approx(math.log(2))
    assert chance.train_loss == pytest.approx(-(0.99 * math.log(0.99) + 0.01 * math.log(0.01)))


def test_a_class_that_training_lacks_does_not_count() -> None:
    assert Chance.of(labels(50, 50, 0), labels(20, 20, 60), 3).loss == pytest.approx(math.log(2))
    assert Chance.of(labels(0, 0, 50), labels(20, 20, 0), 3).loss == pytest.approx(math.log(3))


@given(arrays(np.int64, 5, elements=st.integers(1, 50)), arrays(np.int64, 5, elements=st.integers(1, 50)))
def test_no_answer_that_ignores_the_images_is_below_the_bar(
    trained: NDArray[np.int64], held_out: NDArray[np.int64]
) -> None:
    chance = Chance.of(labels(*trained), labels(*held_out), 5)
    frequencies = held_out / held_out.sum()
    assert chance.bar_loss <= -frequencies @ np.log(frequencies) + 1e-9
    assert chance.loss <= math.log(5) + 1e-9


def test_one_class_only_leaves_a_loss_to_divide_by() -> None:
    chance = Chance.of(labels(100, 0), labels(64, 0), 2)
    assert chance.loss > 0
    assert math.isfinite(chance.skill_score(1.0))


def test_guessing_in_regression_is_a_mean() -> None:
    train = np.array([0.0, 2.0, 4.0], np.float32)
    holdout = np.array([3.0, 5.0], np.float32)
    chance = Chance.of(train, holdout, 0)
    assert chance.loss == pytest.approx(np.mean((holdout - 2) ** 2))
    assert chance.train_loss == pytest.approx(np.var(train))
    assert chance.bar_loss == pytest.approx(np.var(holdout))


@pytest.mark.parametrize(
    ("loss", "gain"), [(0.0, 1.0), (math.log(10), 0.0), (2 * math.log(10), -1.0), (math.inf, -math.inf)]
)
def test_gain_is_the_share_of_the_prior_loss_that_is_saved(loss: float, gain: float) -> None:
    assert Chance(0.1, 0.5, math.log(10), 10).skill_score(loss) == pytest.approx(gain)


def test_a_loss_that_is_no_number_has_no_gain() -> None:
    assert math.isnan(Chance(0.1, 0.5, math.log(10), 10).skill_score(math.nan))
