"""Workers under Slurm: an array of jobs, one GPU each, queued again until nothing is left to do.

A job is a list of arguments for sbatch and a script, both made by pure functions. Names and folders are arguments,
which nothing parses, or are quoted for bash.
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

from sweeps.environment import JOB_VARIABLE
from sweeps.errors import InputError, SweepsError, one_line
from sweeps.launch.job import INTERRUPTED, Job, digest_store
from sweeps.worker.shutdown import LAUNCHER_S

POLL_S = 1.0
ANSWER_S = 60.0
MOST_RESTARTS = 20  # of a task whose supervisor is killed
LOGS = "sweeps-logs"
RUNTIMES = ("apptainer", "pyxis")


@dataclass(frozen=True, slots=True)
class SlurmResources:
    """The resources of a task; None stands for the cluster's default.

    Attributes:
        time: limit of a task as Slurm writes it, e.g. 4:00:00. A task that reaches it is queued again.
        cpus_per_worker, memory_per_worker: memory as Slurm writes it, in whole units, e.g. 8G.
        warning_s: seconds before the time limit at which workers hand their trials back.
        extra: further options of sbatch, each as one argument.
    """

    partition: str | None = None
    time: str | None = None
    account: str | None = None
    constraint: str | None = None
    cpus_per_worker: int = 1
    memory_per_worker: str | None = None
    warning_s: int = int(LAUNCHER_S)
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlurmOptions:
    """The options of a job under Slurm.

    Attributes:
        setup: lines of bash that come before the workers.
        image, runtime: container image to run them in, and by what.
        logs: folder of one log per task.
    """

    resources: SlurmResources = SlurmResources()
    setup: tuple[str, ...] = ()
    image: str | None = None
    runtime: str = "apptainer"
    logs: str = LOGS
    exit_when_idle: bool = False


def sbatch_arguments(job: Job, options: SlurmOptions) -> list[str]:
    """Return the arguments of sbatch, which reads the script from its standard input.

    Raises:
        InputError: Slurm has no way to write what was asked for.
    """
    resources = options.resources
    for extra in resources.extra:
        if not extra.startswith("-"):
            raise InputError(f"--option {extra!r}: an option of sbatch begins with -, e.g. --option=--qos=long")
    gpu = None
    if job.workers_per_gpu:
        gpu = "gpu:1"
    optional = {
        "partition": resources.partition,
        "time": resources.time,
        "account": resources.account,
        "constraint": resources.constraint,
        "gres": gpu,
        "mem": _memory_per_task(resources.memory_per_worker, job.workers_per_task),
    }
    arguments = [
        f"--job-name={job.name}",
        f"--array=0-{job.tasks - 1}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={resources.cpus_per_worker * job.workers_per_task}",
    ]
    arguments += [f"--{key}={value}" for key, value in optional.items() if value]
    arguments += [
        f"--signal=B:USR1@{resources.warning_s}",
        "--requeue",
        "--open-mode=append",
        f"--output={_log_pattern(job, options.logs)}",
        "--export=ALL",
    ]
    return arguments + list(resources.extra)


def _log_pattern(job: Job, logs: str) -> str:
    """Return the pattern of the logs' names as an absolute path; Slurm expands % in folders too.

    Raises:
        InputError: Slurm cannot write there.
    """
    folder = str(Path(logs).absolute())
    if "\\" in folder:
        raise InputError(f"Slurm cannot write logs to {folder!r}: it takes backslashes away; name a folder with --logs")
    return f"{folder.replace('%', '%%')}/{job.name}-%A_%a.log"


def _memory_per_task(per_worker: str | None, workers: int) -> str | None:
    """Return the memory of all workers of a task.

    Raises:
        InputError: the memory of a worker is not a whole number with a unit.
    """
    if per_worker is None:
        return None
    match = re.fullmatch(r"(\d+)([KMGT]?)", per_worker)
    if match is None:
        raise InputError(f"--memory-per-worker {per_worker}: write a whole number and a unit, e.g. 8G or 8000M")
    return f"{int(match[1]) * workers}{match[2]}"


def job_script(job: Job, options: SlurmOptions) -> str:
    """Return the script that each task runs: it starts a supervisor of workers and passes signals on to it.

    Slurm signals the shell alone (B:). Warned of a time limit or a preemption, the task puts itself back into the queue
    once its trials are handed back; asked to end in any other way, it ends.
    """
    setup = "".join(f"{line}\n" for line in options.setup)
    idle_option = ""
    if options.exit_when_idle:
        idle_option = " --exit-when-idle"
    served = shlex.join(job.served_arguments())
    if not job.workers_per_gpu:
        setup += "export CUDA_VISIBLE_DEVICES=-1\n"
    return f"""#!/bin/bash
# Workers of sweeps: {job.name}
{setup}export {JOB_VARIABLE}="slurm ${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
workers={job.workers_per_task}
if [ "$SLURM_ARRAY_TASK_ID" -eq {job.tasks - 1} ]; then workers={job.workers_of_last_task}; fi
passed_on= warned= interrupted= code=127
# Signal the supervisor only once: a second signal means to leave at once. Not by SIGTERM: srun would kill it then.
pass() {{ interrupted=1; if [ -z "$passed_on" ]; then passed_on=1; kill -USR1 "$supervisor"; fi; }}
trap 'warned=1; pass' USR1
trap 'warned=; pass' TERM INT
{shlex.join(_supervisor_command(job, options))} \\
  --workers "$workers" --workers-per-gpu {max(1, job.workers_per_gpu)}{idle_option} {served} &
supervisor=$!
# A signal ends `wait` early; 127: the supervisor had ended before, and its exit code is known.
while true; do
  wait "$supervisor"
  ended=$?
  if [ "$ended" -ne 127 ]; then code=$ended; fi
  if [ -z "$interrupted" ] || [ "$ended" -eq 127 ]; then break; fi
  interrupted=
done
if [ "$code" -eq {INTERRUPTED} ]; then
  code=0
  if [ -n "$warned" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
# Killed by SIGKILL, as for want of memory: nobody asked for that.
elif [ "$code" -eq 137 ] && [ -z "$passed_on" ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {MOST_RESTARTS} ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def _supervisor_command(job: Job, options: SlurmOptions) -> list[str]:
    """Return the command that starts the supervisor, in a container if there is an image.

    Raises:
        InputError: the runtime of the container is unknown.
    """
    if options.runtime not in RUNTIMES:
        raise InputError(f"--runtime {options.runtime}: is not among {', '.join(RUNTIMES)}")
    if options.image is None:
        return [sys.executable, "-m", "sweeps", "launch", "local"]
    if options.runtime == "pyxis":
        command = ["srun", "--ntasks=1", f"--container-image={options.image}", "--container-mount-home"]
    else:
        command = ["apptainer", "exec"]
        if job.workers_per_gpu:
            command.append("--nv")
        command.append(options.image)
    command += ["sweeps", "launch", "local"]
    return command


def render_dry_run(job: Job, options: SlurmOptions, first_lines: Sequence[str] = ()) -> str:
    """Return the lines of bash that submit the job.

    Args:
        first_lines: come before them, to set the environment.
    """
    script = job_script(job, options)
    end_marker = "END"  # of the script; must not be a line of it
    while end_marker in script.splitlines():
        end_marker += "_"
    exports = "".join(f"{line}\n" for line in first_lines)
    make_folder = shlex.join(["mkdir", "-p", "--", options.logs])
    submit = shlex.join(["sbatch"] + sbatch_arguments(job, options))
    return f"{exports}{make_folder}\n{submit} <<'{end_marker}'\n{script}{end_marker}\n"


def submit_job(job: Job, options: SlurmOptions, environment: Mapping[str, str]) -> str:
    """Submit a job; return its number.

    Raises:
        InputError: there is no Slurm here, or it refuses, in its own words.
    """
    arguments = ["--parsable"] + sbatch_arguments(job, options)
    try:
        Path(options.logs).mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"--logs {options.logs}: {exc.strerror}; name a folder that can be written") from exc
    completed = _run_slurm("sbatch", arguments, stdin=job_script(job, options), environment=environment)
    if completed.returncode:
        raise InputError(f"Slurm refused: {clean_message(completed.stderr)}")
    return completed.stdout.strip().partition(";")[0]  # job;cluster


def clean_message(text: str) -> str:
    """Return what a command of Slurm's wrote to stderr, in one line."""
    return one_line(Exception(re.sub(r"^\w+: error: ", "", text, flags=re.MULTILINE)))


@dataclass(frozen=True, slots=True)
class Task:
    """A task in Slurm's queue.

    Attributes:
        number: ARRAY_INDEX.
        name: of its job.
        reason: why it waits.
    """

    number: str
    name: str
    state: str
    reason: str


def list_tasks(names: Sequence[str] = (), *, mine: bool = False) -> list[Task]:
    """Return the tasks that wait or run, of all jobs that sweeps launched.

    Args:
        names: of the jobs; all if empty.
        mine: only those of this user.

    Raises:
        SweepsError: Slurm does not answer.
    """
    arguments = ["--noheader", "--array", "--format=%i|%j|%T|%r"]
    if mine:
        arguments.append("--me")
    if names:
        arguments.append(f"--name={','.join(names)}")
    completed = _run_slurm("squeue", arguments)
    if completed.returncode:
        raise SweepsError(f"Slurm does not answer: {clean_message(completed.stderr)}")
    tasks = []
    for line in completed.stdout.splitlines():
        fields = line.split("|", 3)
        if len(fields) == 4 and fields[1].startswith("sweeps-"):
            number, name, state, reason = fields
            tasks.append(Task(number=number, name=name, state=state, reason=reason))
    return tasks


def list_tasks_of_store(store: str) -> list[Task] | None:
    """Return the tasks of all jobs that serve a store; None where there is no Slurm.

    Args:
        store: its URL without the password.

    Raises:
        SweepsError: Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    name = re.compile(rf"sweeps-.*-{digest_store(store)}[0-9a-f]{{5}}")
    return [task for task in list_tasks() if name.fullmatch(task.name)]


def summarise_tasks(tasks: Sequence[Task]) -> list[str]:
    """Return one line per job: how many of its tasks are in each state, and why some wait."""
    lines = []
    for name in dict.fromkeys(task.name for task in tasks):
        job_tasks = [task for task in tasks if task.name == name]
        counts = Counter(task.state.lower() for task in job_tasks)
        waiting_last = sorted(counts.items(), key=lambda item: item[0] == "pending")
        line = f"slurm, {name}: " + ", ".join(f"{count} {state}" for state, count in waiting_last)
        reasons = sorted({task.reason for task in job_tasks if task.state == "PENDING"})
        if reasons:
            line += f" ({', '.join(reasons)})"
        lines.append(line)
    return lines


def cancel_tasks(name: str, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> int:
    """End the tasks of a job; those that run hand their trials back first. Return how many there were.

    Args:
        say: gets messages about the progress.

    Raises:
        SweepsError: Slurm does not answer, or refuses.
    """
    tasks = list_tasks([name], mine=True)
    if not tasks:
        return 0
    # Those that wait first, so that none of them starts in the place of one that ends.
    _run_scancel("--me", f"--name={name}", "--state=PENDING")
    _run_scancel("--me", f"--name={name}", "--state=RUNNING", "--batch", "--signal=TERM")
    say(f"{len(tasks)} in the queue: workers are handing their trials back")
    deadline = time.monotonic() + LAUNCHER_S
    while remaining := list_tasks([name], mine=True):
        if time.monotonic() > deadline:
            say(f"{len(remaining)} left after {LAUNCHER_S:.0f} s: Slurm ends them")
            _run_scancel("--me", f"--name={name}")
            break
        if any(task.state == "PENDING" for task in remaining):
            _run_scancel("--me", f"--name={name}", "--state=PENDING")
        wait(POLL_S)
    return len(tasks)


def _run_scancel(*arguments: str) -> None:
    completed = _run_slurm("scancel", arguments)
    if completed.returncode:
        raise SweepsError(f"Slurm refused: {clean_message(completed.stderr)}")


def _run_slurm(
    program: str, arguments: Sequence[str], stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands.

    Raises:
        InputError: it is not installed here.
        SweepsError: it does not answer.
    """
    try:
        return subprocess.run(
            [program] + list(arguments),
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
