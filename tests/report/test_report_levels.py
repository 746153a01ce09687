"""Levels of hyperparameters, and how many learned at each; against counts by hand and a formula of one's own."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import space

from sweeps.analysis.values import get_drawn_values, values_in_effect
from sweeps.config import Config
from sweeps.report import levels as of
from sweeps.report.levels import Count, JudgedRun
from sweeps.report.words import format_percent
from sweeps.space.parameters import Case, Choices, Parameter, Range
from sweeps.surfaces import make_printable
from sweeps.trials import FinishedTrial

RATE = Parameter("learning_rate", (Case(Range(1e-5, 1e-1, log=True)),))
MOMENTUM = Parameter("momentum", (Case(Range(0.0, 0.99)),))
NAMES = Parameter("constraint", (Case(Choices(("none", "unit_norm", "max_norm"))),))


def runs(name: str, *values: object) -> list[JudgedRun]:
    return [JudgedRun({name: value}, learned=index % 2 == 0) for index, value in enumerate(values)]  # type: ignore[dict-item]


def test_names_come_in_the_order_of_the_file_and_only_if_they_were_tried() -> None:
    found = of.count_levels(NAMES, runs("constraint", "max_norm", "none", "none", "none"))
    assert found.rows == (("none", Count(1, 3)), ("max_norm", Count(1, 1)))


def test_few_numbers_are_levels_of_their_own() -> None:
    found = of.count_levels(RATE, runs("learning_rate", 3e-3, 1e-3, 1e-3))
    assert found.rows == (("0.001", Count(1, 2)), ("0.003", Count(1, 1)))


def test_many_numbers_are_binned_in_logs_where_the_range_is() -> None:
    values = [1e-5 * 10 ** (4 * index / 50) for index in range(51)]
    found = of.count_levels(RATE, runs("learning_rate", *values))
    words = [word for word, _ in found.rows]
    assert words[:2] == ["1e-5 to 3e-5", "3e-5 to 1e-4"]
    assert words[-1] == "0.03 to 0.1"
    assert sum(count.tried for _, count in found.rows) == 51, "the highest value is in the last bin"


def test_a_linear_range_is_binned_evenly_however_near_to_nought_it_begins() -> None:
    found = of.count_levels(MOMENTUM, runs("momentum", *(0.0001 + index / 40 for index in range(40))))
    assert [word for word, _ in found.rows] == ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"]
    assert [count.tried for _, count in found.rows] == [8] * 5


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=60), st.booleans())
def test_every_value_is_in_just_one_bin_and_bins_are_few(values: list[float], log: bool) -> None:
    parameter = Parameter("learning_rate", (Case(Range(1e-9, 1e9, log=log)),))
    found = of.count_levels(parameter, runs("learning_rate", *values))
    assert sum(count.tried for _, count in found.rows) == len(values)
    assert len(found.rows) <= max(of.MOST_LEVELS, 1)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60))
def test_a_bin_holds_what_is_between_its_ends(values: list[int]) -> None:
    parameter = Parameter("batch_size", (Case(Range(1, 500, integer=True)),))
    for words, count in of.count_levels(parameter, runs("batch_size", *values)).rows:
        low, _, high = words.partition(" to ")
        last = float(high or low) >= max(values)
        inside = [
            v for v in values if float(low) <= v and (v < float(high or low) or (last and v <= float(high or low)))
        ]
        assert count.tried == (len(inside) if high else values.count(int(low)))


def test_a_grid_keeps_bins_that_nothing_fell_into_out_and_pairs_that_were_not_tried_empty() -> None:
    some = [
        JudgedRun({"constraint": "none", "learning_rate": 1e-3}, True),
        JudgedRun({"constraint": "unit_norm", "learning_rate": 1e-2}, False),
    ]
    found = of.count_grid(NAMES, RATE, some)
    assert (found.rows, found.columns) == (("none", "unit_norm"), ("0.001", "0.01"))
    assert found.cells == {(0, 0): Count(1, 1), (1, 1): Count(0, 1)}


@given(st.integers(1, 400), st.data())
def test_the_interval_is_wilsons(tried: int, data: st.DataObject) -> None:
    learned = data.draw(st.integers(0, tried))
    low, high = Count(learned, tried).interval
    # Its ends are where the score test is just not rejected: |p - share| = z sqrt(p (1 - p) / n).
    for end in (low, high):
        assert abs(end - learned / tried) == pytest.approx(1.959964 * sqrt(max(0.0, end * (1 - end)) / tried), abs=1e-6)
    assert 0 <= low <= learned / tried <= high <= 1


def test_a_conditional_value_counts_only_where_it_has_a_say_and_none_is_a_level() -> None:
    conditional = space(
        "space.optimizer=['adam', 'sgd']",
        "space.momentum={choices=[0.5, 0.9], when={optimizer='sgd'}}",
        "space.dropout={choices=['none', 'dropout'], when={optimizer='sgd'}}",
    )
    config = Config.model_validate({"optimizer": "adam", "momentum": 0.9, "dropout": "none"})
    found = values_in_effect(conditional, config, {})
    assert "momentum" not in found
    assert found["dropout"] == "none"
    assert values_in_effect(conditional, config.model_copy(update={"optimizer": "sgd"}), {})["momentum"] == 0.9


def test_the_line_of_a_trial_names_what_has_a_say_in_it_alone() -> None:
    conditional = space(
        "space.optimizer=['adam', 'sgd']",
        "space.momentum={choices=[0.5, 0.9], when={optimizer='sgd'}}",
    )
    adam = Config.model_validate({"optimizer": "adam", "momentum": 0.5})
    assert "momentum" not in get_drawn_values(conditional, FinishedTrial(0, "learned", config=adam))
    sgd = adam.model_copy(update={"optimizer": "sgd"})
    assert "momentum=0.5" in get_drawn_values(conditional, FinishedTrial(0, "learned", config=sgd))


def test_labels_decide_conditions_and_are_no_hyperparameters() -> None:
    confirming = space(
        "space.candidate=[3, 7]",
        "space.replicate=[0, 1]",
        "space.constraint=[{value='none', when={candidate=3}}, {value='unit_norm', when={candidate=7}}]",
    )
    config = Config.model_validate({"constraint": "unit_norm", "learning_rate": 1e-3})
    found = values_in_effect(confirming, config, {"candidate": 7, "replicate": 1})
    assert found == {"activation": "relu", "constraint": "unit_norm", "learning_rate": 1e-3, "batch_size": 64}
    assert "candidate" not in {parameter.name for parameter in of.list_varied(confirming)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1e-7, "1e-7"),
        (2.5e-4, "2.5e-4"),
        (0.001, "0.001"),
        (64.0, "64"),
        (64, "64"),
        (0.0, "0"),
        (True, "true"),
        ("relu", "relu"),
        (1e9, "1e+09"),
    ],
)
def test_values_are_short(value: object, words: str) -> None:
    assert of.format_parameter(value) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.004, "0.4%"), (0.996, "99.6%"), (1e-5, "<0.1%"), (0.99999, ">99.9%")],
)
def test_no_share_is_rounded_to_none_or_all(share: float, words: str) -> None:
    assert format_percent(share) == words


def test_what_no_terminal_can_show_is_replaced() -> None:
    assert make_printable("a\x00b\x1b[31mc\ud800d\te\nf") == "a�b�[31mc�d\te\nf"
