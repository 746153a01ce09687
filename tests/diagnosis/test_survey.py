import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.diagnosis.survey import (
    Value,
    find_interactions,
    find_region,
    rank_deciders,
    supported_changes,
)
from sweeps.trials import FinishedTrial
from sweeps.verdict.shares import fisher_p_value, wilson_lower


def tried(number: int, learned: bool, **values: Value) -> FinishedTrial:
    return FinishedTrial(number, "learned" if learned else "collapsed", params=values)


def runs(count: int, died: int, start: int, **values: Value) -> list[FinishedTrial]:
    """As many alike, of which the first ones died."""
    return [tried(start + index, index >= died, **values) for index in range(count)]


def planted(count: int, seed: int = 0) -> list[FinishedTrial]:
    """A constraint decides all, two in three die; epsilon, batch size and a conditional rate have no effect."""
    rng, trials = np.random.default_rng(seed), []
    for number in range(count):
        constraint = str(rng.choice(["none", "max_norm", "standardize_unit"]))
        values: dict[str, Value] = {
            "epsilon": float(10 ** rng.uniform(-8, -2)),
            "constraint": constraint,
            "batch_size": int(rng.choice([64, 128, 384])),
            "dropout": str(rng.choice(["none", "alpha"])),
        }
        if values["dropout"] == "alpha":
            values["dropout_rate"] = float(rng.uniform(0, 0.5))
        trials.append(tried(number, constraint == "standardize_unit", **values))
    return trials


def selu_needs_a_constraint(count: int, seed: int = 0) -> list[FinishedTrial]:
    """ReLU learns below a rate of 0.01; SELU there too, but above 0.001 only with the constraint."""
    rng, trials = np.random.default_rng(seed), []
    for number in range(count):
        activation, constraint = str(rng.choice(["relu", "selu"])), str(rng.choice(["none", "standardize_unit"]))
        rate, epsilon = float(10 ** rng.uniform(-5, -1)), float(10 ** rng.uniform(-8, -2))
        limit = 0.001 if activation == "selu" and constraint == "none" else 0.01
        values: dict[str, Value] = {"activation": activation, "constraint": constraint}
        values |= {"learning_rate": rate, "epsilon": epsilon}
        trials.append(tried(number, rate < limit, **values))
    return trials


# deciders


def test_what_decides_everything_comes_first_and_what_has_no_effect_has_none() -> None:
    found = rank_deciders(planted(120))
    assert found[0].name == "constraint"
    assert found[0].importance > 0.95
    assert {each.name for each in found} == {"constraint", "epsilon", "batch_size", "dropout", "dropout_rate"}
    assert all(each.importance < 0.05 for each in found[1:])
    assert [each.importance for each in found] == sorted((each.importance for each in found), reverse=True)


def test_importance_is_scikit_learns_mutual_information_less_that_of_shuffled_outcomes() -> None:
    from sklearn.metrics import mutual_info_score

    trials = selu_needs_a_constraint(80, seed=0)
    learned = np.array([each.learned for each in trials])
    constraint = [each.params["constraint"] for each in trials]
    rng = np.random.default_rng(99)
    by_chance = np.mean([mutual_info_score(constraint, rng.permutation(learned)) for _ in range(400)])
    entropy = mutual_info_score(learned, learned)
    expected = (mutual_info_score(constraint, learned) - by_chance) / entropy
    found = {each.name: each.importance for each in rank_deciders(trials)}
    assert expected > 0.03
    assert found["constraint"] == pytest.approx(expected, abs=0.003)


def test_a_number_is_cut_into_four_bins_at_its_quartiles() -> None:
    from sklearn.metrics import mutual_info_score

    rates = 10 ** np.random.default_rng(1).uniform(-5, -1, 80)
    trials = [tried(number, rate < 1e-3, learning_rate=float(rate)) for number, rate in enumerate(rates)]
    quarter = np.searchsorted(np.quantile(rates, [0.25, 0.5, 0.75]), rates)
    learned = rates < 1e-3
    rng = np.random.default_rng(99)
    by_chance = np.mean([mutual_info_score(quarter, rng.permutation(learned)) for _ in range(400)])
    expected = (mutual_info_score(quarter, learned) - by_chance) / mutual_info_score(learned, learned)
    assert rank_deciders(trials)[0].importance == pytest.approx(expected, abs=0.01)


def test_without_an_effect_importance_is_small_whatever_the_number_of_categories() -> None:
    rng = np.random.default_rng(5)
    trials = [
        tried(number, bool(rng.random() < 0.3), many=f"choice_{rng.integers(12)}", rate=float(rng.random()))
        for number in range(200)
    ]
    assert all(each.importance < 0.04 for each in rank_deciders(trials))


@pytest.mark.parametrize(
    ("good", "bad", "best"),
    [
        ({"constraint": "standardize_unit"}, {"constraint": "none"}, "constraint standardize_unit: 9 of 10 learned"),
        ({"batch_size": 64}, {"batch_size": 384}, "batch_size 64: 9 of 10 learned"),
        ({"affine": True}, {"affine": False}, "affine True: 9 of 10 learned"),
        ({"clip": 1.0}, {"clip": "none"}, "clip 1.0: 9 of 10 learned"),
    ],
)
def test_the_best_value_is_told_with_its_counts(good: dict[str, Value], bad: dict[str, Value], best: str) -> None:
    (found,) = rank_deciders([*runs(10, 1, 0, **good), *runs(10, 8, 10, **bad)])
    assert found.best == best


def test_the_best_range_of_a_number_is_told_by_the_fewest_digits() -> None:
    rates = [1e-4, 2e-4, 3e-4, 1e-3, 1.8e-3, 2.5e-3, 3e-3, 4e-3, 6e-3, 7e-3, 8e-3, 9e-3, 0.02, 0.03, 0.05, 0.09, 0.1]
    trials = [tried(number, rate < 1e-3, learning_rate=rate) for number, rate in enumerate(rates)]
    assert rank_deciders(trials)[0].best == "learning_rate below 0.0013: 3 of 4 learned"


def test_being_absent_is_a_category_of_its_own() -> None:
    trials = [*runs(12, 0, 0, dropout="none")]
    trials += [tried(20 + index, False, dropout="alpha", dropout_rate=index / 20) for index in range(12)]
    rate = next(each for each in rank_deciders(trials) if each.name == "dropout_rate")
    assert rate.importance > 0.8
    assert rate.best == "dropout_rate absent: 12 of 12 learned"


def test_a_parameter_with_one_value_is_left_out() -> None:
    trials = [*runs(5, 0, 0, optimizer="adam", activation="relu"), *runs(5, 5, 5, optimizer="adam", activation="selu")]
    assert [each.name for each in rank_deciders(trials)] == ["activation"]


@pytest.mark.parametrize("died", [0, 12])
def test_nothing_is_decided_where_all_end_alike(died: int) -> None:
    trials = [tried(each.number, not died, **each.params) for each in planted(12)]
    assert rank_deciders(trials) == []
    assert find_interactions(trials) == []
    assert find_region(trials) == []
    assert supported_changes(trials[0], trials) == []


def test_no_trials_decide_nothing() -> None:
    assert rank_deciders([]) == []
    assert find_interactions([]) == []
    assert find_region([]) == []
    assert supported_changes(tried(0, False, rate=1.0), []) == []


# interactions


def test_two_that_decide_only_together_are_a_pair_though_neither_decides_alone() -> None:
    rng = np.random.default_rng(2)
    trials = []
    for number in range(120):
        left, right, other = (bool(each) for each in rng.integers(2, size=3))
        trials.append(tried(number, left != right, left=left, other=other, right=right))
    assert all(each.importance < 0.05 for each in rank_deciders(trials))
    ((*names, share),) = find_interactions(trials)
    assert set(names) == {"left", "right"}
    assert share > 0.9


def test_no_pair_is_named_where_one_parameter_decides_alone() -> None:
    assert find_interactions(planted(120)) == []


def test_no_more_pairs_than_asked_for() -> None:
    trials = [
        tried(number, a != b or c != d, a=a, b=b, c=c, d=d)
        for number, (_, a, b, c, d) in enumerate(product(range(10), *[[False, True]] * 4))
    ]
    pairs = find_interactions(trials)
    assert {(one, other) for one, other, _ in pairs} == {("a", "b"), ("c", "d")}
    assert find_interactions(trials, top=1) == pairs[:1]


# region


def test_the_region_that_lives_is_found_with_its_counts() -> None:
    trials = selu_needs_a_constraint(200)
    rules = find_region(trials)
    assert 1 <= len(rules) <= 3
    assert rules[0].words.startswith("learning_rate below 0.0")
    assert rules[-1].words.startswith(rules[0].words)
    assert rules[-1].learned == rules[-1].tried
    bounds = [
        wilson_lower(sum(each.learned for each in trials), 200),
        *(wilson_lower(each.learned, each.tried) for each in rules),
    ]
    assert bounds == sorted(bounds)
    assert rules[-1].tried >= 20


def test_several_categories_may_make_a_region() -> None:
    trials = [
        run for index, name in enumerate("abcd") for run in runs(10, 0 if name in "bd" else 10, 10 * index, x=name)
    ]
    assert [(each.words, each.learned, each.tried) for each in find_region(trials)] == [("x b or d", 20, 20)]


def test_a_region_is_no_handful_of_trials() -> None:
    trials = [*runs(4, 0, 0, x="lucky"), *runs(16, 8, 4, x="other")]
    assert all(each.tried >= 5 for each in find_region(trials))
    many = [*runs(9, 0, 0, x="lucky"), *runs(91, 60, 9, x="other")]
    assert all(each.tried >= 10 for each in find_region(many))


# supported changes


def cliff() -> list[FinishedTrial]:
    """SELU above a rate of 0.002 dies without the constraint, eight times of nine; half of the others die anyhow."""
    trials = [
        *runs(9, 8, 0, activation="selu", learning_rate=0.01, constraint="none"),
        *runs(6, 0, 20, activation="selu", learning_rate=0.01, constraint="standardize_unit"),
        *runs(10, 1, 40, activation="selu", learning_rate=0.0004, constraint="none"),
        *runs(10, 1, 60, activation="selu", learning_rate=0.0004, constraint="standardize_unit"),
    ]
    for index, (rate, constraint) in enumerate(product([0.01, 0.0004], ["none", "standardize_unit"])):
        trials += runs(10, 1, 100 + 20 * index, activation="relu", learning_rate=rate, constraint=constraint)
    return trials


def test_a_change_is_supported_by_runs_like_the_dead_one() -> None:
    trials = cliff()
    changes = supported_changes(trials[0], trials)
    constraint = next(each for each in changes if each.parameter == "constraint")
    assert constraint.like_dead == (8, 9)
    assert constraint.changed == (0, 6)
    assert constraint.p == pytest.approx(9 / math.comb(15, 7))
    assert constraint.words in (
        "of 9 runs with activation selu and learning_rate 0.01 and constraint none, 8 did not learn; "
        "with constraint standardize_unit, 0 of 6",
        "of 9 runs with learning_rate 0.01 and activation selu and constraint none, 8 did not learn; "
        "with constraint standardize_unit, 0 of 6",
    )
    assert {each.parameter for each in changes} == {"activation", "learning_rate", "constraint"}
    assert [each.p for each in changes] == sorted(each.p for each in changes)
    assert supported_changes(trials[0], trials, most=1) == changes[:1]


def test_a_dead_trial_that_is_not_among_the_trials_is_not_counted() -> None:
    trials = cliff()
    stranger = tried(999, False, activation="selu", learning_rate=0.01, constraint="none")
    changes = supported_changes(stranger, trials)
    assert changes == supported_changes(trials[0], trials)


def test_what_helps_others_is_no_change_for_a_trial_whose_like_it_does_not_help() -> None:
    # The constraint rescues ReLU, never SELU.
    trials = [
        *runs(10, 10, 0, activation="selu", constraint="none"),
        *runs(10, 10, 20, activation="selu", constraint="max_norm"),
        *runs(10, 10, 40, activation="relu", constraint="none"),
        *runs(10, 0, 60, activation="relu", constraint="max_norm"),
    ]
    assert {each.parameter for each in supported_changes(trials[20], trials)} == {"constraint"}
    assert "constraint" not in {each.parameter for each in supported_changes(trials[0], trials)}


def test_all_trials_are_asked_where_fewer_than_four_are_alike() -> None:
    odd = tried(0, False, activation="swish", constraint="none")
    trials = [odd]
    for index, activation in enumerate(["relu", "selu", "tanh"]):
        trials += runs(5, 5, 20 + 40 * index, activation=activation, constraint="none")
        trials += runs(5, 1, 40 + 40 * index, activation=activation, constraint="max_norm")
    (change,) = supported_changes(odd, trials)
    assert change.words == "of 16 runs with constraint none, 16 did not learn; with constraint max_norm, 3 of 15"


def test_a_number_is_moved_across_a_threshold() -> None:
    rates = np.geomspace(1e-5, 1e-1, 40)
    trials = [tried(number, bool(rate < 1e-3), learning_rate=float(rate)) for number, rate in enumerate(rates)]
    (change,) = supported_changes(trials[-1], trials)
    assert change.words == (
        "of 20 runs with learning_rate above 0.001, 20 did not learn; with learning_rate below 0.001, 0 of 20"
    )


def test_a_conditional_parameter_is_changed_only_where_it_is_present_and_never_to_being_absent() -> None:
    trials = [*runs(10, 0, 0, clip="none"), *runs(10, 10, 20, clip="norm", how="all")]
    trials += runs(10, 9, 40, clip="norm", how="each")
    assert {each.parameter for each in supported_changes(trials[10], trials)} == {"clip"}
    assert supported_changes(trials[10], trials)[0].changed == (0, 10)


def test_without_support_nothing_is_invented() -> None:
    trials = [*runs(3, 2, 0, x="a"), *runs(3, 1, 10, x="b")]
    assert supported_changes(trials[0], trials) == []


# formulas

COUNTS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


@given(COUNTS, COUNTS)
@settings(max_examples=60)
def test_fisher_is_scipys(after: tuple[int, int], before: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    table = [[after[0], after[1] - after[0]], [before[0], before[1] - before[0]]]
    assert fisher_p_value(*after, *before) == pytest.approx(
        stats.fisher_exact(table, alternative="greater").pvalue, abs=1e-9
    )


@given(COUNTS.filter(lambda pair: pair[1] > 0))
@settings(max_examples=60)
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    interval = stats.binomtest(*counts).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson_lower(*counts) == pytest.approx(interval.low, abs=1e-6)


VALUES: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    {"activation": st.sampled_from(["relu", "selu"])},
    optional={
        "rate": st.floats(1e-8, 1e8),
        "offset": st.integers(-5, 5),
        "clip": st.sampled_from(["none", 1.0, True]),
    },
)
STUDIES = st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=25).map(
    lambda rows: [tried(number, learned, **values) for number, (values, learned) in enumerate(rows)]
)


@given(STUDIES)
@settings(max_examples=40)
def test_whatever_was_tried_the_answers_keep_their_ranges(trials: list[FinishedTrial]) -> None:
    found = rank_deciders(trials)
    assert all(0 <= each.importance <= 1 for each in found)
    assert found == rank_deciders(trials)
    assert all(0 < share <= 1 for _, _, share in find_interactions(trials))
    assert all(5 <= rule.tried <= len(trials) and 0 < rule.learned <= rule.tried for rule in find_region(trials))
    for dead in (each for each in trials if not each.learned):
        for change in supported_changes(dead, trials):
            (died, all_like), (died_changed, all_changed) = change.like_dead, change.changed
            assert change.parameter in dead.params
            assert 0 < died <= all_like
            assert died * all_changed > died_changed * all_like
            assert (
                change.p == fisher_p_value(all_changed - died_changed, all_changed, all_like - died, all_like) <= 0.005
            )
