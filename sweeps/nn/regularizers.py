"""Activity regularisers."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("sweeps")
class OpenGate(keras.regularizers.Regularizer):
    """c mean((1 - a)^2) over a gate's outputs a, which pulls squeeze-and-excitation towards changing nothing.

    Keras divides it by the batch size; so this is the sum over the batch of the mean over channels.
    """

    def __init__(self, c: float) -> None:
        self.c = c

    def __call__(self, x: Any) -> Any:
        return self.c * ops.sum(ops.mean(ops.square(1 - ops.cast(x, "float32")), axis=-1))

    def get_config(self) -> dict[str, Any]:
        return {"c": self.c}
