"""What all tests share: an environment without our variables, and a search space that trains in a second."""

from pathlib import Path

import pytest

TINY = """
[study]
name = "tiny"
question = "Does it run?"

[budget]
trials = 4
steps = 6
report_interval = 2
holdout_images = 64

[data]
classes = 10
images = 256
image_size = 16

[model]
convolutions = 2
stages = 2
width = 4
dense = 1
dense_units = 16

[sampler]
name = "RandomSampler"

[space]
activation = ["relu", "selu"]
constraint = { choices = ["none", "standardize_unit"], when = { activation = "selu" } }
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = 32
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEPS_STORAGE", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def tiny() -> str:
    """A small search space as text."""
    return TINY


@pytest.fixture
def tiny_path(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path
