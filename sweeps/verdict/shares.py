"""Shares of runs that learned: how sure one is, and whether two of them differ."""

from math import comb, sqrt

Z = 1.959964  # of the normal distribution, 97.5 % are below it


def fisher_p_value(learned: int, tried: int, learned_before: int, tried_before: int) -> float:
    """Return the p-value of Fisher's exact test (1922), one-sided: the probability that so many or more of the learned
    are among `tried`.
    """
    total = learned + learned_before
    both = tried + tried_before
    term = tail = comb(tried, learned) * comb(tried_before, learned_before)
    for count in range(learned, min(tried, total)):  # each term from the one before: a binomial of thousands is slow
        term = term * (tried - count) * (total - count) // ((count + 1) * (tried_before - total + count + 1))
        tail += term
    return tail / comb(both, total)


def wilson_lower(learned: int, tried: int) -> float:
    """Return the lower end of the 95 % interval of the share that learns (Wilson 1927); 0 where none was tried."""
    if not learned:
        return 0.0
    share = learned / tried
    spread = Z * sqrt(share * (1 - share) / tried + (Z / (2 * tried)) ** 2)
    return (share + Z**2 / (2 * tried) - spread) / (1 + Z**2 / tried)


def wilson_interval(learned: int, tried: int) -> tuple[float, float]:
    """Return both ends of the 95 % interval of the share that learns: [0, 1] where none was tried."""
    return wilson_lower(learned, tried), 1 - wilson_lower(tried - learned, tried)
