"""Readings: shares from counts, and the way through plain values and back."""

import json
import math

import fakes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.readings import ChannelVitals, IncomingWeights, LayerVitals, Reading


def test_shares_are_hits_of_all_images() -> None:
    reading = fakes.reading(10, hits1=16, count=64)
    assert (reading.top1, reading.top5) == (0.25, 1.0)


def test_the_signal_of_a_run_is_that_of_its_logits() -> None:
    assert fakes.reading(10, signal=0.125).signal == 0.125


def test_plain_values_and_back() -> None:
    reading = fakes.reading(0, train_loss=math.nan)
    back = Reading.from_json(reading.to_json())
    assert math.isnan(back.train_loss)
    assert repr(back) == repr(reading)


numbers = st.floats(width=32)
counts = st.integers(0, 10**6)
rows = st.lists(numbers, min_size=1, max_size=3).map(tuple)
layers = st.builds(
    LayerVitals,
    name=st.text(),
    **dict.fromkeys(("mean", "std", "signal", "dead", "gradient_norm", "update_ratio", "saturated"), numbers),
    weights=st.none() | st.builds(IncomingWeights, numbers, numbers, numbers, numbers, numbers),
    channels=st.none() | st.builds(ChannelVitals, rows, rows, rows),
)
readings = st.builds(
    Reading,
    **dict.fromkeys(("step", "hits1", "hits5", "count"), counts),
    **dict.fromkeys(("train_loss", "loss", "gradient_norm", "update_ratio", "seconds", "f1", "loss_std"), numbers),
    finite=st.booleans(),
    layers=st.lists(layers, max_size=3).map(tuple),
)


@given(readings)
def test_every_reading_comes_back_from_its_json(reading: Reading) -> None:
    assert repr(Reading.from_json(reading.to_json())) == repr(reading)


@given(readings)
def test_a_reading_of_a_later_version_is_read_if_it_only_adds_fields(reading: Reading) -> None:
    values = json.loads(reading.to_json())
    later = {**values, "added": 1.0, "layers": [{**layer, "added": [1.0]} for layer in values["layers"]]}
    assert repr(Reading.from_dict(later)) == repr(reading)
    with pytest.raises(ValueError, match="version 2"):
        Reading.from_dict({**values, "version": 2})
