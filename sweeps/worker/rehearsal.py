"""Every choice is trained for a step before any budget is spent: what cannot work shows now, not at the 40th trial."""

from dataclasses import replace

from sweeps.config import Config
from sweeps.errors import SpaceError, SweepsError, one_line
from sweeps.space.space import Space
from sweeps.worker.protocol import Load, Train

HOLDOUT_IMAGES = 64  # enough for a reading to run through all its code


def rehearse(space: Space, train: Train, load: Load, source: str) -> int:
    """Train each choice, and both ends of each range, for one step.

    Returns:
        How many configurations that took.

    Raises:
        SpaceError: the data cannot be read, or a configuration cannot be trained; the message names its values.
    """
    configs = list(space.rehearsals())
    try:
        arrays = load(space.data, space.budget.holdout_images)
    except Exception as exc:  # users' files and functions may raise anything; a person wants one line
        raise SpaceError(source, [("data", _error_reason(exc))]) from exc
    few = replace(
        arrays,
        holdout_images=arrays.holdout_images[:HOLDOUT_IMAGES],
        holdout_labels=arrays.holdout_labels[:HOLDOUT_IMAGES],
    )
    for config in configs:
        brief = config.model_copy(update={"steps": 1, "report_interval": 1})
        try:
            for _ in train(brief, few, None):
                pass
        except Exception as exc:  # and so may their nets, and TensorFlow
            values = ", ".join(f"{p.name} = {_config_value(config, p.name)}" for p in space.parameters)
            raise SpaceError(source, [("space", f"cannot be trained with {values}: {_error_reason(exc)}")]) from exc
    return len(configs)


def _error_reason(exc: Exception) -> str:
    text = one_line(exc)[:300]
    if isinstance(exc, SweepsError):
        return text
    return f"{type(exc).__name__}: {text}"


def _config_value(config: Config, name: str) -> object:
    value: object = config
    for key in name.split("."):
        value = getattr(value, key)
    return value
