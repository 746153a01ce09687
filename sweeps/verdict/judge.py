"""The judge: a run's readings -> its fate and the reason, while it runs and at the end of its budget.

To add a mechanism: a function in `rules`, and a line in its MECHANISMS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf, isfinite, log

from sweeps.readings import Reading
from sweeps.verdict.calibration import NO_LIMIT, CalibrationPoint, Limit
from sweeps.verdict.chance import Chance
from sweeps.verdict.evidence import above_chance, loss_below_prior
from sweeps.verdict.prognosis import learner_log_odds
from sweeps.verdict.rules import MECHANISMS, Rules, diverged, frozen


class Fate(StrEnum):
    """What has become of a run, in words for people; `learning` is still running with nothing against it."""

    LEARNING = "learning"
    LEARNED = "learned"
    AT_CHANCE = "at chance"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    FROZEN = "frozen"
    OUTRANKED = "outranked"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate and the reason for it, for a person to act on.

    Attributes:
        stops: whether the run ends here.

    Raises:
        ValueError: a run is to be stopped without a reason.
    """

    fate: Fate
    reason: str
    stops: bool = False

    def __post_init__(self) -> None:
        if self.stops and not self.reason.strip():
            raise ValueError(f"a run that is stopped as {self.fate} needs a reason")


DEFAULT_RULES = Rules()
# Evidence (an e-value, or one over a level) that a run is above chance, from which on its prognosis does not stop it.
ENOUGH_EVIDENCE = 100.0


def judge(
    readings: Sequence[Reading],
    chance: Chance,
    budget: int,
    limit: Limit = NO_LIMIT,
    rules: Rules = DEFAULT_RULES,
) -> Verdict:
    """Return the verdict on a run so far: `learning`, or a fate that stops it.

    Args:
        readings: all readings so far, at least one, in the order of their steps.
        budget: steps of the whole run.
        limit: on the prognosis, from `calibration.calibrated_limit`; without it only mechanisms stop a run.
    """
    if mechanism := by_mechanism(readings, chance, budget, rules):
        return mechanism
    last = readings[-1]
    asked = limit != NO_LIMIT and rules.grace * budget <= last.step < budget
    if asked:
        score = prognosis_at_chance(readings, chance, budget, rules)
    else:
        score = inf
    if not score < limit.log_odds:
        return Verdict(Fate.LEARNING, f"at step {last.step}: {_describe_score(readings, chance)}")
    if not rules.economy:
        reason = (
            f"still at chance at step {last.step} of {budget}, "
            f"with a prognosis of {_show_odds(score)} to learn in the rest "
            f"(limit {_show_odds(limit.log_odds)}, from {limit.grounds}): {_describe_score(readings, chance)}"
        )
        return Verdict(Fate.AT_CHANCE, reason, stops=True)
    reason = (
        f"not among the best at step {last.step} of {budget}: "
        f"a prognosis of {_show_odds(score)} to end in the best quarter "
        f"(limit {_show_odds(limit.log_odds)}, from {limit.grounds}): {_describe_score(readings, chance)}"
    )
    return Verdict(Fate.OUTRANKED, reason, stops=True)


def by_mechanism(
    readings: Sequence[Reading], chance: Chance, budget: int, rules: Rules = DEFAULT_RULES
) -> Verdict | None:
    """Return the verdict on a run that cannot recover, if a mechanism says so; once it has shown life only NaN or Inf
    may.
    """
    if reason := diverged(readings, rules):
        return Verdict(Fate.DIVERGED, reason, stops=True)
    verdict = _collapse_verdict(readings, rules)
    if reason := frozen(readings, budget, rules):
        verdict = Verdict(Fate.FROZEN, reason, stops=True)
    if verdict and not shows_life(readings, chance, rules):
        return verdict
    return None


def _collapse_verdict(readings: Sequence[Reading], rules: Rules) -> Verdict | None:
    reasons = (mechanism(readings, rules) for mechanism in MECHANISMS)
    reason = next(filter(None, reasons), None)
    if reason:
        return Verdict(Fate.COLLAPSED, reason, stops=True)
    return None


def prognosis_at_chance(
    readings: Sequence[Reading], chance: Chance, budget: int, rules: Rules = DEFAULT_RULES
) -> float:
    """Log odds that the run is a learner at its end; infinite where its loss or its hits have shown that it is.

    In economy mode: that it is among the best quarter of the learners.
    """
    if rules.economy:
        return learner_log_odds(readings, budget, chance, best=True)
    if shows_life(readings, chance, rules):
        return inf
    return learner_log_odds(readings, budget, chance)


def verdict_at_end(
    readings: Sequence[Reading], chance: Chance, budget: int, control: bool, rules: Rules = DEFAULT_RULES
) -> CalibrationPoint:
    """Return what a finished run teaches the study's later ones; one that was stopped teaches that it was no
    learner.

    Args:
        control: whether it could not have been stopped for its prognosis.
    """
    counts = [end for end, reading in enumerate(readings, 1) if rules.grace * budget <= reading.step < budget]
    scores = [prognosis_at_chance(readings[:end], chance, budget, rules) for end in counts]
    learned = readings[-1].step >= budget and is_learner(readings, chance, rules)
    return CalibrationPoint(min(scores, default=inf), learned, control, chance.skill_score(lowest_loss(readings)))


def shows_life(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> bool:
    """Return whether a run has shown that it is no longer at chance: by what it learned, or by a test of its hits or
    loss.
    """
    return (
        _has_learned(readings, chance, rules)
        or above_chance(readings, chance) >= log(ENOUGH_EVIDENCE)
        or loss_below_prior(readings, chance, 1 / ENOUGH_EVIDENCE)
    )


def final_verdict(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> Verdict:
    """Return the verdict on a run whose budget is used up: a mechanism's, else `learned` or `at chance`.

    Args:
        readings: all readings, at least one, in the order of their steps.
    """
    step = readings[-1].step
    if mechanism := by_mechanism(readings, chance, step, rules) or _collapse_verdict(readings, rules):
        return mechanism
    if not isfinite(readings[-1].loss):  # no reading is left in which it could become a number again
        reason = f"diverged at step {step}, the end: the hold-out loss is {readings[-1].loss}"
        return Verdict(Fate.DIVERGED, reason, stops=True)
    if _scores_well(readings[-rules.consecutive :], chance, rules):
        return Verdict(Fate.LEARNED, f"learned within {step} steps: {_describe_score(readings, chance)}")
    if _has_learned(readings, chance, rules):
        how = "back"
    else:
        how = "still"
    return Verdict(Fate.AT_CHANCE, f"{how} at chance after {step} steps: {_describe_score(readings, chance)}")


def is_learner(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> bool:
    """Return whether a run trained to its end counts as a learner: above chance at the end, or a low loss at any
    time.
    """
    measured = [reading for reading in readings if reading.measured]
    return _has_learned(measured, chance, rules) or (
        bool(measured) and _scores_well(measured[-rules.consecutive :], chance, rules)
    )


def _has_learned(readings: Sequence[Reading], chance: Chance, rules: Rules) -> bool:
    return lowest_loss(readings) <= rules.learned_loss * chance.loss


def _scores_well(readings: Sequence[Reading], chance: Chance, rules: Rules) -> bool:
    """Return whether the readings together score well above chance, or one of them has a loss well below it.

    In regression the loss alone tells: at 98 % of chance R^2 is 0.02.
    """
    count = sum(reading.count for reading in readings)
    if not chance.classes or not count:
        return _has_learned(readings, chance, rules)
    top1 = sum(reading.hits1 for reading in readings) / count
    # Three times chance is more than all images where one class makes up a third: then half of the way to all will do.
    bar = min(rules.learned_factor * chance.top1, (1 + chance.top1) / 2)
    return top1 > bar or _has_learned(readings, chance, rules)


def lowest_loss(readings: Sequence[Reading]) -> float:
    """Return the lowest loss of all readings that have one; infinite if none has."""
    return min((reading.loss for reading in readings if isfinite(reading.loss)), default=inf)


def _describe_score(readings: Sequence[Reading], chance: Chance) -> str:
    last = readings[-1]
    best = 100 * chance.skill_score(lowest_loss(readings))
    if not chance.classes:
        r_squared = chance.skill_score(last.loss)
        return (
            f"R^2 {r_squared:z.3f}, loss {_show_nats(last.loss)} (predicting the mean {_show_nats(chance.loss)}), "
            f"best R^2 {best / 100:z.3f}"
        )
    if not last.count:
        return f"loss {_show_nats(last.loss)} (class prior {_show_nats(chance.loss)}), best gain {best:z.1f} %"
    return (
        f"top-1 {_show_percent(last.top1)} (chance {_show_percent(chance.top1)}), "
        f"loss {_show_nats(last.loss)} (class prior {_show_nats(chance.loss)}), best gain {best:z.1f} %"
    )


def _show_odds(log_odds: float) -> str:
    """Return odds as a probability."""
    return f"{100 / (1 + exp(-log_odds)):.2g} %"


def _show_percent(share: float) -> str:
    """Return two decimals where chance is small and they matter, else one."""
    if share < 0.1:
        return f"{100 * share:.2f} %"
    return f"{100 * share:.1f} %"


def _show_nats(loss: float) -> str:
    if 0.1 <= loss < 1000:
        return f"{loss:.2f}"
    return f"{loss:.2g}"
