"""Is alpha kept? Runs that are made up, so that it is known who would have learned.

    python benchmarks/synthetic.py                    # alpha .01 and .05; about five minutes

Losses and hits are those of a predictor of 10 classes on a noisy hold-out set of 256 images: at chance while the
plateau lasts, then better and better; the dead stay on it. Plateaus are none, short (up to a third of the budget) or
long (up to nine tenths). Runs come one after the other, each judged with the limit that those before it set. With
--layers they have layers too, which are well throughout: nothing in them tells a learner from a corpse.
"""

import argparse
from collections.abc import Sequence
from math import exp, log, nan

import numpy as np
from verdicts import Run, sweeps_rule

from sweeps.readings import LayerVitals, Reading
from sweeps.verdict import Chance, Rules
from sweeps.verdict.recorded import Recorded

CLASSES, IMAGES, BUDGET, INTERVAL = 10, 256, 500, 20
CHANCE = Chance.balanced(CLASSES)
PLATEAUS = {"none": 0.0, "short": 1 / 3, "long": 0.9}


def run(rng: np.random.Generator, number: int, dead: bool, longest: float, layers: bool) -> Recorded:
    """One run; what it has learned after the plateau is 1 - exp(-t) of what there is to learn."""
    escape = np.inf if dead else rng.uniform(0, longest) * BUDGET
    speed = rng.lognormal(log(BUDGET / 5), 0.5)
    readings = []
    offset = rng.normal(0, 0.01)  # of a fixed sample of images: the same at every reading
    for step in range(0, BUDGET + 1, INTERVAL):
        learned = 1 - exp(-max(0.0, step - escape) / speed)
        hits = rng.binomial(IMAGES, 1 / CLASSES + 0.8 * learned * (1 - 1 / CLASSES))
        loss = CHANCE.loss * (1 - 0.8 * learned) + offset + rng.normal(0, 0.005)
        readings.append(_reading(step, float(loss), int(hits), _layers(rng) if layers else ()))
    return Recorded(str(number), tuple(readings), CHANCE, BUDGET, {})


def _layers(rng: np.random.Generator) -> tuple[LayerVitals, ...]:
    signals = rng.normal(0.4, 0.02, 6).tolist()
    return tuple(LayerVitals(f"layer_{index}", 0.0, 1.0, each, 0.0, nan, nan) for index, each in enumerate(signals))


def _reading(step: int, loss: float, hits: int, layers: tuple[LayerVitals, ...]) -> Reading:
    return Reading(step, loss if step else nan, loss, hits, 0, IMAGES, nan, nan, True, nan, layers)


def population(seed: int, runs: int, dead: float, longest: float, layers: bool = False) -> list[Recorded]:
    """So many runs, of which this share is dead."""
    rng = np.random.default_rng(seed)
    return [run(rng, number, bool(rng.random() < dead), longest, layers) for number in range(runs)]


def outcome(runs: Sequence[Recorded], key: str, rules: Rules) -> tuple[int, int, float, int]:
    """Learners, learners stopped, dead steps saved, dead."""
    judged = [Run.judged(each) for each in runs]
    stops = sweeps_rule(judged, key, rules)
    learners = [stop is not None for each, stop in zip(judged, stops, strict=True) if each.learner]
    pairs = [(each, stop) for each, stop in zip(judged, stops, strict=True) if not each.learner]
    saved = sum(1 - stop[0] / BUDGET for _, stop in pairs if stop)
    return len(learners), sum(learners), saved, len(pairs)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="of a study")
    parser.add_argument("--layers", action="store_true", help="give every run layers that are well")
    parser.add_argument("--studies", type=int, default=5, help="of each kind")
    args = parser.parse_args()
    print("| alpha | dead | plateaus | learners | of them stopped | dead steps saved |\n|---|---|---|---|---|---|")
    for alpha in (0.01, 0.05):
        rules = Rules(alpha=alpha)
        for dead in (0.0, 0.5, 0.9, 1.0):
            for name, longest in PLATEAUS.items():
                ends = [
                    outcome(
                        population(seed, args.runs, dead, longest, args.layers),
                        f"{name}/{dead}/{seed}",
                        rules,
                    )
                    for seed in range(args.studies)
                ]
                learners, stopped, saved, corpses = (sum(column) for column in zip(*ends, strict=True))
                shares = [
                    f"{stopped / learners:.1%}" if learners else "-",
                    f"{saved / corpses:.0%}" if corpses else "-",
                ]
                print(f"| {alpha:g} | {dead:.0%} | {name} | {learners} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
