"""A real Slurm for the tests: a controller and two nodes on loopback, in a folder of their own.

It needs Debian's slurmctld, slurmd, slurm-client, slurm-wlm-basic-plugins and munge; no systemd, no cgroups.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

import pytest
from servers import absent

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "munged")
START_S = 30.0
STOP_S = 30.0
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class Slurm:
    """A cluster whose nodes have two GPUs each; character devices stand in for them, which is all that Slurm checks."""

    def __init__(self, nodes: int = 2, gpus: int = 2) -> None:
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.gpus = gpus
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.folder.chmod(0o755)
        for name in ("munge", "state", "log", "run", "dev"):
            (self.folder / name).mkdir(mode=0o755)

    @cached_property
    def environment(self) -> dict[str, str]:
        """The environment in which Slurm's commands find this cluster and no other."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SBATCH_"))}
        variables["SLURM_CONF"] = str(self.folder / "slurm.conf")
        variables["PATH"] = f"{os.environ['PATH']}:{SBIN}"
        return variables

    def __enter__(self) -> Self:
        try:
            self._start_munge()
            self._write_configuration()
            self.run("slurmctld", "-c")
            for node in self.nodes:
                self.start_node(node)
            self._wait(self._all_idle)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, *command: str) -> str:
        """Run a command of Slurm's; return what it prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}{self._logs()}"
        return done.stdout

    def start_node(self, node: str) -> None:
        """Start a node."""
        self.run("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """Kill slurmd and whatever it started, as if the machine were switched off: no process sees another one end."""
        stopped: set[int] = set()
        while running := {self._pid(f"slurmd.{node}"), *self._job_processes(node)} - stopped:  # some may be new
            for pid in running:
                _kill(pid, signal.SIGSTOP)
            stopped |= running
        for pid in stopped:
            _kill(pid, signal.SIGKILL)

    def states(self) -> dict[str, int]:
        """Return how many tasks are in each state."""
        states = self.run("squeue", "--noheader", "--array", "--format=%T").split()
        return {state: states.count(state) for state in set(states)}

    def clear(self) -> None:
        """Cancel all jobs, and wait until every node is idle again."""
        self._cancel_all()
        self._wait(lambda: not self.states() and self._all_idle())

    def close(self) -> None:
        """End all programs and remove their folder."""
        self._cancel_all()
        deadline = time.monotonic() + STOP_S
        while self._busy() and time.monotonic() < deadline:
            time.sleep(0.1)
        for name in [*(f"slurmd.{node}" for node in self.nodes), "slurmctld", "munged"]:
            self._end(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _cancel_all(self) -> None:
        subprocess.run(
            ["scancel", f"--user={os.getuid()}"], env=self.environment, capture_output=True, timeout=10, check=False
        )

    def _all_idle(self) -> bool:
        idle = self.run("sinfo", "-h", "-N", "-p", "gpu", "-t", "idle", "-o", "%N")
        return idle.count("\n") == len(self.nodes)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        (folder / "key").write_bytes(secrets.token_bytes(1024))
        (folder / "key").chmod(0o400)
        self.run(
            "munged",
            "--force",
            "--num-threads=2",
            f"--socket={folder}/socket",
            f"--key-file={folder}/key",
            f"--log-file={folder}/log",
            f"--seed-file={folder}/seed",
            f"--pid-file={self.folder}/run/munged.pid",
        )

    def _write_configuration(self) -> None:
        host = socket.gethostname().split(".")[0]
        folder = self.folder
        control, *ports = _free_ports(1 + len(self.nodes))
        # More processors than there are: workers of tests mostly wait.
        size = f"CPUs=16 RealMemory=8000 Gres=gpu:{self.gpus}"
        nodes = [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {size}"
            for node, port in zip(self.nodes, ports, strict=True)
        ]
        settings = {
            "ClusterName": "tests",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": control,
            "SlurmUser": _user(),
            "SlurmdUser": _user(),
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={folder}/munge/socket,cred_expire=5",
            "CredType": "cred/munge",
            "StateSaveLocation": folder / "state",
            "SlurmctldPidFile": folder / "run" / "slurmctld.pid",
            "SlurmctldLogFile": folder / "log" / "slurmctld.log",
            "SlurmdPidFile": folder / "run" / "slurmd.%n.pid",
            "SlurmdSpoolDir": folder / "spool.%n",
            "SlurmdLogFile": folder / "log" / "slurmd.%n.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "AccountingStorageType": "accounting_storage/none",
            "MpiDefault": "none",
            "MailProg": "/bin/true",
            "ReturnToService": 2,
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SchedulerParameters": "sched_interval=2,sched_min_interval=100000,bf_interval=2,batch_sched_delay=1",
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "JobRequeue": 1,
            "KillWait": 10,
            "SlurmdTimeout": 10,
            "SlurmctldTimeout": 10,
            "MessageTimeout": 10,
            "UnkillableStepTimeout": 30,
            "GresTypes": "gpu",
            "SlurmdParameters": "config_overrides",
        }
        lines = [f"{key}={value}" for key, value in settings.items()]
        all_nodes = f"Nodes=n[1-{len(self.nodes)}] MaxTime=INFINITE State=UP"
        lines += [
            *nodes,
            f"PartitionName=gpu {all_nodes} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20",
            f"PartitionName=urgent {all_nodes} PriorityTier=10 PreemptMode=OFF",
        ]
        (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        (folder / "gres.conf").write_text(f"Name=gpu File={self._devices()} Flags=nvidia_gpu_env\n")
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")

    def _devices(self) -> str:
        """Return the devices that stand in for GPUs; the numbers at their ends become CUDA_VISIBLE_DEVICES."""
        if os.getuid():
            return f"/dev/tty[0-{self.gpus - 1}]"
        for number in range(self.gpus):
            os.mknod(self.folder / "dev" / f"nvidia{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        return f"{self.folder}/dev/nvidia[0-{self.gpus - 1}]"

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < deadline, f"Slurm's nodes are not idle{self._logs()}"
            time.sleep(0.1)

    def _busy(self) -> bool:
        done = subprocess.run(
            ["squeue", "-h", "-o", "%T"], env=self.environment, capture_output=True, text=True, check=False
        )
        return "RUNNING" in done.stdout or "COMPLETING" in done.stdout

    def _pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.pid").read_text())

    def _job_processes(self, node: str) -> set[int]:
        """Return the processes of a node's jobs, and the slurmstepd of each."""
        pids = set()
        marks = f"SLURMD_NODENAME={node}\0".encode(), f"SLURM_CONF={self.folder}/".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
                if all(mark in environment for mark in marks):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    pids.add(int(entry.name))
                    if _name(parent) == "slurmstepd":
                        pids.add(parent)
            except OSError:
                continue
        return pids

    def _end(self, name: str) -> None:
        try:
            pid = self._pid(name)
        except (OSError, ValueError):
            return
        _kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        _kill(pid, signal.SIGKILL)

    def _logs(self) -> str:
        return "".join(
            f"\n{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in (self.folder / "log").glob("*.log")
        )


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for listening in sockets:
        listening.bind(("127.0.0.1", 0))
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Slurm]:
    """Start a cluster of two nodes with two GPUs each, for all tests of a process."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:{SBIN}") is None]
    if missing:
        packages = "slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge"
        absent(f"Slurm's {', '.join(missing)} (Debian: {packages})")
    with Slurm() as cluster:
        yield cluster


@pytest.fixture
def slurm(_cluster: Slurm) -> Iterator[Slurm]:
    """Return the cluster with all nodes idle; cancel whatever a test leaves in its queue."""
    yield _cluster
    _cluster.clear()
