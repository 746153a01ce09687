"""Architectures, and the two ways to build one: of plain Keras parts for people, of switched parts for the trainer."""

from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config
from sweeps.nn.choices import TrialChoices
from sweeps.nn.models.alexnet import build_alexnet, build_se_blocks, build_se_resnet
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.builder import Builder, Gate
from sweeps.nn.models.cnn import build_cnn
from sweeps.nn.models.custom import build_custom
from sweeps.nn.models.dense import build_dense
from sweeps.nn.models.parts import PlainParts, SwitchedParts

UNIT = (np.full(1, 1 / 255, np.float32), np.zeros(1, np.float32))


def build_model(
    config: Config,
    input_shape: tuple[int, ...] | None = None,
    scaling: tuple[NDArray[np.float32], NDArray[np.float32]] = UNIT,
) -> keras.Model:
    """Return the trial's model of plain Keras layers, with the weights that the trial starts from.

    It round-trips through `to_json` and `.keras` files wherever `sweeps.nn` is imported.

    Args:
        input_shape: of an image or row; by default one channel of `config.data.image_size` pixels a side.
        scaling: scale and offset of the inputs, see `sweeps.data.arrays.input_scaling`.
    """
    if config.model.architecture == "custom":
        return build_custom(config)
    size = config.data.image_size
    architecture = Architecture.from_config(config, input_shape or (size, size, 1))
    parts = PlainParts(config, *scaling)
    return ARCHITECTURES[config.model.architecture](Builder(architecture, parts), config.output)


def build_switched(architecture: Architecture, choices: TrialChoices) -> tuple[keras.Model, list[Gate]]:
    """Return the model that the trainer uses for every trial of the architecture, and its gates.

    The model's kernels are zero until it is reset.
    """
    builder = Builder(architecture, SwitchedParts(choices))
    model = ARCHITECTURES[architecture.model.architecture](builder, "logits")
    return model, builder.gates


ARCHITECTURES: dict[str, Callable[[Builder, str], keras.Model]] = {
    "cnn": build_cnn,
    "dense": build_dense,
    "alexnet": build_alexnet,
    "se_resnet": build_se_resnet,
    "se_blocks": build_se_blocks,
}
