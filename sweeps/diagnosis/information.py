"""How much a hyperparameter tells of the outcome, and how much it would by luck."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
PERMUTATIONS = 200  # of the outcome


def measure_information(codes: NDArray[np.intp], learned: Mask) -> Floats:
    """Return the mutual information (nats) of the codes with the outcome, and with each permutation of it."""
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    levels = np.eye(len(counts), dtype=np.float32)[codes]  # float32 counts up to 16 million exactly
    shares = (_permute_outcomes(learned.tobytes()) @ levels).astype(np.float64) / counts
    return _compute_entropy(learned.mean()) - _compute_entropy(shares) @ counts / len(codes)


def share_of(information: Floats, learned: Mask) -> float:
    """Return the first beyond the mean of the others, over the outcome's entropy; not below 0."""
    return max(0.0, float((information[0] - information[1:].mean()) / _compute_entropy(learned.mean())))


@lru_cache(maxsize=2)
def _permute_outcomes(learned: bytes) -> NDArray[np.float32]:
    """Return the outcome, then each permutation of it, the same for all hyperparameters: (1 + permutations, trials)."""
    outcome = np.frombuffer(learned, dtype=np.bool_)
    shuffled = np.random.default_rng(0).permuted(np.tile(outcome, (PERMUTATIONS, 1)), axis=1)
    return np.vstack([outcome, shuffled]).astype(np.float32)


def _compute_entropy(share: Floats) -> Floats:
    parts = np.stack([share, 1 - share])
    return np.asarray(-np.sum(parts * np.log(np.where(parts > 0, parts, 1)), axis=0))
