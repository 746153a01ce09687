"""Readings: shares from counts, and the way through plain values and back."""

import json
import math

import fakes

from sweeps.readings import Reading


def test_shares_are_hits_of_all_images() -> None:
    reading = fakes.reading(10, hits1=16, count=64)
    assert (reading.top1, reading.top5) == (0.25, 1.0)


def test_the_signal_of_a_run_is_that_of_its_logits() -> None:
    assert fakes.reading(10, signal=0.125).signal == 0.125


def test_plain_values_and_back() -> None:
    reading = fakes.reading(0, train_loss=math.nan)
    back = Reading.from_dict(json.loads(json.dumps(reading.to_dict())))
    assert math.isnan(back.train_loss)
    assert repr(back) == repr(reading)
