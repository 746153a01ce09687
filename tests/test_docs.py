"""The README's claims that a machine can check: its commands run, its example is valid, its tables are complete."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from sweeps import config, space_file, verdict

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# The same commands on a net and a data set that take a second.
SHRUNKEN = ["model.convolutions=2", "model.stages=2", "model.width=2", "model.dense=1", "model.dense_units=8"]
SHRUNKEN += ["data.images=1024", "budget.holdout_images=64", "budget.steps=20"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    whole = (block.replace("\\\n", " ") for block in blocks("sh"))
    return [line for block in whole for line in block.splitlines() if line.startswith("sweeps ")]


def test_the_commands_run_one_after_the_other(tmp_path: Path) -> None:
    assert len(commands()) >= 3
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    for line in commands():
        words = shlex.split(line, comments=True)[1:]
        if words[0] in ("run", "create"):
            words += [word for setting in SHRUNKEN for word in ("--set", setting)]
        if words[0] in ("worker", "launch", "dashboard") or "--watch" in words:
            continue  # they wait for more to do; tests of their own run them
        done = subprocess.run(
            [sys.executable, "-m", "sweeps", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stderr)


def test_the_example_of_a_search_space_is_valid() -> None:
    (example,) = blocks("toml")
    space = space_file.parse(example)
    assert space.name == "example"
    assert len(list(space.rehearsals())) > 1


@pytest.mark.parametrize(
    "names",
    [config.Activation, config.Initializer, config.Constraint, config.Optimizer, config.Dropout, config.Dtype],
)
def test_every_name_of_a_part_is_listed(names: object) -> None:
    for name in get_args(names):
        assert re.search(rf"\b{name}\b", README), name


def test_every_hyperparameter_and_every_fate_is_listed() -> None:
    from sweeps.space_parameters import hyperparameters

    for name in hyperparameters():
        if not name.startswith("model.") or name == "model.dense_units":
            assert re.search(rf"\b{name}\b", README), name
    for fate in set(verdict.Fate) - {verdict.Fate.LEARNING}:
        assert f"| {fate} |" in README


@pytest.mark.parametrize("target", re.findall(r"`((?:sweeps|tests|benchmarks|search_spaces)/[\w./-]*)`", README))
def test_every_file_that_is_named_is_there(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", re.findall(r"make (\w+)", "\n".join(blocks("sh"))))
def test_every_make_target_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
