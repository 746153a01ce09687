"""The rehearsal: one step of each choice, and what is said of one that cannot be trained."""

from collections.abc import Generator

import fakes
import pytest
from fakes import TINY

from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.errors import SpaceError
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.worker.rehearsal import rehearse


def test_each_choice_is_trained_for_one_step_on_few_images() -> None:
    seen: list[tuple[str, str, int, int]] = []

    @fakes.run
    def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
        seen.append((config.activation, config.constraint, config.steps, len(arrays.holdout_images)))
        yield fakes.reading(0)
        yield fakes.reading(1)

    space = file.parse_space(TINY, ["budget.holdout_images=500"])
    assert rehearse(space, train, fakes.load, "tiny.toml") == len(seen)
    assert {entry[:2] for entry in seen} == {("relu", "none"), ("selu", "none"), ("selu", "standardize_unit")}
    assert {entry[2:] for entry in seen} == {(1, 64)}


def test_what_cannot_be_trained_is_one_line_with_the_values() -> None:
    with pytest.raises(SpaceError) as caught:
        rehearse(file.parse_space(TINY), fakes.raising, fakes.load, "tiny.toml")
    line = str(caught.value)
    assert line.startswith("tiny.toml: space: cannot be trained with activation = relu, ")
    assert "constraint = none" in line
    assert line.endswith("ValueError: the layer 'dense_9' has no input")
    assert "\n" not in line
