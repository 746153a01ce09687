import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.data.arrays import batch_indices

sizes = st.integers(1, 40)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), images=sizes, batch=sizes, start=st.integers(0, 30), steps=st.tuples(sizes, sizes))
def test_a_stretch_of_steps_may_be_cut_anywhere(
    seed: int, images: int, batch: int, start: int, steps: tuple[int, int]
) -> None:
    cut, stop = start + steps[0], start + sum(steps)
    whole = batch_indices(seed, images, batch, start, stop)
    halves = [batch_indices(seed, images, batch, start, cut), batch_indices(seed, images, batch, cut, stop)]
    assert whole.shape == (sum(steps), batch)
    assert np.array_equal(whole, np.concatenate(halves))


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), images=sizes, batch=sizes, epochs=st.integers(1, 4))
def test_every_epoch_shows_each_image_once(seed: int, images: int, batch: int, epochs: int) -> None:
    steps = -(-epochs * images // batch)
    order = batch_indices(seed, images, batch, 0, steps).ravel()[: epochs * images].reshape(epochs, images)
    assert np.array_equal(np.sort(order), np.tile(np.arange(images), (epochs, 1)))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    first, second = batch_indices(0, 100, 100, 0, 2)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, batch_indices(1, 100, 100, 0, 1)[0])
