"""What is submitted to Slurm: that bash and sbatch read it as it was meant, and that a task answers signals."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeps.errors import InputError, SweepsError
from sweeps.launch import slurm
from sweeps.launch.job import Job
from sweeps.launch.slurm import SlurmOptions, SlurmResources

ODD = (
    "--x",
    "a b",
    "it's",
    'say "no"',
    "line\nbreak",
    "$(touch no)",
    "`touch no`",
    "Größe 图",
    "a;b|c&d",
    "\\",
    "%A",
    "END",
)
anything = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
slow_examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Writes down its arguments and its standard input, each as it came.
RECORD = """#!/bin/bash
printf '%s\\0' "$@" > "$RECORDED"
if [ "$1" = --parsable ] || [[ "$1" == --job-name* ]]; then cat > "$RECORDED.stdin"; echo "4711"; fi
"""
# Stands for the workers' supervisor inside a container: it leaves with 75 when it is told to.
SUPERVISOR = """#!/bin/bash
printf '%s\\0' "$@" > "$RECORDED"
env > "$RECORDED.env"
trap 'echo told >> "$RECORDED.told"; sleep .2; exit 75' USR1
sleep "${NAP:-0}" & wait $!
exit "${CODE:-0}"
"""
SCONTROL = """#!/bin/bash
echo "$@" > "$RECORDED.scontrol"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of ours in place of Slurm's and of Apptainer; the file that they write to."""
    for name, text in (("sbatch", RECORD), ("apptainer", SUPERVISOR), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORDED", str(tmp_path / "recorded"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "recorded"


def recorded(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1]


def task(job: Job, index: int = 0, **environment: str) -> subprocess.Popen[str]:
    """A task as Slurm starts it, in a container of ours."""
    environment = {"SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": "15", **environment}
    text = slurm.job_script(job, SlurmOptions(image="sweeps.sif"))
    # A shell that began with SIGINT ignored, as in the background, cannot hear it.
    words = ["env", "--default-signal=INT", "bash", "-c", text]
    return subprocess.Popen(words, env={**os.environ, **environment}, text=True)


def begun(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not Path(f"{path}.env").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.2)


def test_what_is_asked_for_is_what_sbatch_is_told() -> None:
    job = Job(("tiny",), "postgresql://db", 5, 2)
    where = SlurmResources(
        partition="gpu",
        time="4:00:00",
        account="vision",
        constraint="a100|h100",
        cpus_per_worker=3,
        memory_per_worker="8G",
        warning_s=90,
        extra=("--qos=long",),
    )
    options = SlurmOptions(where, logs="logs/100%")
    assert slurm.sbatch_arguments(job, options) == [
        f"--job-name={job.name}",
        "--array=0-2",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=6",
        "--partition=gpu",
        "--time=4:00:00",
        "--account=vision",
        "--constraint=a100|h100",
        "--gres=gpu:1",
        "--mem=16G",
        "--signal=B:USR1@90",
        "--requeue",
        "--open-mode=append",
        f"--output={Path.cwd()}/logs/100%%/{job.name}-%A_%a.log",
        "--export=ALL",
        "--qos=long",
    ]


def test_workers_without_gpus_ask_for_none_and_see_none() -> None:
    job = Job((), "postgresql://db", 3, 0)
    assert not [word for word in slurm.sbatch_arguments(job, SlurmOptions()) if "gres" in word]
    assert "CUDA_VISIBLE_DEVICES=-1" in slurm.job_script(job, SlurmOptions())
    assert "CUDA_VISIBLE_DEVICES" not in slurm.job_script(Job((), "x", 3, 1), SlurmOptions())


@pytest.mark.parametrize(
    "options",
    [
        SlurmOptions(SlurmResources(extra=("no option",))),
        SlurmOptions(SlurmResources(memory_per_worker="8 GB")),
        SlurmOptions(logs="a\\b"),
    ],
)
def test_what_slurm_cannot_be_told_is_refused(options: SlurmOptions) -> None:
    with pytest.raises(InputError, match=r"--(option|memory|logs)"):
        slurm.sbatch_arguments(Job(("tiny",), "x", 1, 1), options)


@slow_examples
@given(
    studies=st.lists(anything | st.sampled_from(ODD), max_size=2),
    extra=anything,
    setup=st.sampled_from(["", "true # END"]),
)
def test_bash_reads_a_dry_run_as_what_is_submitted(programs: Path, studies: list[str], extra: str, setup: str) -> None:
    job = Job(tuple(studies), "postgresql://db", 3, 2)
    options = SlurmOptions(
        SlurmResources(constraint=extra, extra=(f"--comment={extra}",)), setup=(setup, "END") if setup else ()
    )
    subprocess.run(["bash", "-c", slurm.render_dry_run(job, options)], check=True, capture_output=True)
    assert recorded(programs) == slurm.sbatch_arguments(job, options)
    assert Path(f"{programs}.stdin").read_bytes().decode() == slurm.job_script(job, options)
    number = slurm.submit_job(job, options, dict(os.environ))
    assert number == "4711"
    assert recorded(programs) == ["--parsable", *slurm.sbatch_arguments(job, options)]


@slow_examples
@given(studies=st.lists(anything | st.sampled_from(ODD), min_size=1, max_size=3))
def test_names_of_studies_arrive_as_they_are_and_nothing_else_is_run(programs: Path, studies: list[str]) -> None:
    before = set(programs.parent.iterdir())
    assert task(Job(tuple(studies), "x", 3, 2)).wait(20) == 0
    words = recorded(programs)
    assert words[words.index("--") + 1 :] == studies
    made = {path.name for path in set(programs.parent.iterdir()) - before}
    assert made <= {"recorded", "recorded.env"}


@pytest.mark.parametrize(("index", "workers"), [(0, "2"), (1, "1")])
def test_the_last_task_has_the_workers_that_are_left(programs: Path, index: int, workers: str) -> None:
    assert task(Job(("tiny",), "x", 3, 2), index).wait(20) == 0
    arguments = recorded(programs)
    assert arguments[:4] == ["exec", "--nv", "sweeps.sif", "sweeps"]
    assert arguments[arguments.index("--workers") + 1] == workers
    assert f"SWEEPS_JOB=slurm 12_{index}\n" in Path(f"{programs}.env").read_text()


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_task_ends_as_its_workers_did(programs: Path, code: int) -> None:
    assert task(Job(("tiny",), "x", 1, 1), CODE=str(code)).wait(20) == code
    assert not Path(f"{programs}.scontrol").exists()


@pytest.mark.parametrize(
    ("signals", "again"),
    [
        ([signal.SIGUSR1], True),
        ([signal.SIGTERM], False),
        ([signal.SIGINT], False),
        ([signal.SIGUSR1, signal.SIGUSR1], True),
        ([signal.SIGUSR1, signal.SIGTERM], False),
        ([signal.SIGTERM, signal.SIGUSR1], True),
    ],
)
def test_a_task_that_is_warned_is_queued_again_and_one_that_is_cancelled_is_not(
    programs: Path, signals: list[signal.Signals], again: bool
) -> None:
    running = task(Job(("tiny",), "x", 1, 1), NAP="60")
    begun(programs)
    for number in signals:
        running.send_signal(number)
        time.sleep(0.05)
    assert running.wait(20) == 0
    assert Path(f"{programs}.told").read_text() == "told\n"
    asked = Path(f"{programs}.scontrol")
    assert (asked.read_text().split() if asked.exists() else None) == (["requeue", "15"] if again else None)


@pytest.mark.parametrize(("restarts", "again"), [("0", True), ("3", True), ("20", False)])
def test_a_task_whose_supervisor_is_killed_is_queued_again_but_not_for_ever(
    programs: Path, restarts: str, again: bool
) -> None:
    assert task(Job(("tiny",), "x", 1, 1), CODE="137", SLURM_RESTART_COUNT=restarts).wait(20) == 137
    assert Path(f"{programs}.scontrol").exists() == again


def test_a_warning_that_comes_when_all_is_done_does_not_start_it_again(programs: Path) -> None:
    running = task(Job(("tiny",), "x", 1, 1), NAP="1", CODE="0")
    begun(programs)
    assert running.wait(20) == 0
    assert not Path(f"{programs}.scontrol").exists()


def test_without_slurm_there_is_a_word_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no sbatch on this machine"):
        slurm.submit_job(Job(("tiny",), "x", 1, 1), SlurmOptions(), dict(os.environ))


def test_a_queue_that_does_not_answer_is_told_in_its_own_words(programs: Path) -> None:
    (programs.parent / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n")
    (programs.parent / "squeue").chmod(0o755)
    with pytest.raises(SweepsError, match="Unable to contact"):
        slurm.list_tasks()


def test_pyxis_gets_the_image_as_an_option_of_srun() -> None:
    text = slurm.job_script(Job(("tiny",), "x", 1, 1), SlurmOptions(image="registry#my image", runtime="pyxis"))
    line = next(line for line in text.splitlines() if line.startswith("srun"))
    assert "--container-image=registry#my image" in shlex.split(line.rstrip("\\"))


def test_the_queue_is_read_by_store_and_summed_up_by_job(programs: Path) -> None:
    job = Job(("tiny",), "postgresql://db", 3, 1)
    elsewhere = Job(("tiny",), "postgresql://other", 3, 1)
    rows = [
        f"12_0|{job.name}|RUNNING|None",
        f"12_1|{job.name}|PENDING|Resources",
        f"13_0|{elsewhere.name}|RUNNING|None",
        "14|somebody else's|RUNNING|None",
    ]
    (programs.parent / "queue").write_text("\n".join(rows))
    (programs.parent / "squeue").write_text("#!/bin/sh\ncat queue\n")
    (programs.parent / "squeue").chmod(0o755)
    tasks = slurm.list_tasks_of_store("postgresql://db")
    assert tasks is not None
    assert [task.number for task in tasks] == ["12_0", "12_1"]
    assert slurm.summarise_tasks(tasks) == [f"slurm, {job.name}: 1 running, 1 pending (Resources)"]
