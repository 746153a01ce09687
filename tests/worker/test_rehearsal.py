"""The rehearsal: one step of each choice, and what is said of one that cannot be trained."""

import importlib
import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import fakes
import numpy as np
import pytest
from fakes import TINY

from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.data.oddities import SPREADS, NetReport
from sweeps.errors import SpaceError
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.worker.rehearsal import FIRST_STEP, VALUES_READ, rehearse


def test_each_choice_is_trained_for_one_step_on_few_images() -> None:
    seen: list[tuple[str, str, int, int]] = []

    @fakes.run
    def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
        seen.append((config.activation, config.constraint, config.steps, len(arrays.holdout_images)))
        yield fakes.reading(0)
        yield fakes.reading(1)

    space = file.parse_space(TINY, ["budget.holdout_images=500"])
    assert rehearse(space, train, fakes.load, "tiny.toml").configurations == len(seen)
    assert {entry[:2] for entry in seen} == {("relu", "none"), ("selu", "none"), ("selu", "standardize_unit")}
    assert {entry[2:] for entry in seen} == {(1, 64)}


def test_what_cannot_be_trained_is_one_line_with_the_values() -> None:
    with pytest.raises(SpaceError) as caught:
        rehearse(file.parse_space(TINY), fakes.raising, fakes.load, "tiny.toml")
    line = str(caught.value)
    assert line.startswith("tiny.toml: space: cannot be trained with activation = relu, ")
    assert "constraint = none" in line
    assert "ValueError: the layer 'dense_9' has no input (fakes.py, line " in line
    assert "\n" not in line


def test_an_epoch_larger_than_the_data_is_refused_with_the_number_of_rows() -> None:
    few = ["data.images=5000", "budget.epochs=3", "budget.trials=1"]
    text = TINY.replace("steps = 6\n", "").replace("report_interval = 2\n", "")

    def load(config: DataConfig, holdout_images: int) -> Arrays:
        return fakes.load(config.model_copy(update={"images": 136}), holdout_images)

    with pytest.raises(SpaceError, match=r"data.images: an epoch would be 5,000 images.*136.*set data.images = 136"):
        rehearse(file.parse_space(text, few), fakes.learning, load, "tiny.toml")
    fitting = ["data.images=136", "space.batch_size=200"]
    with pytest.raises(SpaceError, match=r"200 is more than the 136 images"):
        rehearse(file.parse_space(text, fitting), fakes.learning, load, "tiny.toml")


def test_a_loss_that_is_no_number_before_the_first_step_is_a_warning() -> None:
    @fakes.run
    def train(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
        yield fakes.reading(0, loss=math.nan)
        yield fakes.reading(1)

    found = rehearse(file.parse_space(TINY), train, fakes.load, "tiny.toml").findings
    assert any("before the first step" in finding.text for finding in found if finding.check == FIRST_STEP)


def test_an_error_in_a_user_s_own_file_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_data.py").write_text("""
import json

def parse(text):
    return json.loads(text)  # here

def load(config, holdout_images):
    return parse("{")
""")
    monkeypatch.syspath_prepend(tmp_path)

    def load(config: DataConfig, holdout_images: int) -> Arrays:
        found: Arrays = importlib.import_module("my_data").load(config, holdout_images)
        return found

    line = r"JSONDecodeError.*\(my_data.py, line 5: return json.loads\(text\)  # here\)"
    with pytest.raises(SpaceError, match=line):
        rehearse(file.parse_space(TINY), fakes.learning, load, "tiny.toml")


@pytest.mark.parametrize(
    ("read", "unread"),
    [
        (set(), "activation and constraint"),
        ({"activation"}, "constraint"),
        ({"initializer"}, "constraint"),
        ({"activation", "constraint"}, ""),
    ],
)
def test_values_that_a_net_never_reads_are_a_warning(read: set[str], unread: str) -> None:
    head, _, tail = TINY.partition("[model]")
    text = f'{head}[model]\nbuild = "nets:build"\n\n[sampler]{tail.partition("[sampler]")[2]}'
    space = file.parse_space(text)
    findings = rehearse(space, fakes.learning, fakes.load, "tiny.toml", lambda _: NetReport((), frozenset(read)))
    (finding,) = [finding for finding in findings.findings if finding.check == VALUES_READ]
    if unread:
        assert f"does not read {unread} from" in finding.text
    else:
        assert finding.text == ""


@pytest.mark.parametrize("scales", [False, True])
def test_spreads_that_the_net_evens_out_are_nothing_odd(scales: bool) -> None:
    head, _, tail = TINY.partition("[model]")
    text = f'{head}[model]\nbuild = "nets:build"\n\n[sampler]{tail.partition("[sampler]")[2]}'

    def load(config: DataConfig, holdout_images: int) -> Arrays:
        spreads = np.asarray([1, 1e6])
        rows = (np.random.default_rng(0).normal(size=(256, 2)) * spreads).astype(np.float32)
        return replace(fakes.load(config, holdout_images), train_images=rows, holdout_images=rows[:64])

    report = NetReport((), frozenset(), scales)
    findings = rehearse(file.parse_space(text), fakes.learning, load, "tiny.toml", lambda _: report).findings
    (finding,) = [finding for finding in findings if finding.check == SPREADS]
    assert bool(finding.text) != scales
