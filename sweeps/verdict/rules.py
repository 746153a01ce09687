"""Rules that end a run: each looks at the readings so far and answers with the reason, or None.

A rule speaks of what can be seen, never of a guess that a run will not leave chance; the judge asks them in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from sweeps.signals import Reading


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of the rules.

    Attributes:
        looks: looks in a row that must agree before a run is stopped. One look may be a fluke: float16 skips steps that
            overflow, and the signal dips. Three keep 96 % of the steps that two would save.
        least_signal: signal of the logits under which a run is collapsed. Runs that went down to 2.7e-6 have come back
            and learnt, so it must be less than that; at 1e-10, which is rounding, half of the collapsed would be missed.
        learned_factor: how many times chance the top-1 of a run that learned is above. A dead run's hits scatter around
            chance, and three times as many are out of their reach with a few hundred hold-out images.
        learned_loss: share of chance's loss that a run that learned is at or below. Dead runs stay above 99 %, and
            2 % is more than a net gains by fitting the noise of the class frequencies.
    """

    looks: int = 3
    least_signal: float = 1e-6
    learned_factor: float = 3.0
    learned_loss: float = 0.98


def diverged(readings: Sequence[Reading], rules: Rules) -> str | None:
    """NaN or Inf: in a weight at the last look, or in the training or hold-out loss at the last looks in a row.

    A weight needs no second look: no optimiser of ours turns NaN or Inf back into a finite number.
    """
    last = readings[-1]
    if not last.finite:
        sound = [reading for reading in readings if reading.finite]
        before = f"finite until step {sound[-1].step}, loss {sound[-1].loss:.3g} there" if sound else "from the start"
        return f"diverged at step {last.step}: a weight is NaN or infinite ({before})"
    looks = _last_looks(readings, rules)
    if looks and not any(isfinite(look.loss) and isfinite(look.train_loss) for look in looks):
        losses = ", ".join(f"{look.train_loss:.3g} and {look.loss:.3g}" for look in looks)
        return f"diverged at step {last.step}: training and hold-out loss at the last {len(looks)} looks are {losses}"
    return None


def collapsed(readings: Sequence[Reading], rules: Rules) -> str | None:
    """Every input gives the same output: the logits' signal is below the limit at the last looks in a row.

    A signal that is not a number is no collapse.
    """
    looks = _last_looks(readings, rules)
    if not looks or not all(look.signal < rules.least_signal for look in looks):
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
