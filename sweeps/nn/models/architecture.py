"""Architecture: what decides a net's graph. Trials that share it share one traced step."""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import keras

from sweeps.config import Config, Dtype, ModelConfig


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything of a trial that cannot be turned by a dial.

    Attributes:
        input_shape: (height, width, channels) of the images.
        classes: length of the logits.
    """

    input_shape: tuple[int, int, int]
    classes: int
    model: ModelConfig
    batch_normalization: bool
    dtype: Dtype

    @classmethod
    def of(cls, config: Config, channels: int) -> Self:
        """The architecture of a trial on images with `channels` channels."""
        size = config.data.image_size
        return cls((size, size, channels), config.data.classes, config.model, config.batch_normalization, config.dtype)

    @property
    def kernels(self) -> int:
        """How many kernels the net has; the last one's outputs are the logits."""
        return self.model.convolutions + self.model.dense + 1


class Parts(Protocol):
    """The parts of a net that trials choose: plain Keras for an export, switchable for the trainer."""

    def kernel(self, index: int, rank: int) -> dict[str, Any]:
        """Arguments `kernel_...` of the layer that holds kernel `index`, a tensor with `rank` axes."""
        ...

    def activation(self, **kwargs: Any) -> keras.layers.Layer:
        """The layer after each hidden kernel."""
        ...

    def dropout(self, index: int, **kwargs: Any) -> keras.layers.Layer | None:
        """The layer after the activation of a hidden dense layer, if any."""
        ...
