"""What each worker on a machine is given of it: a GPU or a share of one, and one computing thread."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pynvml

from sweeps.errors import InputError

MOST_WORKERS = 8  # by default, without GPUs: each holds a TensorFlow of .5-1 GB
# Sums are split by the number of threads, and results must not depend on how many workers share a machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class DeviceAssignment:
    """A worker's place on this machine.

    Attributes:
        gpu: as CUDA_VISIBLE_DEVICES names it: an index or a UUID; empty: whatever TensorFlow finds.
        memory_mib: of the GPU's memory, at most; None: as needed.
    """

    gpu: str = ""
    memory_mib: int | None = None

    def environment(self) -> dict[str, str]:
        """What its worker finds in its environment beside everything else."""
        found = dict(ONE_THREAD)
        if self.gpu:
            found["CUDA_VISIBLE_DEVICES"] = self.gpu
        if self.memory_mib is not None:
            found["SWEEPS_GPU_MEMORY_MIB"] = str(self.memory_mib)
        return found


def visible_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, as Slurm sets it, else all the driver knows.

    CUDA takes an identifier that is none, such as -1, for the end of the list (CUDA C++ Programming Guide, 5.3).
    """
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return _of_driver()
    names = (name.strip() for name in said.split(","))
    return tuple(itertools.takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))


def _of_driver() -> tuple[str, ...]:
    """UUIDs, which are the same in whatever order CUDA counts."""
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


def default_workers(found: Sequence[str]) -> int:
    """One per GPU; without any, one per processor that this process may use, within reason."""
    return len(found) or min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def assign_devices(workers: int, found: Sequence[str], memory_mib: int | None = None) -> list[DeviceAssignment]:
    """A seat for each of so many workers, spread over the GPUs that were found."""
    if not found:
        return [DeviceAssignment()] * workers
    return [DeviceAssignment(found[index % len(found)], memory_mib) for index in range(workers)]


def require_room(workers: int, per_gpu: int, found: Sequence[str]) -> None:
    """Make sure that no more workers share a GPU than was asked for.

    Raises:
        InputError: they would.
    """
    if found and workers > per_gpu * len(found):
        each = -(-workers // len(found))
        raise InputError(
            f"--workers {workers}: more than {per_gpu} a GPU on {len(found)}; "
            f"say --workers-per-gpu {each} if they are meant to share"
        )
