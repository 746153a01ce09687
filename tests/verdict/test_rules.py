from math import inf, nan

import pytest
from looks import look

from sweeps.verdict.rules import Rules, collapsed, diverged

RULES = Rules()


def logits(*signals: float, first_step: int = 10) -> list:
    """Looks every ten steps at the logits of a net whose other layers are well."""
    return [look(first_step + 10 * index, signals=(0.3, 0.2, signal)) for index, signal in enumerate(signals)]


def test_a_weight_that_is_no_number_needs_one_look() -> None:
    reason = diverged([look(0), look(10, loss=131000.0), look(20, loss=nan, finite=False)], RULES)
    assert reason == "diverged at step 20: a weight is NaN or infinite (finite until step 10, loss 1.31e+05 there)"


def test_a_weight_that_was_never_finite_is_told_so() -> None:
    assert (
        diverged([look(0, finite=False)], RULES) == "diverged at step 0: a weight is NaN or infinite (from the start)"
    )


@pytest.mark.parametrize("bad", [nan, inf])
def test_three_hold_out_losses_in_a_row_that_are_no_numbers_are_a_divergence(bad: float) -> None:
    losses = [5.9, bad, bad, bad]
    readings = [look(10 * index, loss=loss, train_loss=5.9) for index, loss in enumerate(losses)]
    assert diverged(readings[:3], RULES) is None
    reason = diverged(readings, RULES)
    assert reason is not None
    assert reason.startswith("diverged at step 30: ")
    assert f"{bad}, {bad}, {bad}" in reason


def test_a_training_loss_that_is_no_number_is_a_skipped_step_not_a_divergence() -> None:
    readings = [look(10 * index, train_loss=nan) for index in range(4)]
    assert diverged(readings, RULES) is None


def test_plain_sgd_at_a_rate_of_a_tenth_diverges_at_its_second_look() -> None:
    # Training loss 7.2, 16.8, 4602, 4e30, NaN at steps 5 to 10; until then the signal was low but there.
    readings = [look(0, 6.11, signals=(0.2, 0.1, 0.038)), look(10, nan, 0, signals=(nan, nan, nan), finite=False)]
    assert diverged(readings, RULES) is not None
    assert collapsed(readings, RULES) is None


def test_a_relu_net_whose_layers_die_from_the_middle_is_collapsed_with_the_layer_named() -> None:
    # A recorded run, some layers left out: whole-kernel centralisation, Adam at 1.4e-2.
    tops = [(2e-13, 2e-13, 2e-13), (1e-13, 2e-13, 2e-13), (0.0, 1e-13, 1.8e-13)]
    body = (0.2, 0.4, 0.3, 0.005, 0.0)
    readings = [look(20 * index + 20, 5.904, 1, signals=body + top) for index, top in enumerate(tops)]
    assert collapsed(readings, RULES) == (
        "collapsed at step 60: every input gives the same output (signal of the logits 2.0e-13, 2.0e-13, 1.8e-13 "
        "at the last 3 looks, limit 1e-06); the signal is first lost in conv_5"
    )


def test_a_learner_that_dips_is_left_alone() -> None:
    # Recorded: unconstrained SELU, Adam at 2e-3; it left chance after step 1000.
    assert collapsed(logits(4.3e-2, 4.0e-3, 4.1e-4, 6.7e-4, 3.4e-5, 2.7e-6), RULES) is None


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param((1e-9, 1e-9), id="two looks only"),
        pytest.param((1e-9, 1e-9, 2e-6), id="it came back"),
        pytest.param((1e-9, 2e-6, 1e-9, 1e-9), id="not in a row"),
        pytest.param((1e-9, 1e-9, 1e-6), id="at the limit, not below"),
        pytest.param((1e-9, 1e-9, nan), id="not a number"),
        pytest.param((1e-9, 1e-9, inf), id="infinite"),
    ],
)
def test_less_is_no_collapse(signals: tuple[float, ...]) -> None:
    assert collapsed(logits(*signals), RULES) is None


def test_a_net_without_any_output_is_collapsed() -> None:
    assert collapsed(logits(0.0, 0.0, 0.0), RULES) is not None


def test_the_look_before_the_first_step_does_not_count() -> None:
    assert collapsed(logits(0.0, 0.0, 0.0, first_step=0), RULES) is None
    assert collapsed(logits(0.5, 1e-9, 1e-9, first_step=0), RULES) is None
    assert collapsed(logits(0.5, 1e-9, 1e-9, 1e-9, first_step=0), RULES) is not None


def test_the_numbers_can_be_changed() -> None:
    patient = Rules(looks=5, least_signal=1e-3)
    assert collapsed(logits(*[1e-4] * 4), patient) is None
    assert collapsed(logits(*[1e-4] * 5), patient) is not None


# Recorded: a net of logistic units with squeeze-and-excitation, Adam 4.9e-4, a look every 32 steps; it ended at 100 %.
SLOW_START = (3.1e-8, 3.6e-7, 6.3e-7, 9.7e-7, 1.6e-6, 2.8e-6)


def test_a_signal_that_starts_below_the_limit_and_rises_is_no_collapse() -> None:
    looks = [look(32 * index, signals=(0.5, signal)) for index, signal in enumerate(SLOW_START)]
    assert all(collapsed(looks[:count], Rules()) is None for count in range(1, len(looks) + 1))


def test_the_same_signals_in_a_run_that_had_one_a_hundred_times_higher_are_a_collapse() -> None:
    looks = [look(32 * index, signals=(0.5, signal)) for index, signal in enumerate((1e-4, *SLOW_START[1:4]))]
    assert collapsed(looks, Rules())
    assert collapsed([look(0, signals=(0.5, 9e-5)), *looks[1:]], Rules()) is None


def test_a_net_whose_units_are_dead_from_the_start_has_collapsed() -> None:
    assert collapsed([look(32 * index, signals=(0.5, 0.0)) for index in range(4)], Rules())
