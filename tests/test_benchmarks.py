"""The programs that verdicts are measured by, on the recorded runs and on runs that are made up."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.verdict import Rules, recorded
from sweeps.verdict.features import NAMES
from sweeps.verdict.judge import by_mechanism, is_learner
from sweeps.verdict.prognosis import Trees
from sweeps.verdict.recorded import Recorded

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RECORDINGS = sorted((BENCHMARKS / "recordings").glob("*.jsonl.gz"))
sys.path.insert(0, str(BENCHMARKS))

import fit_prognosis  # noqa: E402
import synthetic  # noqa: E402
import verdicts  # noqa: E402

pytestmark = pytest.mark.slow


def replayed(*files: Path) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / "verdicts.py"), *map(str, files), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["rules"]  # type: ignore[no-any-return]


def test_there_are_recordings() -> None:
    assert sum(len(list(recorded.read_runs(path))) for path in RECORDINGS) >= 150


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name.split(".")[0])
def test_no_recorded_learner_that_had_not_yet_learned_is_stopped_by_a_mechanism(path: Path) -> None:
    for run in recorded.read_runs(path):
        if not is_learner(run.readings, run.chance):
            continue
        for end in range(1, len(run.readings)):
            so_far = run.readings[:end]
            if not is_learner(so_far, run.chance):
                assert by_mechanism(so_far, run.chance, run.budget) is None, f"{run.id} at {so_far[-1].step}"


def test_the_trees_are_those_that_scikit_learn_fitted() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(600, len(NAMES)))
    table[rng.random(table.shape) < 0.2] = np.nan
    learner = np.nan_to_num(table[:, 0] + table[:, 1] * table[:, 2]) > 0
    fitted = fit_prognosis.model().fit(table, learner)
    trees = Trees(**fit_prognosis.arrays(fitted))
    assert np.allclose([trees.log_odds(row) for row in table[:100]], fitted.decision_function(table[:100]), atol=1e-9)


def test_a_replay_counts_what_it_says() -> None:
    path = next(path for path in RECORDINGS if path.name.startswith("digits_10"))
    runs = list(recorded.read_runs(path))
    learners = sum(is_learner(run.readings, run.chance) for run in runs)
    rules = replayed(path)
    assert {"sweeps", "economy", "mechanisms", "median", "hyperband", "successive_halving", "threshold"} == set(rules)
    for each in rules.values():
        assert (each["learners"], each["dead"]) == (learners, len(runs) - learners)
        assert 0 <= each["dead_steps_saved"] <= 1
    assert rules["sweeps"]["learners_killed"] <= 0.01
    assert rules["sweeps"]["best_tenth_killed"] == 0


def test_other_peoples_records_are_taken_with_what_they_hold(tmp_path: Path) -> None:
    loss_alone = {"id": 1, "task": {"classes": 25}, "looks": [{"step": s, "loss": 3.22} for s in range(0, 50, 10)]}
    regression = {"id": 2, "task": {"kind": "regression"}, "looks": [{"step": s, "loss": 1.1} for s in (1, 2, 3)]}
    for index, each in enumerate((loss_alone, regression)):
        (tmp_path / f"{index}.jsonl").write_text(json.dumps(each) + "\n")
    (tmp_path / "empty.jsonl").write_text("")
    rules = replayed(*sorted(tmp_path.glob("*.jsonl")))
    assert rules["sweeps"]["dead"] == 2
    assert rules["sweeps"]["learners_killed"] is None


def test_the_replay_stops_where_the_judge_does() -> None:
    runs = [verdicts.Run.judged(run) for run in synthetic.population(0, 12, 0.5, 0.3, layers=True)]
    stops = verdicts.mechanisms_rule(runs, "")
    for run, stop in zip(runs, stops, strict=True):
        of: Recorded = run.of
        steps = [
            of.readings[end - 1].step
            for end in range(1, len(of.readings))
            if by_mechanism(of.readings[:end], of.chance, of.budget)
        ]
        assert (stop[0] if stop else None) == (steps[0] if steps else None)


@pytest.mark.parametrize("dead", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("plateau", synthetic.PLATEAUS)
@pytest.mark.parametrize("layers", [False, True])
def test_alpha_is_kept(dead: float, plateau: str, layers: bool) -> None:
    runs = synthetic.population(1, 150, dead, synthetic.PLATEAUS[plateau], layers)
    learners, stopped, *_ = synthetic.outcome(runs, f"{plateau}/{dead}", Rules())
    assert stopped <= 0.01 * learners + 2, "two more is chance"


@pytest.mark.parametrize("layers", [False, True])
def test_of_the_dead_alone_none_is_counted_as_a_learner(layers: bool) -> None:
    runs = synthetic.population(1, 150, 1.0, synthetic.PLATEAUS["none"], layers)
    assert synthetic.outcome(runs, "none/1.0", Rules())[:2] == (0, 0)


def test_the_store_is_measured_beside_plain_optuna(tmp_path: Path) -> None:
    words = ["--stores", "sqlite", "--workers", "2", "--seconds", "0.3", "--sleep-ms", "1", "--history", "30"]
    command = [sys.executable, str(BENCHMARKS / "store.py"), *words, "--asks", "1", "--json", str(tmp_path / "json")]
    subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads((tmp_path / "json").read_text())
    assert found["census"]["sqlite"]["ours"]["statements"] < found["census"]["sqlite"]["plain"]["statements"]
    for each in found["contests"]:
        assert each["of"]["ours"]["finished"] > 0
        assert not any(of["errors"] for of in each["of"].values())
    (history,) = found["history"]
    assert history["of"]["TPESampler"]["ours"]["ask"] > 0
