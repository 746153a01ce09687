"""Calibration: from the prognoses of runs that did learn to a limit below which a run is stopped.

Each learner has one number: its lowest prognosis while it was at chance. If the learners of a study are exchangeable
(their order says nothing), a new learner's lowest is below the k-th lowest of n others with probability at most
k / (n + 1) (conformal prediction: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", chapter 2;
Lei et al. 2018, JASA 113). One number per run makes this hold over all readings together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from math import floor, inf

import numpy as np
from numpy.typing import NDArray

from sweeps.verdict.prognosis import fitted_array
from sweeps.verdict.rules import Rules

OWN_WEIGHT = 10  # recorded learners that one of the study's own counts for
EVEN = 0.0  # log odds
FEWEST_OWN = 3  # learners of the study before the recorded ones are believed to be like them
# Alpha as far as the recorded learners are asked; for more the study's own controls are. At .006 some 1 % of the
# learners of a collection were stopped by limits from the others: they are not quite alike.
MOST_ON_TRUST = 0.006
# Evidence that they are not, from which on they are not believed: wrongly in at most one study of three.
DOUBT = 3.0
POWERS = (0.2, 0.4, 0.6, 0.8)  # of the bets that the evidence is a mixture of


@dataclass(frozen=True, slots=True)
class CalibrationPoint:
    """What calibration keeps of a finished run.

    Attributes:
        lowest: its lowest prognosis (log odds) while at chance; infinite if it was never looked at there.
        learned: whether it was a learner at its end; one that was stopped was not.
        control: whether it could not have been stopped: only such runs tell what stopping loses.
        gain: its best information gain, or R^2.
    """

    lowest: float
    learned: bool
    control: bool
    gain: float


@dataclass(frozen=True, slots=True)
class Limit:
    """Below which log odds a run at chance is stopped, and whose runs say so.

    Attributes:
        log_odds: minus infinity where no run is stopped for its prognosis.
        grounds: in words, for the reason of a verdict.
    """

    log_odds: float
    grounds: str


NO_LIMIT = Limit(-inf, "no limit")


def is_control(study: str, number: int, rules: Rules) -> bool:
    """Return whether a study's run of this number is a control: evenly spread, and the same answer wherever it is
    asked.
    """
    if rules.economy:
        share = rules.control / 5
    else:
        share = rules.control
    start = int.from_bytes(blake2b(study.encode(), digest_size=8).digest()) / 2**64
    return floor(start + (number + 1) * share) > floor(start + number * share)


@cache
def recorded_learners(economy: bool, kind: str) -> NDArray[np.float64]:
    """Return the lowest prognoses of the recorded learners (of the best quarter of them), by trees that had not seen
    them.

    Args:
        kind: what the readings hold: `full`, `hits` (no layers) or `loss` (alone).
    """
    runs = "learners"
    if economy:
        runs = "best"
    return np.sort(fitted_array(f"{runs}_{kind}").astype(np.float64))


def calibrated_limit(ended: Sequence[CalibrationPoint], rules: Rules, kind: str = "full") -> Limit:
    """Return the limit for the next run of a study.

    With 1 / alpha - 1 learners among the controls it is theirs alone, and the probability that a learner is stopped is
    at most alpha, assuming exchangeability: that the sampler does not drift to learners of another kind. Before that
    the recorded learners speak for the study's too, if layers were watched, a few have learned and nothing says that
    they are of another kind (see `doubt`); but never above a prognosis from which a control learned. Losses and hits
    alone tell too little of why a run is at chance: then nothing is taken on trust. A run that is more likely to learn
    than not is never stopped, however early all others did.

    In economy mode only the best quarter of the learners is kept safe, and nothing is waited for.

    Args:
        ended: the finished runs of the study, in their order.
        kind: see `recorded_learners`.
    """
    learners = [run for run in ended if run.learned]
    if rules.economy:
        learners = sorted(learners, key=lambda run: -run.gain)[: -(-len(learners) // 4)]
    controls = np.sort([run.lowest for run in learners if run.control])
    if len(controls) + 1 >= 1 / rules.alpha:
        place = floor(rules.alpha * (len(controls) + 1)) - 1
        if rules.economy:
            value = float(controls[place])
        else:
            value = min(float(controls[place]), EVEN)
        return Limit(value, f"{len(controls)} learners of this study that could not be stopped")
    recorded = recorded_learners(rules.economy, kind)
    own = np.array([run.lowest for run in learners])
    if not rules.economy and (kind != "full" or len(own) < FEWEST_OWN or doubt(recorded, own) >= DOUBT):
        return NO_LIMIT
    pooled = np.concatenate([recorded, own])
    weights = np.concatenate([np.ones(len(recorded)), np.full(len(own), float(OWN_WEIGHT))])
    if rules.economy:
        share = rules.alpha
    else:
        share = min(rules.alpha, MOST_ON_TRUST)
    value = min([_weighted_quantile(pooled, weights, share), *controls[:1]])
    return Limit(value, f"{len(recorded)} recorded learners and {len(learners)} of this study")


def doubt(recorded: NDArray[np.float64], own: NDArray[np.float64]) -> float:
    """Evidence that a study's learners come from lower prognoses than the recorded ones.

    Each is ranked among the recorded, which makes its rank uniform if they are exchangeable; a bet that pays where
    ranks are small then wins nothing on average, whatever their number: by Ville's inequality it ever reaches 1 / p
    with probability at most p (the simple mixture of power martingales of Vovk, Nouretdinov & Gammerman 2003, "Testing
    exchangeability on-line", ICML). Of runs that could be stopped the lowest are missing, which hides a little of it.

    Args:
        recorded: sorted.
        own: the lowest prognoses of the study's learners, in the order in which they ended.
    """
    ranks = (1 + np.searchsorted(recorded, own, side="right")) / (len(recorded) + 1)
    bets = [np.exp(np.sum(np.log(power) + (power - 1) * np.log(ranks))) for power in POWERS]
    return float(np.mean(bets))


def _weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Return the largest of the values up to which, itself included, lies at most this share of all weight and one
    more's.
    """
    order = np.argsort(values)
    up_to = np.cumsum(weights[order]) / (weights.sum() + weights.max())
    places = np.searchsorted(up_to, share, side="right")
    if places:
        return float(values[order][places - 1])
    return -inf
