"""Processes as the store tells them apart, and whether one still runs."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A worker process.

    Attributes:
        host: the machine's name, for people.
        machine: what tells machines, their boots and their containers apart: a number means another process in each.
        pid, born: its number there, and when it was started, in ticks since the boot.
    """

    host: str
    machine: str
    pid: int
    born: float


def this_process() -> Process:
    """Return the one that calls."""
    return Process(socket.gethostname(), this_machine(), os.getpid(), _start_time(os.getpid()) or 0.0)


def is_running(machine: str, pid: int, born: float) -> bool:
    """Return whether a worker runs, as far as this process can see: one of another machine or container may."""
    return machine != this_machine() or _start_time(pid) == born


def this_machine() -> str:
    """Boot and process namespace, as Linux numbers them; elsewhere processes are not looked at."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {os.getpid()}"


def _start_time(pid: int) -> float | None:
    """Field 22 of /proc/PID/stat, in ticks since the boot; a zombie has ended. None if there is no such process."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if state in "ZX":
        return None
    return float(fields[18])
