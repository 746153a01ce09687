"""Every file in search_spaces/ says what it asks, how it is run and what to expect, and can be trained."""

import re
from pathlib import Path

import pytest

from sweeps import data, space_file
from sweeps.rehearsal import rehearse

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "search_spaces").glob("*.toml"))
# The same choices on a net and a data set that take a second.
SHRUNKEN = ["model.width=2", "model.dense_units=8", "data.images=1024", "budget.holdout_images=64"]


def first_comment(file: Path) -> str:
    lines = file.read_text().splitlines()
    end = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(lines[:end])


def test_there_are_some() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_first_comment_has_question_command_and_what_to_expect(file: Path) -> None:
    comment = first_comment(file)
    for word in ("Question:", "Command:", "Expect:"):
        assert word in comment
    assert re.search(rf"sweeps run {file.relative_to(ROOT)}", comment)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_valid_and_asks_a_question(file: Path) -> None:
    space, _ = space_file.read(file)
    assert space.name == file.stem
    assert space.question.endswith("?")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_choice_in_it_can_be_trained(file: Path) -> None:
    from sweeps.nn.train import train

    space, _ = space_file.read(file, SHRUNKEN)
    assert rehearse(space, train, data.load, str(file)) >= 1
