"""Architecture: what decides a net's graph. Trials that share it share one traced step."""

from dataclasses import dataclass
from typing import Literal, Self

from sweeps.config import Config, Dtype, ModelConfig


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything of a trial that a switched part cannot choose.

    Attributes:
        input_shape: (height, width, channels) of the images, or (columns,) of a table.
        outputs: length of the logits; 1 in regression.
    """

    input_shape: tuple[int, ...]
    outputs: int
    regression: bool
    model: ModelConfig
    batch_normalization: Literal["none", "before", "after"]
    batch_normalization_affine: bool
    dtype: Dtype

    @classmethod
    def from_config(cls, config: Config, input_shape: tuple[int, ...]) -> Self:
        """Return the architecture of a trial on inputs of this shape."""
        return cls(
            input_shape,
            config.data.outputs,
            config.data.task == "regression",
            config.model,
            config.batch_normalization,
            config.batch_normalization_affine,
            config.dtype,
        )
