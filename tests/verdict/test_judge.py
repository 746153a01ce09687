from dataclasses import replace
from math import inf, log, nan
from typing import Any

import pytest
from handmade import handmade_reading

from sweeps.verdict import Chance, Fate, Limit, Rules, Verdict, final_verdict, judge, verdict_at_end
from sweeps.verdict.judge import prognosis_at_chance

MANY = Chance(top1=3 / 1024, top5=15 / 1024, loss=log(365), classes=365)


def even(classes: int) -> Chance:
    return Chance(1 / classes, min(1.0, 5 / classes), log(classes), classes)


@pytest.mark.parametrize("fate", Fate)
def test_a_stopping_verdict_needs_a_reason(fate: Fate) -> None:
    assert Verdict(fate, "because", stops=True).stops
    assert not Verdict(fate, "").stops
    for empty in ("", "  "):
        with pytest.raises(ValueError, match="needs a reason"):
            Verdict(fate, empty, stops=True)


def test_fates_are_words_for_people() -> None:
    words = ["learning", "learned", "at chance", "collapsed", "diverged", "frozen", "outranked"]
    assert [str(fate) for fate in Fate] == words


def test_a_run_is_learning_from_its_first_reading_on() -> None:
    verdict = judge([handmade_reading(0, loss=6.08)], MANY, 500)
    assert verdict.fate == Fate.LEARNING
    assert "step 0" in verdict.reason


def test_a_run_at_chance_goes_on() -> None:
    # A recorded run: ReLU with Adadelta at .026; it crawls, its signal is well.
    losses = [6.136, 5.899896, 5.899898, 5.899892, 5.899888, 5.899893]
    assert (
        judge([handmade_reading(10 * index, loss) for index, loss in enumerate(losses)], MANY, 500).fate
        == Fate.LEARNING
    )


def test_a_collapsed_run_is_stopped() -> None:
    verdict = judge([handmade_reading(step, 6.1, signals=(0.2, 1e-12, 1e-12)) for step in (10, 20, 30)], MANY, 500)
    assert verdict.fate == Fate.COLLAPSED
    assert verdict.stops
    assert verdict.reason.endswith("lost from conv_2 on")


def test_a_run_that_diverged_is_not_called_collapsed() -> None:
    readings = [handmade_reading(step, nan, signals=(0.2, 0.0, 0.0), finite=False) for step in (10, 20, 30)]
    assert judge(readings, MANY, 500).fate == Fate.DIVERGED


def test_the_end_of_a_run_at_chance() -> None:
    readings = [
        handmade_reading(0, 6.30),
        handmade_reading(100, 5.924),
        handmade_reading(190, 6.20),
        handmade_reading(200, 6.11),
    ]
    assert final_verdict(readings, MANY) == Verdict(
        Fate.AT_CHANCE,
        "still at chance after 200 steps: top-1 0.29 % (chance 0.29 %), loss 6.11 (class prior 5.90), best gain -0.4 %",
    )


def test_the_end_of_a_run_that_learned() -> None:
    # It ends as SELU without constraint does at Adam's 1e-3.
    readings = [
        handmade_reading(0, 6.2, 4),
        handmade_reading(100, 5.6, 13),
        handmade_reading(200, 3.9, 110),
        handmade_reading(400, 0.96, 651),
    ]
    assert final_verdict(readings, MANY) == Verdict(
        Fate.LEARNED,
        "learned within 400 steps: top-1 63.6 % (chance 0.29 %), loss 0.96 (class prior 5.90), best gain 83.7 %",
    )


@pytest.mark.parametrize(
    ("hits", "fate"), [((9, 9, 9), Fate.AT_CHANCE), ((9, 9, 10), Fate.LEARNED), ((99, 0, 0, 27), Fate.AT_CHANCE)]
)
def test_hits_at_the_last_three_looks_must_be_above_three_times_chance(hits: tuple[int, ...], fate: Fate) -> None:
    readings = [handmade_reading(10 * index + 10, 6.0, count) for index, count in enumerate(hits)]
    assert final_verdict(readings, MANY).fate == fate


@pytest.mark.parametrize(("lowest", "fate"), [(0.981, Fate.AT_CHANCE), (0.979, Fate.LEARNED)])
@pytest.mark.parametrize("classes", [2, 10, 365])
def test_or_the_loss_at_the_last_looks_two_percent_below_that_of_the_class_prior(
    classes: int, lowest: float, fate: Fate
) -> None:
    chance = even(classes)
    losses = [1.1, 1.05, 1.05, lowest, 1.05]
    readings = [
        handmade_reading(10 * index, loss * chance.loss, round(1024 / classes)) for index, loss in enumerate(losses)
    ]
    assert final_verdict(readings, chance).fate == fate


def test_a_run_that_lost_what_it_had_learned_is_back_at_chance() -> None:
    readings = [handmade_reading(10, 5.2, 40), *(handmade_reading(step, 6.0) for step in (20, 30, 40))]
    verdict = final_verdict(readings, MANY)
    assert verdict.fate == Fate.AT_CHANCE
    assert verdict.reason.startswith("back at chance after 40 steps")


@pytest.mark.parametrize(
    ("classes", "hits", "fate"),
    [
        (2, 760, Fate.AT_CHANCE),
        (2, 780, Fate.LEARNED),  # three times chance would be 150 %
        (10, 300, Fate.AT_CHANCE),
        (10, 320, Fate.LEARNED),
    ],
)
def test_few_classes(classes: int, hits: int, fate: Fate) -> None:
    readings = [handmade_reading(step, 2 * log(classes), hits) for step in (10, 20, 30)]
    assert final_verdict(readings, even(classes)).fate == fate


def test_shares_of_few_classes_are_readable() -> None:
    readings = [handmade_reading(step, 0.71, 510) for step in (10, 20, 30)]
    assert final_verdict(readings, even(2)).reason == (
        "still at chance after 30 steps: top-1 49.8 % (chance 50.0 %), loss 0.71 (class prior 0.69), best gain -2.4 %"
    )


def test_a_run_that_collapsed_after_it_had_learned_is_collapsed() -> None:
    readings = [
        handmade_reading(10, 3.0, 200),
        *(handmade_reading(step, 6.0, signals=(0.1, 1e-11, 1e-11)) for step in (20, 30, 40)),
    ]
    assert final_verdict(readings, MANY).fate == Fate.COLLAPSED


def test_a_run_that_ends_without_a_loss_diverged() -> None:
    verdict = final_verdict([handmade_reading(10, 3.0, 300), handmade_reading(20, inf)], MANY)
    assert verdict == Verdict(Fate.DIVERGED, "diverged at step 20, the end: the hold-out loss is inf", stops=True)


def test_a_huge_loss_stays_short() -> None:
    reason = judge([handmade_reading(10, 123456.0)], MANY, 500).reason
    assert "loss 1.2e+05" in reason


PREDICTIONS = [(0.5, Fate.LEARNED), (0.97, Fate.LEARNED), (0.99, Fate.AT_CHANCE), (33.0, Fate.AT_CHANCE)]


@pytest.mark.parametrize(("loss", "fate"), PREDICTIONS)
def test_a_regression_has_learned_when_it_beats_the_mean_by_two_percent(loss: float, fate: Fate) -> None:
    readings = [handmade_reading(step, loss=1.0 if step < 40 else loss, hits1=0) for step in (0, 20, 40, 60, 80)]
    verdict = final_verdict(readings, Chance(nan, nan, 1.0, 0))
    assert verdict.fate == fate
    assert f"R^2 {1 - loss:z.3f}" in verdict.reason
    assert "predicting the mean 1.00" in verdict.reason
    assert "top-1" not in verdict.reason


FLAT = [handmade_reading(step, 5.9 + 1e-4 * (step % 3), signals=(0.3, 0.3, 1e-5)) for step in range(0, 260, 20)]


def test_a_prognosis_below_the_limit_stops_a_run_at_chance_and_says_whose_limit() -> None:
    verdict = judge(FLAT, MANY, 500, Limit(50.0, "12 learners"))
    assert (verdict.fate, verdict.stops) == (Fate.AT_CHANCE, True)
    assert "step 240 of 500" in verdict.reason
    assert "from 12 learners" in verdict.reason
    assert judge(FLAT, MANY, 500, Limit(-50.0, "12 learners")).fate == Fate.LEARNING


def test_no_prognosis_counts_in_the_first_twentieth_of_the_budget() -> None:
    assert judge(FLAT[:2], MANY, 500, Limit(50.0, "12 learners")).fate == Fate.LEARNING


@pytest.mark.parametrize("life", [{"loss": 5.77}, {"hits1": 15}, {"loss": 5.85, "loss_std": 0.2}])
def test_a_run_that_has_shown_life_is_not_stopped_whatever_the_limit(life: dict[str, Any]) -> None:
    # 15 hits of 1024 where 2.8 are expected: an e-value far above 100. A loss of .05 nats below with an error of .006.
    readings = [*FLAT[:6], replace(FLAT[6], **life), *FLAT[7:]]
    assert judge(readings, MANY, 500, Limit(50.0, "12 learners")).fate == Fate.LEARNING


def test_economy_asks_for_the_best_whatever_life_is_shown() -> None:
    readings = [*FLAT[:6], handmade_reading(120, 5.77), *FLAT[7:]]
    verdict = judge(readings, MANY, 500, Limit(50.0, "12 learners"), Rules(economy=True))
    assert (verdict.fate, verdict.stops) == (Fate.OUTRANKED, True), "it is not called dead"
    assert "to end in the best quarter" in verdict.reason


def test_a_run_that_guesses_better_than_chance_is_no_corpse_whatever_its_layers_say() -> None:
    signals = (0.3, 1e-12, 1e-12)
    dead = [handmade_reading(0), *(handmade_reading(step, 6.0, 3, signals=signals) for step in (20, 40, 60))]
    alive = [handmade_reading(0), *(handmade_reading(step, 6.0, 60, signals=signals) for step in (20, 40, 60))]
    assert judge(dead, MANY, 500).fate == Fate.COLLAPSED
    assert judge(alive, MANY, 500).fate == Fate.LEARNING


def test_what_a_finished_run_teaches() -> None:
    learned = verdict_at_end([*FLAT, handmade_reading(500, 3.0, 300)], MANY, 500, control=True)
    assert (learned.learned, learned.control) == (True, True)
    assert learned.gain == pytest.approx(1 - 3.0 / log(365))
    assert learned.lowest == min(prognosis_at_chance(FLAT[:end], MANY, 500) for end in range(3, len(FLAT) + 1))
    stopped = verdict_at_end(FLAT, MANY, 500, control=False)
    assert not stopped.learned


def test_a_run_that_escapes_before_anything_counts_has_no_lowest_prognosis() -> None:
    assert (
        verdict_at_end(
            [handmade_reading(0), handmade_reading(20, 3.0, 300), handmade_reading(500, 2.0, 500)],
            MANY,
            500,
            control=False,
        ).lowest
        == inf
    )
