"""Seconds and size of `sweeps report`, for studies that are made up.

    python benchmarks/report.py                       # 3, 100 and 5 000 trials; about a minute
    python benchmarks/report.py --trials 5000 --tables --keep FOLDER

A trial has 12 hyperparameters, 21 readings and 16 layers. Which of them learn is decided by what it draws and by luck;
its readings are those of one of a few runs with its fate. The command is timed whole, in a process of its own.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from math import exp, isfinite, log, nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import Connection, insert, select

from sweeps import store
from sweeps.readings import IncomingWeights, LayerVitals, Reading
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.store.batches import (
    Batch,
    pack_reading,
    put_rows,
    table_of,
    write_batch,
    write_value,
)
from sweeps.store.tables import ReadingRow, SlotRow

COUNT, INTERVAL, LAYERS, CLASSES, IMAGES, PROTOTYPES = 21, 20, 16, 365, 1024, 40
CHANCE = log(CLASSES)
AT_ONCE = 500  # trials of a transaction
SPACE = f"""
[study]
name = "made-up"
question = "How long does a report take?"
[budget]
trials = 5000
steps = {INTERVAL * (COUNT - 1)}
report_interval = {INTERVAL}
holdout_images = {IMAGES}
[sampler]
name = "RandomSampler"
[space]
activation = ["relu", "elu", "selu", "tanh"]
constraint = ["none", "centralize_layer", "centralize_unit", "standardize_unit"]
initializer = ["he_normal", "lecun_normal", "glorot_normal"]
optimizer = ["adam", "nadam", "sgd"]
inputs = ["unit", "centred"]
batch_size = {{ low = 16, high = 128, step = 16 }}
learning_rate = {{ low = 1e-5, high = 1e-1, log = true }}
epsilon = {{ low = 1e-8, high = 1e-1, log = true }}
l2 = {{ low = 1e-7, high = 1e-2, log = true }}
weight_decay = {{ low = 1e-7, high = 1e-2, log = true }}
momentum = {{ low = 0.0, high = 0.99 }}
dropout_rate = {{ low = 0.0, high = 0.5 }}
"""
FATES = ("learned", "at chance", "collapsed", "diverged", "frozen", "outranked", "failed")
CAUSES = {"at chance": "crawling", "collapsed": "signal lost", "diverged": "diverged", "frozen": "frozen"}
STATES = {"learned": TrialState.COMPLETE, "failed": TrialState.FAIL}


class Draws:
    """Draws like a random sampler, and remembers what and from what."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.drawn: dict[str, tuple[float, str]] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._kept(name, optuna.distributions.CategoricalDistribution(choices), self.rng.choice(choices))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        kind = optuna.distributions.IntDistribution(low, high, log, step)
        return int(self._kept(name, kind, self.rng.randrange(low, high + 1, step)))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        kind = optuna.distributions.FloatDistribution(low, high, log, step)
        place = self.rng.random()
        return float(self._kept(name, kind, low * (high / low) ** place if log else low + place * (high - low)))

    def _kept(self, name: str, kind: BaseDistribution, value: Any) -> Any:
        self.drawn[name] = (kind.to_internal_repr(value), distribution_to_json(kind))
        return value


def fate_of(values: Mapping[str, Any], rng: random.Random) -> str:
    """Too high a rate kills, a constraint per unit allows a higher one; some fail, some are outranked."""
    luck = rng.random()
    if luck < 0.01:
        return "failed"
    highest = 3e-2 if values["constraint"] in ("centralize_unit", "standardize_unit") else 4e-3
    rate = values["learning_rate"] * rng.lognormvariate(0, 0.5)
    if rate > 3 * highest:
        return "diverged" if luck < 0.5 else "collapsed"
    if rate > highest:
        return "collapsed" if luck < 0.5 else "at chance"
    if rate < 3e-5:
        return "frozen" if luck < 0.3 else "at chance"
    return "outranked" if luck < 0.15 else "learned"


@cache
def prototype(fate: str, number: int) -> tuple[tuple[Reading, ...], tuple[bytes, ...]]:
    """A run of this fate, and its readings as the store keeps them."""
    rng = random.Random(f"{fate} {number}")
    speed, sinks, end = rng.uniform(0.5, 3), rng.uniform(0.5, 3), rng.randrange(4, COUNT)
    count = COUNT if fate == "learned" else end
    found = []
    for index in range(count):
        gain = 0.9 * (1 - exp(-speed * index / COUNT)) if fate in ("learned", "outranked") else -0.05 * rng.random()
        lost = 10 ** (-sinks * index) if fate == "collapsed" else 1.0
        broken = fate == "diverged" and index == count - 1
        layers = tuple(_layer(rng, index, lost) for index in range(LAYERS))
        hits = max(3, int(IMAGES * max(0.0, gain) * rng.uniform(0.8, 1)))
        loss = nan if broken else CHANCE * (1 - gain)
        found.append(
            Reading(
                step=INTERVAL * index,
                train_loss=loss,
                loss=loss,
                hits1=hits,
                hits5=min(IMAGES, 3 * hits),
                count=IMAGES,
                gradient_norm=rng.random(),
                update_ratio=1e-3 * rng.random(),
                finite=not broken,
                seconds=index + rng.random(),
                layers=layers,
                f1=gain,
                loss_std=1.2,
            )
        )
    return tuple(found), tuple(map(pack_reading, found))


def _layer(rng: random.Random, index: int, lost: float) -> LayerVitals:
    weights = IncomingWeights(rng.gauss(0, 1), rng.random(), rng.random(), rng.random(), rng.random())
    signal = max(1e-12, rng.uniform(0.3, 0.6) * lost**index)
    numbers = (rng.gauss(0, 1), rng.random(), signal, rng.random(), rng.random(), 1e-3 * rng.random())
    return LayerVitals(f"convolution_{index + 1}", *numbers, saturated=rng.random(), weights=weights)


def make(storage_url: str, trials: int) -> str:
    """A store with a study of so many finished trials; the study's name."""
    space = file.parse_space(SPACE, [f"budget.trials={trials}"])
    storage = store.connect(storage_url, create=True)
    study = store.create_study(storage, space, SPACE, [f"budget.trials={trials}"])
    study_id = store.id_of(storage, study)
    for start in range(0, trials, AT_ONCE):
        with storage.engine.begin() as db:
            _fill(db, study_id, space, range(start, min(start + AT_ONCE, trials)))
    storage.engine.dispose()
    return space.name


def _fill(db: Connection, study_id: int, space: Space, numbers: range) -> None:
    rng = random.Random(numbers[0])
    for number in numbers:
        draws = Draws(rng)
        values = space.draw_values(draws)
        fate = fate_of(values, rng)
        readings, packed = prototype(fate, rng.randrange(PROTOTYPES)) if fate != "failed" else ((), ())
        state = STATES.get(fate, TrialState.PRUNED)
        trial_id = _trial(db, study_id, number, state)
        noted = _attributes(space, values, number, fate, readings)
        write_batch(db, study_id, trial_id, number, Batch(draws.drawn, noted, reports=_reports(readings)))
        if state == TrialState.COMPLETE:
            write_value(db, trial_id, readings[-1].top1)
        rows = [{"study_id": study_id, "number": number, "step": reading.step} for reading in readings]
        keyed = [{**row, "reading": content} for row, content in zip(rows, packed, strict=True)]
        put_rows(db, table_of(ReadingRow), keyed, ("study_id", "number", "step"))


def _trial(db: Connection, study_id: int, number: int, state: TrialState) -> int:
    trials, now = table_of(models.TrialModel), datetime.now(UTC).replace(tzinfo=None)  # as Optuna keeps times
    row = {"study_id": study_id, "number": number, "state": state, "datetime_start": now, "datetime_complete": now}
    db.execute(insert(trials), [row])
    where = (trials.c.study_id == study_id, trials.c.number == number)
    trial_id = int(db.execute(select(trials.c.trial_id).where(*where)).scalar_one())
    counts = {"deaths": 0, "deaths_here": 0, "died_at": -1, "step": 0}
    slot = {"study_id": study_id, "slot": number, "number": number, "trial_id": trial_id, "done": True}
    db.execute(insert(table_of(SlotRow)), [{**counts, **slot}])
    return trial_id


def _reports(readings: Sequence[Reading]) -> dict[int, float]:
    return {reading.step: 1 - reading.loss / CHANCE for reading in readings if reading.step and isfinite(reading.loss)}


def _attributes(
    space: Space, values: Mapping[str, Any], number: int, fate: str, readings: Sequence[Reading]
) -> dict[str, Any]:
    reason = f"{fate} after 0 steps: made up, as long as a reason usually is, top-1 0.00%, loss 0"
    if readings:
        last = readings[-1]
        reason = f"{fate} after {last.step} steps: made up, as long as a reason usually is, "
        reason += f"top-1 {last.top1:.2%}, loss {last.loss:.4g}"
    noted = {
        store.CONFIG: space.make_config(values, number).to_json(),
        store.SLOT: number,
        store.FATE: fate,
        store.REASON: reason,
        store.SECONDS: float(len(readings)),
        store.VERSIONS: {"python": "3.11.7", "sweeps": "0.1.0"},
    }
    if fate == "failed":
        return {**noted, store.TRACEBACK: "Traceback (most recent call last):\n  made up"}
    last = readings[-1]
    numbers = {store.LOSS: last.loss, store.GAIN: 1 - last.loss / CHANCE, store.CHANCE_TOP1: 1 / CLASSES}
    found = {**numbers, store.TOP1: last.top1, store.TOP5: last.top5, store.F1: last.f1}
    noted |= {name: value for name, value in found.items() if isfinite(value)}
    return {**noted, store.STEPS: last.step, "autopsy_chance_loss": CHANCE, "autopsy_cause": CAUSES.get(fate, "none")}


def seconds_of(storage_url: str, study: str, folder: Path, *options: str) -> float:
    """Of the command."""
    started = time.monotonic()
    command = [sys.executable, "-m", "sweeps", "report", study, "--storage", storage_url, *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.monotonic() - started


def measure(folder: Path, trials: int, tables: bool) -> Iterator[dict[str, Any]]:
    """The page, then the text, alone and with each table."""
    url = f"sqlite:///{folder}/sweeps.db"
    study = make(url, trials)
    asked: list[tuple[str, list[str]]] = [("report.html", [])]
    if tables:
        names = [f"{kind}.{ending}" for kind in ("trials", "readings", "layers") for ending in ("csv", "parquet")]
        asked += [("", ["--text"]), *((name, ["--text", f"--{name.split('.')[0]}", name]) for name in names)]
    for name, options in asked:
        seconds = seconds_of(url, study, folder, *options)
        size = (folder / name).stat().st_size if name else 0
        yield {"trials": trials, "written": name or "text alone", "seconds": seconds, "bytes": size}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="*", default=[3, 100, 5000], help="of the studies")
    parser.add_argument("--tables", action="store_true", help="the text too, alone and with each table")
    parser.add_argument("--keep", type=Path, help="a folder for stores and reports, which stay there")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    args = parser.parse_args()
    figures = []
    print("| trials | written | seconds | MiB |\n|---|---|---|---|")
    with TemporaryDirectory() as temporary:
        for trials in args.trials:
            folder = (args.keep or Path(temporary)).resolve() / str(trials)
            folder.mkdir(parents=True)
            for each in measure(folder, trials, args.tables):
                figures.append(each)
                size = each["bytes"] / 2**20
                print(f"| {trials:,} | {each['written']} | {each['seconds']:.1f} | {size:.2f} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
