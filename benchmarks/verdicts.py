"""Replays recorded runs through the judge and through Optuna's pruners: what each saves, and which learners it stops.

    python benchmarks/verdicts.py benchmarks/recordings/*.jsonl.gz
    python benchmarks/verdicts.py my_runs.jsonl --json

Each file is a study, whose runs come in several random orders, since calibration learns as it goes; the figures are
means over the orders and sums over the files. A learner is a run that ends above three times chance in top-1, or whose
lowest loss is at most .98 of the prior's entropy (R^2 of .02); all others are dead. The best tenth (at least one) is of
a file's learners, by top-1 over their last three readings, or by loss where there are no hits.
"""

import argparse
import json
import math
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna

from sweeps.errors import SweepsError
from sweeps.verdict import Fate, Rules, calibration, recorded
from sweeps.verdict.judge import by_mechanism, is_learner, prognosis_at_chance
from sweeps.verdict.prognosis import kind_of
from sweeps.verdict.recorded import Recorded

ORDERS = 6
ECONOMY = Rules(economy=True)
BELOW = {False: str(Fate.AT_CHANCE), True: "not among the best"}  # why a run below the limit is stopped


@dataclass(frozen=True, slots=True)
class Run:
    """A recorded run and what the judge says of it, whatever the order.

    Attributes:
        rank: how good its end was; of learners only.
        mechanism: step and fate at which a mechanism stops it, if one does.
        diverged: the step at which it diverged; not even a control goes on from there.
        scores: step and prognosis at each reading that counts.
    """

    of: Recorded
    learner: bool
    rank: float
    mechanism: tuple[int, str] | None
    diverged: int | None
    scores: dict[bool, list[tuple[int, float]]]

    @classmethod
    def judged(cls, run: Recorded) -> "Run":
        """Judge every prefix of a run, once."""
        mechanism = diverged = None
        scores: dict[bool, list[tuple[int, float]]] = {False: [], True: []}
        for end, reading in enumerate(run.readings, start=1):
            so_far = run.readings[:end]
            if reading.step >= run.budget:
                break
            verdict = by_mechanism(so_far, run.chance, run.budget) if diverged is None else None
            if verdict and mechanism is None:
                mechanism = (reading.step, str(verdict.fate))
            if verdict and verdict.fate == Fate.DIVERGED:
                diverged = reading.step
            if reading.step >= ECONOMY.grace * run.budget:
                for rules in (Rules(), ECONOMY):
                    score = prognosis_at_chance(so_far, run.chance, run.budget, rules)
                    scores[rules.economy].append((reading.step, score))
        learner = is_learner(run.readings, run.chance)
        return cls(run, learner, _rank(run), mechanism, diverged, scores)

    def ended(self, stop: tuple[int, str] | None, safe: bool, rules: Rules) -> calibration.CalibrationPoint:
        """What `sweeps.verdict.ended` says of the run as far as it came, out of what is known of it."""
        scores = [score for step, score in self.scores[rules.economy] if stop is None or step <= stop[0]]
        learned = stop is None and self.learner and self.of.readings[-1].step >= self.of.budget
        return calibration.CalibrationPoint(min(scores, default=math.inf), learned, safe, self.of.best_skill_score)


Stops = list[tuple[int, str] | None]  # of each run the step and fate at which a rule stops it, None if it does not
Rule = Callable[[Sequence[Run], str], Stops]


def _rank(run: Recorded) -> float:
    top1 = [reading.top1 for reading in run.readings if reading.count and run.chance.classes][-3:]
    return statistics.mean(top1) if top1 else run.best_skill_score


@dataclass(slots=True)
class Tally:
    """Counts of a rule over files and orders."""

    saved: list[float] = field(default_factory=list)
    killed: list[bool] = field(default_factory=list)
    best_tenth: list[bool] = field(default_factory=list)
    best_quarter: list[bool] = field(default_factory=list)
    deaths: dict[str, list[float]] = field(default_factory=dict)

    def add(self, runs: Sequence[Run], stops: Sequence[tuple[int, str] | None]) -> None:
        """One order of one file: of each run the step and fate at which the rule stops it, None if it does not."""
        learners = sorted((run.rank for run in runs if run.learner), reverse=True)
        tenth, quarter = (learners[max(1, round(share * len(learners))) - 1 :][:1] for share in (0.1, 0.25))
        for run, stop in zip(runs, stops, strict=True):
            share = stop[0] / run.of.budget if stop else 1.0
            if stop:
                self.deaths.setdefault(stop[1], []).append(share)
            if not run.learner:
                self.saved.append(1 - share)
                continue
            self.killed.append(stop is not None)
            if run.rank >= tenth[0]:
                self.best_tenth.append(stop is not None)
            if run.rank >= quarter[0]:
                self.best_quarter.append(stop is not None)

    def summary(self) -> dict[str, object]:
        """Shares; dead and learners per order."""
        return {
            "dead": len(self.saved) // ORDERS,
            "learners": len(self.killed) // ORDERS,
            "dead_steps_saved": _share(self.saved),
            "learners_killed": _share(self.killed),
            "best_tenth_killed": _share(self.best_tenth),
            "best_quarter_killed": _share(self.best_quarter),
            "median_death": {fate: round(statistics.median(at), 3) for fate, at in sorted(self.deaths.items())},
        }


def _share(values: Sequence[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None


def sweeps_rule(runs: Sequence[Run], key: str, rules: Rules) -> Stops:
    """The judge as a worker asks it, run after run, each with the limit that the runs before it set."""
    history: list[calibration.CalibrationPoint] = []
    stops: Stops = []
    for number, run in enumerate(runs):
        limit = calibration.calibrated_limit(history, rules, kind_of(run.of.readings))
        control = calibration.is_control(key, number, rules)
        stop = (run.diverged, str(Fate.DIVERGED)) if control and run.diverged is not None else None
        if not control:
            below = next((step for step, score in run.scores[rules.economy] if score < limit.log_odds), math.inf)
            stop = run.mechanism if run.mechanism and run.mechanism[0] <= below else None
            stop = stop or ((int(below), BELOW[rules.economy]) if below < math.inf else None)
        stops.append(stop)
        history.append(run.ended(stop, control or limit == calibration.NO_LIMIT, rules))
    return stops


def mechanisms_rule(runs: Sequence[Run], _key: str) -> Stops:
    """The judge without a limit."""
    return [run.mechanism for run in runs]


def pruner_rule(make: Callable[[int], optuna.pruners.BasePruner], top1: bool = False) -> Rule:
    """One of Optuna's pruners, told the information gain at each reading, or the top-1."""

    def stops(runs: Sequence[Run], key: str) -> Stops:
        budget = max(run.of.budget for run in runs)
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(study_name=key, direction="maximize", pruner=make(budget), sampler=sampler)
        return [_pruned(study, run.of, top1) for run in runs]

    return stops


def _pruned(study: optuna.Study, run: Recorded, top1: bool) -> tuple[int, str] | None:
    trial = study.ask()
    value = -1.0
    for reading in run.readings:
        if reading.step == 0 or not reading.measured:
            continue
        value = reading.top1 if top1 else run.chance.skill_score(reading.loss)
        value = value if math.isfinite(value) else -1e9
        trial.report(value, reading.step)
        if reading.step < run.budget and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return reading.step, "outranked"
    study.tell(trial, value)
    return None


def rules_for(runs: Sequence[Run]) -> dict[str, Rule]:
    """The rules to compare; a fixed bar of accuracy needs hits, and one chance level."""
    pruners = optuna.pruners
    rules: dict[str, Rule] = {
        "sweeps": lambda runs, key: sweeps_rule(runs, key, Rules()),
        "economy": lambda runs, key: sweeps_rule(runs, key, ECONOMY),
        "mechanisms": mechanisms_rule,
        "median": pruner_rule(lambda _: pruners.MedianPruner()),
        "hyperband": pruner_rule(lambda budget: pruners.HyperbandPruner(max(1, budget // 25), budget, 3)),
        "successive_halving": pruner_rule(lambda _: pruners.SuccessiveHalvingPruner()),
    }
    if runs[0].of.chance.classes and any(reading.count for reading in runs[0].of.readings):
        bar = 2 * runs[0].of.chance.top1
        threshold = pruner_rule(
            lambda budget: pruners.ThresholdPruner(lower=bar, n_warmup_steps=int(0.4 * budget)), top1=True
        )
        rules["threshold"] = threshold
    return rules


def replay(path: Path, tallies: dict[str, Tally]) -> None:
    """Add a file's runs to the tallies."""
    runs = [Run.judged(run) for run in recorded.read_runs(path) if not run.superseded and run.readings]
    if not runs:
        return
    for name, rule in rules_for(runs).items():
        tally = tallies.setdefault(name, Tally())
        for order in range(ORDERS):
            shuffled = [runs[index] for index in np.random.default_rng(order).permutation(len(runs))]
            tally.add(shuffled, rule(shuffled, f"{path.stem}/{order}"))


def table(tallies: dict[str, Tally]) -> str:
    """For people, in Markdown."""
    lines = [
        "| rule | dead | learners | dead steps saved | learners killed | best tenth | best quarter | median death |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        each = tally.summary()
        shares = ("dead_steps_saved", "learners_killed", "best_tenth_killed", "best_quarter_killed")
        shown = [f"{each[key]:.1%}" if each[key] is not None else "-" for key in shares]
        deaths = ", ".join(f"{fate} {at:.0%}" for fate, at in each["median_death"].items())  # type: ignore[attr-defined]
        lines.append(f"| {name} | {each['dead']} | {each['learners']} | {' | '.join(shown)} | {deaths} |")
    return "\n".join(lines)


def main() -> None:
    """Replay, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="recorded runs, .jsonl or .jsonl.gz")
    parser.add_argument("--json", action="store_true", help="for machines")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    tallies = {name: Tally() for name in ("sweeps", "economy", "mechanisms")}
    for path in args.files:
        try:
            replay(path, tallies)
        except SweepsError as exc:
            sys.exit(str(exc))
    if args.json:
        print(json.dumps({"rules": {name: tally.summary() for name, tally in tallies.items()}}, indent=2))
    else:
        print(table(tallies))


if __name__ == "__main__":
    main()
