"""The devices of a machine and their assignment to workers: a GPU or a share of one, and one computing thread."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pynvml

from sweeps.environment import GPU_MEMORY_VARIABLE
from sweeps.errors import InputError

MOST_WORKERS = 8  # by default, without GPUs: each holds a TensorFlow of .5-1 GB
# Sums are split by the number of threads, and results must not depend on how many workers share a machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
END_OF_GPUS = ("", "-1", "NoDevFiles")


@dataclass(frozen=True, slots=True)
class DeviceAssignment:
    """The device of one worker.

    Attributes:
        gpu: as CUDA_VISIBLE_DEVICES names it: an index or a UUID; empty: whatever TensorFlow finds.
        memory_mib: of the GPU's memory, at most; None: as needed.
    """

    gpu: str = ""
    memory_mib: int | None = None

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables that give a worker this device."""
        variables = dict(ONE_THREAD)
        if self.gpu:
            variables["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.memory_mib is not None:
            variables[GPU_MEMORY_VARIABLE] = str(self.memory_mib)
        return variables


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, else all that the driver knows.

    CUDA ignores all that follows an invalid identifier such as -1 (CUDA C++ Programming Guide, 5.3).
    """
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return _query_driver()
    names = (name.strip() for name in listed.split(","))
    return tuple(itertools.takewhile(lambda name: name not in END_OF_GPUS, names))


def _query_driver() -> tuple[str, ...]:
    """Return the UUIDs of all GPUs; unlike indices, they do not depend on the order in which CUDA counts."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(str(pynvml.nvmlDeviceGetUUID(handle)) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def default_worker_count(gpus: Sequence[str]) -> int:
    """Return how many workers to start by default: one per GPU, or one per usable processor, `MOST_WORKERS` at most."""
    if gpus:
        return len(gpus)
    return min(_count_processors(), MOST_WORKERS)


def _count_processors() -> int:
    """Return how many processors this process may use; macOS knows only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def assign_devices(workers: int, gpus: Sequence[str], memory_mib: int | None = None) -> list[DeviceAssignment]:
    """Return a device for each of `workers` workers, spread over the GPUs."""
    if not gpus:
        return [DeviceAssignment()] * workers
    return [DeviceAssignment(gpus[index % len(gpus)], memory_mib) for index in range(workers)]


def require_room(workers: int, per_gpu: int, gpus: Sequence[str]) -> None:
    """Check that no more than `per_gpu` workers would share a GPU.

    Raises:
        InputError: more would.
    """
    if gpus and workers > per_gpu * len(gpus):
        needed = -(-workers // len(gpus))
        raise InputError(
            f"--workers {workers}: more than {per_gpu} a GPU on {len(gpus)}; "
            f"say --workers-per-gpu {needed} if they are meant to share"
        )
