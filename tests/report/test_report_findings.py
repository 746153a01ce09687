"""The numbers and the answer of a report, of studies that were made up by hand; the same in a terminal."""

from collections import Counter
from math import sqrt
from statistics import mean, stdev

import fakes
import pytest
from rich.console import Console
from studies import STEPS, config_of, looks, material, mixed, space, trial

from sweeps.report import findings, text
from sweeps.report.answer import write_answer
from sweeps.report.findings import Controls, StudyFindings
from sweeps.report.levels import Count
from sweeps.space import file
from sweeps.space.space import Space

SPACE = space("budget.trials=24")
EPOCHS = fakes.TINY.replace("steps = 6", "epochs = 4").replace("report_interval = 2", "")
NUMBERS = """
[study]
name = "numbers"
objective = "r2"
[budget]
trials = 3
steps = 100
report_interval = 20
holdout_images = 64
[data]
source = "diabetes"
task = "regression"
images = 300
[model]
architecture = "dense"
[space]
activation = "relu"
learning_rate = { low = 1e-3, high = 1e-2, log = true }
batch_size = 32
"""


@pytest.fixture(scope="module")
def found() -> StudyFindings:
    return findings.find_results(material(SPACE, mixed(SPACE)))


def said(of: StudyFindings) -> str:
    return " ".join(write_answer(of))


def shown(of: StudyFindings, *remarks: str) -> str:
    console = Console(width=160, record=True, quiet=False, file=None)
    with console.capture() as capture:
        console.print(text.render_text(of, remarks))
    return capture.get()


def test_runs_that_tell_nothing_are_not_counted(found: StudyFindings) -> None:
    fates = Counter(each.user_attrs["fate"] for each in mixed(SPACE))
    assert found.judged == Count(
        fates["learned"], fates.total() - fates["outranked"] - fates["failed"] - fates["interrupted"]
    )
    assert (found.outranked, found.summary.done, found.summary.given_up) == (1, fates.total() - 1, 1)
    assert "Of 16 runs 8 learned (50%). Not counted: 1 outranked and 1 failed." in said(found)
    assert "The study is not finished: 18 of 24 trials have ended (1 given up)." in said(found)


def test_the_best_is_named_with_chance_and_its_seeds(found: StudyFindings) -> None:
    best, second = found.standings[:2]
    assert (best.trials, best.learned, best.interval_source) == ((1, 3, 5, 7), 4, "hold-out set")  # four equal values
    assert second.interval_source == "seeds"
    assert (second.trials, second.learned) == ((0, 2, 4, 6, 12), 4)
    assert second.mean == pytest.approx(0.42)
    assert "selu unit_norm learning_rate=0.002, 50.00% (mean of 4 seeds" in said(found)
    assert "over the hold-out set alone), where guessing has 10.00%. It is the best of 5: expect a" in said(found)


def test_of_a_single_run_the_interval_is_of_the_hold_out_set_alone() -> None:
    found = findings.find_results(
        material(SPACE, [trial("learned", SPACE), trial("learned", SPACE, {"activation": "selu"})])
    )
    last = looks("learned")[-1]
    low, high = found.standings[0].interval or (0, 0)
    share, z = last.hits1 / last.count, 1.959964
    for end in (low, high):
        assert abs(end - share) == pytest.approx(z * sqrt(end * (1 - end) / last.count), abs=1e-9)
    assert "over the hold-out set alone)" in said(found)
    assert "It is the best of 2 and was run once" in said(found)


def test_what_went_with_learning_is_named_without_a_because(found: StudyFindings) -> None:
    assert found.survey.deciders[0].name == "constraint"
    assert "Learning went most with constraint, which alone explains" in said(found)
    assert "Runs lived most with constraint unit_norm: 8 of 9 (95 % interval 57% to 98%) learned." in said(found)
    assert "best of many that were looked at" in said(found)
    assert not {"because", "caused", "causes"} & set(said(found).lower().replace(",", " ").split())


def test_grids_and_levels_are_counts_of_trials(found: StudyFindings) -> None:
    (names,) = found.grids
    assert (names.row, names.column) == ("activation", "constraint")
    told = [each for each in mixed(SPACE) if each.user_attrs["fate"] not in ("outranked", "failed", "interrupted")]
    for (row, column), count in names.cells.items():
        pair = (names.rows[row], names.columns[column])
        inside = [each for each in told if (config_of(each)["activation"], config_of(each)["constraint"]) == pair]
        learned = sum(each.user_attrs["fate"] == "learned" for each in inside)
        assert count == Count(learned, len(inside))
    assert sum(count.tried for count in names.cells.values()) == len(told)
    assert found.no_grids == ("of learning rate and epsilon: epsilon was not varied",)
    rates = {each.name: each for each in found.levels}["learning_rate"]
    assert rates.rows == (("0.001", Count(0, 1)), ("0.002", Count(8, 11)), ("0.009", Count(0, 4)))


def test_epsilon_has_a_map_where_it_varies() -> None:
    varied = space("space.epsilon={low=1e-8, high=1e-2, log=true}")
    trials = [trial("learned", varied, {"epsilon": 1e-7}), trial("at chance", varied, {"epsilon": 1e-3})]
    grid = findings.find_results(material(varied, trials)).grids[1]
    assert (grid.row, grid.column, grid.columns) == ("learning_rate", "epsilon", ("1e-7", "0.001"))


def test_steps_are_saved_by_stopped_runs_alone(found: StudyFindings) -> None:
    rows = {row.fate: row for row in found.fates}
    assert rows["at chance"].steps_saved == 4 * 40
    assert rows["collapsed"].steps_saved == 80
    assert (rows["learned"].steps_saved, rows["failed"].steps_saved) == (0, 0)
    assert sum(row.steps_saved for row in found.fates) == found.summary.steps_saved
    assert "saved 440 of 1,700 steps (26%)" in said(found)


def test_survival_is_the_share_of_runs_that_were_longer(found: StudyFindings) -> None:
    lengths = {"at chance": [60] * 4 + [STEPS], "collapsed": [20], "learned": [STEPS] * 8}
    by_fate = {each.fate: each for each in found.survival}
    assert "failed" not in by_fate
    for fate, ends in lengths.items():
        for x in (0, 20, 21, 60, 61, STEPS):
            assert by_fate[fate].share_at(x) == pytest.approx(sum(end >= x for end in ends) / len(ends)), (fate, x)


def test_with_epochs_lengths_are_epochs_whatever_the_batch() -> None:
    epochs = file.parse_space(EPOCHS, ["space.batch_size=[32, 128]"])
    trials = [
        trial("at chance", epochs, {"batch_size": size}, seed=size, steps=steps) for size, steps in ((32, 16), (128, 4))
    ]
    found = findings.find_results(material(epochs, trials))
    assert found.fates[0].median_end == 2
    assert found.survival[0].ends == (2,)


def test_curves_are_of_the_best_learners_and_of_others_over_the_whole_study() -> None:
    trials = [trial("learned", SPACE, seed=n, top1=n / 100) for n in range(40)]
    trials += [trial("at chance", SPACE, seed=100 + n) for n in range(50)]
    by_fate = {each.fate: each for each in findings.find_results(material(SPACE, trials)).curves}
    learned, dead = by_fate["learned"], by_fate["at chance"]
    assert [curve.number for curve in learned.drawn] == list(range(39, 9, -1))
    assert (learned.runs, dead.runs, len(dead.drawn)) == (40, 50, 30)
    assert {40, 89} < {curve.number for curve in dead.drawn}
    assert learned.drawn[0].loss == tuple(look.loss for look in looks("learned"))


def test_one_death_of_each_kind_is_the_most_usual(found: StudyFindings) -> None:
    assert [death.fate for death in found.deaths] == ["collapsed", "at chance", "diverged", "frozen"]
    causes = ["crawling"] * 3 + ["signal lost"] * 2
    trials = [
        trial("at chance", SPACE, seed=n, steps=20 * (n + 1), autopsy_cause=cause) for n, cause in enumerate(causes)
    ]
    (death,) = findings.find_results(material(SPACE, trials)).deaths
    assert (death.number, death.runs) == (1, 5)
    assert death.why == "of 5 runs with this fate 3 had the cause “crawling”; of median length among these"


def test_controls_show_what_stopping_would_have_lost() -> None:
    every = space("verdict.control=1.0")
    trials = [
        trial("learned", every, seed=0, slot=0, would_stop_at_step=40),
        trial("at chance", every, seed=1, slot=1, would_stop_at_step=60),
        trial("learned", every, seed=2, slot=2),
    ]
    found = findings.find_results(material(every, trials))
    assert found.controls == Controls(runs=3, learned=2, would_stop=2, wrongly=1)
    assert (
        "3 runs were controls, which the judge may not stop: it would have stopped 2, and 1 of these learned."
        in said(found)
    )
    none = space("verdict.control=0.0")
    found = findings.find_results(material(none, [trial("learned", none, slot=0)]))
    assert found.controls == Controls(0, 0, 0, 0)
    assert "control" not in said(found)
    assert "no run was stopped early, so that stopping has lost none either." in said(found)
    found = findings.find_results(material(none, [trial("collapsed", none, slot=0, steps=20)]))
    assert "There was no control" in said(found)


def test_several_seeds_have_a_mean_and_students_interval() -> None:
    seeds = space("space.replicate=[0, 1, 2]")
    values = [0.4, 0.5, 0.6]
    trials = [trial("learned", seeds, {"replicate": n}, seed=n, top1=value) for n, value in enumerate(values)]
    (best,) = findings.find_results(material(seeds, trials)).standings
    assert best.mean == pytest.approx(mean(values))
    assert best.spread == pytest.approx(stdev(values))
    assert best.interval_source == "seeds"
    low, high = best.interval or (0, 0)
    assert low == pytest.approx(0.5 - 4.303 * 0.1 / sqrt(3), abs=1e-4)
    assert high == pytest.approx(1 - low)
    assert "(mean of 3 seeds, 95 % interval 25.16% to 74.84% over seeds)" in said(
        findings.find_results(material(seeds, trials))
    )


def test_equal_values_of_seeds_are_no_certainty_and_without_a_learner_nothing_is_best() -> None:
    seeds = space("space.replicate=[0, 1]")
    trials = [trial("at chance", seeds, {"replicate": n}, seed=n, top1=0.1094) for n in range(2)]
    found = findings.find_results(material(seeds, trials))
    (only,) = found.standings
    assert (only.spread, only.interval_source) == (0.0, "hold-out set")
    low, high = only.interval or (0, 0)
    assert low < high
    assert "No configuration learned; the highest top-1 was 10.94%" in said(found)
    assert "mean of 2 seeds" in said(found)
    assert "over the hold-out set alone" in said(found)
    assert "Best" not in said(found)
    assert "best configurations" not in shown(found)
    assert "configurations, none of which learned" in shown(found)


CONFIRMING = space(
    "study.name=tiny-confirm",
    "study.confirms=tiny",
    "space.candidate=[0, 1]",
    "space.replicate=[0, 1]",
    "space.activation=[{value='relu', when={candidate=0}}, {value='selu', when={candidate=1}}]",
    "space.constraint=unit_norm",
    "space.learning_rate=0.002",
)


def confirming(selu: tuple[float, float] = (0.8, 0.9)) -> StudyFindings:
    again = [
        trial(
            "learned",
            CONFIRMING,
            {"candidate": c, "replicate": r, "activation": a, "constraint": "unit_norm"},
            seed=9 + r,
            top1=v,
        )
        for c, a, values in ((0, "relu", (0.6, 0.7)), (1, "selu", selu))
        for r, v in enumerate(values)
    ]
    return findings.find_results(material(SPACE, mixed(SPACE), (CONFIRMING, again)))


def test_what_was_run_again_is_told_with_its_place_there() -> None:
    found = confirming()
    (again,) = found.confirming
    assert [(place.candidate, place.learned) for place in again.standings] == [(1, 2), (0, 2)]
    assert [place.mean for place in again.standings] == pytest.approx([0.85, 0.65])
    there = again.find_origin(found.standings[0])
    assert there is not None
    assert there.candidate == 1
    assert "Run again in tiny-confirm (2 seeds of 100 steps) it came to 85.00%" in said(found)
    assert "rank 1 of 2 there, 2 of 2 learned." in said(found)
    assert "First there" not in said(found)
    assert "run it again" not in said(found)
    text = shown(found, "a remark of somebody else")
    assert "a remark of somebody else" in text
    theirs = text.split("run again: tiny-confirm")[1].split("what decides")[0]
    assert "confirmed" not in theirs  # nobody runs the runs of a confirmation again


def test_the_first_of_those_run_again_is_named_where_it_is_another() -> None:
    words = "relu unit_norm learning_rate=0.002"  # as in the study, not what differs between candidates
    assert f"rank 2 of 2 there, 2 of 2 learned. First there is trial 0: {words}, 65.00%." in said(
        confirming((0.3, 0.4))
    )


def test_without_a_finished_trial_it_says_so() -> None:
    found = findings.find_results(material(SPACE, []))
    assert said(found) == "No trial has finished yet: nothing can be said."
    assert "No trial has finished yet" in shown(found)


def test_of_failures_alone_the_reason_is_told() -> None:
    failed = [trial("failed", SPACE, reason=reason, top1=None) for reason in ("no memory", "no memory", "no disk")]
    found = findings.find_results(material(SPACE, failed))
    assert [(each.reason, each.trials) for each in found.failures] == [("no memory", (0, 1)), ("no disk", (2,))]
    assert said(found).startswith(
        "All finished trials failed, so that nothing can be said; the most frequent reason: no memory."
    )
    assert "no disk" in shown(found)


def test_few_trials_are_said_to_be_too_few() -> None:
    found = findings.find_results(material(SPACE, mixed(SPACE)[:3]))
    assert "What decides between dying and learning cannot be said: 3 finished trials say too little" in said(found)


OBJECTIVES = {
    "loss": (space("study.objective=loss"), "where guessing has 2.3"),
    "gain": (space("study.objective=gain"), "where guessing has 0"),
    "f1": (space("study.objective=f1"), "Best in macro F1"),
}


@pytest.mark.parametrize(("of", "words"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_every_objective_is_told_in_its_own_terms(of: Space, words: str) -> None:
    trials = [
        trial(
            "learned",
            of,
            {"learning_rate": 0.002 + n / 1000},
            seed=n,
            loss=2.0 - n,
            gain=n / 10,
            f1=n / 10,
            autopsy_chance_loss=2.3,
        )
        for n in range(2)
    ]
    found = findings.find_results(material(of, trials))
    assert found.standings[0].trials == (1,)
    assert words in said(found)


def test_of_a_regression_chance_is_nought_and_there_is_no_top_1() -> None:
    numbers = file.parse_space(NUMBERS)
    none = {"top1": None, "top5": None, "chance_top1": None}
    trials = [
        trial(
            "learned",
            numbers,
            {"learning_rate": 0.002 + n / 1000},
            seed=n,
            gain=0.1 * n,
            loss=1 - 0.1 * n,
            autopsy_chance_loss=1.0,
            **none,
        )
        for n in range(3)
    ]
    found = findings.find_results(material(numbers, trials))
    assert "Best in R²: learning_rate=0.004, 0.2 (trial 2" in said(found)
    assert "where guessing has 0" in said(found)
    assert "top-1" not in " ".join(found.table.columns)
    assert [curve.score[-1] for curve in found.curves[0].drawn] == [pytest.approx(1 - 2.3 * 0.4)] * 3


def test_the_table_has_every_trial_the_best_first(found: StudyFindings) -> None:
    assert sorted(int(row[0]) for row in found.table.rows) == list(range(19))
    assert [row[0] for row in found.table.rows[:8]] == [str(n) for n in range(8)]
    columns = dict(zip(found.table.columns, zip(*found.table.rows, strict=True), strict=True))
    assert set(columns["fate"]) >= {"learned", "failed", "given up", "outranked"}
    assert columns["top-1"][0] == "50.00%"
    assert columns["learning_rate"][0] == "0.002"


def test_a_terminal_shows_the_same(found: StudyFindings) -> None:
    words = " ".join(shown(found).split())
    assert said(found) in words
    assert "activation and constraint" in words
    assert "trial 13" in words
    assert "no memory" not in words
    assert "failed, so it is" in words
