"""Rules that end a run: each looks at the readings so far and answers with the reason, or None.

A rule speaks of what can be seen, never of a guess that a run will not leave chance; the judge asks them in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

from sweeps.signals import Reading


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the rules.

    Attributes:
        looks: looks in a row that must agree before a run is stopped. One look may be a fluke: float16 skips steps that
            overflow, and the signal dips. Three save 94 % of the steps that two would.
        least_signal: signal of the logits below which a run is collapsed. Runs that went down to 2.7e-6 came back and
            learned, so it must be lower than that; at 1e-10, which is rounding, half of the collapsed would be missed.
        lost_share: of the highest signal before, to which it must have sunk too. A net may start below the limit and
            rise: one of logistic units went from 3e-8 through 1e-6 at its third look to 100 % top-1.
        learned_factor: how many times chance a run that learned is above, in top-1. The hits of dead runs scatter
            around chance, up to 2.4 times as many.
        learned_loss: share of chance's loss that a run that learned is at or below. Most runs that stay at chance stay
            above 99 %; those between are on the point of leaving it.
    """

    looks: int = 3
    least_signal: float = 1e-6
    lost_share: float = 1e-2
    learned_factor: float = 3.0
    learned_loss: float = 0.98


def diverged(readings: Sequence[Reading], rules: Rules) -> str | None:
    """NaN or Inf: in a weight at the last look, or in the hold-out loss at the last looks in a row.

    A weight needs no second look: no optimiser of ours turns NaN or Inf back into a finite number. The training loss
    has no say: under mixed_float16 a single batch may overflow, its step is skipped, and the run goes on soundly.
    """
    last = readings[-1]
    if not last.finite:
        sound = [reading for reading in readings if reading.finite]
        before = f"finite until step {sound[-1].step}, loss {sound[-1].loss:.3g} there" if sound else "from the start"
        return f"diverged at step {last.step}: a weight is NaN or infinite ({before})"
    looks = _last_looks(readings, rules)
    if looks and not any(isfinite(look.loss) for look in looks):
        losses = ", ".join(f"{look.loss:.3g}" for look in looks)
        return f"diverged at step {last.step}: the hold-out loss at the last {len(looks)} looks is {losses}"
    return None


def collapsed(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Every input gives the same output: the logits had a signal and lost it, at the last looks in a row.

    A signal that is not a number is no collapse, and one that was never there may still come.
    """
    looks = _last_looks(readings, rules)
    if not looks or not all(look.signal < rules.least_signal for look in looks):
        return None
    before = max((look.signal for look in readings[: -len(looks)] if isfinite(look.signal)), default=inf)
    if looks[-1].signal > rules.lost_share * before:
        return None
    last = looks[-1]
    signals = ", ".join(f"{look.signal:.1e}" for look in looks)
    layer = next(layer.name for layer in last.layers if layer.signal < rules.least_signal)
    return (
        f"collapsed at step {last.step}: every input gives the same output (signal of the logits {signals} at the last "
        f"{len(looks)} looks, limit {rules.least_signal:g}); the signal is first lost in {layer}"
    )


def _last_looks(readings: Sequence[Reading], rules: Rules) -> Sequence[Reading]:
    """The last looks after training began, as many as must agree; none while there are fewer.

    The look at step 0 does not count: it tells of the initialiser, not of training, there is no training loss yet, and
    batch normalisation has no statistics. Leaving it out costs one interval.
    """
    looks = readings[-rules.looks :]
    return looks if len(looks) == rules.looks and looks[0].step > 0 else ()
