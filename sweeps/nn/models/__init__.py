"""Architectures, and the two ways to build one: of plain Keras parts for people, of dialled parts for the trainer."""

from collections.abc import Callable

import keras

from sweeps.config import Config
from sweeps.nn.dials import Dials
from sweeps.nn.models.architecture import Architecture, Parts
from sweeps.nn.models.cnn import cnn
from sweeps.nn.models.parts import PlainParts, SwitchedParts


def build(config: Config, channels: int = 1) -> keras.Model:
    """The trial's model of plain Keras layers, with the weights that the trial starts from.

    It round-trips through `to_json` and `.keras` files wherever `sweeps.nn.constraints` and `sweeps.nn.initializers`
    are imported.
    """
    architecture = Architecture.of(config, channels)
    parts = PlainParts(config, architecture.kernels)
    return ARCHITECTURES[config.model.architecture](architecture, config.output, parts)


def switchable(architecture: Architecture, dials: Dials) -> keras.Model:
    """The model that the trainer uses for every trial of the architecture; its kernels are zero until it is reset."""
    return ARCHITECTURES[architecture.model.architecture](architecture, "logits", SwitchedParts(dials))


ARCHITECTURES: dict[str, Callable[[Architecture, str, Parts], keras.Model]] = {"cnn": cnn}
