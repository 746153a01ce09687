"""Builder: the layers that architectures are made of, numbered and named as they are added."""

from typing import Any, NamedTuple

import keras
from keras import layers

from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.parts import Parts

# Keras's momentum of 0.99 would leave the moving averages behind for most of a trial of some hundred steps.
NORMALIZATION_MOMENTUM = 0.9


class Gate(NamedTuple):
    """The gates of one squeeze-and-excitation block.

    Attributes:
        kernel: number of the excitation's kernel.
        excitation: the dense layer whose bias opens or closes the gates.
        activation: the layer whose output the gates are.
    """

    kernel: int
    excitation: keras.layers.Layer
    activation: keras.layers.Layer


class Builder:
    """Adds layers one after the other; kernels are numbered from the input to the logits.

    Hidden layers are followed by the trial's activation, with batch normalisation before or after it.

    Attributes:
        gates: of the squeeze-and-excitation blocks that were added, in their order.
    """

    def __init__(self, architecture: Architecture, parts: Parts) -> None:
        self.architecture = architecture
        self.parts = parts
        self.gates: list[Gate] = []
        self._kernels = 0

    def add_inputs(self) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Return the images as they are stored, and as the net's first layer sees them."""
        shape = self.architecture.input_shape
        images = layers.Input(shape, dtype="uint8" if len(shape) == 3 else "float32", name="images")
        return images, self.parts.make_scaling(dtype=self.architecture.dtype, name="scale")(images)

    def add_convolution(self, x: Any, channels: int, size: int, name: str, stride: int = 1) -> Any:
        """Return a convolution that keeps the borders, activated."""
        kernel = self._kernel_options(rank=4)
        kwargs = {"strides": stride, "padding": "same", "dtype": self.architecture.dtype, "name": name}
        return self.add_activation(layers.Conv2D(channels, size, **kwargs, **kernel)(x), name)

    def add_dense(self, x: Any, units: int, name: str, dropout: bool = True) -> Any:
        """Return a dense layer, activated; with the trial's dropout behind it."""
        index = self._kernels
        kernel = self._kernel_options(rank=2)
        x = self.add_activation(layers.Dense(units, dtype=self.architecture.dtype, name=name, **kernel)(x), name)
        layer = (
            self.parts.make_dropout(index, dtype=self.architecture.dtype, name=f"{name}_dropout") if dropout else None
        )
        if layer is None:
            return x
        return layer(x)

    def add_dense_head(self, x: Any) -> Any:
        """Return the hidden dense layers `dense_1`, ... of the trial's table."""
        table = self.architecture.model
        for number in range(1, table.dense + 1):
            x = self.add_dense(x, table.dense_units, f"dense_{number}")
        return x

    def add_excitation(self, x: Any, name: str) -> Any:
        """Add squeeze-and-excitation: each channel times a gate that sees the mean of all (arXiv:1709.01507, section
        3).
        """
        table = self.architecture.model
        dtype = self.architecture.dtype
        channels = x.shape[-1]
        squeezed = layers.GlobalAveragePooling2D(dtype=dtype, name=f"{name}_mean")(x)
        units = max(1, channels // table.excitation_ratio)
        squeezed = self.add_dense(squeezed, units, f"{name}_squeeze", dropout=False)
        index = self._kernels
        bias = self.parts.gate_bias(index)
        kernel = self._kernel_options(rank=2)
        excitation = layers.Dense(channels, dtype=dtype, bias_initializer=bias, name=f"{name}_excitation", **kernel)
        activation = layers.Activation(
            table.excitation, dtype=dtype, name=f"{name}_gate", activity_regularizer=self.parts.gate_penalty()
        )
        self.gates.append(Gate(index, excitation, activation))
        gate = activation(excitation(squeezed))
        gate = layers.Reshape((1, 1, channels), dtype=dtype, name=f"{name}_channels")(gate)
        return layers.Multiply(dtype=dtype, name=f"{name}_scaled")([x, gate])

    def add_pool(self, x: Any, name: str, size: int = 2) -> Any:
        """Return a max-pool with stride 2; one that overlaps keeps the borders, so that small images survive
        several.
        """
        if size == 2:
            padding = "valid"
        else:
            padding = "same"
        return layers.MaxPooling2D(size, 2, padding=padding, dtype=self.architecture.dtype, name=name)(x)

    def flatten(self, x: Any) -> Any:
        """Return one row per image."""
        return layers.Flatten(dtype=self.architecture.dtype, name="flatten")(x)

    def make_model(self, images: Any, x: Any, output: str) -> keras.Model:
        """Return the model that ends in logits, or in a prediction, of float32: halves have too few digits to rank
        classes.

        Args:
            output: `softmax` or `logits`; has no say in regression.
        """
        if self.architecture.regression:
            name = "prediction"
        else:
            name = "logits"
        kernel = self._kernel_options(rank=2, last=True)
        x = layers.Dense(self.architecture.outputs, dtype="float32", name=name, **kernel)(x)
        if output == "softmax" and not self.architecture.regression:
            activation = "softmax"
        else:
            activation = "linear"
        x = layers.Activation(activation, dtype="float32", name="output")(x)
        return keras.Model(images, x, name=self.architecture.model.architecture)

    def add_activation(self, x: Any, name: str) -> Any:
        """Return the trial's activation, with batch normalisation where the trial has it."""
        where = self.architecture.batch_normalization
        if where == "before":
            x = self._add_normalization(x, name)
        x = self.parts.make_activation(dtype=self.architecture.dtype, name=f"{name}_activation")(x)
        if where == "after":
            return self._add_normalization(x, name)
        return x

    def _add_normalization(self, x: Any, name: str) -> Any:
        affine = self.architecture.batch_normalization_affine
        return layers.BatchNormalization(
            momentum=NORMALIZATION_MOMENTUM,
            center=affine,
            scale=affine,
            dtype=self.architecture.dtype,
            name=f"{name}_normalization",
        )(x)

    def _kernel_options(self, rank: int, last: bool = False) -> dict[str, Any]:
        self._kernels += 1
        return self.parts.kernel_options(self._kernels - 1, rank, last)
