from dataclasses import replace
from math import inf, log, nan
from typing import Any

import numpy as np
import pytest
from handmade import handmade_reading

from sweeps.readings import Reading
from sweeps.verdict import Chance, Fate, Limit, Rules, Verdict, final_verdict, judge, verdict_at_end
from sweeps.verdict.judge import is_learner, prognosis_at_chance, shows_life

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
    for fate in Fate:
        assert str(fate) == str(fate).lower()
        assert len(str(fate)) < 20


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
        "still at chance after 200 steps: top-1 0.29 % (chance 0.29 %), loss 6.11 (guessing 5.90), best gain -0.4 %",
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
        "learned within 400 steps: top-1 63.6 % (chance 0.29 %), loss 0.96 (guessing 5.90), best gain 83.7 %",
    )


@pytest.mark.parametrize(
    ("hits", "fate"),
    [
        ((12, 12, 12), Fate.AT_CHANCE),
        ((36, 36, 36), Fate.ABOVE_CHANCE),
        ((36, 36, 38), Fate.LEARNED),
        ((399, 12, 12, 12), Fate.AT_CHANCE),
    ],
)
def test_hits_at_the_last_three_looks_must_be_above_three_times_chance(hits: tuple[int, ...], fate: Fate) -> None:
    readings = [handmade_reading(10 * index + 10, 6.0, number, count=4096) for index, number in enumerate(hits)]
    assert final_verdict(readings, MANY).fate == fate


@pytest.mark.parametrize(
    ("lowest", "fate"),
    [(0.981, Fate.AT_CHANCE), (0.979, Fate.ABOVE_CHANCE), (0.901, Fate.ABOVE_CHANCE), (0.899, Fate.LEARNED)],
)
@pytest.mark.parametrize("classes", [2, 10, 365])
def test_or_the_loss_at_the_last_looks_ten_percent_below_that_of_guessing(
    classes: int, lowest: float, fate: Fate
) -> None:
    chance = even(classes)
    losses = [1.1, 1.05, 1.05, lowest, lowest, 1.05]
    readings = [
        handmade_reading(10 * index, loss * chance.loss, round(1024 / classes)) for index, loss in enumerate(losses)
    ]
    assert final_verdict(readings, chance).fate == fate


def test_hits_of_twice_chance_are_above_it_and_not_learned() -> None:
    chance = even(100)
    readings = [handmade_reading(step, 4.9, hits, count=2000) for step, hits in ((10, 21), (20, 30), (30, 49))]
    assert final_verdict(readings, chance).fate == Fate.ABOVE_CHANCE


def test_hits_with_an_absurd_loss_are_not_learned() -> None:
    readings = [handmade_reading(step, 9.5e15, 500) for step in (10, 20, 30)]
    assert final_verdict(readings, even(10)).fate == Fate.ABOVE_CHANCE


def test_the_untrained_net_makes_nobody_a_learner() -> None:
    readings = [handmade_reading(0, 0.1, 900), *(handmade_reading(step, 2.4, 100) for step in (10, 20, 30))]
    chance = even(10)
    assert final_verdict(readings, chance).fate == Fate.AT_CHANCE
    assert not is_learner(readings, chance)
    assert not shows_life(readings, chance)


def fitting(batch_loss: float = nan, passes: float = 2.0, first_pass: float = nan) -> list[Reading]:
    """A run of ten classes whose training loss falls to zero while the hold-out set stays at chance."""
    readings = [handmade_reading(0, 2.4, 100)]
    for index, train_loss in enumerate((2.2, 1.2, 0.4, 0.1, 0.02)):
        reading = handmade_reading(10 * index + 10, 2.9 + index / 5, 101, train_loss=train_loss)
        readings.append(replace(reading, passes=passes * (index + 1), batch_loss=batch_loss))
    if first_pass == first_pass:
        readings[1] = replace(readings[1], train_loss=first_pass, passes=0.9)
    return readings


@pytest.mark.parametrize(
    ("readings", "fate", "word"),
    [
        (fitting(batch_loss=0.1), Fate.INFERENCE_LAGS, "moving averages"),
        (fitting(batch_loss=2.6), Fate.MEMORISED, "memorises"),
        (fitting(), Fate.MEMORISED, "unlike"),
        (fitting(passes=nan), Fate.MEMORISED, "moving averages"),
        (fitting(first_pass=1.1), Fate.HOLDOUT_DIFFERS, "first pass"),
        (fitting(batch_loss=0.1, first_pass=1.1), Fate.INFERENCE_LAGS, "moving averages"),
    ],
)
def test_a_run_that_learns_in_training_alone_is_never_dead(readings: list[Reading], fate: Fate, word: str) -> None:
    chance = even(10)
    verdict = final_verdict(readings, chance)
    assert verdict.fate == fate
    assert word in verdict.reason
    assert not verdict.stops
    lost = [replace(each, layers=handmade_reading(10, signals=(0.1, 1e-12, 1e-12)).layers) for each in readings]
    patience = Limit(inf, "a limit that stops all")
    for end in range(4, len(readings) + 1):
        assert not judge(lost[:end], chance, 500, patience).stops
    assert final_verdict(lost, chance).fate == fate


def test_a_hold_out_loss_that_overflows_stops_no_run_that_learns_in_training() -> None:
    chance = even(10)
    lagging = [replace(each, loss=inf) for each in fitting(batch_loss=0.1)]
    for end in range(4, len(lagging) + 1):
        assert not judge(lagging[:end], chance, 500).stops
    assert final_verdict(lagging, chance).fate == Fate.INFERENCE_LAGS
    assert final_verdict([replace(each, batch_loss=nan) for each in lagging], chance).fate == Fate.DIVERGED
    dead = [replace(each, train_loss=nan) for each in lagging]
    assert judge(dead[:4], chance, 500).fate in (Fate.DIVERGED, Fate.NOT_FINITE)


def test_a_run_that_is_not_finite_from_its_first_reading_on_did_not_diverge() -> None:
    start = handmade_reading(0, nan, 0)
    first = handmade_reading(10, nan, 0, train_loss=nan)
    verdict = judge([start, first], even(10), 500)
    assert (verdict.fate, verdict.stops) == (Fate.NOT_FINITE, True)
    assert "before the first step" in verdict.reason
    assert judge([start], even(10), 500).fate == Fate.LEARNING, "averages of batch normalisation may overflow there"
    assert judge([start, handmade_reading(10, 2.3, 100)], even(10), 500).fate == Fate.LEARNING
    assert judge([replace(start, finite=False)], even(10), 500).fate == Fate.NOT_FINITE


def test_one_low_loss_before_the_end_is_no_learning() -> None:
    losses = (2.3, 1.9, 1.36, 2.45, 2.40)
    readings = [handmade_reading(10 * index + 10, loss, 110) for index, loss in enumerate(losses)]
    assert final_verdict(readings, even(10)).fate == Fate.AT_CHANCE
    assert is_learner(readings, even(10)), "it is not to be stopped all the same"


def test_a_run_that_learns_at_its_very_end_has_learned() -> None:
    readings = [handmade_reading(10 * index + 10, loss, 110) for index, loss in enumerate((2.3, 2.29, 2.28, 1.2))]
    assert final_verdict(readings, even(10)).fate == Fate.LEARNED


def test_a_layer_that_is_dead_is_no_small_step() -> None:
    dead = [
        replace(each, update_ratio=0.0, layers=tuple(replace(layer, dead=1.0) for layer in each.layers))
        for each in (handmade_reading(step, 2.31, 100, signals=(0.1, 0.0, 0.0)) for step in (10, 20, 30))
    ]
    assert judge(dead, even(10), 200).fate == Fate.COLLAPSED


def test_batch_statistics_alone_show_that_inference_lags() -> None:
    readings = [handmade_reading(step, 2.28, 130, train_loss=1.95) for step in (10, 20, 30)]
    readings[-1] = replace(readings[-1], batch_loss=1.72)
    assert final_verdict(readings, Chance(0.13, 0.6, log(10), 10)).fate == Fate.INFERENCE_LAGS


def test_a_run_that_lost_what_it_had_learned_is_back_at_chance() -> None:
    readings = [handmade_reading(10, 5.2, 40), *(handmade_reading(step, 6.0) for step in (20, 30, 40))]
    verdict = final_verdict(readings, MANY)
    assert verdict.fate == Fate.AT_CHANCE
    assert verdict.reason.startswith("back at chance after 40 steps")


@pytest.mark.parametrize(
    ("classes", "hits", "loss", "fate"),
    [
        (2, 530, 2.0, Fate.AT_CHANCE),
        (2, 600, 2.0, Fate.ABOVE_CHANCE),
        (2, 600, 0.97, Fate.LEARNED),  # three times chance would be 150 %
        (2, 780, 2.0, Fate.LEARNED),
        (4, 340, 0.97, Fate.LEARNED),
        (4, 340, 2.0, Fate.ABOVE_CHANCE),
        (10, 190, 0.99, Fate.ABOVE_CHANCE),
        (10, 200, 0.99, Fate.LEARNED),
        (10, 300, 2.0, Fate.ABOVE_CHANCE),
        (10, 320, 2.0, Fate.LEARNED),
    ],
)
def test_few_classes(classes: int, hits: int, loss: float, fate: Fate) -> None:
    readings = [handmade_reading(step, loss * log(classes), hits) for step in (10, 20, 30)]
    assert final_verdict(readings, even(classes)).fate == fate


def test_shares_of_few_classes_are_readable() -> None:
    readings = [handmade_reading(step, 0.71, 510) for step in (10, 20, 30)]
    assert final_verdict(readings, even(2)).reason == (
        "still at chance after 30 steps: top-1 49.8 % (chance 50.0 %), loss 0.71 (guessing 0.69), best gain -2.4 %"
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


PREDICTIONS = [
    (0.5, Fate.LEARNED),
    (0.89, Fate.LEARNED),
    (0.97, Fate.ABOVE_CHANCE),
    (0.99, Fate.AT_CHANCE),
    (33.0, Fate.AT_CHANCE),
]


@pytest.mark.parametrize(("loss", "fate"), PREDICTIONS)
def test_a_regression_has_learned_when_it_beats_the_mean_by_ten_percent(loss: float, fate: Fate) -> None:
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


def test_a_net_that_is_mostly_right_has_learned_whatever_its_loss() -> None:
    chance = Chance.balanced(10)
    base = fitting()[-1]
    for hits, fate in ((800, Fate.LEARNED), (300, Fate.ABOVE_CHANCE)):
        readings = [replace(base, step=step, hits1=hits, count=1000, loss=60.0, loss_std=90.0) for step in (0, 5, 10)]
        readings += [replace(readings[-1], step=step) for step in (15, 20)]
        assert final_verdict(readings, chance).fate == fate


def test_learning_on_another_mix_of_classes_is_no_unlike_holdout_set() -> None:
    """Trained on classes that are equally frequent, held out 95 to 5: no constant answer of training is as good."""
    train = np.arange(1000, dtype=np.int32) % 2
    holdout = (np.arange(1000, dtype=np.int32) % 20 == 0).astype(np.int32)
    chance = Chance.of(train, holdout, 2)
    base = replace(fitting()[-1], loss=0.27, loss_std=0.5, hits1=883, hits5=1000, count=1000, train_loss=0.2)
    readings = [replace(base, step=step, passes=0.2 * step / 10) for step in (10, 20, 30, 40)]
    readings.insert(0, replace(base, step=0, loss=0.69, train_loss=float("nan"), passes=0.0))
    verdict = final_verdict(readings, chance)
    assert verdict.fate == Fate.ABOVE_CHANCE
    assert "mixed otherwise" in verdict.reason
