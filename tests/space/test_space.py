"""Space: rehearsals reach every choice, draws obey conditions, configs depend on the slot alone."""

import optuna
import pytest
from fakes import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from pydantic import ValidationError

from sweeps.space import file
from sweeps.space.parameters import Case, Choices, Parameter, Range
from sweeps.space.space import derived_seed

CONDITIONS = """
[space]
activation = ["relu", "selu", "elu"]
constraint = { choices = ["none", "centralize_unit", "standardize_unit"], when = { activation = ["selu", "elu"] } }
tau = { low = 0.5, high = 2.0, when = { constraint = "standardize_unit" } }
optimizer = ["adam", "adadelta"]
learning_rate = [
  { low = 1e-3, high = 1.0, log = true, when = { optimizer = "adadelta" } },
  { low = 1e-4, high = 1e-2, log = true },
]
dropout = [
  { choices = ["none", "alpha_dropout"], when = { activation = "selu" } },
  { choices = ["none", "dropout"] },
]
batch_size = [16, 32]
"""
SPACE = file.parse_space(TINY.split("[space]")[0] + CONDITIONS)


def drawn(seed: int) -> dict[str, object]:
    study = optuna.create_study(sampler=RandomSampler(seed=seed))
    return dict(SPACE.draw_values(study.ask()))


def test_rehearsals_try_every_choice_and_both_ends_of_every_range_under_each_condition() -> None:
    configs = list(SPACE.rehearsals())
    tried = (
        {(config.activation, config.constraint) for config in configs}
        | {(config.optimizer, config.learning_rate) for config in configs}
        | {(config.activation, config.dropout) for config in configs}
    )
    assert {config.batch_size for config in configs} == {16, 32}
    assert {("adadelta", 1e-3), ("adadelta", 1.0), ("adam", 1e-4), ("adam", 1e-2)} <= tried
    assert ("selu", "alpha_dropout") in tried
    assert {config.constraint for config in configs} == {"none", "centralize_unit", "standardize_unit"}
    assert {config.tau for config in configs if config.constraint == "standardize_unit"} == {0.5, 2.0}
    assert {config.activation for config in configs} == {"relu", "selu", "elu"}
    assert len(configs) <= 8  # 3 x 3 x 2 x 2 x 2 x 2 combinations, covered by a few


@given(st.integers(0, 2**31))
@settings(max_examples=30)
def test_what_is_drawn_obeys_every_condition(seed: int) -> None:
    values = drawn(seed)
    if values["activation"] == "relu":
        assert values["constraint"] == "none"
    if values["constraint"] != "standardize_unit":
        assert "tau" not in values  # then Config takes the activation's own
    if values["activation"] != "selu":
        assert values["dropout"] != "alpha_dropout"
    low, high = (1e-3, 1.0) if values["optimizer"] == "adadelta" else (1e-4, 1e-2)
    assert low <= values["learning_rate"] <= high  # type: ignore[operator]


def test_a_config_is_a_function_of_values_and_slot() -> None:
    values = SPACE.draw_values(optuna.create_study(sampler=RandomSampler(seed=1)).ask())
    assert SPACE.make_config(values, 3) == SPACE.make_config(values, 3)
    assert SPACE.make_config(values, 3).seed != SPACE.make_config(values, 4).seed
    assert SPACE.make_config(values, 3).model_copy(update={"seed": 0}) == SPACE.make_config(values, 4).model_copy(
        update={"seed": 0}
    )
    with pytest.raises(ValidationError):
        SPACE.make_config({**values, "batch_size": -1}, 0)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6))
def test_seeds_of_trials_are_seeds_of_a_config(seed: int, slot: int) -> None:
    assert 0 <= derived_seed(seed, slot) < 2**31


def test_seeds_of_trials_differ() -> None:
    assert len({derived_seed(seed, slot) for seed in range(10) for slot in range(1000)}) > 9_990


def test_a_label_names_the_condition_where_domains_differ() -> None:
    first = Case(Range(1e-3, 1.0), (("optimizer", ("adadelta", "sgd")),))
    last = Case(Choices((1e-3,)))
    assert Parameter("learning_rate", (first, last)).label(first) == "learning_rate[optimizer=adadelta|sgd]"
    assert Parameter("learning_rate", (first, last)).label(last) == "learning_rate"
    assert Parameter("learning_rate", (first,)).label(first) == "learning_rate"
