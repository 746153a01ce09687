"""Workers under Slurm: an array of jobs, one GPU each, queued again until nothing is left to do.

What is submitted is a list of arguments and a script, made by pure functions: names and folders travel as arguments,
which nothing parses, or quoted for bash.
"""

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import InputError, SweepsError, one_line
from sweeps.launch.job import INTERRUPTED, Job, store_digest

POLL_S = 1.0
LEAVE_S = 60.0  # from asking workers to leave until their jobs are cancelled
ANSWER_S = 60.0
LOGS = "sweeps-logs"
RUNTIMES = ("apptainer", "pyxis")


@dataclass(frozen=True, slots=True)
class SlurmResources:
    """What sbatch is asked for beside the number of workers; None: whatever the cluster's default is.

    Attributes:
        time: limit of a task as Slurm writes it, e.g. 4:00:00. A task that reaches it is queued again.
        cpus_per_worker, memory_per_worker: memory as Slurm writes it, in whole units, e.g. 8G.
        warning_s: how long before the time limit workers are told to hand their trials back.
        extra: further options of sbatch, each as one argument.
    """

    partition: str | None = None
    time: str | None = None
    account: str | None = None
    constraint: str | None = None
    cpus_per_worker: int = 1
    memory_per_worker: str | None = None
    warning_s: int = 60
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """How tasks are run.

    Attributes:
        setup: lines of bash that come before the workers.
        image, runtime: container image to run them in, and by what.
        logs: folder of one log per task.
    """

    where: SlurmResources = SlurmResources()
    setup: tuple[str, ...] = ()
    image: str | None = None
    runtime: str = "apptainer"
    logs: str = LOGS
    exit_when_idle: bool = False


def arguments(job: Job, options: SlurmOptions) -> list[str]:
    """The arguments of sbatch; the script comes by its standard input.

    Raises:
        InputError: Slurm has no way to write what was asked for.
    """
    where = options.where
    asked = {
        "partition": where.partition,
        "time": where.time,
        "account": where.account,
        "constraint": where.constraint,
        "gres": "gpu:1" if job.workers_per_gpu else None,
        "mem": _memory(where.memory_per_worker, job.workers_per_task),
    }
    for extra in where.extra:
        if not extra.startswith("-"):
            raise InputError(f"--option {extra!r}: an option of sbatch begins with -, e.g. --option=--qos=long")
    return [
        f"--job-name={job.name}",
        f"--array=0-{job.tasks - 1}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={where.cpus_per_worker * job.workers_per_task}",
        *(f"--{key}={value}" for key, value in asked.items() if value),
        f"--signal=B:USR1@{where.warning_s}",
        "--requeue",
        "--open-mode=append",
        f"--output={_log(job, options.logs)}",
        "--export=ALL",
        *where.extra,
    ]


def _log(job: Job, logs: str) -> str:
    """The pattern of the logs' names, whole: Slurm also expands % in the name of the working directory."""
    folder = str(Path(logs).absolute())
    if "\\" in folder:
        raise InputError(f"Slurm cannot write logs to {folder!r}: it takes backslashes away; name a folder with --logs")
    return f"{folder.replace('%', '%%')}/{job.name}-%A_%a.log"


def _memory(each: str | None, workers: int) -> str | None:
    if each is None:
        return None
    found = re.fullmatch(r"(\d+)([KMGT]?)", each)
    if found is None:
        raise InputError(f"--memory-per-worker {each}: write a whole number and a unit, e.g. 8G or 8000M")
    return f"{int(found[1]) * workers}{found[2]}"


def script(job: Job, options: SlurmOptions) -> str:
    """What each task runs: a supervisor of its workers, to which it passes signals on.

    Slurm signals the shell alone (B:). Warned of a time limit or a preemption, the task puts itself back into the queue
    once its trials are handed back; asked to end in any other way, it ends.
    """
    setup = "".join(f"{line}\n" for line in options.setup)
    if not job.workers_per_gpu:
        setup += "export CUDA_VISIBLE_DEVICES=-1\n"
    return f"""#!/bin/bash
# Workers of sweeps: {job.name}
{setup}export SWEEPS_JOB="slurm ${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
workers={job.workers_per_task}
if [ "$SLURM_ARRAY_TASK_ID" -eq {job.tasks - 1} ]; then workers={job.workers_of_last_task}; fi
told= warned= heard= code=127
# Once, and by a signal that srun hands on: of SIGTERM it kills, and a second one would mean to leave at once.
pass() {{ heard=1; if [ -z "$told" ]; then told=1; kill -USR1 "$supervisor"; fi; }}
trap 'warned=1; pass' USR1
trap 'warned=; pass' TERM INT
{shlex.join(_command(job, options))} \\
  --workers "$workers" --workers-per-gpu {max(1, job.workers_per_gpu)}{_idle(options)} {shlex.join(job.served())} &
supervisor=$!
# A signal ends `wait` early; 127: the supervisor's exit code was had before.
while true; do
  wait "$supervisor"
  ended=$?
  if [ "$ended" -ne 127 ]; then code=$ended; fi
  if [ -z "$heard" ] || [ "$ended" -eq 127 ]; then break; fi
  heard=
done
if [ "$code" -eq {INTERRUPTED} ]; then
  code=0
  if [ -n "$warned" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
fi
exit "$code"
"""


def _idle(options: SlurmOptions) -> str:
    return " --exit-when-idle" if options.exit_when_idle else ""


def _command(job: Job, options: SlurmOptions) -> list[str]:
    if options.runtime not in RUNTIMES:
        raise InputError(f"--runtime {options.runtime}: is not among {', '.join(RUNTIMES)}")
    if options.image is None:
        return [sys.executable, "-m", "sweeps", "launch", "local"]
    inside = ["sweeps", "launch", "local"]
    if options.runtime == "pyxis":
        return ["srun", "--ntasks=1", f"--container-image={options.image}", "--container-mount-home", *inside]
    return ["apptainer", "exec", *(["--nv"] if job.workers_per_gpu else []), options.image, *inside]


def dry_run(job: Job, options: SlurmOptions, needed: Sequence[str] = ()) -> str:
    """What a shell would be told to submit the very same; `needed`: lines that come first, for the environment."""
    text = script(job, options)
    end = "END"
    while end in text.splitlines():
        end += "_"
    folder = shlex.join(["mkdir", "-p", "--", options.logs])
    first = "".join(f"{line}\n" for line in needed)
    return f"{first}{folder}\n{shlex.join(['sbatch', *arguments(job, options)])} <<'{end}'\n{text}{end}\n"


def submit(job: Job, options: SlurmOptions, environment: Mapping[str, str]) -> str:
    """Submit a job; its number.

    Raises:
        InputError: there is no Slurm here, or it refuses, in its own words.
    """
    words = ["--parsable", *arguments(job, options)]
    try:
        Path(options.logs).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"--logs {options.logs}: {exc.strerror}; name a folder that can be written") from exc
    done = _slurm("sbatch", *words, stdin=script(job, options), environment=environment)
    if done.returncode:
        raise InputError(f"Slurm refused: {one_line_of(done.stderr)}")
    return done.stdout.strip().partition(";")[0]  # job;cluster


def one_line_of(text: str) -> str:
    """What a command of Slurm's said, in one line."""
    return one_line(Exception(re.sub(r"^\w+: error: ", "", text, flags=re.MULTILINE)))


@dataclass(frozen=True, slots=True)
class Task:
    """A task in Slurm's queue: `number` is ARRAY_INDEX; `reason` says why it waits."""

    number: str
    name: str
    state: str
    reason: str


def queue(names: Sequence[str] = (), *, mine: bool = False) -> list[Task]:
    """The tasks that wait or run of jobs of these names, or of all that sweeps launched.

    Raises:
        SweepsError: Slurm does not answer.
    """
    which = [*(["--me"] if mine else []), *([f"--name={','.join(names)}"] if names else [])]
    done = _slurm("squeue", "--noheader", "--array", "--format=%i|%j|%T|%r", *which)
    if done.returncode:
        raise SweepsError(f"Slurm does not answer: {one_line_of(done.stderr)}")
    rows = (line.split("|", 3) for line in done.stdout.splitlines())
    return [Task(*row) for row in rows if len(row) == 4 and row[1].startswith("sweeps-")]


def of_store(store: str) -> list[Task] | None:
    """The tasks of all jobs that serve a store, by its URL without the password; None where there is no Slurm.

    Raises:
        SweepsError: Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    mark = re.compile(rf"sweeps-.*-{store_digest(store)}[0-9a-f]{{5}}")
    return [task for task in queue() if mark.fullmatch(task.name)]


def summed_up(tasks: Sequence[Task]) -> list[str]:
    """One line per job: how many of its tasks are in each state, and why some wait."""
    lines = []
    for name in dict.fromkeys(task.name for task in tasks):
        of_job = [task for task in tasks if task.name == name]
        counts = Counter(task.state.lower() for task in of_job)
        reasons = sorted({task.reason for task in of_job if task.state == "PENDING"})
        ordered = sorted(counts.items(), key=lambda item: item[0] == "pending")
        said = ", ".join(f"{count} {state}" for state, count in ordered)
        lines.append(f"slurm, {name}: {said}" + (f" ({', '.join(reasons)})" if reasons else ""))
    return lines


def cancel(name: str, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> int:
    """End the tasks of a job: those that run hand their trials back first; how many there were.

    Raises:
        SweepsError: Slurm does not answer, or refuses.
    """
    found = queue([name], mine=True)
    if not found:
        return 0
    # Those that wait first, lest one begins in the place of one that ends.
    _scancel("--me", f"--name={name}", "--state=PENDING")
    _scancel("--me", f"--name={name}", "--state=RUNNING", "--batch", "--signal=TERM")
    say(f"{len(found)} in the queue: workers are handing their trials back")
    deadline = time.monotonic() + LEAVE_S
    while left := queue([name], mine=True):
        if time.monotonic() > deadline:
            say(f"{len(left)} left after {LEAVE_S:.0f} s: Slurm ends them")
            _scancel("--me", f"--name={name}")
            break
        if any(task.state == "PENDING" for task in left):
            _scancel("--me", f"--name={name}", "--state=PENDING")
        wait(POLL_S)
    return len(found)


def _scancel(*words: str) -> None:
    done = _slurm("scancel", *words)
    if done.returncode:
        raise SweepsError(f"Slurm refused: {one_line_of(done.stderr)}")


def _slurm(
    program: str, *words: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [program, *words],
            input=stdin,
            env=environment,
            timeout=ANSWER_S,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SweepsError(f"Slurm's {program} has not answered for {ANSWER_S:.0f} s") from None
    except FileNotFoundError:
        raise InputError(f"there is no {program} on this machine; launch where Slurm's commands are") from None
