"""Hyperparameters of the user's own, `my.*`: read, drawn, checked, at full size, in the schema and in a recipe."""

import keyword
import re
import tomllib
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sweeps.config import Config
from sweeps.errors import SpaceError
from sweeps.space import file, samplers
from sweeps.space.schema import json_schema
from sweeps.space.space import Space

TEXT = """
[study]
name = "own"
[budget]
trials = 8
[data]
classes = 10
images = 640
[model]
build = "nets:build"
[space]
my.width = 16
my.filters = [8, 16]
my.depth = {{ low = 1, high = 6 }}
my.rate = {{ low = 0.1, high = 0.5, when = {{ my.kind = "dropped" }} }}
my.kind = ["plain", "dropped"]
my.wide = [true, false]
learning_rate = {{ low = 1e-3, high = 1e-2, log = true }}
{more}
"""


def space(more: str = "", *overrides: str) -> Space:
    return file.parse_space(TEXT.format(more=more), overrides)


def draw(of: Space, count: int = 40) -> list[dict[str, Any]]:
    """The own values of so many trials that Optuna draws."""
    study = optuna.create_study(sampler=samplers.make_sampler(of, 0))
    return [dict(of.make_config(of.draw_values(study.ask()), slot).my) for slot in range(count)]


def test_they_are_drawn_like_all_others() -> None:
    drawn = draw(space())
    assert {values["width"] for values in drawn} == {16}
    assert {values["filters"] for values in drawn} == {8, 16}
    assert {values["wide"] for values in drawn} == {True, False}
    assert {type(values["depth"]) for values in drawn} == {int}
    assert {values["depth"] for values in drawn} <= set(range(1, 7))
    for values in drawn:
        assert ("rate" in values) == (values["kind"] == "dropped")
        assert 0.1 <= values.get("rate", 0.1) <= 0.5


@pytest.mark.parametrize("sampler", ["TPESampler", "GridSampler", "CmaEsSampler", "QMCSampler"])
def test_samplers_take_them(sampler: str) -> None:
    fixed = ["space.my.depth=[1, 2]", "space.my.rate=", "space.learning_rate=0.01"]
    of = space("", f"sampler.name={sampler}", *fixed)
    study = optuna.create_study()
    seen = set()
    for slot in range(16):
        study.sampler = samplers.make_sampler(of, slot)
        trial = study.ask()
        config = of.make_config(of.draw_values(trial), slot)
        study.tell(trial, float(config.my["filters"]))
        seen.add(tuple(config.my.values()))
    assert len(seen) == 16 if sampler == "GridSampler" else len(seen) > 1


def test_both_ways_to_write_them_are_one() -> None:
    flat = re.sub(r"\bmy\.(\w+)", r'"my.\1"', TEXT.format(more=""))
    assert "my.kind" in tomllib.loads(flat)["space"]
    assert file.parse_space(flat).parameters == space().parameters


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("filters = [8, 16]", "space.filters", "my.filters"),
        ("my.a-b = 1", "space.my.a-b", "Python"),
        ("my.lambda = 1", "space.my.lambda", "Python"),
        ("my.config = 1", "space.my.config", "whole recipe"),
        ("my.sizes = [[1, 2], [3]]", "space.my.sizes", "finite number"),
        ("my.high = inf", "space.my.high", "finite number"),
        ("my.twice = [1, 1.0]", "space.my.twice", "same value"),
        ("my.range = { low = 'a', high = 'b' }", "space.my.range.low", "number"),
        ("my.odd = { value = 1, when = { my.kind = 'other' } }", "space.my.odd.when.my.kind", "never drawn"),
        ("[full]\nmy.depth = 12", "full.my.depth", "space.my.depth decides it"),
        ("[full]\nmy.widht = 12", "full.my.widht", "did you mean 'width'"),
        ("[full]\nmy.width = [1]", "full.my.width", "finite number"),
        ("[full]\nmy = 3", "full.my", "table"),
    ],
)
def test_mistakes_are_told_by_their_key(line: str, key: str, words: str) -> None:
    with pytest.raises(SpaceError) as refused:
        space(line)
    assert f"{key}: " in str(refused.value)
    assert words in str(refused.value)


def test_without_a_function_that_reads_them_they_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"space\.my\.width: only a function of yours reads it"):
        space("", "model.build=")


def test_overrides_reach_them_however_they_are_written() -> None:
    assert {values["filters"] for values in draw(space("", "space.my.filters=[3, 5]"))} == {3, 5}
    assert all("filters" not in values for values in draw(space("", "space.my.filters=")))
    assert {values["extra"] for values in draw(space("", "space.my.extra=[7]"))} == {7}
    with pytest.raises(SpaceError, match=r"there is no space\.my\.nothing to drop"):
        space("", "space.my.nothing=")


def test_the_full_size_replaces_a_fixed_one() -> None:
    of = space("[full]\nmy.width = 256\nbudget.steps = 5000")
    config = of.make_config({"my.width": 16, "my.filters": 8}, 0)
    full = of.at_full_size(config)
    assert dict(full.my) == {"width": 256, "filters": 8}
    assert full.steps == 5000


def test_functions_are_choices_too() -> None:
    of = space("", "model.build=", 'space.model.build=["nets:build", "nets:other"]')
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    configs = [of.make_config(of.draw_values(study.ask()), slot) for slot in range(20)]
    assert {config.model.build for config in configs} == {"nets:build", "nets:other"}
    assert {config.model.architecture for config in configs} == {"custom"}
    assert of.budget.recalibrate_batch_normalization, "as for any net of the user's own"


def test_the_schema_knows_them() -> None:
    validator = Draft202012Validator(json_schema())
    of = tomllib.loads(TEXT.format(more="[full]\nmy.width = 64"))
    assert not list(validator.iter_errors(of))
    of["space"]["my"]["filters"] = {"lowest": 1}
    assert list(validator.iter_errors(of))


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and name != "config"
)
VALUES = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_recipe_keeps_them_to_the_last_bit(own: dict[str, Any]) -> None:
    config = Config.model_validate({"model": {"build": "nets:build"}, "my": own})
    again = Config.model_validate_json(config.to_json())
    assert again == config
    assert again.digest() == config.digest()
    assert hash(again) == hash(config)
    assert {name: (type(value), value) for name, value in again.my.items()} == {
        name: (type(value), value) for name, value in own.items()
    }
    assert ("my" in config.model_dump()) == bool(own), "a recipe without any is what it was"
