"""What is launched: so many workers, for these studies, so many to a GPU."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sweeps.errors import TRY_AGAIN, InputError

INTERRUPTED = TRY_AGAIN  # told to leave while there was work
MOST_PER_GPU = 64
LONGEST_SLUG = 30  # a Kubernetes label has 63 characters, of which a pod's suffix needs some


@dataclass(frozen=True, slots=True)
class Job:
    """Workers to be started somewhere.

    Attributes:
        studies: whose trials they run; empty for a pool, which serves every study of the store.
        store: the store's URL without its password: names of jobs are made from it.
        workers: how many in all.
        workers_per_gpu: how many share a GPU; 0: they train on processors.
    """

    studies: tuple[str, ...]
    store: str
    workers: int
    workers_per_gpu: int

    @property
    def name(self) -> str:
        """One per store and studies, in letters that are a name everywhere: [a-z0-9-], 50 at most."""
        return f"{prefix(self.studies)}-{store_digest(self.store)}{_digest(*self.studies)}"

    @property
    def workers_per_task(self) -> int:
        """How many workers one task of a cluster starts: all that share its GPU."""
        return max(1, self.workers_per_gpu)

    @property
    def tasks(self) -> int:
        """How many tasks these workers are; the last may have fewer of them."""
        return math.ceil(self.workers / self.workers_per_task)

    @property
    def workers_of_last_task(self) -> int:
        """How many workers are left for the last task."""
        return self.workers - (self.tasks - 1) * self.workers_per_task

    def served(self) -> list[str]:
        """The words that say to `sweeps launch local` what its workers serve; they come last."""
        return ["--", *self.studies] if self.studies else ["--pool"]


def prefix(studies: Sequence[str]) -> str:
    """What a job's name begins with."""
    slug = re.sub(r"[^a-z0-9]+", "-", studies[0].lower()).strip("-") if studies else "pool"
    return f"sweeps-{slug[:LONGEST_SLUG].strip('-') or 'study'}"


def store_digest(store: str) -> str:
    """What the names of all jobs of a store have before their last five letters."""
    return _digest(store)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:5]


def workers_per_gpu(gpus_per_worker: str) -> int:
    """How many workers share a GPU when each is to have that much of one: 1, .5, 1/3, or 0 for none.

    Raises:
        InputError: it is no such share.
    """
    try:
        share = Fraction(gpus_per_worker.strip())
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--gpus-per-worker {gpus_per_worker}: not a number; write 1, .5, 1/3 or 0") from None
    if share == 0:
        return 0
    count = round(1 / share) if share > 0 else 0
    if not 1 <= count <= MOST_PER_GPU or abs(count * share - 1) > Fraction(1, 20):
        raise InputError(
            f"--gpus-per-worker {gpus_per_worker}: a worker trains on one GPU, whole or shared with others; "
            f"write 1, .5, 1/3 and so on, or 0 for none"
        )
    return count


def number(count: int, what: str) -> str:
    """1 pod, 2 pods."""
    return f"{count} {what}{'' if count == 1 else 's'}"
