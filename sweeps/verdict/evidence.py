"""Evidence that a run is above chance, or is not: tests that hold at any number of readings.

An e-value is a number that is never negative and whose expectation is at most 1 where the null hypothesis is true. By
Markov's inequality it reaches 1 / alpha there with probability at most alpha. Every reading uses the same hold-out
images, so readings depend on each other in a way that nobody knows, and their e-values must not be multiplied: the
bound of Ville (1939) for products requires e-values whose expectation is at most 1 given all readings before. A
weighted mean of e-values is an e-value however they depend on each other (Vovk & Wang 2021, "E-values: calibration,
combination and applications", Annals of Statistics 49(3)). The weight of reading j is 1 / (j (j + 1)); over all
readings the weights sum to 1.

Readings are numbered from the first after training began: the reading at step 0 tells of the initialiser. The tests
assume that nothing a run does depends on the hold-out images. A search that chose its hyperparameters by them leaks a
little.
"""

from collections.abc import Iterable, Sequence
from math import log, log1p, nan, sqrt
from statistics import NormalDist

import numpy as np

from sweeps.readings import Reading
from sweeps.verdict.chance import Chance

# The top-1 against which chance is held: so many times chance or, where ten times does not exist, such shares of the
# way from chance to 1. Equal weights.
RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0)
SHARES = (0.05, 0.1, 0.2, 0.4)
# Of chance's loss. A smaller spread is rounding: float32 leaves an error of about 5e-4 in a root of mean squares.
LEAST_SPREAD = 1e-3


def above_chance(readings: Sequence[Reading], chance: Chance) -> float:
    """Return the natural logarithm of the evidence so far that the predictions have to do with the labels.

    The null hypothesis is that they are independent, so that hits are binomial with `chance.top1` or fewer. Then the
    probability that this ever reaches ln(1 / alpha), at any number of readings and in whatever way they depend on each
    other, is at most alpha. It holds for a run that is never above chance; one that was above it once keeps the
    evidence, which never falls from reading to reading.

    The e-value of a reading is the likelihood ratio of a higher top-1 to chance (Wald 1945, "Sequential tests of
    statistical hypotheses"), averaged over several (a mixture, as in Robbins 1970, "Statistical methods related to the
    law of the iterated logarithm"). Its expectation is at most 1 if the labels are independent of each other given the
    predictions, each class with a probability of at most `chance.top1`; hits that differ in probability from image to
    image only lower it. Labels in a fixed number of each class and predictions in a fixed number too are a little off
    that: with two balanced classes, both halved exactly, it is 1.03.

    Returns:
        0, an e-value of 1 and no evidence, where there is nothing to judge: no reading, regression, or a hold-out set
        of one class. Below 0 where the hits speak for chance, as without any hit.
    """
    measured = _evaluated(readings)
    if not measured or not 0 < chance.top1 < 1:
        return 0.0
    tops = _alternative_shares(chance.top1)
    terms = []
    for number, reading in enumerate(measured, 1):
        ratios = [_log_ratio(reading, top, chance.top1) for top in tops]
        terms.append(_log_sum(ratios) - log(len(tops)) - log(number * (number + 1)))
    return _log_sum(terms)


def loss_below_prior(readings: Sequence[Reading], chance: Chance, alpha: float) -> bool:
    """Return whether the hold-out loss was at any reading below that of guessing by more than its sampling error.

    At each reading the mean loss is tested against that of guessing with the normal distribution, one-sided, at the
    level alpha times the weight of the reading; by the union bound a run whose true loss is never below chance's passes
    at any reading with probability at most alpha. This is asymptotic, by the central limit theorem: skewed losses of
    few images pass too often. Simulated exponential losses passed at 0.05 in 11 % of runs with 256 images, 7 % with
    1024 and 5.5 % with 10 000, over 50 independent readings; in 3.8 %, 3.0 % and 2.6 % where all readings were the
    same.

    It holds for squared errors in regression as well (R^2 above 0). Guessing counts as known: it is `chance.bar_loss`,
    below which no answer is that ignores the images.

    Readings whose spread is not known are left out, but keep their number: a level must not depend on what was seen.

    Args:
        alpha: between 0 and 1.
    """
    for number, reading in enumerate(_evaluated(readings), 1):
        quantile = -NormalDist().inv_cdf(alpha / (number * (number + 1)))
        if reading.loss_std >= 0:
            spread = max(reading.loss_std, LEAST_SPREAD * chance.bar_loss)
        else:
            spread = nan
        if chance.bar_loss - reading.loss > quantile * spread / sqrt(reading.count):
            return True
    return False


def _evaluated(readings: Sequence[Reading]) -> list[Reading]:
    return [reading for reading in readings if reading.step > 0 and reading.count > 0]


def _alternative_shares(top1: float) -> list[float]:
    if max(RATIOS) * top1 < 1:
        return [ratio * top1 for ratio in RATIOS]
    return [top1 + share * (1 - top1) for share in SHARES]


def _log_ratio(reading: Reading, top1: float, other: float) -> float:
    """Logarithm of how much more probable the hits are at `top1` than at the `other`."""
    misses = reading.count - reading.hits1
    return reading.hits1 * log(top1 / other) + misses * (log1p(-top1) - log1p(-other))


def _log_sum(logarithms: Iterable[float]) -> float:
    """Logarithm of the sum of exponentials, which themselves may be too large for a float."""
    return float(np.logaddexp.reduce(list(logarithms)))
