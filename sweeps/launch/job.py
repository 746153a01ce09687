"""A job: the workers that are launched, for which studies, and how many share a GPU."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sweeps.errors import TRY_AGAIN, InputError

INTERRUPTED = TRY_AGAIN  # the exit code of workers that were asked to leave while there was work
MOST_PER_GPU = 64
LONGEST_SLUG = 30  # a Kubernetes label has 63 characters, of which a pod's suffix needs some


@dataclass(frozen=True, slots=True)
class Job:
    """Workers to be started somewhere.

    Attributes:
        studies: whose trials they run; empty for a pool, which serves every study of the store.
        store: the store's URL without its password; names of jobs are made from it.
        workers: how many in all.
        workers_per_gpu: how many share a GPU; 0: they train on processors.
    """

    studies: tuple[str, ...]
    store: str
    workers: int
    workers_per_gpu: int

    @property
    def name(self) -> str:
        """Return the job's name, made from store and studies: at most 50 of [a-z0-9-], so that all clusters take it."""
        return f"{name_prefix(self.studies)}-{digest_store(self.store)}{_digest_texts(self.studies)}"

    @property
    def workers_per_task(self) -> int:
        """Return the number of workers that one task of a cluster starts: all that share its GPU."""
        return max(1, self.workers_per_gpu)

    @property
    def tasks(self) -> int:
        """Return the number of tasks; the last one may have fewer workers than the others."""
        return math.ceil(self.workers / self.workers_per_task)

    @property
    def workers_of_last_task(self) -> int:
        """Return the number of workers of the last task."""
        return self.workers - (self.tasks - 1) * self.workers_per_task

    def served_arguments(self) -> list[str]:
        """Return the last arguments of `sweeps launch local`, which say what its workers serve."""
        if not self.studies:
            return ["--pool"]
        return ["--"] + list(self.studies)


def name_prefix(studies: Sequence[str]) -> str:
    """Return the beginning of a job's name, from the first study's name."""
    if not studies:
        return "sweeps-pool"
    slug = re.sub(r"[^a-z0-9]+", "-", studies[0].lower()).strip("-")
    return f"sweeps-{slug[:LONGEST_SLUG].strip('-') or 'study'}"


def digest_store(store: str) -> str:
    """Return the five letters that the names of all jobs of a store have before their last five."""
    return _digest_texts([store])


def _digest_texts(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:5]


def parse_gpu_share(gpus_per_worker: str) -> int:
    """Return how many workers share a GPU, given the share of one: 1, .5, 1/3, or 0 for workers without a GPU.

    Raises:
        InputError: it is not such a share.
    """
    try:
        share = Fraction(gpus_per_worker.strip())
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--gpus-per-worker {gpus_per_worker}: not a number; write 1, .5, 1/3 or 0") from None
    if share == 0:
        return 0
    count = 0
    if share > 0:
        count = round(1 / share)
    if not 1 <= count <= MOST_PER_GPU or abs(count * share - 1) > Fraction(1, 20):
        raise InputError(
            f"--gpus-per-worker {gpus_per_worker}: a worker trains on one GPU, whole or shared with others; "
            f"write 1, .5, 1/3 and so on, or 0 for none"
        )
    return count
