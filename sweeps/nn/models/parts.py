"""The two sets of parts that an architecture is built from."""

from dataclasses import dataclass
from typing import Any

import keras

from sweeps.config import Config
from sweeps.nn.activations import SwitchedActivation
from sweeps.nn.constraints import CONSTRAINTS, Limits
from sweeps.nn.dials import Dials
from sweeps.nn.dropout import SwitchedDropout
from sweeps.nn.initializers import INITIALIZERS, Constrained
from sweeps.nn.seeds import layer_seed


def kernel_constraint(config: Config, index: int, kernels: int, rank: int) -> keras.constraints.Constraint | None:
    """The constraint on kernel `index` of `kernels`, or None where the trial leaves it free."""
    free = (index == 0 and not config.constrain_first) or (index == kernels - 1 and not config.constrain_last)
    return None if free else CONSTRAINTS[config.constraint](Limits(rank, config.tau, config.max_norm))


def kernel_initializer(config: Config, index: int, kernels: int, rank: int) -> keras.initializers.Initializer:
    """What kernel `index` of `kernels` is drawn from, its constraint included."""
    drawn = INITIALIZERS[config.initializer](seed=layer_seed(config.seed, index, "kernel"))
    constraint = kernel_constraint(config, index, kernels, rank)
    return drawn if constraint is None else Constrained(drawn, constraint)


@dataclass(frozen=True, slots=True)
class PlainParts:
    """Keras's own layers, set to one trial's choices."""

    config: Config
    kernels: int

    def kernel(self, index: int, rank: int) -> dict[str, Any]:
        """See `Parts`."""
        return {
            "kernel_initializer": kernel_initializer(self.config, index, self.kernels, rank),
            "kernel_constraint": kernel_constraint(self.config, index, self.kernels, rank),
            "kernel_regularizer": keras.regularizers.L2(self.config.l2) if self.config.l2 else None,
        }

    def activation(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return keras.layers.Activation(self.config.activation, **kwargs)

    def dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """See `Parts`."""
        if self.config.dropout == "none":
            return None
        kind = {"dropout": keras.layers.Dropout, "alpha_dropout": keras.layers.AlphaDropout}[self.config.dropout]
        return kind(self.config.dropout_rate, seed=layer_seed(self.config.seed, index, "dropout"), **kwargs)


@dataclass(frozen=True, slots=True)
class SwitchedParts:
    """Layers that read dials; the trainer itself draws, regularises and constrains the kernels."""

    dials: Dials

    def kernel(self, index: int, rank: int) -> dict[str, Any]:  # noqa: ARG002  (the signature is that of Parts)
        """See `Parts`."""
        return {"kernel_initializer": "zeros"}

    def activation(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return SwitchedActivation(self.dials, **kwargs)

    def dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """See `Parts`."""
        return SwitchedDropout(self.dials, index, **kwargs)
