"""Rules that end a run on a mechanism: each reads the readings so far and returns the reason, or None.

A rule says why such a run cannot recover, and was tried on recorded runs to their full horizon: a sign that a learner
ever showed is no mechanism. Patience with a run that is at chance for no such reason is a matter of `calibration`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from sweeps.readings import LayerVitals, Reading


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the rules.

    Attributes:
        alpha: probability with which a run that would have learned may be stopped for its prognosis.
        control: share of trials that are never stopped but for NaN: they show what stopping loses. In economy mode a
            fifth of it.
        economy: whether only the best configurations matter: then a run is stopped unless it may be among the best
            quarter of the learners.
        rejections: trials that may be rejected before their first step, for a signal that is not there.
        unborn_signal: of the logits before training, below which such a trial is rejected. Of runs without batch
            normalisation none below 3e-10 learned; one that started at 3e-8 did.
        grace: share of the budget before which no prognosis counts.
        consecutive: readings in a row that must agree before a run is stopped. One may be a fluke: float16 skips steps
            that overflow, and the signal dips.
        least_signal: signal of the logits below which a run is collapsed: float32's rounding. Above it runs come back:
            one of swish units fell from .6 to 1.6e-9, rose at each reading and ended at an information gain of .93.
        lost_share: of the highest signal before, to which it must have sunk too. A net may start below the limit and
            rise: one of logistic units went from 3e-8 through 1e-6 at its third reading to 100 % top-1.
        saturated: share of a layer's outputs at the flat ends of its activation from which on the layer is saturated.
        low_signal: of the logits, below which a saturated layer has cut them off from the inputs.
        least_movement: of the largest kernel, in the rest of the budget at this pace: below it a run is frozen.
        learned_factor: how many times chance a run that learned is above, in top-1. The hits of dead runs scatter
            around chance, up to 2.4 times as many.
        learned_share: of the way from chance to all hits, which will do as well if the loss is below that of guessing:
            with few classes there is no three times chance. If it is above, half of the way will do.
        learned_loss: share of chance's loss that a run that has left chance is at or below. Most runs that stay at
            chance stay above 99 %; those between are on the point of leaving it.
        clear_loss: share of chance's loss at or below which a run has learned, whatever its hits.
        absurd_loss: times chance's loss, above which a run has not learned, whatever its hits.
        train_loss: share of guessing's loss on the training set, at or below which a run learns in training.
    """

    alpha: float = 0.01
    control: float = 0.05
    economy: bool = False
    rejections: int = 0
    unborn_signal: float = 1e-11
    grace: float = 0.05
    consecutive: int = 3
    least_signal: float = 1e-10
    lost_share: float = 1e-2
    saturated: float = 0.999
    low_signal: float = 1e-2
    least_movement: float = 1e-3
    learned_factor: float = 3.0
    learned_share: float = 0.1
    learned_loss: float = 0.98
    clear_loss: float = 0.9
    absurd_loss: float = 10.0
    train_loss: float = 0.8


def diverged(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Return the reason where a weight is NaN or infinite, or the hold-out loss is so at the last readings in a row.

    A weight needs no second reading: no optimiser of ours turns NaN or Inf back into a finite number. The training loss
    has no say: under mixed_float16 a single batch may overflow, its step is skipped, and the run goes on soundly. A
    loss scale that is exhausted shows as a hold-out loss that is no number at every reading.
    """
    last = readings[-1]
    if not last.finite:
        sound = [reading for reading in readings if reading.finite]
        if sound:
            before = f"finite until step {sound[-1].step}, loss {sound[-1].loss:.3g} there"
        else:
            before = "from the start"
        return f"diverged at step {last.step}: a weight is NaN or infinite ({before})"
    measured = _last_readings(
        [reading for reading in readings if reading.measured or not reading.layers], rules.consecutive
    )
    if measured and not any(isfinite(reading.loss) for reading in measured):
        losses = ", ".join(f"{reading.loss:.3g}" for reading in measured)
        return f"diverged at step {last.step}: the hold-out loss at the last {len(measured)} readings is {losses}"
    return None


def not_finite_at_start(readings: Sequence[Reading]) -> str | None:
    """Return the reason where a weight, or the loss of all inputs, was no finite number before the first step.

    The training loss must say so too, at the first reading after: batch normalisation has no statistics before the
    first step, so that the hold-out loss of a sound net may overflow there.
    """
    first = readings[0]
    if first.step > 0:
        return None
    if not first.finite:
        return "not finite before the first step: a weight is NaN or infinite as it was drawn"
    if len(readings) < 2 or not first.measured or isfinite(first.loss):
        return None
    second = readings[1]
    if isfinite(second.train_loss) or isfinite(second.loss):
        return None
    broken = (layer.name for layer in first.layers if not (isfinite(layer.mean) and isfinite(layer.std)))
    layer = next(broken, None)
    where = ""
    if layer is not None:
        where = f", and the outputs of {layer} are not finite"
    return (
        f"not finite before the first step: the hold-out loss is {first.loss:.3g} there{where}; the inputs or the "
        "first weights are at fault, not the training"
    )


def cut_off(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Return the reason where a layer, and the logits, give the same output for every input, at the last readings.

    A ReLU that is off for every input passes no gradient: where a whole layer is off, and no path leads around it, the
    gradient of every kernel up to it is exactly zero. Only the biases behind it still learn the class frequencies.
    """
    measured = _last_readings(_with_layers(readings), rules.consecutive)
    if not measured or not all(_constant_layers(reading.layers) for reading in measured):
        return None
    layer = next(layer for layer in measured[-1].layers if layer.dead >= 1)
    return (
        f"collapsed at step {measured[-1].step}: every unit of {layer.name} gives the same output for every input, so "
        f"that no gradient passes it (at the last {len(measured)} readings)"
    )


def _constant_layers(layers: Sequence[LayerVitals]) -> bool:
    return layers[-1].dead >= 1 and any(layer.dead >= 1 for layer in layers[:-1])


def collapsed(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Return the reason where the logits had a signal and lost it to rounding, at the last readings.

    Every input then gives the same output. The gradient of a kernel is a sum over inputs of what came in times what
    goes back; where all inputs are the same, it cannot tell one class from another. A signal that is not a number is no
    collapse. One that was never there may still come, and so may one that rises.
    """
    known = _with_layers(readings)
    measured = _last_readings(known, rules.consecutive)
    if not measured or not all(reading.signal < rules.least_signal for reading in measured):
        return None
    before = max((reading.signal for reading in known[: -len(measured)] if isfinite(reading.signal)), default=inf)
    last = measured[-1]
    if last.signal > rules.lost_share * before or last.signal > 2 * measured[0].signal:
        return None
    signals = ", ".join(f"{reading.signal:.1e}" for reading in measured)
    layer = next(layer.name for layer in last.layers if layer.signal < rules.least_signal)
    return (
        f"collapsed at step {last.step}: every input gives the same output (signal of the logits {signals} at the last "
        f"{len(measured)} readings, limit {rules.least_signal:g}); the signal is lost from {layer} on"
    )


def saturated(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Return the reason where a layer's outputs are at the flat ends of its activation and the logits' signal is low.

    Both must hold at the last readings.

    The derivative there is at most .02 (tanh) of its largest, for every input: what goes back through the layer is that
    much smaller, and what would move the layer itself too. With a signal behind it the layer is a set of fixed features
    that the rest may learn from, or a gate that stands open: that is no death.
    """
    measured = _last_readings(_with_layers(readings), rules.consecutive)
    if not measured or not all(reading.signal < rules.low_signal for reading in measured):
        return None
    layers = {layer.name for layer in measured[-1].layers}
    for reading in measured:
        layers &= {layer.name for layer in reading.layers if layer.saturated >= rules.saturated}
    if not layers:
        return None
    name = next(layer.name for layer in measured[-1].layers if layer.name in layers)
    step = measured[-1].step
    return (
        f"collapsed at step {step}: {rules.saturated:.1%} of the outputs of {name} or more are at the flat "
        f"ends of its activation (at the last {len(measured)} readings)"
    )


def frozen(readings: Sequence[Reading], budget: int, rules: Rules) -> str | None:
    """Return the reason where the steps left, each as large as the last, would hardly move any kernel.

    The size of a step is its learning rate's and epsilon's doing; with a constant rate, a pace that did not grow over
    the readings will not grow a thousandfold later. Adadelta's grows from nothing: a pace that grows is not frozen.
    Where the rate changes, as in a warm-up from 0, nothing can be said.
    """
    measured = _last_readings(readings, rules.consecutive)
    if (
        not measured
        or not readings[-1].constant_rate
        or not all(reading.update_ratio * (budget - reading.step) < rules.least_movement for reading in measured)
    ):
        return None
    if measured[-1].update_ratio > 1.5 * measured[0].update_ratio or 10 * measured[-1].step > 9 * budget:
        return None
    last = measured[-1]
    return (
        f"frozen at step {last.step}: the last step changed no kernel by more than {last.update_ratio:.1e} of its "
        f"size; the {budget - last.step} steps left would move none by {rules.least_movement:g}"
    )


def dead_at_init(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Return the reason where, before the first step, the logits are the same for every input.

    It is rounding that tells the inputs apart, and gradients are sums over inputs that are all the same.
    """
    first = readings[0]
    if not rules.rejections or len(readings) > 1 or first.step > 0 or not first.layers:
        return None
    if not first.signal < rules.unborn_signal:
        return None
    layer = next((layer.name for layer in first.layers if layer.signal < rules.unborn_signal), first.layers[-1].name)
    return (
        f"rejected before training: every input gives the same output (signal of the logits {first.signal:.1e}, limit "
        f"{rules.unborn_signal:g}); the signal is lost from {layer} on"
    )


MECHANISMS: tuple[Callable[[Sequence[Reading], Rules], str | None], ...] = (dead_at_init, cut_off, collapsed, saturated)


def _with_layers(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.layers]


def _last_readings(readings: Sequence[Reading], count: int) -> Sequence[Reading]:
    """Return the last readings after training began, as many as must agree; none while there are fewer.

    The reading at step 0 does not count: it tells of the initialiser, not of training. There is no training loss yet,
    and batch normalisation has no statistics. Leaving it out costs one interval.
    """
    measured = readings[-count:]
    if len(measured) == count and measured[0].step > 0:
        return measured
    return ()
