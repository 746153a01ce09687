"""Scaling of stored images to inputs, with a scale and an offset that a trial sets."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


class Scaling(keras.layers.Layer):
    """x * scale + offset, as Keras's `Rescaling` computes it; any shape."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the scale: one number per position of an image."""
        shape = tuple(input_shape[1:])
        names = ("scale", "offset")
        self.scale, self.offset = (
            self.add_weight(shape=shape, initializer="zeros", trainable=False, dtype="float32", name=name)
            for name in names
        )

    def set(self, scale: NDArray[np.float32], offset: NDArray[np.float32]) -> None:
        """Use these from now on; each has the shape of an image, or one number."""
        self.scale.assign(np.broadcast_to(scale, self.scale.shape))
        self.offset.assign(np.broadcast_to(offset, self.offset.shape))

    def call(self, inputs: Any) -> Any:
        dtype = self.compute_dtype
        return ops.cast(inputs, dtype) * ops.cast(self.scale, dtype) + ops.cast(self.offset, dtype)
