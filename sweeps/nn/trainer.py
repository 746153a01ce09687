"""Trainer: a net, its optimiser and one traced loop of steps, used for one trial after another."""

from dataclasses import dataclass
from functools import partial
from typing import Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.config import Config, Constraint
from sweeps.nn import probe
from sweeps.nn.constraints import CONSTRAINTS, Limits
from sweeps.nn.dials import Dials
from sweeps.nn.dropout import SwitchedDropout
from sweeps.nn.loss_scale import LossScale
from sweeps.nn.models import switchable
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.parts import kernel_initializer
from sweeps.nn.optimizers import SwitchedOptimizer


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run of steps reports.

    Attributes:
        loss: mean cross-entropy of the batches, without regularisation.
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


class Trainer:
    """One architecture's net with dials; `reset` starts a trial, `advance`, `evaluate` and `vitals` serve it.

    Each of the three is traced once for all trials: shapes of batches are left open, choices are dials.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.dials = Dials()
        self.model = switchable(architecture, self.dials)
        self.layers = [layer.name for layer in probe.kernel_layers(self.model)]
        self.traces = 0
        self.trial = 0
        self._taps = keras.Model(self.model.input, probe.outputs(self.model))
        self._kernels = [layer.kernel.value for layer in probe.kernel_layers(self.model)]
        self._variables = [variable.value for variable in self.model.trainable_variables]
        self._pristine = [(variable, variable.numpy()) for variable in self.model.variables]
        self._optimizer = SwitchedOptimizer(self._variables, self.dials)
        self._loss_scale = LossScale(dynamic=architecture.dtype == "mixed_float16")
        image = architecture.input_shape
        images, labels = tf.TensorSpec((None, *image), tf.uint8), tf.TensorSpec((None,), tf.int32)
        chunk = [tf.TensorSpec((None, None, *image), tf.uint8), tf.TensorSpec((None, None), tf.int32)]
        self._advance = tf.function(self._steps, input_signature=chunk, autograph=False)
        self._evaluate = tf.function(self._score, input_signature=[images, labels], autograph=False)
        self._examine = tf.function(self._vital_signs, input_signature=[images], autograph=False)

    def reset(self, config: Config) -> int:
        """Start a trial: its dials, its weights, an optimiser without a past. Returns the trial's number."""
        self.dials.set(config)
        for variable, value in self._pristine:
            variable.assign(value)
        for index, kernel in enumerate(self._kernels):
            draw = kernel_initializer(config, index, len(self._kernels), len(kernel.shape))
            kernel.assign(draw(tuple(kernel.shape), dtype=kernel.dtype.name))
        for layer in self.model.layers:
            if isinstance(layer, SwitchedDropout):
                layer.reset(config.seed)
        self._optimizer.reset()
        self._loss_scale.reset()
        self.trial += 1
        return self.trial

    def advance(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Progress:
        """One step per leading index; images (steps, batch, height, width, channels), labels (steps, batch)."""
        loss_sum, gradient_norms, update_ratios = (value.numpy() for value in self._advance(images, labels))
        return Progress(float(loss_sum) / len(images), float(gradient_norms[-1]), gradient_norms[:-1], update_ratios)

    def evaluate(self, images: NDArray[np.uint8], labels: NDArray[np.int32]) -> tf.Tensor:
        """Sum of the losses, top-1 and top-5 hits of a batch in inference mode; still on the device."""
        return self._evaluate(images, labels)

    def vitals(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], bool]:
        """Mean, std, signal and dead share per layer, (layers, 4), and whether every trainable weight is finite."""
        signs, finite = self._examine(images)
        return signs.numpy(), bool(finite)

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
            loss = tf.reduce_mean(probe.losses(labels, self._taps(images, training=True)[-1]))
            scaled = self._loss_scale.up(loss + self._penalty())
        gradients = self._loss_scale.down(tape.gradient(scaled, self._variables))
        before = tf.cond(is_last, lambda: _flat(self._kernels), lambda: tf.zeros(0))
        self._loss_scale.step(gradients, lambda: self._update(gradients))
        norms = tf.cond(is_last, lambda: self._gradient_norms(gradients), lambda: tf.zeros(kernels + 1))
        ratios = tf.cond(is_last, lambda: self._update_ratios(before), lambda: tf.zeros(kernels))
        return [loss, norms, ratios]

    def _penalty(self) -> tf.Tensor:
        return self.dials["l2"] * tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in self._kernels])

    def _update(self, gradients: list[tf.Tensor]) -> None:
        self._optimizer.apply(gradients)
        self.dials.choose("constraint", {name: partial(self._constrain, name) for name in CONSTRAINTS})

    def _constrain(self, name: Constraint) -> None:
        for index, kernel in enumerate(self._kernels):
            limits = Limits(len(kernel.shape), self.dials["tau"], self.dials["max_norm"])
            constraint = CONSTRAINTS[name](limits)
            if constraint is None:
                continue
            bound = constraint(kernel)
            if index == 0:
                bound = tf.where(self.dials["constrain_first"], bound, kernel)
            if index == len(self._kernels) - 1:
                bound = tf.where(self.dials["constrain_last"], bound, kernel)
            kernel.assign(bound)

    def _gradient_norms(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        squares = {id(v): tf.reduce_sum(tf.square(g)) for v, g in zip(self._variables, gradients, strict=True)}
        of_kernels = [squares[id(kernel)] for kernel in self._kernels]
        return tf.sqrt(tf.stack([*of_kernels, tf.add_n(list(squares.values()))]))

    def _update_ratios(self, before: tf.Tensor) -> tf.Tensor:
        olds = tf.split(before, [kernel.shape.num_elements() for kernel in self._kernels])
        news = [tf.reshape(kernel, [-1]) for kernel in self._kernels]
        updates = [tf.norm(new - old) for new, old in zip(news, olds, strict=True)]
        return tf.math.divide_no_nan(tf.stack(updates), tf.stack([tf.norm(old) for old in olds]))

    def _score(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        self.traces += 1
        return probe.score(labels, self._taps(images, training=False)[-1])

    def _vital_signs(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        self.traces += 1
        signs = tf.stack([probe.vital_signs(output) for output in self._taps(images, training=False)])
        return signs, tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable)) for variable in self._variables])


def _flat(tensors: list[tf.Variable]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
