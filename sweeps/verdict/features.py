"""Features: what a run's readings so far say of its future, as numbers that mean the same on every net and task.

Losses count as information gain over chance (R^2 in regression), steps as shares of the budget, layers as ratios. What
was not measured is not a number.
"""

from collections.abc import Sequence
from math import isfinite, log, log10, nan, sqrt

import numpy as np
from numpy.typing import NDArray

from sweeps.readings import LayerVitals, Reading
from sweeps.verdict.chance import Chance

NAMES = (
    "progress",  # share of the budget's steps done
    "gain",  # at the last reading; below -1 it is -1 - ln(-gain)
    "best_gain",
    "slope",  # of the gain over the recent readings, per budget
    "projected",  # gain at the end, if it goes on like that
    "projected_last",  # the same from the last two readings
    "rising",  # share of the recent readings at which the gain rose
    "unrest",  # log10 of the mean change of the gain from reading to reading
    "above_lowest",  # gain above its lowest
    "since_start",  # gain above that of the first reading
    "bend",  # second half's slope less the first's, over the recent readings
    "train_gain",  # of the training loss over the last three intervals
    "hits_recent",  # standard deviations above chance, over the last five readings
    "hits_all",
    "signal",  # log10, of the logits
    "signal_trend",  # against three readings before
    "signal_lowest",
    "signal_highest",
    "signal_layers",  # of the layer with the least
    "dead",  # share of units in the layer with the most
    "spread",  # log10 of the logits' standard deviation
    "gradient",  # log10 of its global norm
    "gradient_ratio",  # log10, first layer to last
    "update",  # log10 of the largest update against its kernel
    "movement",  # log10 of how far the layer that changes most would move in the rest of the budget, at this pace
    "movement_median",  # the same of the layer in the middle
    "movement_growth",  # log10, against the interval before
    "movement_total",  # log10, since the start
)
RECENT = 0.15  # share of the budget that counts as recent
FEWEST = 3  # readings that count as recent, however long ago
LOWEST_SIGNAL = 1e-13  # float32's rounding, squared
LOWEST_GAIN = -20.0  # of a loss that is no number
STILL = 1e-5  # movement below which a layer stands still


def features_of(readings: Sequence[Reading], budget: int, chance: Chance) -> NDArray[np.float64]:
    """Return the features of a run at its last reading, in the order of NAMES.

    Args:
        readings: all readings so far, at least one, in the order of their steps.
        budget: steps of the whole run.
    """
    last = readings[-1]
    progress = last.step / budget
    values = {"progress": progress, **_of_loss(readings, budget, chance), **_of_hits(readings, chance)}
    if last.layers:
        values |= _of_signal([reading for reading in readings if reading.layers])
        values |= _of_movement([reading for reading in readings if reading.layers], budget)
    values["gradient"] = _log_at_least(last.gradient_norm, 1e-12)
    values["update"] = _log_at_least(last.update_ratio, 1e-12)
    return np.array([values.get(name, nan) for name in NAMES])


def _of_loss(readings: Sequence[Reading], budget: int, chance: Chance) -> dict[str, float]:
    measured = [reading for reading in readings if reading.measured]
    train = [reading.train_loss for reading in readings if isfinite(reading.train_loss)][-3:]
    values = {"train_gain": _skill_on_log_scale(float(np.mean(train)), chance)} if train else {}
    if not measured:
        return values
    gains = np.array([_skill_on_log_scale(reading.loss, chance) for reading in measured])
    at = np.array([reading.step / budget for reading in measured])
    values |= {
        "gain": float(gains[-1]),
        "best_gain": float(gains.max()),
        "above_lowest": float(gains[-1] - gains.min()),
        "since_start": float(gains[-1] - gains[0]),
    }
    if len(measured) < FEWEST:
        return values
    recent = max(FEWEST, int(np.sum(at >= at[-1] - RECENT)))
    return values | _of_slope(gains[-recent:], at[-recent:])


def _of_slope(gains: NDArray[np.float64], at: NDArray[np.float64]) -> dict[str, float]:
    left = 1 - at[-1]
    changes = np.diff(gains)
    middle = len(at) // 2
    slope = float(np.polyfit(at, gains, 1)[0])
    first = (gains[middle] - gains[0]) / (at[middle] - at[0])
    second = (gains[-1] - gains[middle]) / (at[-1] - at[middle])
    return {
        "slope": slope,
        "projected": float(gains[-1] + slope * left),
        "projected_last": float(gains[-1] + changes[-1] / (at[-1] - at[-2]) * left),
        "rising": float(np.mean(changes > 0)),
        "unrest": log10(float(np.abs(changes).mean()) + 1e-7),
        "bend": float(second - first),
    }


def _of_hits(readings: Sequence[Reading], chance: Chance) -> dict[str, float]:
    measured = [reading for reading in readings if reading.count]
    if not measured or not 0 < chance.top1 < 1:
        return {}
    return {
        "hits_recent": _score_deviations(measured[-5:], chance.top1),
        "hits_all": _score_deviations(measured, chance.top1),
    }


def _score_deviations(readings: Sequence[Reading], top1: float) -> float:
    count = sum(reading.count for reading in readings)
    hits = sum(reading.hits1 for reading in readings)
    return (hits - count * top1) / sqrt(count * top1 * (1 - top1))


def _of_signal(readings: Sequence[Reading]) -> dict[str, float]:
    signals = [_logits_signal(reading.layers[-1]) for reading in readings]
    layers = readings[-1].layers
    return {
        "signal": signals[-1],
        "signal_trend": signals[-1] - signals[max(0, len(signals) - 4)],
        "signal_lowest": min(signals),
        "signal_highest": max(signals),
        "signal_layers": min(map(_logits_signal, layers)),
        "dead": max((layer.dead for layer in layers if isfinite(layer.dead)), default=nan),
        "spread": _log_at_least(layers[-1].std, 1e-9),
        "gradient_ratio": _log_at_least(layers[0].gradient_norm, 1e-15)
        - _log_at_least(layers[-1].gradient_norm, 1e-15),
    }


def _logits_signal(layer: LayerVitals) -> float:
    if isfinite(layer.signal):
        return log10(max(layer.signal, LOWEST_SIGNAL))
    return log10(LOWEST_SIGNAL)


def _of_movement(readings: Sequence[Reading], budget: int) -> dict[str, float]:
    """Return how fast the layers' outputs on the probe batch change: the net's movement as its function shows it."""
    if len(readings) < FEWEST:
        return {}
    before = _layer_changes(readings[-3], readings[-2])
    now = _layer_changes(readings[-2], readings[-1])
    interval = (readings[-1].step - readings[-2].step) / budget
    interval_before = (readings[-2].step - readings[-3].step) / budget
    left = 1 - readings[-1].step / budget
    if readings[0].step:
        started = readings[0]
    else:
        started = readings[1]
    return {
        "movement": log10(max(now) / interval * left + STILL),
        "movement_median": log10(float(np.median(now)) / interval * left + STILL),
        "movement_growth": log10((max(now) / interval + STILL) / (max(before) / interval_before + STILL)),
        "movement_total": log10(max(_layer_changes(started, readings[-1])) + STILL),
    }


def _layer_changes(old: Reading, new: Reading) -> list[float]:
    """Return by how much each layer's mean and spread changed, against their size, and its signal."""
    return [_relative_change(before, after) for before, after in zip(old.layers, new.layers, strict=False)]


def _relative_change(old: LayerVitals, new: LayerVitals) -> float:
    size = abs(old.std) + abs(old.mean) + 1e-12
    change = (abs(new.mean - old.mean) + abs(new.std - old.std)) / size + abs(new.signal - old.signal)
    if isfinite(change):
        return min(change, 10.0)
    return 10.0


def _skill_on_log_scale(loss: float, chance: Chance) -> float:
    """Below -1 on a log scale, so that a loss that comes down from far above chance is seen to come down."""
    if not isfinite(loss):
        return LOWEST_GAIN
    gain = chance.skill_score(loss)
    if gain >= -1:
        return gain
    return max(LOWEST_GAIN, -1 - log(-gain))


def _log_at_least(value: float, least: float) -> float:
    if isfinite(value) and value >= 0:
        return log10(value + least)
    return nan
