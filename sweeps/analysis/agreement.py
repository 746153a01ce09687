"""How far rankings of the same candidates agree, and whether the first is ahead of the second by more than noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import atanh, sqrt, tanh

from scipy.special import ndtri

from sweeps.analysis.statistics import compute_deviation, half_width

FEWEST = 5  # candidates, below which the interval of tau is not defined
ROUNDING = 1e-12  # of values, below which differences between them differ by rounding alone


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration at one scale.

    Attributes:
        number: of its first trial in the study that is confirmed.
        values: the objective at the last reading, by replicate; of dead runs too.
        learned: how many of its runs did.
    """

    number: int
    words: str
    values: Mapping[int, float]
    learned: int

    @property
    def mean(self) -> float:
        """Return the mean of the values; there is at least one."""
        return sum(self.values.values()) / len(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation (n - 1) over the seeds; None of a single run."""
        return compute_deviation(self.values.values())


@dataclass(frozen=True, slots=True)
class Rank:
    """The candidates at one scale, the best first.

    Attributes:
        study: that ran them.
        seeds: replicates that were asked for; 1 in the study that is confirmed.
        seconds: of training, the mean of a run.
        done, trials: runs that have finished, and that were asked for.
    """

    study: str
    seeds: int
    candidates: tuple[Candidate, ...]
    seconds: float
    done: int
    trials: int

    def get_place(self, number: int) -> int:
        """Return a candidate's rank, from 1."""
        return 1 + [candidate.number for candidate in self.candidates].index(number)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the ranks of one scale agree with those of the reference.

    Attributes:
        tau: Kendall's tau-b.
        low, high: its 95 % interval: tanh(atanh(tau) -+ 1.96 sqrt(.437 / (n - 4))) (Fieller, Hartley and Pearson 1957,
            Biometrika 44, 470), tau first moved from +-1 by half of what one exchanged pair would take. About 95 %: 92
            to 99 in simulations of 5 to 30 candidates, less where tau is above .9. None of fewer than 5.
        regret: what is lost by taking its best for the reference's best, in the objective of the reference.
    """

    study: str
    n: int
    tau: float
    low: float | None
    high: float | None
    regret: float
    seconds: float

    @property
    def trusted(self) -> bool:
        """Return whether the ranks agree beyond what luck would give."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True, slots=True)
class Lead:
    """The best candidate of the reference against the next.

    Attributes:
        difference: of their means; above 0.
        low, high: its 95 % interval by Student's t of the differences within a replicate; None of a single seed,
            and of equal differences, which say nothing of how far seeds differ.
    """

    best: int
    following: int
    difference: float
    low: float | None
    high: float | None
    seeds: int

    @property
    def beyond_noise(self) -> bool:
        """Return whether the best is better than the next by more than their noise."""
        return self.low is not None and self.low > 0


def measure_agreement(rank: Rank, reference: Rank, better: int) -> Agreement | None:
    """Compare the ranks of the candidates that both studies have run; return None where these are fewer than two.

    Args:
        better: 1 where more is better, -1 where less is.
    """
    theirs = {candidate.number: candidate.mean for candidate in reference.candidates}
    ours = {candidate.number: candidate.mean for candidate in rank.candidates if candidate.number in theirs}
    if len(ours) < 2:
        return None
    from scipy.stats import kendalltau  # noqa: PLC0415  half a second, which every command would take

    order = list(ours)
    tau = float(kendalltau([ours[n] for n in order], [theirs[n] for n in order]).statistic)
    low, high = _compute_interval(tau, len(order)) if len(order) >= FEWEST else (None, None)
    chosen = max(order, key=lambda n: better * ours[n])
    regret = max(better * theirs[n] for n in order) - better * theirs[chosen]
    return Agreement(rank.study, len(order), tau, low, high, regret, rank.seconds)


def measure_lead(reference: Rank, better: int) -> Lead | None:
    """Return the best against the next, in the replicates that both have; None where there is one candidate only."""
    if len(reference.candidates) < 2:
        return None
    best, following = reference.candidates[:2]
    low, high, n = compare_seeds(best.values, following.values, better)
    if low is None:
        both = best.values.keys() & following.values.keys()
        mean = better * (best.mean - following.mean)
        if n > 1:
            mean = better * sum(best.values[seed] - following.values[seed] for seed in both) / n
        return Lead(best.number, following.number, mean, None, None, n)
    assert high is not None
    return Lead(best.number, following.number, (low + high) / 2, low, high, n)


def compare_seeds(
    first: Mapping[int, float], second: Mapping[int, float], better: int
) -> tuple[float | None, float | None, int]:
    """Return the 95 % interval by Student's t of how far the first is ahead, in the replicates that both have; and how
    many these are.

    None of fewer than two, and of equal differences, which say nothing of how far seeds differ.

    Args:
        first, second: the objective by replicate.
        better: 1 where more is better, -1 where less is.
    """
    both = sorted(first.keys() & second.keys())
    differences = [better * (first[seed] - second[seed]) for seed in both]
    n = len(differences)
    if n < 2:
        return None, None, n
    largest = max(abs(values[seed]) for values in (first, second) for seed in both)
    if max(differences) - min(differences) <= ROUNDING * largest:
        return None, None, n
    middle = sum(differences) / n
    half = half_width(compute_deviation(differences) or 0.0, n)
    return middle - half, middle + half, n


def compare_shares(first: float, second: float, images: int) -> float:
    """Return the lower end of the 95 % interval of the difference of two shares of the same number of images.

    This is the noise of the hold-out set alone (Wald's interval of independent shares); how far seeds differ comes on
    top.
    """
    spread = sqrt((first * (1 - first) + second * (1 - second)) / images)
    return first - second - float(ndtri(0.975)) * spread


def _compute_interval(tau: float, n: int) -> tuple[float, float]:
    most = 1 - 2 / (n * (n - 1))
    z = atanh(max(-most, min(most, tau)))
    half = float(ndtri(0.975)) * sqrt(0.437 / (n - 4))
    return min(tau, tanh(z - half)), max(tau, tanh(z + half))
