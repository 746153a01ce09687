"""The two sets of parts that an architecture is built from: plain Keras for people, switched parts for the trainer."""

from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config
from sweeps.nn.activations import SwitchedActivation
from sweeps.nn.choices import TrialChoices
from sweeps.nn.constraints import CONSTRAINTS, Limits
from sweeps.nn.dropout import SwitchedDropout
from sweeps.nn.initializers import INITIALIZERS, Constrained, OnePlusNoise
from sweeps.nn.regularizers import OpenGate
from sweeps.nn.scaling import Scaling
from sweeps.nn.seeds import layer_seed


class Parts(Protocol):
    """The parts of a net that trials choose."""

    def make_scaling(self, **kwargs: Any) -> keras.layers.Layer:
        """Return the layer that turns stored images into inputs."""
        ...

    def kernel_options(self, index: int, rank: int, last: bool) -> dict[str, Any]:
        """Return arguments `kernel_...` of the layer that holds kernel `index`, a tensor with `rank` axes."""
        ...

    def gate_bias(self, index: int) -> keras.initializers.Initializer:
        """Return what the bias of the gate that holds kernel `index` is drawn from."""
        ...

    def gate_penalty(self) -> keras.regularizers.Regularizer | None:
        """Return the activity regulariser of a gate."""
        ...

    def make_activation(self, **kwargs: Any) -> keras.layers.Layer:
        """Return the layer after each hidden kernel."""
        ...

    def make_dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """Return the layer after the activation of a hidden dense layer, if any."""
        ...


def kernel_constraint(config: Config, index: int, last: bool, rank: int) -> keras.constraints.Constraint | None:
    """Return the constraint on kernel `index`, or None where the trial leaves it free."""
    free = (index == 0 and not config.constrain_first) or (last and not config.constrain_last)
    if free:
        return None
    return CONSTRAINTS[config.constraint](Limits(rank, config.tau, config.max_norm))


def kernel_initializer(config: Config, index: int, last: bool, rank: int) -> keras.initializers.Initializer:
    """Return what kernel `index` is drawn from, its constraint included."""
    drawn = INITIALIZERS[config.initializer](seed=layer_seed(config.seed, index, "kernel"))
    constraint = kernel_constraint(config, index, last, rank)
    if constraint is None:
        return drawn
    return Constrained(drawn, constraint)


def gate_bias(config: Config, index: int) -> keras.initializers.Initializer:
    """Return what the bias of the gate that holds kernel `index` is drawn from."""
    if config.excitation_bias == "zeros":
        return keras.initializers.Zeros()
    return OnePlusNoise(seed=layer_seed(config.seed, index, "gate"))


@dataclass(frozen=True, slots=True)
class PlainParts:
    """Keras's own layers, set to one trial's choices.

    Attributes:
        scale, offset: of the inputs, see `sweeps.data.arrays.input_scaling`.
    """

    config: Config
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    def make_scaling(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return keras.layers.Rescaling(_number_or_list(self.scale), _number_or_list(self.offset), **kwargs)

    def kernel_options(self, index: int, rank: int, last: bool) -> dict[str, Any]:
        """See `Parts`."""
        return {
            "kernel_initializer": kernel_initializer(self.config, index, last, rank),
            "kernel_constraint": kernel_constraint(self.config, index, last, rank),
            "kernel_regularizer": keras.regularizers.L2(self.config.l2) if self.config.l2 else None,
        }

    def gate_bias(self, index: int) -> keras.initializers.Initializer:
        """See `Parts`."""
        return gate_bias(self.config, index)

    def gate_penalty(self) -> keras.regularizers.Regularizer | None:
        """See `Parts`."""
        if self.config.excitation_penalty:
            return OpenGate(self.config.excitation_penalty)
        return None

    def make_activation(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return keras.layers.Activation(self.config.activation, **kwargs)

    def make_dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """See `Parts`."""
        if self.config.dropout == "none":
            return None
        kind = {"dropout": keras.layers.Dropout, "alpha_dropout": keras.layers.AlphaDropout}[self.config.dropout]
        return kind(self.config.dropout_rate, seed=layer_seed(self.config.seed, index, "dropout"), **kwargs)


def _number_or_list(values: NDArray[np.float32]) -> Any:
    if values.shape == (1,):
        return float(values[0])
    return values.tolist()


@dataclass(frozen=True, slots=True)
class SwitchedParts:
    """Layers that read a trial's choices; the trainer itself draws and constrains the kernels and gates."""

    choices: TrialChoices

    def make_scaling(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return Scaling(**kwargs)

    def kernel_options(self, index: int, rank: int, last: bool) -> dict[str, Any]:  # noqa: ARG002  (the signature of Parts)
        """See `Parts`."""
        return {"kernel_initializer": "zeros"}

    def gate_bias(self, index: int) -> keras.initializers.Initializer:  # noqa: ARG002
        """See `Parts`."""
        return keras.initializers.Zeros()

    def gate_penalty(self) -> keras.regularizers.Regularizer | None:
        """See `Parts`."""
        return None

    def make_activation(self, **kwargs: Any) -> keras.layers.Layer:
        """See `Parts`."""
        return SwitchedActivation(self.choices, **kwargs)

    def make_dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """See `Parts`."""
        return SwitchedDropout(self.choices, index, **kwargs)
