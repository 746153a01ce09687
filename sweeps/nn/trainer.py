"""Trainer: a net, its optimiser and one traced loop of steps, used for one trial after another."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.config import Config
from sweeps.nn import probe
from sweeps.nn.activations import NO_FLAT_ENDS
from sweeps.nn.loss_scale import LossScale
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.net import Net, Scales
from sweeps.nn.optimizers import SwitchedOptimizer


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run of steps reports.

    Attributes:
        loss: mean loss of the batches, without regularisation.
        gradient_norm: global norm of the last step's gradient.
        gradient_norms, update_ratios: of the last step, one per kernel.
    """

    loss: float
    gradient_norm: float
    gradient_norms: NDArray[np.float32]
    update_ratios: NDArray[np.float32]

    @classmethod
    def none(cls, kernels: int) -> Self:
        """Before the first step: not a number."""
        unknown = np.full(kernels, np.nan, np.float32)
        return cls(np.nan, np.nan, unknown, unknown)


@dataclass(frozen=True, slots=True)
class Examination:
    """What the probe batch says.

    Attributes:
        signs: what `probe.vital_signs` and then `probe.incoming_weights` say of each layer, (layers, 10).
        finite: whether every trainable weight is.
        channels: minimum, maximum and std of each channel, (3, channels) per layer; zeros unless asked for.
        scored: what `Trainer.evaluate` returns of the batch.
    """

    signs: NDArray[np.float32]
    finite: bool
    channels: list[NDArray[np.float32]]
    scored: tuple[tf.Tensor, tf.Tensor]


class Trainer:
    """One net with dials; `reset` starts a trial, `advance`, `evaluate` and `examine` serve it.

    Each of the three is traced once for all trials: shapes of batches are left open, choices are dials.
    """

    def __init__(self, architecture: Architecture, net: Net) -> None:
        self.net = net
        self.layers = [layer.name for layer in net.layers]
        self.traces = 0
        self.trial = 0
        self._regression = architecture.regression
        self._kernels = [layer.kernel.value for layer in net.layers]
        self._variables = [variable.value for variable in net.model.trainable_variables]
        self._optimizer = SwitchedOptimizer(self._variables, net.dials)
        self._loss_scale = LossScale(dynamic=architecture.dtype == "mixed_float16")
        image = architecture.input_shape
        pixels = tf.uint8 if len(image) == 3 else tf.float32
        label = tf.float32 if architecture.regression else tf.int32
        images, labels = tf.TensorSpec((None, *image), pixels), tf.TensorSpec((None,), label)
        chunk = [tf.TensorSpec((None, None, *image), pixels), tf.TensorSpec((None, None), label)]
        self._advance = tf.function(self._steps, input_signature=chunk, autograph=False)
        self._evaluate = tf.function(self._score, input_signature=[images, labels], autograph=False)
        asked = [images, labels, tf.TensorSpec((), tf.bool)]
        self._examine = tf.function(self._vital_signs, input_signature=asked, autograph=False)

    def reset(self, config: Config, scaling: Scales) -> int:
        """Start a trial: its dials, its weights, an optimiser without a past. Returns the trial's number."""
        self.net.reset(config, scaling)
        self._optimizer.reset()
        self._loss_scale.reset()
        self.trial += 1
        return self.trial

    def advance(self, images: NDArray[Any], labels: NDArray[Any]) -> Progress:
        """One step per leading index; images (steps, batch, ...), labels (steps, batch)."""
        loss_sum, gradient_norms, update_ratios = (value.numpy() for value in self._advance(images, labels))
        return Progress(float(loss_sum) / len(images), float(gradient_norms[-1]), gradient_norms[:-1], update_ratios)

    def evaluate(self, images: NDArray[Any], labels: NDArray[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """Of a batch in inference mode, still on the device: what `probe.score` sums; classes, (batch,)."""
        return self._evaluate(images, labels)

    def examine(self, images: NDArray[Any], labels: NDArray[Any], channels_too: bool = False) -> Examination:
        """What `evaluate` says of the probe batch and, from the same pass, its vital signs."""
        signs, finite, channels, score, classes = self._examine(images, labels, channels_too)
        return Examination(signs.numpy(), bool(finite), [each.numpy() for each in channels], (score, classes))

    def _steps(self, images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        self.traces += 1
        steps, kernels = tf.shape(images)[0], len(self._kernels)

        def body(step: tf.Tensor, loss_sum: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor]:
            loss, *norms = self._step(images[step], labels[step], tf.equal(step, steps - 1))
            return [step + 1, loss_sum + loss, *norms]

        start = [tf.constant(0), tf.constant(0.0), tf.zeros(kernels + 1), tf.zeros(kernels)]
        return tf.while_loop(lambda step, *_: step < steps, body, start, parallel_iterations=1)[1:]

    def _step(self, images: tf.Tensor, labels: tf.Tensor, is_last: tf.Tensor) -> list[tf.Tensor]:
        """One step; the loss, and for the last one gradient norms (global one last) and update ratios, else zeros."""
        kernels = len(self._kernels)
        with tf.GradientTape() as tape:
            outputs = self.net.watched(images, training=True)
            loss = tf.reduce_mean(probe.losses(labels, self.net.logits(outputs)))
            scaled = self._loss_scale.up(loss + self.net.penalty(outputs))
        gradients = self._loss_scale.down(tape.gradient(scaled, self._variables))
        before = tf.cond(is_last, lambda: _flat(self._kernels), lambda: tf.zeros(0))
        self._loss_scale.step(gradients, lambda: self._update(gradients))
        norms = tf.cond(is_last, lambda: self._gradient_norms(gradients), lambda: tf.zeros(kernels + 1))
        ratios = tf.cond(is_last, lambda: self._update_ratios(before), lambda: tf.zeros(kernels))
        return [loss, norms, ratios]

    def _update(self, gradients: list[tf.Tensor]) -> None:
        self._optimizer.apply(gradients)
        self.net.constrain()

    def _gradient_norms(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        squares = {id(v): tf.reduce_sum(tf.square(g)) for v, g in zip(self._variables, gradients, strict=True)}
        of_kernels = [squares[id(kernel)] for kernel in self._kernels]
        return tf.sqrt(tf.stack([*of_kernels, tf.add_n(list(squares.values()))]))

    def _update_ratios(self, before: tf.Tensor) -> tf.Tensor:
        olds = tf.split(before, [kernel.shape.num_elements() for kernel in self._kernels])
        news = [tf.reshape(kernel, [-1]) for kernel in self._kernels]
        updates = [tf.norm(new - old) for new, old in zip(news, olds, strict=True)]
        return tf.math.divide_no_nan(tf.stack(updates), tf.stack([tf.norm(old) for old in olds]))

    def _score(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        self.traces += 1
        return _scored(labels, self.net.logits(self.net.watched(images, training=False)))

    def _vital_signs(self, images: tf.Tensor, labels: tf.Tensor, channels_too: tf.Tensor) -> tuple[Any, ...]:
        self.traces += 1
        outputs = self.net.watched(images, training=False)
        logits = self.net.logits(outputs)
        watched = [*outputs[: len(self._kernels) - 1], logits]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable)) for variable in self._variables])
        ends = [*map(probe.flat_ends, self.net.watched.outputs[: len(self._kernels) - 1]), NO_FLAT_ENDS]
        signs = tf.stack(
            [
                tf.concat([probe.vital_signs(output, flat), probe.incoming_weights(kernel)], axis=0)
                for output, flat, kernel in zip(watched, ends, self._kernels, strict=True)
            ]
        )
        channels = tf.cond(
            channels_too,
            lambda: [probe.channel_signs(output) for output in watched],
            lambda: [tf.zeros((3, output.shape[-1])) for output in watched],
        )
        return signs, finite, channels, *_scored(labels, logits)


def _scored(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return probe.score(labels, logits), tf.argmax(logits, axis=-1, output_type=tf.int32)


def _flat(tensors: list[tf.Variable]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
