"""Dials follow the config."""

from functools import partial
from typing import get_args

import pytest

from sweeps import config
from sweeps.nn.choices import CHOICES, TrialChoices


@pytest.mark.parametrize(
    ("field", "choices"),
    [
        ("activation", config.Activation),
        ("constraint", config.Constraint),
        ("dropout", config.Dropout),
        ("optimizer", config.Optimizer),
    ],
)
def test_the_branch_of_the_config_s_choice_runs(field: str, choices: object) -> None:
    choices = TrialChoices()
    for choice in get_args(choices):
        choices.set(config.Config.model_validate({field: choice}))
        assert choices.run_branch(field, {name: partial(CHOICES[field].index, name) for name in CHOICES[field]}) == (
            CHOICES[field].index(choice)
        )


def test_numbers_are_single_precision_and_switches_are_boolean() -> None:
    choices = TrialChoices()
    choices.set(config.Config.model_validate({"learning_rate": 3e-4, "l2": 1e-5, "constrain_first": False}))
    assert float(choices["learning_rate"]) == pytest.approx(3e-4, rel=1e-7)
    assert float(choices["l2"]) == pytest.approx(1e-5, rel=1e-7)
    assert not choices["constrain_first"]
    assert choices["constrain_last"]
