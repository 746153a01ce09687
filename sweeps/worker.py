"""A worker: claim a slot -> ask -> train -> follow the readings -> tell, until the budget is met or it is told to stop.

`train` comes in as an argument, so that nothing here opens the heavy room; a test gives a generator of three lines.
"""

import math
import os
import socket
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from pydantic import ValidationError

from sweeps import autopsies, history, pictures, samplers, store, tables
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.errors import WorkerError, one_line
from sweeps.signals import Reading
from sweeps.space import Objective, Space
from sweeps.verdict import NO_LIMIT, Chance, Fate, Limit, Rules, Verdict, ended, final_verdict, judge
from sweeps.verdict import limit as calibrated

Train = Callable[[Config, Arrays], Generator[Reading, None, None]]
Load = Callable[[DataConfig, int], Arrays]

# One bad configuration is bad luck; three trials in a row that cannot be trained mean that data or code are broken.
MOST_FAILURES_IN_A_ROW = 3
DEAD = (Fate.AT_CHANCE, Fate.COLLAPSED, Fate.FROZEN, Fate.DIVERGED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended; `readings` as far as it came, `would_stop` where a control would have been stopped."""

    state: TrialState
    fate: str
    reason: str
    readings: tuple[Reading, ...] = ()
    traceback: str = ""
    would_stop: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a trial is trained by, measured against and judged by; `images` are those to train on."""

    config: Config
    chance: Chance
    images: int
    rules: Rules
    limit: Limit
    control: bool


def work(storage: RDBStorage, study: optuna.Study, train: Train, load: Load, stopping: Callable[[], bool]) -> int:
    """Run trials of a study until its budget is met.

    Args:
        train: (config, arrays) -> readings; closed early when the trial is stopped.
        load: (data, hold-out images) -> arrays.
        stopping: asked between trials and at each look; once true, the running trial is marked and its slot given back.

    Returns:
        How many trials this worker finished.

    Raises:
        WorkerError: trials fail one after the other.
    """
    space = store.space_of(study)
    study.pruner = samplers.pruner(space)
    study_id = storage.get_study_id_from_name(study.study_name)
    host, pid = socket.gethostname(), os.getpid()
    finished = failures = 0
    while not stopping():
        slot = tables.claim(storage.engine, study_id, space.budget.trials, host, pid)
        if slot is None:
            break
        outcome = _run(storage, study, space, slot, train, load, stopping)
        if outcome.fate == store.INTERRUPTED:
            tables.release(storage.engine, study_id, slot)
            break
        tables.finish(storage.engine, study_id, slot)
        finished += 1
        failures = failures + 1 if outcome.fate == store.FAILED else 0
        if failures == MOST_FAILURES_IN_A_ROW:
            raise WorkerError(f"{failures} trials in a row failed; the last: {outcome.reason}")
    return finished


def _run(
    storage: RDBStorage,
    study: optuna.Study,
    space: Space,
    slot: int,
    train: Train,
    load: Load,
    stopping: Callable[[], bool],
) -> Outcome:
    """One trial, from the sampler's answer to the store's record of its end."""
    started = time.monotonic()
    study.sampler = samplers.sampler(space, slot)
    trial = study.ask()
    study_id = storage.get_study_id_from_name(study.study_name)
    tables.assign(storage.engine, study_id, slot, trial.number)
    store.set_attributes(trial, {store.SLOT: slot, store.HOST: socket.gethostname(), store.PID: os.getpid()})
    setting = None
    try:
        config = space.config(space.draw(trial), slot)
        trial.set_user_attr(store.CONFIG, config.to_json())
        arrays = load(config.data, config.holdout_images)
        chance = Chance.of(arrays.train_labels, arrays.holdout_labels, arrays.classes)
        finished = study.get_trials(deepcopy=False)
        rules, control = history.rules_of(space, slot, config, finished)
        limit = calibrated(history.ended_trials(finished), rules)
        setting = Setting(config, chance, len(arrays.train_labels), rules, limit, control)
        outcome = follow(trial, train(config, arrays), setting, space, stopping)
    except ValidationError as exc:
        reason = str(exc.errors()[0]["msg"]).removeprefix("Value error, ")
        outcome = Outcome(TrialState.FAIL, store.FAILED, f"these values do not go together: {reason}")
    except Exception as exc:  # noqa: BLE001  the edge of a trial: whatever it is, the worker lives and the store says why
        reason = f"{type(exc).__name__}: {one_line(exc)}"
        outcome = Outcome(TrialState.FAIL, store.FAILED, reason, traceback=traceback.format_exc())
    tables.write_readings(storage.engine, study_id, trial.number, outcome.readings)
    seconds = {store.SECONDS: round(time.monotonic() - started, 2)}
    store.set_attributes(trial, _attributes(outcome, space, setting) | seconds)
    if outcome.readings and outcome.fate in DEAD:
        _examine(storage, study, trial, outcome.readings)
    _tell(study, trial, space, outcome, setting)
    return outcome


def _examine(storage: RDBStorage, study: optuna.Study, trial: optuna.Trial, readings: Sequence[Reading]) -> None:
    """The autopsy of a dead trial; whatever goes wrong with it, the trial itself is not lost."""
    try:
        autopsies.keep(storage, study, trial, readings, pictures.draw_autopsy)
    except Exception:  # noqa: BLE001
        trial.set_user_attr(store.TRACEBACK, traceback.format_exc())


def follow(
    trial: optuna.Trial,
    run: Generator[Reading, None, None],
    setting: Setting,
    space: Space,
    stopping: Callable[[], bool],
) -> Outcome:
    """Pull readings until the run is over or a verdict, the pruner or the person stops it; each is reported to Optuna.

    What is reported is continuous (information gain, or its counterpart where less is better): accuracies tie at
    chance, and ties blind every pruner. A control goes on whatever the judge says, unless it diverged.
    """
    readings: list[Reading] = []
    chance, steps, would_stop = setting.chance, setting.config.steps, None
    for reading in run:
        readings.append(reading)
        if stopping():
            run.close()
            reason = f"stopped by hand at step {reading.step}"
            return Outcome(TrialState.FAIL, store.INTERRUPTED, reason, tuple(readings))
        gain = chance.gain(reading.loss)
        if reading.step > 0 and abs(gain) < float("inf"):
            # Epochs are counted where there are any: their steps depend on the batch.
            at = len(readings) - 1 if space.budget.epochs else reading.step
            trial.report(gain if space.direction == "maximize" else -gain, at)
        if reading.step == steps:
            break
        verdict = judge(readings, chance, steps, setting.limit, setting.rules)
        if setting.control and verdict.stops and verdict.fate != Fate.DIVERGED:
            would_stop = would_stop or (reading.step, verdict.reason)
            continue
        if not verdict.stops and not setting.control and reading.step > 0 and trial.should_prune():
            verdict = Verdict(
                Fate.OUTRANKED,
                f"other trials were better at step {reading.step} ({space.pruner['name']})",
                stops=True,
            )
        if verdict.stops:
            run.close()
            return Outcome(TrialState.PRUNED, verdict.fate, verdict.reason, tuple(readings))
    verdict = final_verdict(readings, chance, setting.rules)
    state = TrialState.PRUNED if verdict.stops else TrialState.COMPLETE
    return Outcome(state, verdict.fate, verdict.reason, tuple(readings), would_stop=would_stop)


def objective(space: Space, reading: Reading, chance: Chance) -> float:
    """The number that a study compares its trials by."""
    values: dict[Objective, float] = {
        "top1": reading.top1,
        "top5": reading.top5,
        "f1": reading.f1,
        "loss": reading.loss,
        "gain": chance.gain(reading.loss),
        "r2": chance.gain(reading.loss),
    }
    return values[space.objective]


def best_look(space: Space, readings: Sequence[Reading], chance: Chance) -> Reading:
    """The look with the best value, the first of equals; the last where none has a number."""
    sign = 1 if space.direction == "maximize" else -1
    with_number = [look for look in readings if math.isfinite(objective(space, look, chance))]
    return max(with_number, key=lambda look: sign * objective(space, look, chance), default=readings[-1])


def _attributes(outcome: Outcome, space: Space, setting: Setting | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {store.FATE: str(outcome.fate), store.REASON: outcome.reason}
    if outcome.traceback:
        attributes[store.TRACEBACK] = outcome.traceback
    if outcome.readings and setting is not None:
        config, chance = setting.config, setting.chance
        last = outcome.readings[-1]
        best = best_look(space, outcome.readings, chance)
        passes = best.step * config.batch_size / setting.images
        epochs = best.step / config.report_interval if space.budget.epochs else passes
        numbers = {
            store.TOP1: last.top1 if chance.classes else math.nan,
            store.TOP5: last.top5 if chance.classes else math.nan,
            store.F1: last.f1,
            store.LOSS: last.loss,
            store.GAIN: chance.gain(last.loss),
            store.CHANCE_TOP1: chance.top1,
            store.BEST_VALUE: objective(space, best, chance),
            store.BEST_STEP: best.step,
            store.BEST_EPOCH: epochs,
        }
        # JSON has no NaN: a loss that is none is told by the fate.
        attributes |= {name: value for name, value in numbers.items() if abs(value) < float("inf")}
        attributes[store.STEPS] = last.step
        attributes |= _lessons(outcome, setting)
    return attributes


def _lessons(outcome: Outcome, setting: Setting) -> dict[str, Any]:
    """What later trials are judged by; an outranked one teaches nothing, since nobody knows its end."""
    if outcome.fate == Fate.OUTRANKED:
        return {}
    safe = setting.control or setting.limit == NO_LIMIT
    end = ended(outcome.readings, setting.chance, setting.config.steps, safe, setting.rules)
    attributes = history.attributes(end)
    if outcome.would_stop:
        attributes[store.WOULD_STOP], attributes[store.WOULD_STOP_REASON] = outcome.would_stop
    return attributes


def _tell(study: optuna.Study, trial: optuna.Trial, space: Space, outcome: Outcome, setting: Setting | None) -> None:
    """The end, in Optuna's terms: a dead region is infeasible, which is what makes a sampler leave it."""
    if outcome.state == TrialState.FAIL or setting is None:
        study.tell(trial, state=TrialState.FAIL)
        return
    dead = outcome.state == TrialState.PRUNED and outcome.fate != Fate.OUTRANKED
    trial.set_constraint(store.DEAD, 1.0 if dead else -1.0)
    if outcome.state == TrialState.PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
        return
    study.tell(trial, objective(space, outcome.readings[-1], setting.chance))
