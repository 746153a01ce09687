"""State: all that a trial's later readings depend on, as bytes: an .npz file (numpy's) without pickled objects.

It holds `header`, a JSON text as uint8 (the format's number, the config, the position, the variables' dtypes), the
numbers of the interval in hand, and every variable as `variable_0`, `variable_1` and so on.
"""

import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config
from sweeps.errors import TrialError, one_line
from sweeps.nn.evaluation import Progress

FORMAT = 1
UNREADABLE = (ValueError, TypeError, KeyError, OSError, EOFError, NotImplementedError, BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a trial has come.

    Attributes:
        looked: step of the last reading that was given; -1 before the first.
        step: where the chunk of steps in hand starts; no later than the next reading.
        loss: of the chunks done since the last reading, their share in the mean; not a number before the first.
        progress: of the chunk in hand; `steps` and `loss_sum` are zero at its start, the norms are those of the chunk
            before then.
    """

    last_reading: int
    step: int
    loss: float
    progress: Progress

    @classmethod
    def start(cls, kernels: int) -> Self:
        """Return the position before the first step."""
        return cls(-1, 0, np.nan, Progress.none(kernels))

    @property
    def done(self) -> int:
        """Optimiser steps."""
        return self.step + self.progress.steps

    def next_reading(self, config: Config) -> int:
        """Return the step of the next reading; that of the last one once all are given."""
        if self.last_reading < 0:
            return 0
        return min(self.last_reading + config.report_interval, config.steps)

    def advance(self, progress: Progress, last: int, stop: int) -> Self:
        """Return the position after more steps of the current chunk, which ends at step `last` of the interval up to
        `stop`.
        """
        steps = self.progress.steps + progress.steps
        wanted = last - self.step
        if steps < wanted:
            return replace(self, progress=replace(progress, steps=steps))
        loss = self.loss + float(progress.loss_sum) / wanted * wanted / (stop - self.last_reading)
        return replace(self, step=last, loss=loss, progress=replace(progress, steps=0, loss_sum=np.float32(0)))


@dataclass(frozen=True, slots=True)
class SavedState:
    """What is saved.

    Attributes:
        seconds: of the trial so far.
        variables: in the trainer's order; none where there is no net yet, or no later reading.
    """

    position: Position
    seconds: float
    variables: Sequence[NDArray[Any]]

    def to_bytes(self, config: Config) -> bytes:
        """Return the inverse of `from_bytes`."""
        position = self.position
        progress = self.position.progress
        header = {
            "format": FORMAT,
            "config": json.loads(config.to_json()),
            "looked": position.last_reading,
            "step": position.step,
            "steps": progress.steps,
            "seconds": self.seconds,
            "dtypes": [value.dtype.name for value in self.variables],
        }
        numbers = [position.loss, progress.loss_sum, progress.gradient_norm]
        file = io.BytesIO()
        np.savez(
            file,
            allow_pickle=False,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            numbers=np.array(numbers, np.float64),
            gradient_norms=progress.gradient_norms,
            update_ratios=progress.update_ratios,
            **{f"variable_{index}": _to_plain_dtype(value) for index, value in enumerate(self.variables)},
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, config: Config) -> Self:
        """Return the inverse of `to_bytes`.

        Raises:
            TrialError: the bytes are no such state, or that of a trial with another config.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                if header["format"] != FORMAT:
                    raise TrialError(f"the saved state has format {header['format']}; this version reads {FORMAT}")
                _check_config(header["config"], json.loads(config.to_json()))
                state = cls(
                    _read_position(header, file, config), float(header["seconds"]), _read_variables(header, file)
                )
        except UNREADABLE as exc:
            raise TrialError(f"the saved state cannot be read: {one_line(exc)}") from exc
        return state


def _check_config(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Check that a saved state belongs to a config; a field that only one version of Config has is ignored."""
    differ = [name for name in theirs if name in ours and theirs[name] != ours[name]]
    if differ:
        raise TrialError(f"the saved state is of another trial: its config differs in {', '.join(differ)}")


def _read_position(header: dict[str, Any], file: Any, config: Config) -> Position:
    loss, loss_sum, gradient_norm = file["numbers"].tolist()
    norms = file["gradient_norms"]
    ratios = file["update_ratios"]
    progress = Progress(int(header["steps"]), np.float32(loss_sum), gradient_norm, norms, ratios)
    position = Position(int(header["looked"]), int(header["step"]), loss, progress)
    in_order = -1 <= position.last_reading <= position.step <= position.done <= position.next_reading(config)
    if not in_order or norms.shape != ratios.shape or {norms.dtype, ratios.dtype} != {np.dtype(np.float32)}:
        raise ValueError("its position is none of this trial")
    return position


def _read_variables(header: dict[str, Any], file: Any) -> list[NDArray[Any]]:
    return [_to_own_dtype(file[f"variable_{index}"], np.dtype(name)) for index, name in enumerate(header["dtypes"])]


def _to_plain_dtype(value: NDArray[Any]) -> NDArray[Any]:
    """Return an array's bits as unsigned integers where .npy files do not know its dtype, such as bfloat16."""
    if value.dtype.kind == "V":
        return value.view(f"u{value.dtype.itemsize}")
    return value


def _to_own_dtype(value: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the inverse of `_plain`."""
    if dtype.kind == "V":
        return value.view(dtype)
    return value
