"""What a run's readings show, layer by layer: where the signal was lost first, and what else was out of order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isnan, log, nan

from sweeps.readings import LayerVitals, Reading
from sweeps.verdict.chance import Chance

LOST_SHARE = 1e-2  # of a layer's highest signal before: below it the signal counts as lost
BEFORE_LOGITS = slice(0, -1)


@dataclass(frozen=True, slots=True)
class LayerFindings:
    """One layer at the reading examined.

    Attributes:
        vitals: as watched at that reading.
        highest: the highest signal at any reading; not a number where none is known.
        lost_at: step of the first reading at which the signal is below a hundredth of its highest before, if it stays
            so to the last reading; else None.
    """

    vitals: LayerVitals
    highest: float
    lost_at: int | None

    @property
    def name(self) -> str:
        """Return the layer's name in the model."""
        return self.vitals.name

    @property
    def in_domain(self) -> float:
        """Share of units with omega and tau where Theorem 1 of Klambauer et al. 2017 (arXiv:1706.02515) holds."""
        if self.vitals.weights:
            return self.vitals.weights.in_domain
        return nan

    @property
    def off_unit(self) -> float:
        """Return how far mean and standard deviation are from 0 and 1: the larger of |mean| and |ln std|."""
        mean = self.vitals.mean
        std = self.vitals.std
        if not (isfinite(mean) and 0 <= std < inf):
            return nan
        if std > 0:
            return max(abs(mean), abs(log(std)))
        return inf


@dataclass(frozen=True, slots=True)
class RunFindings:
    """Numbers only; one that is not known is NaN.

    Attributes:
        step: of the reading examined: the last whose layers have finite signals, else the last.
        last_step: of the last reading.
        finite: whether all weights were finite numbers at the last reading.
        loss, top1: at the last reading that measured the hold-out set: nats, or mean squared error; share of the
            images.
        train_loss: at the last reading; batch_loss: `Reading.batch_loss` there.
        first_signal: of the logits before the first step; not a number where that was not watched.
        best_gain, best_step: the highest information gain, or R^2, of all readings after the first step, or of the
            first where there are no others.
        rise: how much the gain rose from the middle reading to the last.
        gradient_norm, gradient_ratio: of the last layer, and of the first over that of the last.
        update_ratio: largest share by which the step before the reading changed a kernel.
        largest_update: the largest of these at any reading.
        layers: from the first to the logits; empty where none was watched.
    """

    step: int
    last_step: int
    finite: bool
    loss: float
    top1: float
    train_loss: float
    batch_loss: float
    first_signal: float
    best_gain: float
    best_step: int
    rise: float
    gradient_norm: float
    gradient_ratio: float
    update_ratio: float
    largest_update: float
    layers: tuple[LayerFindings, ...]

    @property
    def first_lost(self) -> LayerFindings | None:
        """Return the layer that lost its signal first; the one nearest the input among equals."""
        lost = [(layer.lost_at, index) for index, layer in enumerate(self.layers) if layer.lost_at is not None]
        if lost:
            return self.layers[min(lost)[1]]
        return None

    @property
    def most_dead(self) -> LayerFindings | None:
        """Layer before the logits with the largest share of dead units; None where it is known of none."""
        return self._find_worst(lambda layer: layer.vitals.dead, BEFORE_LOGITS)

    @property
    def most_saturated(self) -> LayerFindings | None:
        """Layer with the largest share of outputs at the flat ends of its activation."""
        return self._find_worst(lambda layer: layer.vitals.saturated)

    @property
    def least_in_domain(self) -> LayerFindings | None:
        """Layer before the logits with the fewest units in the domain of Theorem 1."""
        return self._find_worst(lambda layer: -layer.in_domain, BEFORE_LOGITS)

    @property
    def most_off_unit(self) -> LayerFindings | None:
        """Layer before the logits whose mean and standard deviation are farthest from 0 and 1."""
        return self._find_worst(lambda layer: layer.off_unit, BEFORE_LOGITS)

    @property
    def signal(self) -> float:
        """Return the signal of the logits."""
        if self.layers:
            return self.layers[-1].vitals.signal
        return nan

    def _find_worst(self, key: Callable[[LayerFindings], float], among: slice = slice(None)) -> LayerFindings | None:
        """Return the one with the highest value, the nearest to the input among equals."""
        return max((layer for layer in self.layers[among] if not isnan(key(layer))), key=key, default=None)


def find_symptoms(readings: Sequence[Reading], chance: Chance) -> RunFindings:
    """Return the findings on a run.

    Args:
        readings: all readings, at least one, in the order of their steps.
    """
    examined = _select_examined(readings)
    measured = [reading for reading in readings if reading.measured]
    loss = nan
    top1 = nan
    if measured:
        loss = measured[-1].loss
        if chance.classes:
            top1 = measured[-1].top1
    gains = [(chance.skill_score(reading.loss), reading.step) for reading in measured]
    known = [(gain, step) for gain, step in gains if isfinite(gain)]
    trained = [(gain, step) for gain, step in known if step > 0]
    best = max(trained or known, key=lambda pair: (pair[0], -pair[1]), default=(nan, readings[-1].step))
    rise = nan
    if len(known) > 2:
        rise = known[-1][0] - known[len(known) // 2][0]
    layers = tuple(_examine_layer(layer, readings) for layer in examined.layers)
    updates = [reading.update_ratio for reading in readings if isfinite(reading.update_ratio)]
    norms = [layer.gradient_norm for layer in examined.layers] or [nan]
    return RunFindings(
        step=examined.step,
        last_step=readings[-1].step,
        finite=readings[-1].finite,
        loss=loss,
        top1=top1,
        train_loss=readings[-1].train_loss,
        batch_loss=readings[-1].batch_loss,
        first_signal=readings[0].signal if readings[0].step == 0 else nan,
        best_gain=best[0],
        best_step=best[1],
        rise=rise,
        gradient_norm=norms[-1],
        gradient_ratio=_divide_norms(norms[0], norms[-1]),
        update_ratio=examined.update_ratio,
        largest_update=max(updates, default=nan),
        layers=layers,
    )


def _divide_norms(first: float, last: float) -> float:
    """Return the first norm over the last: infinite where only the last is 0, not a number where both are."""
    if last:
        return first / last
    if first:
        return inf
    return nan


def lost_at(steps: Sequence[int], signals: Sequence[float]) -> int | None:
    """Return the first step from which on the signal is below a hundredth of its highest before; None if there is none.

    Readings at which it is no finite number are passed over.
    """
    known = [(step, signal) for step, signal in zip(steps, signals, strict=True) if isfinite(signal)]
    highest = -inf
    for index, (step, _) in enumerate(known):
        if index and all(signal < LOST_SHARE * highest for _, signal in known[index:]):
            return step
        highest = max(highest, known[index][1])
    return None


def _select_examined(readings: Sequence[Reading]) -> Reading:
    watched = [reading for reading in readings if reading.layers]
    sound = [reading for reading in watched if all(isfinite(layer.signal) for layer in reading.layers)]
    return (sound or watched or readings)[-1]


def _examine_layer(vitals: LayerVitals, readings: Sequence[Reading]) -> LayerFindings:
    pairs = [
        (reading.step, layer.signal) for reading in readings for layer in reading.layers if layer.name == vitals.name
    ]
    highest = max((signal for _, signal in pairs if isfinite(signal)), default=nan)
    return LayerFindings(vitals, highest, lost_at([step for step, _ in pairs], [signal for _, signal in pairs]))
