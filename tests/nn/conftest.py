"""Fixtures of the heavy room's tests."""

import pytest
from tiny_net import patterns

from sweeps.data.arrays import Arrays
from sweeps.nn import device

# TensorFlow's threads are fixed when it first runs something, so this comes before any test.
device.prepare_device()


@pytest.fixture(scope="session")
def arrays() -> Arrays:
    return patterns()
