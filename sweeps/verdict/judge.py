"""The judge: a run's readings -> its fate and the reason, while it runs and at the end of its budget.

To add a mechanism: a function in `rules`, and a line in its MECHANISMS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, inf, isfinite, log
from statistics import fmean, median

from sweeps.readings import Reading
from sweeps.verdict.calibration import NO_LIMIT, CalibrationPoint, Limit
from sweeps.verdict.chance import Chance
from sweeps.verdict.evidence import above_chance, loss_below_prior
from sweeps.verdict.prognosis import learner_log_odds
from sweeps.verdict.rules import MECHANISMS, Rules, diverged, frozen, not_finite_at_start


class Fate(StrEnum):
    """What has become of a run, in words for people; `learning` is still running with nothing against it.

    `above chance` is better than guessing, but too little to be called learned. Three kinds of runs learn in training
    and stay at chance on the hold-out set: one whose moving averages of batch normalisation lag behind, one that
    memorises its training images, and one whose hold-out set is unlike them. `not finite` was so before the first step,
    `diverged` became so later.
    """

    LEARNING = "learning"
    LEARNED = "learned"
    ABOVE_CHANCE = "above chance"
    INFERENCE_LAGS = "inference lags"
    MEMORISED = "memorised"
    HOLDOUT_DIFFERS = "hold-out differs"
    AT_CHANCE = "at chance"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"
    NOT_FINITE = "not finite"
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


# Fates whose cause is examined, in the order of a report: the dead, and those that learn in training alone.
EXAMINED = (
    Fate.COLLAPSED,
    Fate.AT_CHANCE,
    Fate.DIVERGED,
    Fate.FROZEN,
    Fate.NOT_FINITE,
    Fate.INFERENCE_LAGS,
    Fate.MEMORISED,
    Fate.HOLDOUT_DIFFERS,
)
# Fates by NaN or infinity: these end a control too.
NUMERICAL = (Fate.DIVERGED, Fate.NOT_FINITE)
DEFAULT_RULES = Rules()
# Evidence (an e-value, or one over a level) that a run is above chance, from which on its prognosis does not stop it.
ENOUGH_EVIDENCE = 100.0
OTHER_MIX = 0.9  # of the loss of guessing: below it the hold-out classes count as mixed otherwise
LAG = 0.1  # of the gain that moving averages cost, from which on a verdict says so


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
    if reason := not_finite_at_start(readings):
        return Verdict(Fate.NOT_FINITE, reason, stops=True)
    # A hold-out loss that is no number may be that of moving averages: a run that learns in training goes on.
    alive = readings[-1].finite and learns_in_training(readings, chance, rules)
    if not alive and (reason := diverged(readings, rules)):
        return Verdict(Fate.DIVERGED, reason, stops=True)
    verdict = _collapse_verdict(readings, rules)
    if verdict is None and (reason := frozen(readings, budget, rules)):
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
    """Return whether a run has shown that it is no longer at chance: by what it learned, by a test of its hits or
    loss, or by its loss in training.
    """
    return (
        _has_left_chance(readings, chance, rules)
        or _passes_a_test(readings, chance)
        or learns_in_training(readings, chance, rules)
    )


def _passes_a_test(readings: Sequence[Reading], chance: Chance) -> bool:
    return above_chance(readings, chance) >= log(ENOUGH_EVIDENCE) or loss_below_prior(
        readings, chance, 1 / ENOUGH_EVIDENCE
    )


def learns_in_training(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> bool:
    """Return whether the training loss is well below that of guessing: its mean over the later half of the readings.

    A single reading may stand for a few images only, all of the most frequent class.
    """
    losses = [reading.train_loss for reading in readings if reading.step > 0 and isfinite(reading.train_loss)]
    if len(losses) < rules.consecutive:
        return False
    later = losses[-max(rules.consecutive, len(losses) // 2) :]
    return fmean(later) <= rules.train_loss * chance.training_loss


def final_verdict(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> Verdict:
    """Return the verdict on a run whose budget is used up: a mechanism's, else what it has reached.

    Args:
        readings: all readings, at least one, in the order of their steps.
    """
    step = readings[-1].step
    if mechanism := by_mechanism(readings, chance, step, rules):
        return mechanism
    if not learns_in_training(readings, chance, rules) and (collapse := _collapse_verdict(readings, rules)):
        return collapse
    in_training = training_fate(readings, chance, rules)
    if not isfinite(readings[-1].loss) and in_training != Fate.INFERENCE_LAGS:
        # No reading is left in which it could become a number again.
        reason = f"diverged at step {step}, the end: the hold-out loss is {readings[-1].loss}"
        return Verdict(Fate.DIVERGED, reason, stops=True)
    last = [reading for reading in readings[-rules.consecutive :] if reading.step > 0]
    score = _describe_score(readings, chance)
    if _scores_well(last, chance, rules):
        return Verdict(Fate.LEARNED, f"learned within {step} steps: {score}{_describe_lag(readings[-1], chance)}")
    if in_training == Fate.INFERENCE_LAGS:
        return Verdict(in_training, f"{_describe_training_fate(in_training, readings[-1], chance)}: {score}")
    if in_training and _has_other_mix(chance) and _end_loss(last) <= rules.clear_loss * chance.loss:
        return Verdict(Fate.ABOVE_CHANCE, f"{_describe_other_mix(readings[-1], chance)}: {score}")
    leaves = _end_loss(last) <= rules.learned_loss * chance.bar_loss or _has_more_hits(last, chance, rules)
    if leaves or _passes_a_test(readings[-1:], chance):
        return Verdict(Fate.ABOVE_CHANCE, f"above chance after {step} steps, but has not learned clearly: {score}")
    if _has_left_chance(readings, chance, rules):
        return Verdict(Fate.AT_CHANCE, f"back at chance after {step} steps: {score}")
    if in_training:
        return Verdict(in_training, f"{_describe_training_fate(in_training, readings[-1], chance)}: {score}")
    return Verdict(Fate.AT_CHANCE, f"still at chance after {step} steps: {score}")


def training_fate(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> Fate | None:
    """Return why a run that learned in training is at chance on the hold-out set; None where it did not learn there.

    Within the first pass every image is new to the net: a training loss well below guessing there shows that what it
    learns holds for images that it has not seen, if they are like those of the training set.
    """
    if readings[-1].batch_loss <= rules.clear_loss * chance.bar_loss:
        return Fate.INFERENCE_LAGS
    if not learns_in_training(readings, chance, rules):
        return None
    limit = rules.train_loss * chance.training_loss
    if any(reading.step > 0 and reading.passes <= 1 and reading.train_loss <= limit for reading in readings):
        return Fate.HOLDOUT_DIFFERS
    return Fate.MEMORISED


def _describe_training_fate(fate: Fate, last: Reading, chance: Chance) -> str:
    losses = f"the training loss is {_show_nats(last.train_loss)} (guessing {_show_nats(chance.training_loss)})"
    after = f"after {last.step} steps"
    if fate == Fate.INFERENCE_LAGS:
        return (
            f"learns, but inference lags behind {after}: {losses}, and the hold-out loss is "
            f"{_show_nats(last.batch_loss)} with batch statistics, {_show_nats(last.loss)} with the moving averages of "
            "batch normalisation"
        )
    if fate == Fate.HOLDOUT_DIFFERS:
        return (
            f"the hold-out set is unlike the training set: {losses}, and it fell within the first pass over the "
            f"images; on the hold-out set the net is at chance {after}"
        )
    others = ""
    if not isfinite(last.passes):
        others = ", or moving averages of batch normalisation lag behind"
    return (
        f"learns its training images alone: {losses}; on the hold-out set it is at chance {after}. It memorises them, "
        f"or the hold-out set is unlike them{others}"
    )


def _has_other_mix(chance: Chance) -> bool:
    """Return whether the hold-out classes are mixed so differently from those of the training set that a constant
    answer made for them scores much better than one made for these.
    """
    return isfinite(chance.constant_loss) and chance.constant_loss <= OTHER_MIX * chance.loss


def _describe_other_mix(last: Reading, chance: Chance) -> str:
    return (
        f"above chance after {last.step} steps, on a hold-out set of which the classes are mixed otherwise than in "
        f"training: its loss is below {_show_nats(chance.loss)}, that of guessing by the training set, and "
        f"{_show_nats(chance.constant_loss)} is that of the best answer that is the same for all images"
    )


def _describe_lag(last: Reading, chance: Chance) -> str:
    """Return what batch statistics would make of a score that moving averages spoil; empty where they do not."""
    if not chance.skill_score(last.batch_loss) - chance.skill_score(last.loss) >= LAG:
        return ""
    return (
        f"; inference lags behind: with batch statistics the loss is {_show_nats(last.batch_loss)}, so the moving "
        "averages of batch normalisation are too slow for so few steps, or those of the hold-out set are others"
    )


def is_learner(readings: Sequence[Reading], chance: Chance, rules: Rules = DEFAULT_RULES) -> bool:
    """Return whether a run trained to its end counts as a learner: above chance at the end, or a low loss at any
    time.

    That is more than have learned: a run that has left chance is not to be stopped as one that never will.
    """
    measured = [reading for reading in readings if reading.measured and reading.step > 0]
    last = measured[-rules.consecutive :]
    return _has_left_chance(measured, chance, rules) or _has_more_hits(last, chance, rules)


def _has_left_chance(readings: Sequence[Reading], chance: Chance, rules: Rules) -> bool:
    return lowest_loss(readings) <= rules.learned_loss * chance.bar_loss


def _has_more_hits(readings: Sequence[Reading], chance: Chance, rules: Rules, share: float = 0.5) -> bool:
    """Return whether the readings together have more than three times the hits of chance.

    Three times chance is more than all images where one class makes up a third of them: then a share of the way from
    chance to all will do.
    """
    count = sum(reading.count for reading in readings)
    if not chance.classes or not count:
        return False
    top1 = sum(reading.hits1 for reading in readings) / count
    return top1 > min(rules.learned_factor * chance.top1, chance.top1 + share * (1 - chance.top1))


def _scores_well(readings: Sequence[Reading], chance: Chance, rules: Rules) -> bool:
    """Return whether the readings together score well above chance, or have a loss well below it.

    In regression the loss alone tells. With few classes fewer hits will do where the loss is below that of guessing.
    """
    if not readings:
        return False
    if _end_loss(readings) <= rules.clear_loss * chance.bar_loss:
        return True
    last = readings[-1]
    if last.loss > rules.absurd_loss * chance.loss and not _is_right_halfway(readings, chance):
        return False
    if last.loss < chance.loss:
        share = rules.learned_share
    else:
        share = 0.5
    return _has_more_hits(readings, chance, rules, share) and above_chance(readings, chance) >= log(ENOUGH_EVIDENCE)


def _is_right_halfway(readings: Sequence[Reading], chance: Chance) -> bool:
    """Return whether hits are more than halfway from chance to all: such a net has learned, however large its loss, as
    one on unscaled inputs that is too sure of its few mistakes.
    """
    count = sum(reading.count for reading in readings)
    if not count or not chance.classes:
        return False
    return sum(reading.hits1 for reading in readings) / count > (1 + chance.top1) / 2


def _end_loss(readings: Sequence[Reading]) -> float:
    """Return the loss at the end: the last reading's, or the median of these where that is lower, since one reading may
    be a fluke. A loss that is no number counts as infinite.
    """
    losses = [reading.loss if isfinite(reading.loss) else inf for reading in readings]
    if not losses:
        return inf
    return min(losses[-1], median(losses))


def lowest_loss(readings: Sequence[Reading]) -> float:
    """Return the lowest loss of all readings after the first step that have one; infinite if none has."""
    losses = (reading.loss for reading in readings if reading.step > 0 and isfinite(reading.loss))
    return min(losses, default=inf)


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
        return f"loss {_show_nats(last.loss)} (guessing {_show_nats(chance.loss)}), best gain {best:z.1f} %"
    return (
        f"top-1 {_show_percent(last.top1)} (chance {_show_percent(chance.top1)}), "
        f"loss {_show_nats(last.loss)} (guessing {_show_nats(chance.loss)}), best gain {best:z.1f} %"
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
