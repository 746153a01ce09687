"""`sweeps run` as a person uses it: real processes, real training on a tiny net, interrupted and killed for real."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes
import optuna
import pytest
from commands import run_sweeps
from fakes import TINY
from optuna.trial import FrozenTrial, TrialState

from sweeps import store
from sweeps.cli.suggestions import next_commands
from sweeps.space import file

pytestmark = pytest.mark.tensorflow

# Three trials of six seconds, however busy the machine is.
SLOW = ("--set", 'study.name="tiny"', "--set", "budget.trials=3")
NAPS = {**fakes.NAPS, "NAP_S": "0.1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sweeps", *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.toml").write_text(TINY)
    return finish(folder, *arguments)


def finish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the search space that is there."""
    return run_sweeps("run", "tiny.toml", *arguments, cwd=folder, environment={**os.environ, **NAPS})


def trials(folder: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="tiny", storage=f"sqlite:///{folder}/sweeps.db").trials


def results(folder: Path) -> dict[int, tuple[str, float | None, list[dict[str, object]]]]:
    """slot -> config, value and readings of the finished trials, less the time they took."""
    engine = store.connect(f"sqlite:///{folder}/sweeps.db").engine
    by_slot = {}
    for trial in trials(folder):
        if trial.state != TrialState.FAIL:
            readings = [
                {key: value for key, value in reading.to_dict().items() if key != "seconds"}
                for reading in store.readings(engine, 1, trial.number)
            ]
            by_slot[trial.user_attrs["slot"]] = (trial.user_attrs["config"], trial.value, json.dumps(readings))
    return by_slot  # type: ignore[return-value]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A finished sweep with one worker."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(folder, "--workers", "1")


def test_a_sweep_ends_with_a_summary_and_the_next_commands(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    assert "tiny: 4 of 4 trials" in done.stdout
    assert "learned / tried" in done.stdout
    assert "best: none yet: nothing learned" in done.stdout  # six steps are too few
    assert "sweeps report tiny" in done.stdout
    assert "sweeps confirm" not in done.stdout
    assert "rehearsed" in done.stderr
    assert [trial.state for trial in trials(folder)] == [TrialState.COMPLETE] * 4


def test_the_same_command_on_a_finished_study_only_sums_up(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = finished
    again = run(folder)
    assert again.returncode == 0
    assert "going on with study 'tiny'" in again.stderr
    assert "4 of 4 trials" in again.stdout
    assert len(trials(folder)) == 4


def test_the_next_commands_work_as_they_are_printed(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = shutil.copytree(finished[0], tmp_path / "copy")
    lines = finished[1].stdout.split("next:\n")[1].splitlines()
    report, more, dashboard = (shlex.split(line, comments=True) for line in lines)
    assert dashboard[1:] == ["dashboard"], "tests/dashboard/test_dashboard.py runs it"
    for line, expected in ((report, "report.html"), (more, "8 of 8 trials")):
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True)
        assert expected in done.stdout + done.stderr


def test_the_next_commands_keep_what_was_set_and_show_no_password() -> None:
    space = file.parse_space(TINY)
    url = "postgresql+psycopg://me:secret@host/db"
    overrides = ["budget.trials=4", "study.name=a b"]
    shown = next_commands(url, space, Path("my space.toml"), overrides=overrides, artifacts=None, learned=False)
    assert "'my space.toml' --set 'study.name=a b' --set budget.trials=8" in shown
    assert "secret" not in shown
    assert not re.search("confirm|export", shown), "nothing learned"
    assert "next, with the store's URL in SWEEPS_STORAGE:" in shown


def test_the_next_commands_show_no_password_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql+psycopg://me:secret@host/db\n")
    monkeypatch.setenv("SWEEPS_STORAGE_FILE", str(tmp_path / "secret"))
    shown = next_commands(
        store.url(None),
        file.parse_space(TINY),
        Path("tiny.toml"),
        overrides=[],
        artifacts="s3://bucket/x",
        learned=True,
    )
    assert "confirm tiny --artifacts s3://bucket/x" in shown
    assert "me:secret" not in shown
    assert "next, with the file of the store's URL in SWEEPS_STORAGE_FILE:" in shown
    assert shown.endswith("sweeps dashboard --artifacts s3://bucket/x")


def test_the_same_seed_gives_identical_trials_whichever_worker_ran_them(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert run(tmp_path / "two", "--workers", "2").returncode == 0
    assert results(tmp_path / "two") == results(finished[0])


def test_optunas_own_tools_read_the_study(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    optuna_command = Path(sys.executable).with_name("optuna")
    shown = subprocess.run(
        [optuna_command, "trials", "--study-name", "tiny", "--storage", "sqlite:///sweeps.db", "-f", "json"],
        cwd=finished[0],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(json.loads(shown.stdout)) == 4
    study = optuna.load_study(study_name="tiny", storage=f"sqlite:///{finished[0]}/sweeps.db")
    assert study.best_value == max(trial.value or 0 for trial in study.trials)
    assert {trial.params["activation"] for trial in study.trials} <= {"relu", "selu"}


def test_optuna_dashboard_serves_the_study(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    import threading
    import urllib.request
    from wsgiref.simple_server import make_server

    from optuna_dashboard import wsgi

    server = make_server("127.0.0.1", 0, wsgi(f"sqlite:///{finished[0]}/sweeps.db"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/api/studies/1") as answer:
            page = json.load(answer)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(page["trials"]) == 4
    assert {attribute["key"] for attribute in page["trials"][0]["user_attrs"]} >= {"fate", "reason", "top1", "steps"}


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of three slow trials, rehearsed and not begun."""
    folder = tmp_path_factory.mktemp("created")
    (folder / "tiny.toml").write_text(fakes.NAPPING)
    environment = {**os.environ, **NAPS}
    subprocess.run(command("create", "tiny.toml", *SLOW), cwd=folder, env=environment, capture_output=True, check=True)
    return folder


@pytest.fixture
def start(created: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Run a slow sweep in the background; whatever is left of it is killed in the end."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        shutil.copytree(created, tmp_path, dirs_exist_ok=True)
        process = subprocess.Popen(
            command("run", "tiny.toml", "--workers", "1", *SLOW),
            cwd=tmp_path,
            env={**os.environ, **NAPS},
            text=True,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def under_way(folder: Path, finished_before: int) -> FrozenTrial:
    """A trial that is being trained, once so many have finished."""

    def running() -> list[FrozenTrial]:
        all_trials = trials(folder)
        # Its config is told right before the first step; its reports come with the worker's next beat.
        begun = [
            trial for trial in all_trials if trial.state == TrialState.RUNNING and store.CONFIG in trial.user_attrs
        ]
        return begun if len(all_trials) > finished_before else []

    wait_for(lambda: bool(running()))
    return running()[0]


def test_ctrl_c_marks_the_running_trial_and_the_same_command_ends_as_if_it_had_never_been(
    start: Callable[[], subprocess.Popen[str]], created: Path, tmp_path: Path
) -> None:
    whole = shutil.copytree(created, tmp_path / "whole")
    process = start()
    under_way(tmp_path, 1)
    time.sleep(1.0)  # some steps
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in talk
    assert TrialState.RUNNING not in [trial.state for trial in trials(tmp_path)]
    handed_back = trials(tmp_path)[-1]
    assert handed_back.state == TrialState.WAITING
    assert handed_back.intermediate_values
    assert finish(tmp_path, "--workers", "1", *SLOW).returncode == 0
    assert finish(whole, "--workers", "1", *SLOW).returncode == 0
    assert results(tmp_path) == results(whole)
    assert len(results(tmp_path)) == 3


def test_a_killed_worker_is_replaced_and_the_budget_met_exactly(
    start: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start()
    taken = under_way(tmp_path, 0)
    killed = taken.user_attrs[store.PID]
    os.kill(killed, signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode == 0
    all_trials = trials(tmp_path)
    assert [trial.state for trial in all_trials] == [TrialState.COMPLETE] * 3
    assert killed not in [trial.user_attrs[store.PID] for trial in all_trials[taken.number :]]


def test_a_study_that_is_stopped_ends_its_sweep(start: Callable[[], subprocess.Popen[str]], tmp_path: Path) -> None:
    process = start()
    under_way(tmp_path, 0)
    subprocess.run([sys.executable, "-m", "sweeps", "stop", "tiny"], cwd=tmp_path, check=True, capture_output=True)
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "study 'tiny' was stopped; `sweeps resume` goes on with it" in talk


def test_a_rehearsal_finds_what_cannot_be_trained_before_a_study_is_made(tmp_path: Path) -> None:
    done = run(tmp_path, "--set", "data.source=digits", "--set", "data.images=5000")
    assert done.returncode == 2
    assert "data.images" in done.stderr
    assert "Traceback" not in done.stderr
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/sweeps.db") == []


LEARNS = """
[study]
name = "digits"
[budget]
trials = 2
steps = 40
report_interval = 20
holdout_images = 64
[data]
source = "digits"
classes = 10
images = 512
image_size = 8
[model]
architecture = "dense"
dense = 1
dense_units = 32
[sampler]
name = "GridSampler"
[space]
learning_rate = [0.01, 0.003]
batch_size = 32
"""


def test_the_best_are_confirmed_with_seeds_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text(LEARNS)
    ran = subprocess.run(
        command("run", "digits.toml", "--workers", "1"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    _, confirm, export, *_ = (shlex.split(line, comments=True) for line in ran.stdout.split("next:\n")[1].splitlines())
    line = [*confirm, "--top", "2", "--middle", "0", "--seeds", "2", "--scale", "2", "--workers", "1"]
    first, second = (subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stdout == second.stdout  # the second time nothing is left to run
    assert "ahead of candidate" in first.stdout
    again = optuna.load_study(study_name="digits-confirm-2x", storage=f"sqlite:///{tmp_path}/sweeps.db").trials
    assert len(again) == 4
    assert {trial.user_attrs["steps"] for trial in again} == {80}
    refused = subprocess.run([*line, "--seeds", "3"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "2 candidates and 2 seeds, not 2 and 3" in refused.stderr
    taken = subprocess.run(export, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert taken.returncode == 0, taken.stderr
    assert "confirmed with 2 seeds in 'digits-confirm-2x'" in taken.stdout + taken.stderr
    assert (tmp_path / "exported" / "best.toml").is_file()
