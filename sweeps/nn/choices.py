"""A trial's choices and numbers as variables, so that one traced graph serves all trials of an architecture."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

import tensorflow as tf

from sweeps.config import Activation, Config, Constraint, Dropout, Optimizer

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": get_args(Activation),
    "constraint": get_args(Constraint),
    "dropout": get_args(Dropout),
    "optimizer": get_args(Optimizer),
}
NUMBERS = (
    "learning_rate",
    "epsilon",
    "momentum",
    "l2",
    "weight_decay",
    "tau",
    "max_norm",
    "dropout_rate",
    "excitation_penalty",
)
SWITCHES = ("constrain_first", "constrain_last")


class TrialChoices:
    """One variable per field of Config that the graph reads: int32 for a choice, float32 a number, bool a switch."""

    def __init__(self) -> None:
        self._variables = {
            **{name: tf.Variable(0, dtype=tf.int32, trainable=False, name=name) for name in CHOICES},
            **{name: tf.Variable(0.0, dtype=tf.float32, trainable=False, name=name) for name in NUMBERS},
            **{name: tf.Variable(True, trainable=False, name=name) for name in SWITCHES},
        }

    def __getitem__(self, name: str) -> tf.Variable:
        return self._variables[name]

    def set(self, config: Config) -> None:
        """Set every variable to the trial's value."""
        for name, variable in self._variables.items():
            value = getattr(config, name)
            variable.assign(CHOICES[name].index(value) if name in CHOICES else value)

    def run_branch(self, name: str, branches: Mapping[str, Callable[[], Any]]) -> Any:
        """Run the branch of what the trial chose for `name`, such as `activation`; every option must have a branch."""
        return tf.switch_case(self[name].read_value(), [branches[choice] for choice in CHOICES[name]])
