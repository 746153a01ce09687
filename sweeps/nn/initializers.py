"""Initialisers of kernels; with `Constrained` a net obeys its constraint before the first step too."""

from collections.abc import Callable
from typing import Any, Self

import keras

from sweeps.config import Initializer


@keras.saving.register_keras_serializable("sweeps")
class Constrained(keras.initializers.Initializer):
    """What `initializer` draws, put under `constraint`: Keras itself applies constraints after updates only."""

    def __init__(self, initializer: keras.initializers.Initializer, constraint: keras.constraints.Constraint) -> None:
        self.initializer = initializer
        self.constraint = constraint

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        return self.constraint(self.initializer(shape, dtype=dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.saving.serialize_keras_object(self.initializer),
            "constraint": keras.saving.serialize_keras_object(self.constraint),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{name: keras.saving.deserialize_keras_object(part) for name, part in config.items()})


@keras.saving.register_keras_serializable("sweeps")
class OnePlusNoise(keras.initializers.RandomNormal):
    """Normal with mean 1 and spread 1/256: a gate that starts out open, and no two alike."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(mean=1.0, stddev=1 / 256, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


def _standard_normal(seed: int) -> keras.initializers.Initializer:
    """N(0, 1), whatever the fan-in: what ordinary nets of the 1990s started from."""
    return keras.initializers.RandomNormal(mean=0.0, stddev=1.0, seed=seed)


INITIALIZERS: dict[Initializer, Callable[..., keras.initializers.Initializer]] = {
    "lecun_normal": keras.initializers.LecunNormal,
    "lecun_uniform": keras.initializers.LecunUniform,
    "he_normal": keras.initializers.HeNormal,
    "he_uniform": keras.initializers.HeUniform,
    "glorot_normal": keras.initializers.GlorotNormal,
    "glorot_uniform": keras.initializers.GlorotUniform,
    "standard_normal": _standard_normal,
}
