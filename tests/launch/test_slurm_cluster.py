"""Workers under a real Slurm, with a real PostgreSQL: launched, warned, preempted, cut off; nothing is lost."""

import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fakes
import optuna
import pytest
from commands import run_sweeps
from fakes import NAPPING, TINY
from optuna.trial import TrialState
from servers import PostgreSQL
from slurm import Slurm

from sweeps import store

ENDED = {TrialState.COMPLETE, TrialState.PRUNED}
SWEEPS = (sys.executable, "-m", "sweeps")


class Site:
    """A folder, a cluster and a store, as a person has them."""

    def __init__(self, folder: Path, cluster: Slurm, server: PostgreSQL) -> None:
        self.folder, self.cluster = folder, cluster
        self.folder.mkdir(exist_ok=True)
        self.url = server.database("slurm")
        self.environment = {
            **cluster.environment,
            "SWEEPS_STORAGE": self.url,
            "SWEEPS_ARTIFACTS": str(folder / "artifacts"),
            **fakes.NAPS,
        }

    def sweeps(self, *arguments: str, code: int = 0) -> str:
        done = run_sweeps(*arguments, cwd=self.folder, environment=self.environment)
        assert done.returncode == code, done.stderr + self.logs()
        return done.stdout + done.stderr

    def create(self, name: str, trials: int, text: str = TINY, steps: int | None = None) -> None:
        overrides = [f"study.name={json.dumps(name)}", f"budget.trials={trials}"]
        fakes.create(self.url, text, overrides + ([f"budget.steps={steps}"] if steps else []))

    def status(self, name: str) -> dict[str, object]:
        status = json.loads(self.sweeps("status", "--json", "--", name).partition("\nsweeps:")[0])
        assert isinstance(status, dict)
        return status

    def wait(self, condition: Callable[[], bool], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {self.cluster.run('squeue')}{self.logs()}"
            time.sleep(0.5)

    def idle(self) -> bool:
        return not self.cluster.states()

    def busy(self, name: str, workers: int) -> bool:
        """Whether so many workers are training; where they are they say with a beat, and that may be long after."""
        seen = self.status(name)["workers"]
        assert isinstance(seen, list)
        return [worker["condition"] for worker in seen].count("training") >= workers

    def logs(self) -> str:
        return "".join(f"\n{path.name}\n{path.read_text()}" for path in sorted(self.folder.glob("sweeps-logs/*.log")))

    @contextmanager
    def study(self, name: str) -> Iterator[optuna.Study]:
        storage = store.connect(self.url)
        try:
            yield store.load_study(storage, name)
        finally:
            storage.engine.dispose()

    def finished(self, name: str, trials: int) -> None:
        """The budget is met exactly, nothing runs or waits, and every trial has all its readings."""
        with self.study(name) as study:
            states = Counter(trial.state for trial in study.trials)
            assert states.total() == sum(states[state] for state in ENDED) == trials
            assert len({trial.user_attrs["slot"] for trial in study.trials}) == trials
            self._whole(study)

    def _whole(self, study: optuna.Study) -> None:
        storage = store.connect(self.url)
        space = store.space_of(study)
        for trial in study.trials:
            steps = [
                reading.step for reading in store.readings(storage.engine, store.id_of(storage, study), trial.number)
            ]
            assert steps == sorted(set(steps))
            assert steps[-1] == trial.user_attrs["steps"] == space.budget.steps
        storage.engine.dispose()


@pytest.fixture
def site(tmp_path: Path, slurm: Slurm, postgres: PostgreSQL) -> Site:
    return Site(tmp_path / "site", slurm, postgres)


def test_a_study_launched_as_an_array_finishes_and_each_worker_has_a_gpu_of_its_own(site: Site) -> None:
    site.create("tiny", 8)
    output = site.sweeps(
        "launch", "slurm", "tiny", "--workers", "5", "--gpus-per-worker", "1/2", "--setup", "echo node $SLURMD_NODENAME"
    )
    assert "3 tasks" in output
    assert "5 workers" in output
    seen: dict[str, list[dict[str, object]]] = {}

    def at_work() -> bool:
        status = site.status("tiny")
        seen.update({str(worker["job"]): [] for worker in status["workers"]})  # type: ignore[attr-defined]
        return len(seen) == 3 or status["done"] == 8

    site.wait(at_work)
    site.wait(site.idle)
    site.finished("tiny", 8)
    places = []
    for log in sorted(site.folder.glob("sweeps-logs/*.log")):
        text = log.read_text()
        gpus = re.findall(r"on GPU (\d)", text)
        assert len(set(gpus)) == 1
        places.append((re.findall(r"node (n\d)", text)[0], gpus[0]))
        assert len(gpus) == (1 if log.name.endswith("_2.log") else 2)
    assert len(set(places)) == 3
    assert "correct-horse" not in site.logs()


def test_the_status_joins_slurms_queue_and_cancel_ends_it_cleanly(site: Site) -> None:
    site.create("long", 60, NAPPING)
    site.sweeps("launch", "slurm", "--pool", "--workers", "6")
    site.wait(lambda: site.cluster.states() == {"RUNNING": 4, "PENDING": 2} and site.busy("long", 4))
    shown = site.sweeps("status")
    assert re.search(r"slurm \d+_0 running", shown)
    assert "4 running, 2 pending" in shown
    output = site.sweeps("launch", "slurm", "--pool", "--cancel")
    assert "ended 6 tasks" in output
    assert site.idle()
    with site.study("long") as study:
        assert {trial.state for trial in study.trials} <= {TrialState.WAITING, *ENDED}
    assert site.status("long")["workers"] == []
    assert "is not in Slurm's queue" in site.sweeps("launch", "slurm", "--pool", "--cancel", code=2)
    site.sweeps("launch", "slurm", "long", "--workers", "1")
    site.wait(lambda: "goes on from step" in site.logs())
    site.sweeps("launch", "slurm", "long", "--cancel")


def preempt(site: Site) -> None:
    site.cluster.run(
        "sbatch",
        "--partition=urgent",
        "--exclusive",
        "--array=0-1",
        "--nodes=1",
        "--output=/dev/null",
        "--wrap=sleep 3",
    )


def scancel(site: Site) -> None:
    """As people do it; then they launch it again."""
    site.cluster.run("scancel", "--me")
    site.wait(site.idle)
    site.sweeps("launch", "slurm", "long", "--workers", "2")


def switch_off(site: Site) -> None:
    """A node goes and comes back."""
    site.cluster.kill_node("n1")
    site.wait(lambda: "down" in site.cluster.run("sinfo", "-h", "-N", "-n", "n1", "-o", "%T"))
    site.cluster.start_node("n1")


def lose_slurmd(site: Site) -> None:
    """The daemon alone: its jobs go on, and are given to others all the same when the node is taken for dead."""
    os.kill(int((site.cluster.folder / "run" / "slurmd.n1.pid").read_text()), signal.SIGKILL)
    time.sleep(15)
    site.cluster.start_node("n1")


@pytest.mark.parametrize("disturbance", [preempt, scancel, switch_off, lose_slurmd])
def test_nothing_is_lost_by(site: Site, disturbance: Callable[[Site], None]) -> None:
    site.create("long", 3, NAPPING)
    site.sweeps("launch", "slurm", "long", "--workers", "2")
    site.wait(lambda: site.busy("long", 1))
    time.sleep(2)
    disturbance(site)
    site.wait(site.idle)
    site.finished("long", 3)


def test_a_task_that_reaches_its_time_limit_goes_on_in_the_next(site: Site) -> None:
    site.create("long", 1, NAPPING, steps=120)
    site.sweeps("launch", "slurm", "long", "--workers", "1", "--time", "1", "--warning", "30")
    site.wait(site.idle, 600)
    site.finished("long", 1)
    assert "goes on from step" in site.logs()
    assert "TIME LIMIT" not in site.logs()


ODD = "a \"b\" 'c'\n$(touch no) `touch no` ü%s %A"


def test_odd_names_arrive_intact(tmp_path: Path, slurm: Slurm, postgres: PostgreSQL) -> None:
    site = Site(tmp_path / ODD.replace("/", ""), slurm, postgres)
    study = ODD.replace("\n", " ")  # no study has a line break in its name
    site.create(study, 2)
    site.sweeps("launch", "slurm", "--workers", "2", f"--option=--comment={ODD}\\", "--", study)
    assert slurm.run("squeue", "--noheader", "--array", "--format=%k") == f"{ODD}\\\n" * 2
    site.wait(site.idle)
    site.finished(study, 2)
    assert not list(tmp_path.rglob("no"))


def test_what_slurm_refuses_is_told_in_its_own_words(site: Site) -> None:
    site.create("tiny", 2)
    refused = site.sweeps("launch", "slurm", "tiny", "--workers", "1", "--partition", "nowhere", code=2)
    assert "invalid partition" in refused
    assert len(refused.splitlines()) == 1
    unknown = site.sweeps("launch", "slurm", "tinny", "--workers", "1", code=2)
    assert "tinny" in unknown


# Slurm's own srun, without the options that are pyxis's.
SRUN = """#!/bin/bash
words=()
for word in "$@"; do [[ "$word" == --container-* ]] || words+=("$word"); done
exec {srun} "${{words[@]}}"
"""


def test_through_srun_a_task_is_warned_and_cancelled_too(site: Site) -> None:
    programs = site.folder / "programs"
    programs.mkdir()
    srun = shutil.which("srun", path=site.environment["PATH"])
    (programs / "srun").write_text(SRUN.format(srun=srun))
    (programs / "sweeps").write_text(f'#!/bin/bash\nexec {shlex.join(SWEEPS)} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    site.environment["PATH"] = f"{programs}:{site.environment['PATH']}"
    site.create("long", 60, NAPPING, steps=600)  # none ends before it is handed back
    site.sweeps("launch", "slurm", "long", "--workers", "1", "--runtime", "pyxis", "--image", "an image")
    site.wait(lambda: site.busy("long", 1))
    time.sleep(2)
    site.cluster.run("scancel", "--batch", "--signal=USR1", "--me")
    site.wait(lambda: "goes on from step" in site.logs())
    site.sweeps("launch", "slurm", "long", "--cancel")
    with site.study("long") as study:
        assert {trial.state for trial in study.trials} <= {TrialState.WAITING, *ENDED}
    assert site.logs().count("handed back, kept at step") == 2
