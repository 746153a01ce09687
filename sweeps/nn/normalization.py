"""Batch normalisation in evaluation: its moving averages estimated anew, or the statistics of the batch in their place.

Moving averages of momentum m still hold m^n of their first value after n steps: with Keras's usual .99 more than half
of it after 60. A net then answers in inference as if it had not been trained. Averages that are estimated from training
images, with the weights as they are, do not lag ("precise" batch normalisation: Wu & Johnson 2021, "Rethinking 'Batch'
in BatchNorm", arXiv:2105.07576, section 3).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.nn.probe import flatten_layers

Moments = list[tuple[NDArray[np.float64], NDArray[np.float64]]]  # mean and variance, (channels,), of each layer


def find_normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the layers of batch normalisation that keep averages in training, however deep in the model they lie.

    Those that are not trained use their averages in training too, and are left as they are.
    """
    return [
        layer
        for layer in flatten_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


@contextmanager
def batch_statistics(layers: Sequence[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Within it, these layers use the statistics of the batch, and their averages become just these.

    It matters while a graph is traced, which keeps what was traced. All other layers, dropout among them, do as in
    inference.
    """
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        layer.call = partial(_call_in_training, layer)
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
            del layer.call


def _call_in_training(layer: keras.layers.BatchNormalization, inputs: tf.Tensor, **how: Any) -> tf.Tensor:
    return type(layer).call(layer, inputs, **{**how, "training": True})


def read_averages(layers: Sequence[keras.layers.BatchNormalization]) -> Moments:
    """Return the moving averages of the layers."""
    return [
        (
            layer.moving_mean.numpy().astype(np.float64),
            layer.moving_variance.numpy().astype(np.float64),
        )
        for layer in layers
    ]


def write_averages(layers: Sequence[keras.layers.BatchNormalization], moments: Moments) -> None:
    """Give the layers these moving averages."""
    for layer, (mean, variance) in zip(layers, moments, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


def pool_moments(of_batches: Sequence[Moments], sizes: Sequence[int]) -> Moments:
    """Return mean and variance over all batches, from those of each and the number of its images.

    The variance is the mean of the batches' variances and the variance of their means together.
    """
    weights = np.array(sizes, np.float64) / sum(sizes)
    pooled = []
    for of_layer in zip(*of_batches, strict=True):
        means = np.stack([mean for mean, _ in of_layer])
        variances = np.stack([variance for _, variance in of_layer])
        mean = weights @ means
        pooled.append((mean, weights @ variances + weights @ np.square(means - mean)))
    return pooled
