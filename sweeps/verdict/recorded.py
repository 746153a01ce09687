"""Recorded runs: readings as one JSON object per line, so that rules can be tried on runs that are long over."""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf, nan
from pathlib import Path
from typing import Any

from sweeps.errors import InputError
from sweeps.readings import LayerVitals, Reading
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import lowest_loss

DIGITS = 4  # of a recorded number


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as it was recorded.

    Attributes:
        id: of the run, unique within a file.
        budget: steps that it was given; it may have been watched for fewer.
        config: its hyperparameters, under whatever names.
        superseded: whether a longer copy of it exists.
        censored: whether it was given up while a longer horizon might have shown that it learns.
    """

    id: str
    readings: tuple[Reading, ...]
    chance: Chance
    budget: int
    config: Mapping[str, Any]
    superseded: bool = False
    censored: bool = False

    @property
    def is_whole(self) -> bool:
        """Return whether it was watched to the end of its budget, and its end tells what it is."""
        return self.readings[-1].step >= self.budget and not self.superseded and not self.censored

    @property
    def best_skill_score(self) -> float:
        """Return the best information gain, or R^2, of any reading; minus infinity if none was a number."""
        return self.chance.skill_score(lowest_loss(self.readings))


def write_runs(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write what `record` gives, one per line; compressed where the name ends in .gz."""
    text = "".join(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def run_to_record(
    run_id: str, config: Mapping[str, Any], readings: Sequence[Reading], chance: Chance
) -> dict[str, Any]:
    """Return a finished run in the form that `read` takes; numbers to four digits, null where not finite."""
    task = {
        "kind": "classification" if chance.classes else "regression",
        "classes": chance.classes,
        "prior_entropy": chance.loss,
        "chance_top1": _rounded_number(chance.top1),
        "chance_top5": _rounded_number(chance.top5),
        "budget_steps": readings[-1].step,
    }
    measured = [_reading_to_record(reading, bool(chance.classes)) for reading in readings]
    return {"id": run_id, "task": task, "config": dict(config), "looks": measured}


def _reading_to_record(reading: Reading, hits: bool) -> dict[str, Any]:
    names = ("mean", "std", "signal", "dead", "update_ratio", "saturated")
    return {
        "step": reading.step,
        "n": reading.count,
        "hits1": reading.hits1 if hits else None,
        "hits5": reading.hits5 if hits else None,
        "loss": _rounded_number(reading.loss, 6),
        "loss_std": _rounded_number(reading.loss_std),
        "train_loss": _rounded_number(reading.train_loss, 6),
        "finite": reading.finite,
        "layers": [
            {"name": layer.name, **{name: _rounded_number(getattr(layer, name)) for name in names}}
            for layer in reading.layers
        ],
        "grad_norms": [_rounded_number(layer.gradient_norm) for layer in reading.layers],
    }


def _rounded_number(value: float, digits: int = DIGITS) -> float | None:
    if isfinite(value):
        return float(f"{value:.{digits}g}")
    return None


def read_runs(path: Path) -> Iterator[Recorded]:
    """Yield the runs of a file, compressed or not.

    A record holds `id`, `task` and its readings, under the name of `looks`, with their `step`; anything else may be
    missing or null. A loss that is missing is that of the reading before (at first chance's), unless the reading says
    that it was not finite (`finite` false, or a training loss of null since the reading before). Of a reading of layers
    alone the loss is not a number, and the count 0. Readings are put in the order of their steps; of two at the same
    step the later counts.

    Raises:
        InputError: the file cannot be read, or a line is no record; the message names the line and the key.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    except (OSError, EOFError, ValueError) as exc:
        raise InputError(f"{path}: {getattr(exc, 'strerror', None) or exc}; give a file of recorded runs") from exc
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield _run_from_record(json.loads(line))
            except (KeyError, TypeError, ValueError, AttributeError) as exc:
                if isinstance(exc, KeyError):
                    what = f"no {exc}"
                else:
                    what = str(exc)
                raise InputError(f"{path}: line {number}: {what}; a record needs id, task and looks") from exc


def _run_from_record(values: Mapping[str, Any]) -> Recorded:
    task = values["task"]
    measured = sorted({int(value["step"]): value for value in values["looks"] if value is not None}.items())
    if not measured or measured[0][0] < 0:
        raise ValueError("no looks" if not measured else f"a look at step {measured[0][0]}")
    classes = _class_count(task)
    if classes:
        usual = Chance.balanced(classes)
    else:
        usual = Chance(nan, nan, 1.0, 0)
    chance = Chance(
        top1=_to_float(task.get("chance_top1"), usual.top1),
        top5=_to_float(task.get("chance_top5"), usual.top5),
        loss=_to_float(task.get("prior_entropy"), usual.loss),
        classes=classes,
    )
    if not chance.loss > 0:
        raise ValueError(f"prior_entropy is {chance.loss:g}; it must be above 0")
    train_loss = values.get("train_loss") or []
    before = 0
    readings = list[Reading]()
    loss = chance.loss
    for step, reading in measured:
        readings.append(_reading_from_record(reading, _train_loss(reading, train_loss[before:step]), chance, loss))
        before = step
        if isfinite(readings[-1].loss):
            loss = readings[-1].loss
    budget = int(task.get("budget_steps") or before)
    marks = (values.get("superseded_by") is not None, bool(values.get("censored")))
    return Recorded(str(values["id"]), tuple(readings), chance, budget, values.get("config") or {}, *marks)


def _class_count(task: Mapping[str, Any]) -> int:
    """Return the number of classes: 0 in regression; where it is missing, as many as the accuracy of guessing says."""
    if task.get("kind") == "regression":
        return 0
    if task.get("classes") is None and task.get("chance_top1"):
        return round(1 / float(task["chance_top1"]))
    return int(task.get("classes") or 0)


def _train_loss(reading: Mapping[str, Any], since: Sequence[float | None]) -> float:
    """Mean since the reading before; infinite where one step's was not finite."""
    if "train_loss" in reading or not since:
        return _to_float(reading.get("train_loss"), nan)
    if None not in since:
        return sum(value for value in since if value is not None) / len(since)
    return inf


def _reading_from_record(reading: Mapping[str, Any], train_loss: float, chance: Chance, loss: float) -> Reading:
    layers = [layer or {} for layer in reading.get("layers") or []]
    norms = reading.get("grad_norms") or []
    if len(norms) == len(layers):
        per_layer = norms
    else:
        per_layer = [None] * len(layers)
    known = [float(norm) for norm in norms if norm is not None]
    counted = reading.get("hits1") is not None or not chance.classes
    if isinf(train_loss) or not reading.get("finite", True):
        loss = inf
    elif reading.get("n") is None and layers:
        loss = nan
    ratios = [float(layer["update_ratio"]) for layer in layers if layer.get("update_ratio") is not None]
    return Reading(
        step=int(reading["step"]),
        train_loss=train_loss,
        loss=_to_float(reading.get("loss"), loss),
        hits1=int(reading.get("hits1") or 0),
        hits5=int(reading.get("hits5") or 0),
        count=int(reading.get("n") or 0) if counted else 0,
        gradient_norm=sum(norm**2 for norm in known) ** 0.5 if known else nan,
        update_ratio=max(ratios, default=nan),
        finite=bool(reading.get("finite", True)),
        seconds=nan,
        loss_std=_to_float(reading.get("loss_std"), nan),
        layers=tuple(
            _layer_from_record(index, layer, norm)
            for index, (layer, norm) in enumerate(zip(layers, per_layer, strict=True))
        ),
    )


def _layer_from_record(index: int, layer: Mapping[str, Any], norm: float | None) -> LayerVitals:
    def number(name: str) -> float:
        return _to_float(layer.get(name), nan)

    return LayerVitals(
        name=str(layer.get("name") or f"layer_{index + 1}"),
        mean=number("mean"),
        std=number("std"),
        signal=number("signal"),
        dead=number("dead"),
        gradient_norm=_to_float(norm, nan),
        update_ratio=number("update_ratio"),
        saturated=number("saturated"),
    )


def _to_float(value: Any, missing: float) -> float:
    if value is None:
        return missing
    return float(value)
