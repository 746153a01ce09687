"""Fits the prognosis (sweeps/verdict/prognosis.py) to recorded runs, and says how good it is on runs left out.

    python benchmarks/fit_prognosis.py benchmarks/recordings/*.jsonl.gz --check     # cross-validation only
    python benchmarks/fit_prognosis.py benchmarks/recordings/*.jsonl.gz     # writes sweeps/verdict/prognosis.npz

Each run is fitted as it is, and again without what other people's records may lack: layers, then hits too. The lowest
prognosis of each learner, by trees that were fitted without its run, is kept beside the trees: it is what a limit is
read off (sweeps/verdict/calibration.py).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

from sweeps.verdict import recorded
from sweeps.verdict.features import NAMES, features_of
from sweeps.verdict.judge import DEFAULT_RULES, is_learner, shows_life
from sweeps.verdict.recorded import Recorded

TARGET = Path(__file__).parent.parent / "sweeps" / "verdict" / "prognosis.npz"
# More of these never speaks against a run.
RISING = {
    "gain", "best_gain", "projected", "hits_recent", "hits_all", "signal", "signal_lowest", "above_lowest", "rising",
    "slope",
}  # fmt: skip
HITS = [NAMES.index(name) for name in ("hits_recent", "hits_all")]
LOSS = [NAMES.index(name) for name in NAMES[: NAMES.index("hits_recent")]]
KINDS: dict[str, list[int]] = {"full": list(range(len(NAMES))), "hits": [*LOSS, *HITS], "loss": LOSS}
FOLDS = 10


def model() -> HistGradientBoostingClassifier:
    """Small trees, slowly, each split seeing half of the features: several hundred runs are not many."""
    return HistGradientBoostingClassifier(
        max_iter=320,
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=40,
        l2_regularization=1.0,
        max_features=0.5,
        monotonic_cst=[int(name in RISING) for name in NAMES],
        random_state=0,
    )


def rows(runs: Sequence[Recorded]) -> Iterator[tuple[int, float, bool, NDArray[np.float64]]]:
    """Run, progress, whether it has shown that it learns, and features, of each reading that may stop a run."""
    for index, run in enumerate(runs):
        for count, reading in enumerate(run.readings, start=1):
            progress, so_far = reading.step / run.budget, run.readings[:count]
            if DEFAULT_RULES.grace <= progress < 1:
                safe = shows_life(so_far, run.chance)
                yield index, progress, safe, features_of(so_far, run.budget, run.chance)


def best_quarter(runs: Sequence[Recorded]) -> NDArray[np.bool_]:
    """Which runs of a collection are among the best quarter of its learners, by their best loss."""
    learner = np.array([is_learner(run.readings, run.chance) for run in runs])
    gain = np.array([run.best_skill_score for run in runs])
    order = sorted(np.flatnonzero(learner), key=lambda index: -gain[index])
    best = np.zeros(len(runs), np.bool_)
    best[order[: -(-len(order) // 4)]] = True
    return best


def masked(table: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """The table with everything but this kind's features missing."""
    left = np.full_like(table, np.nan)
    left[:, KINDS[kind]] = table[:, KINDS[kind]]
    return left


def fitted(table: NDArray[np.float64], run: NDArray[np.int64], learner: NDArray[np.bool_]) -> Any:
    """Fit all kinds together; every run weighs the same, however often it was looked at."""
    weight = 1 / np.bincount(run)[run]
    share = {"full": 1.0, "hits": 0.3, "loss": 0.3}
    tables = [masked(table, kind) for kind in KINDS]
    weights = np.concatenate([weight * share[kind] for kind in KINDS])
    return model().fit(np.concatenate(tables), np.tile(learner, len(KINDS)), sample_weight=weights / weights.mean())


def out_of_fold(table: NDArray[np.float64], run: NDArray[np.int64], learner: NDArray[np.bool_]) -> dict[str, Any]:
    """Log odds per kind, each row by trees that were fitted without its run."""
    odds = {kind: np.zeros(len(run)) for kind in KINDS}
    for known, unknown in GroupKFold(FOLDS, shuffle=True, random_state=0).split(table, learner, run):
        trees = fitted(table[known], run[known], learner[known])
        for kind in KINDS:
            odds[kind][unknown] = trees.decision_function(masked(table[unknown], kind))
    return odds


def arrays(trees: HistGradientBoostingClassifier) -> dict[str, Any]:
    """The fitted trees as `prognosis.Trees` has them."""
    nodes = [stage[0].nodes for stage in trees._predictors]
    shape = (len(nodes), max(map(len, nodes)))
    names = {"feature": "feature_idx", "threshold": "num_threshold", "missing_left": "missing_go_to_left"}
    table: dict[str, Any] = {name: np.zeros(shape) for name in (*names, "left", "right", "value")}
    for tree, each in enumerate(nodes):
        place, leaf, size = np.arange(len(each)), each["is_leaf"] == 1, len(each)
        for name, theirs in names.items():
            table[name][tree, :size] = np.where(leaf, 0, each[theirs])
        for side in ("left", "right"):
            table[side][tree, :size] = np.where(leaf, place, each[side])
        table["value"][tree, :size] = np.where(leaf, each["value"], 0)
    kinds = {"feature": np.int16, "missing_left": np.bool_, "left": np.int16, "right": np.int16}
    table = {name: values.astype(kinds.get(name, np.float64)) for name, values in table.items()}
    return {**table, "baseline": np.float64(trees._baseline_prediction.item())}


def lowest(odds: NDArray[np.float64], run: NDArray[np.int64], runs: int) -> NDArray[np.float64]:
    """Each run's lowest log odds."""
    least = np.full(runs, np.inf)
    np.minimum.at(least, run, odds)
    return least


def frontier(
    odds: NDArray[np.float64],
    run: NDArray[np.int64],
    at: NDArray[np.float64],
    kept: NDArray[np.bool_],
    learner: NDArray[np.bool_],
) -> str:
    """Share of the dead's steps saved where a limit kills this share of those to be kept."""
    least = np.sort(lowest(odds, run, len(learner))[kept])
    shown = []
    for share in (0.0, 0.01, 0.02, 0.05, 0.1):
        limit = least[int(share * len(least))]
        dead = [index for index, learns in enumerate(learner) if not learns]
        saved = [1 - min(at[(run == index) & (odds < limit)], default=1.0) for index in dead]
        shown.append(f"{share:.0%} {np.mean(saved) if saved else float('nan'):.3f} ({limit:.2f})")
    return "  ".join(shown)


def main() -> None:
    """Cross-validate, then fit and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="recorded runs, .jsonl or .jsonl.gz")
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    collections = [[run for run in recorded.read_runs(path) if run.is_whole] for path in args.files]
    runs = [run for collection in collections for run in collection]
    learner = np.array([is_learner(run.readings, run.chance) for run in runs])
    best = np.concatenate([best_quarter(collection) for collection in collections])
    run, at, safe, table = (np.array(column) for column in zip(*rows(runs), strict=True))
    print(f"{learner.sum()} learners, {(~learner).sum()} dead; of those to be kept, killed: dead steps saved (limit)")
    kept: dict[str, Any] = {}
    for name, target in (("learner", learner), ("best", best)):
        odds = out_of_fold(table, run, target[run])
        for kind in KINDS:
            shown = np.where(safe if name == "learner" else False, np.inf, odds[kind])
            print(f"{name:7} {kind:5} {frontier(shown, run, at, target, learner)}")
            kept[f"{'learners' if name == 'learner' else 'best'}_{kind}"] = lowest(shown, run, len(runs))[target]
        kept |= {f"{name}_{field}": values for field, values in arrays(fitted(table, run, target[run])).items()}
    if not args.check:
        np.savez_compressed(TARGET, **kept)
        print(TARGET)


if __name__ == "__main__":
    main()
