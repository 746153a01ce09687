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


INITIALIZERS: dict[Initializer, Callable[..., keras.initializers.Initializer]] = {
    "lecun_normal": keras.initializers.LecunNormal,
    "lecun_uniform": keras.initializers.LecunUniform,
    "he_normal": keras.initializers.HeNormal,
    "he_uniform": keras.initializers.HeUniform,
    "glorot_normal": keras.initializers.GlorotNormal,
    "glorot_uniform": keras.initializers.GlorotUniform,
}
