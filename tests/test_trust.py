"""Workers import functions that studies name from trusted packages alone, where they are told which these are."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import commands
import fakes
import pytest
import yaml
from optuna.trial import TrialState

from sweeps import data, store
from sweeps.environment import TRUST_VARIABLE
from sweeps.errors import InputError
from sweeps.imports import join_trusted, load_function
from sweeps.launch.local.worker_processes import worker_environment
from sweeps.space import file

MODULE = "from pathlib import Path\nPath({mark!r}).touch()\ndef make(*_):\n    raise ValueError('made')\n"
NAMES = ("trusted_nets", "nets_lying_here", "nets_of_others")


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which each module that is run leaves a file of its name: two are installed, one lies here."""
    folder = tmp_path / "marks"
    folder.mkdir()
    places = dict(zip(NAMES, ("installed", "here", "installed"), strict=True))
    for name, place in places.items():
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / f"{name}.py").write_text(MODULE.format(mark=str(folder / name)))
    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "installed"), *sys.path])
    monkeypatch.chdir(tmp_path / "here")
    yield folder
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("trust", "allowed"),
    [("", NAMES), ("trusted_nets", NAMES[:1]), ("trusted_nets,.", NAMES[:2]), (" . ", NAMES[1:2]), ("os, json", ())],
)
def test_nothing_is_run_but_what_is_trusted(
    trust: str, allowed: tuple[str, ...], marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST_VARIABLE, trust)
    for name in NAMES:
        if name in allowed:
            assert callable(load_function(f"{name}:make"))
        else:
            with pytest.raises(InputError, match=f"{name}:make"):
                load_function(f"{name}:make")
    assert sorted(mark.name for mark in marks.iterdir()) == sorted(allowed)


def test_a_file_that_lies_here_is_not_taken_for_a_trusted_package(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "trusted_nets.py").write_text(MODULE.format(mark=str(marks / "planted")))
    monkeypatch.setenv(TRUST_VARIABLE, "trusted_nets")
    load_function("trusted_nets:make")
    assert [mark.name for mark in marks.iterdir()] == ["trusted_nets"]


def test_a_study_that_names_other_code_fails_its_trials_and_runs_none(
    tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TRUST_VARIABLE, "trusted_nets")
    storage = store.connect(f"sqlite:///{tmp_path}/store.db", create=True)
    overrides = ["budget.trials=1", "data.source=nets_of_others:make"]
    study = store.create_study(storage, file.parse_space(fakes.TINY, overrides), fakes.TINY, overrides)

    fakes.work(storage, study, fakes.learning, load=data.load_arrays)
    (trial,) = study.trials
    assert trial.state == TrialState.FAIL
    assert "nets_of_others is not among those that are trusted" in trial.user_attrs["reason"]
    assert not list(marks.iterdir())


@pytest.mark.parametrize("given", [["--trust", "trusted_nets", "--trust", "."], []])
def test_what_workers_may_trust_is_told_to_all_that_are_launched(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not given:
        monkeypatch.setenv(TRUST_VARIABLE, "trusted_nets, .")
    url = "postgresql://db.example/sweeps"
    options = ["--pool", "--workers", "1", "--storage", url, "--dry-run", *given]
    script = commands.run_sweeps("launch", "slurm", *options).stdout
    manifest = commands.run_sweeps("launch", "kubernetes", "--image", "x", *options).stdout
    exports = [line for line in script.splitlines() if line.startswith("export SWEEPS_TRUST=")]
    read_back = subprocess.run(
        ["bash", "-c", f"{exports[0]}; printf %s $SWEEPS_TRUST"], capture_output=True, text=True, check=True
    )
    assert read_back.stdout == "trusted_nets,."
    (container,) = yaml.safe_load(manifest)["spec"]["template"]["spec"]["containers"]
    assert {"name": TRUST_VARIABLE, "value": "trusted_nets,."} in container["env"]
    assert worker_environment(url, None, trust=join_trusted(["trusted_nets", "."]))[TRUST_VARIABLE] == "trusted_nets,."


def test_a_package_is_named_by_its_first_name() -> None:
    with pytest.raises(InputError, match="give the first part"):
        join_trusted(["my_nets.small"])
