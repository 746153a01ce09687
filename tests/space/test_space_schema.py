"""The published JSON schema, read by an independent validator: it accepts our files and refuses what we refuse."""

import tomllib
from pathlib import Path

import pytest
from fakes import TINY
from jsonschema import Draft202012Validator
from test_space import CONDITIONS

from sweeps.space.schema import json_schema

SCHEMA = json_schema()
FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.toml"))


def problems(text: str) -> list[str]:
    return [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(tomllib.loads(text))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", [TINY, TINY.split("[space]")[0] + CONDITIONS], ids=["plain", "conditions"])
def test_it_accepts_spaces(text: str) -> None:
    assert problems(text) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_accepts_every_file_of_ours(file: Path) -> None:
    assert problems(file.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("trials = 4", "trialz = 4", "$.budget"),
        ("trials = 4", "trials = 'four'", "$.budget.trials"),
        ('"relu", "selu"', '"relu", "selo"', "$.space.activation"),
        ("batch_size = 32", "batch = 32", "$.space"),
        ("high = 1e-2", "hihg = 1e-2", "$.space.learning_rate"),
        ("RandomSampler", "RandomSamplr", "$.sampler.name"),
        ("[data]", "[date]", "$"),
    ],
)
def test_it_refuses_mistakes(old: str, new: str, place: str) -> None:
    assert old in TINY
    assert place in problems(TINY.replace(old, new))
