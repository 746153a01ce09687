"""The hyperparameters of one trial that its study varies, as values and as a line for people."""

from collections.abc import Mapping
from typing import Any

from sweeps.config import Config
from sweeps.space.parameters import Scalar
from sweeps.space.space import LABELS, Space
from sweeps.trials import FinishedTrial

# Parameters whose values need no name beside them.
SPEAK_FOR_THEMSELVES = {"activation", "constraint", "optimizer", "initializer", "dropout", "output", "dtype"}


def values_in_effect(space: Space, config: Config | None, params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the values of a recipe that the space draws, labels left out.

    A conditional hyperparameter is left out where its condition does not hold: momentum has no effect in Adam. The
    value `none` is always kept.

    Args:
        params: what Optuna drew; it holds the labels, which are no part of a recipe, unless a label has only one value.
    """
    values: dict[str, Scalar] = {}
    all_values: dict[str, Scalar] = {}
    for parameter in space.parameters:
        if parameter.name in LABELS:
            only_label = parameter.cases[0].domain.ends()[0]
            all_values[parameter.name] = params.get(parameter.name, only_label)
        elif config is not None and (value := config.get_value(parameter.name)) is not None:
            if value == "none" or any(case.holds(all_values) for case in parameter.cases):
                values[parameter.name] = value
            all_values[parameter.name] = value
    return values


def get_drawn_values(space: Space, trial: FinishedTrial) -> str:
    """Return the values of the parameters that the space varies, without those that had no say."""
    in_effect = values_in_effect(space, trial.config, trial.params)
    texts = []
    for parameter in space.parameters:
        varies = len(parameter.cases) > 1 or len(parameter.cases[0].domain.ends()) > 1 or parameter.cases[0].when
        value = in_effect.get(parameter.name, "none")
        if not varies or parameter.name in LABELS or value == "none":
            continue
        text = str(value)
        if isinstance(value, float):
            text = f"{value:.3g}"
        if parameter.name not in SPEAK_FOR_THEMSELVES:
            text = f"{parameter.name}={text}"
        texts.append(text)
    return " ".join(texts)
