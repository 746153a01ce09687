"""What a worker asks of training: a run is an iterator of readings that can be interrupted, saved and resumed."""

from collections.abc import Callable
from typing import Protocol

from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.readings import Reading


class Run(Protocol):
    """One trial's training.

    Attributes:
        parts: what a user's net is made of, as `sweeps.nn.models.net_parts.list_parts` names it, once training has
            begun; empty for our own nets, of which the config says all.
    """

    @property
    def parts(self) -> tuple[str, ...]: ...

    def __iter__(self) -> "Run": ...

    def __next__(self) -> Reading | None:
        """Train up to the next reading; None where it was interrupted before: pull again to go on.

        Raises:
            StopIteration: the last reading has been given.
            TrialError: the trial cannot be trained.
        """
        ...

    def interrupt(self) -> None:
        """Make the running `__next__`, or else the next one, return once the current step is done. Any thread may call
        it.
        """
        ...

    def state(self) -> bytes:
        """Return all that later readings depend on, taken between two pulls; `Train` goes on from it as if
        uninterrupted.
        """
        ...

    def close(self) -> None:
        """Let go of the run; there will be no more pulls."""
        ...


# (config, arrays, state of an earlier run or None) -> run
Train = Callable[[Config, Arrays, bytes | None], Run]
# (data, hold-out images) -> arrays
Load = Callable[[DataConfig, int], Arrays]
