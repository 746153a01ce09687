"""Architecture: what decides a net's graph. Trials that share it share one traced step."""

from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

from sweeps.config import Config, Dtype, ModelConfig

InputDtype: TypeAlias = Literal["uint8", "float32"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything of a trial that a switched part cannot choose.

    Attributes:
        input_shape: (height, width, channels) of the images, (columns,) of a table, or any for a user's own net.
        input_dtype: of the batches.
        outputs: length of the logits; 1 in regression.
    """

    input_shape: tuple[int, ...]
    input_dtype: InputDtype
    outputs: int
    regression: bool
    model: ModelConfig
    batch_normalization: Literal["none", "before", "after"]
    batch_normalization_affine: bool
    dtype: Dtype

    @classmethod
    def from_config(cls, config: Config, input_shape: tuple[int, ...], input_dtype: InputDtype | None = None) -> Self:
        """Return the architecture of a trial on inputs of this shape.

        Args:
            input_dtype: None: uint8 for three sides, as of images, else float32.
        """
        if input_dtype is None:
            input_dtype = "uint8" if len(input_shape) == 3 else "float32"
        return cls(
            input_shape=input_shape,
            input_dtype=input_dtype,
            outputs=config.data.outputs,
            regression=config.data.task == "regression",
            model=config.model,
            batch_normalization=config.batch_normalization,
            batch_normalization_affine=config.batch_normalization_affine,
            dtype=config.dtype,
        )
