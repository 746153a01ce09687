"""The judge: a run's readings -> its fate and the reason, while it runs and at the end of its budget.

To add a rule: a function in `rules`, and a line in `judge`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from sweeps.signals import Reading
from sweeps.verdict.chance import Chance
from sweeps.verdict.rules import Rules, collapsed, diverged


class Fate(StrEnum):
    """What has become of a run, in words for people; `learning` is still running with nothing against it."""

    LEARNING = "learning"
    LEARNED = "learned"
    AT_CHANCE = "at chance"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    OUTRANKED = "outranked"


STOPPING = frozenset({Fate.COLLAPSED, Fate.DIVERGED, Fate.OUTRANKED})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate and the reason for it, for a person to act on.

    Raises:
        ValueError: a run is to be stopped without a reason.
    """

    fate: Fate
    reason: str

    def __post_init__(self) -> None:
        if self.stops and not self.reason.strip():
            raise ValueError(f"a run that is stopped as {self.fate} needs a reason")

    @property
    def stops(self) -> bool:
        """Whether the run ends here."""
        return self.fate in STOPPING


DEFAULT_RULES = Rules()


def judge(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> Verdict:
    """The verdict on a run so far: `learning`, or a fate that stops it.

    Args:
        readings: all looks so far, at least one, in the order of their steps.
    """
    if reason := diverged(readings, rules):
        return Verdict(Fate.DIVERGED, reason)
    if reason := collapsed(readings, rules):
        return Verdict(Fate.COLLAPSED, reason)
    return Verdict(Fate.LEARNING, f"at step {readings[-1].step}: {_score(readings, chance)}")


def final_verdict(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> Verdict:
    """The verdict on a run whose budget is used up: one that would stop it, else `learned` or `at chance`.

    Args:
        readings: all looks, at least one, in the order of their steps.
    """
    verdict = judge(readings, chance, rules)
    if verdict.stops:
        return verdict
    step = readings[-1].step
    if not isfinite(readings[-1].loss):  # no look is left in which it could become a number again
        return Verdict(Fate.DIVERGED, f"diverged at step {step}, the end: the hold-out loss is {readings[-1].loss}")
    if _learned(readings[-rules.looks :], chance, rules):
        return Verdict(Fate.LEARNED, f"learned within {step} steps: {_score(readings, chance)}")
    how = "back" if _lowest_loss(readings) <= rules.learned_loss * chance.loss else "still"
    return Verdict(Fate.AT_CHANCE, f"{how} at chance after {step} steps: {_score(readings, chance)}")


def _learned(looks: Sequence[Reading], chance: Chance, rules: Rules) -> bool:
    """Whether the looks together score well above chance, or one of them has a loss well below it.

    In regression the loss alone tells: at 98 % of chance R^2 is 0.02.
    """
    if not chance.classes:
        return _lowest_loss(looks) <= rules.learned_loss * chance.loss
    top1 = sum(look.hits1 for look in looks) / sum(look.count for look in looks)
    # Three times chance is more than all images where one class makes up a third: then half of the way to all will do.
    bar = min(rules.learned_factor * chance.top1, (1 + chance.top1) / 2)
    return top1 > bar or _lowest_loss(looks) <= rules.learned_loss * chance.loss


def _lowest_loss(readings: Sequence[Reading]) -> float:
    return min((reading.loss for reading in readings if isfinite(reading.loss)), default=float("inf"))


def _score(readings: Sequence[Reading], chance: Chance) -> str:
    last = readings[-1]
    best = 100 * chance.gain(_lowest_loss(readings))
    if not chance.classes:
        return (
            f"R^2 {chance.gain(last.loss):z.3f}, loss {_nats(last.loss)} (predicting the mean {_nats(chance.loss)}), "
            f"best R^2 {best / 100:z.3f}"
        )
    return (
        f"top-1 {_percent(last.top1)} (chance {_percent(chance.top1)}), "
        f"loss {_nats(last.loss)} (class prior {_nats(chance.loss)}), best gain {best:z.1f} %"
    )


def _percent(share: float) -> str:
    """Two decimals where chance is small and they matter, else one."""
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


def _nats(loss: float) -> str:
    return f"{loss:.2f}" if 0.1 <= loss < 1000 else f"{loss:.2g}"
