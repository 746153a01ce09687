"""Every choice is trained for a step before any budget is spent: what cannot work shows now, not at the 40th trial."""

from dataclasses import replace

from sweeps.errors import SpaceError, one_line
from sweeps.space import Space
from sweeps.worker import Load, Train

LOOK_IMAGES = 64  # enough for a look to run through all its code


def rehearse(space: Space, train: Train, load: Load, source: str) -> int:
    """Train each choice, and both ends of each range, for one step.

    Returns:
        How many configurations that took.

    Raises:
        SpaceError: one of them cannot be trained; the message names its values.
    """
    configs = list(space.rehearsals())
    for config in configs:
        brief = config.model_copy(update={"steps": 1, "report_interval": 1})
        try:
            arrays = load(config.data, config.holdout_images)
            few = replace(
                arrays,
                holdout_images=arrays.holdout_images[:LOOK_IMAGES],
                holdout_labels=arrays.holdout_labels[:LOOK_IMAGES],
            )
            for _ in train(brief, few):
                pass
        except Exception as exc:  # user code and TensorFlow may raise anything; a person wants one line
            values = ", ".join(f"{p.name} = {_value(config, p.name)}" for p in space.parameters)
            reason = f"{type(exc).__name__}: {one_line(exc)[:300]}"
            raise SpaceError(source, [("space", f"cannot be trained with {values}: {reason}")]) from exc
    return len(configs)


def _value(config: object, name: str) -> object:
    for key in name.split("."):
        config = getattr(config, key)
    return config
