from dataclasses import replace
from math import inf, nan

import pytest
from handmade import handmade_reading

from sweeps.readings import Reading
from sweeps.verdict.rules import Rules, collapsed, cut_off, dead_at_init, diverged, frozen, saturated

RULES = Rules()


def logits(*signals: float, first_step: int = 10) -> list[Reading]:
    """Looks every ten steps at the logits of a net whose other layers are well."""
    return [
        handmade_reading(first_step + 10 * index, signals=(0.3, 0.2, signal)) for index, signal in enumerate(signals)
    ]


def test_a_weight_that_is_no_number_needs_one_reading() -> None:
    reason = diverged(
        [handmade_reading(0), handmade_reading(10, loss=131000.0), handmade_reading(20, loss=nan, finite=False)], RULES
    )
    assert reason == "diverged at step 20: a weight is NaN or infinite (finite until step 10, loss 1.31e+05 there)"


def test_a_weight_that_was_never_finite_is_told_so() -> None:
    assert (
        diverged([handmade_reading(0, finite=False)], RULES)
        == "diverged at step 0: a weight is NaN or infinite (from the start)"
    )


@pytest.mark.parametrize("bad", [nan, inf])
def test_three_hold_out_losses_in_a_row_that_are_no_numbers_are_a_divergence(bad: float) -> None:
    losses = [5.9, bad, bad, bad]
    readings = [handmade_reading(10 * index, loss=loss, train_loss=5.9) for index, loss in enumerate(losses)]
    assert diverged(readings[:3], RULES) is None
    reason = diverged(readings, RULES)
    assert reason is not None
    assert reason.startswith("diverged at step 30: ")
    assert f"{bad}, {bad}, {bad}" in reason


def test_a_training_loss_that_is_no_number_is_a_skipped_step_not_a_divergence() -> None:
    readings = [handmade_reading(10 * index, train_loss=nan) for index in range(4)]
    assert diverged(readings, RULES) is None


def test_plain_sgd_at_a_rate_of_a_tenth_diverges_at_its_second_reading() -> None:
    # Training loss 7.2, 16.8, 4602, 4e30, NaN at steps 5 to 10; until then the signal was low but there.
    readings = [
        handmade_reading(0, 6.11, signals=(0.2, 0.1, 0.038)),
        handmade_reading(10, nan, 0, signals=(nan, nan, nan), finite=False),
    ]
    assert diverged(readings, RULES) is not None
    assert collapsed(readings, RULES) is None


def test_a_relu_net_whose_layers_die_from_the_middle_is_collapsed_with_the_layer_named() -> None:
    # A recorded run, some layers left out: whole-kernel centralisation, Adam at 1.4e-2.
    tops = [(2e-13, 2e-13, 2e-13), (1e-13, 2e-13, 2e-13), (0.0, 1e-13, 1.8e-13)]
    body = (0.2, 0.4, 0.3, 0.005, 0.0)
    readings = [handmade_reading(20 * index + 20, 5.904, 1, signals=body + top) for index, top in enumerate(tops)]
    assert collapsed(readings, RULES) == (
        "collapsed at step 60: every input gives the same output (signal of the logits 2.0e-13, 2.0e-13, 1.8e-13 "
        "at the last 3 readings, limit 1e-10); the signal is lost from conv_5 on"
    )


def test_a_learner_that_dips_is_left_alone() -> None:
    # Recorded: unconstrained SELU, Adam at 2e-3; it left chance after step 1000.
    assert collapsed(logits(4.3e-2, 4.0e-3, 4.1e-4, 6.7e-4, 3.4e-5, 2.7e-6), RULES) is None


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param((1e-11, 1e-11), id="two readings only"),
        pytest.param((1e-11, 1e-11, 2e-10), id="it came back"),
        pytest.param((1e-11, 2e-10, 1e-11, 1e-11), id="not in a row"),
        pytest.param((1e-11, 1e-11, 1e-10), id="at the limit, not below"),
        pytest.param((1e-11, 1e-11, nan), id="not a number"),
        pytest.param((1e-11, 1e-11, inf), id="infinite"),
    ],
)
def test_less_is_no_collapse(signals: tuple[float, ...]) -> None:
    assert collapsed(logits(*signals), RULES) is None


def test_a_net_without_any_output_is_collapsed() -> None:
    assert collapsed(logits(0.0, 0.0, 0.0), RULES) is not None


def test_the_reading_before_the_first_step_does_not_count() -> None:
    assert collapsed(logits(0.0, 0.0, 0.0, first_step=0), RULES) is None
    assert collapsed(logits(0.5, 1e-11, 1e-11, first_step=0), RULES) is None
    assert collapsed(logits(0.5, 1e-11, 1e-11, 1e-11, first_step=0), RULES) is not None


def test_the_numbers_can_be_changed() -> None:
    patient = Rules(consecutive=5, least_signal=1e-3)
    assert collapsed(logits(*[1e-4] * 4), patient) is None
    assert collapsed(logits(*[1e-4] * 5), patient) is not None


# Recorded: a net of logistic units with squeeze-and-excitation, Adam 4.9e-4, read every 32 steps; it ended at 100 %
SLOW_START = (3.1e-8, 3.6e-7, 6.3e-7, 9.7e-7, 1.6e-6, 2.8e-6)
# Recorded: swish, Nadam 1.5e-2, a reading every 24 steps; it ended at an information gain of .93.
FELL_AND_ROSE = (6.4e-1, 1.6e-9, 2.5e-9, 2.3e-9, 5.0e-9, 9.9e-8, 2.4e-5, 2.3e-5, 2.9e-3)


@pytest.mark.parametrize("signals", [SLOW_START, FELL_AND_ROSE])
def test_what_a_learner_showed_is_no_collapse(signals: tuple[float, ...]) -> None:
    readings = [handmade_reading(32 * index, signals=(0.5, signal)) for index, signal in enumerate(signals)]
    assert all(collapsed(readings[:count], RULES) is None for count in range(1, len(readings) + 1))


def test_the_signal_must_have_sunk_to_a_hundredth_of_its_highest() -> None:
    sunk = [
        handmade_reading(32 * index, signals=(0.5, signal))
        for index, signal in enumerate((1.1e-9, 2e-11, 1e-11, 1e-11))
    ]
    assert collapsed(sunk, RULES)
    assert collapsed([handmade_reading(0, signals=(0.5, 9e-10)), *sunk[1:]], RULES) is None


def test_a_signal_that_rises_is_no_collapse_however_low() -> None:
    rising = [
        handmade_reading(32 * index, signals=(0.5, signal)) for index, signal in enumerate((0.1, 1e-12, 2e-12, 2.1e-12))
    ]
    assert collapsed(rising, RULES) is None


def test_a_net_whose_units_are_dead_from_the_start_has_collapsed() -> None:
    assert collapsed([handmade_reading(32 * index, signals=(0.5, 0.0)) for index in range(4)], RULES)


def layers(step: int, dead: float = 0.0, signal: float = 0.5, saturated: float = nan) -> Reading:
    """A reading of three layers, the middle one and the logits as given."""
    reading = handmade_reading(step)
    middle, logits = (replace(layer, dead=dead, signal=signal, saturated=saturated) for layer in reading.layers[1:])
    return replace(reading, layers=(reading.layers[0], middle, logits))


def test_a_layer_of_dead_units_cuts_the_net_off_and_is_named() -> None:
    readings = [layers(step, dead=1.0, signal=0.0) for step in (10, 20, 30)]
    reason = cut_off(readings, RULES)
    assert reason is not None
    assert reason.startswith("collapsed at step 30: every unit of conv_2 gives the same output")
    assert cut_off(readings[:2], RULES) is None
    assert cut_off([layers(step, dead=0.99) for step in (10, 20, 30)], RULES) is None


def test_a_dead_layer_that_a_path_leads_around_cuts_nothing_off() -> None:
    readings = [layers(step, dead=1.0) for step in (10, 20, 30)]
    alive = [replace(each, layers=(*each.layers[:2], replace(each.layers[2], dead=0.0))) for each in readings]
    assert cut_off(alive, RULES) is None


def test_a_layer_at_its_flat_ends_is_saturated() -> None:
    readings = [layers(step, saturated=0.9995, signal=1e-4) for step in (10, 20, 30)]
    reason = saturated(readings, RULES)
    assert reason is not None
    assert "99.9% of the outputs of conv_2 or more are at the flat ends" in reason
    assert saturated([*readings[:2], layers(30, saturated=0.99, signal=1e-4)], RULES) is None
    open_gate = [layers(step, saturated=1.0, signal=0.3) for step in (10, 20, 30)]
    assert saturated(open_gate, RULES) is None, "the logits still tell inputs apart"
    assert saturated([layers(step) for step in (10, 20, 30)], RULES) is None, "not a number is not saturated"


def pace(*ratios: float) -> list[Reading]:
    return [replace(handmade_reading(10 * index + 10), update_ratio=ratio) for index, ratio in enumerate(ratios)]


def test_steps_that_cannot_move_the_net_in_the_rest_of_the_budget_freeze_it() -> None:
    # At 2e-6 a step the 470 left make 9.4e-4: less than a thousandth.
    reason = frozen(pace(2e-6, 2e-6, 2e-6), 500, RULES)
    assert reason is not None
    assert reason.startswith("frozen at step 30: ")
    assert frozen(pace(2e-6, 2e-6, 2e-6), 600, RULES) is None
    assert frozen(pace(nan, nan, nan), 500, RULES) is None


def test_a_pace_that_grows_is_not_frozen() -> None:
    assert frozen(pace(1e-7, 1.4e-7, 1.6e-7), 500, RULES) is None, "Adadelta's start"


def test_a_run_near_its_end_is_left_to_end() -> None:
    late = [replace(handmade_reading(step), update_ratio=1e-6) for step in (450, 460, 470)]
    assert frozen(late, 500, RULES) is None


def test_before_training_only_what_the_study_allows_is_rejected() -> None:
    first = [handmade_reading(0, signals=(0.4, 1e-12, 1e-14))]
    assert dead_at_init(first, RULES) is None
    reason = dead_at_init(first, Rules(rejections=1))
    assert reason is not None
    assert reason.startswith("rejected before training")
    assert reason.endswith("lost from conv_2 on")
    assert dead_at_init([handmade_reading(0, signals=(0.4, 3.1e-8))], Rules(rejections=1)) is None, (
        "one that learned started there"
    )
    assert dead_at_init([*first, handmade_reading(10, signals=(0.4, 1e-12, 1e-14))], Rules(rejections=1)) is None


def test_a_learning_rate_that_changes_or_may_change_is_no_sign_of_a_frozen_net() -> None:
    warming_up = [replace(reading, constant_rate=False) for reading in pace(0.0, 0.0, 0.0)]
    assert frozen(warming_up, 500, RULES) is None
    assert frozen(pace(0.0, 0.0, 0.0), 500, RULES) is not None
