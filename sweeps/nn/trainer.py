"""Trainer: a net, its optimiser and one traced loop of steps, used for one trial after another."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.config import Config
from sweeps.errors import TrialError
from sweeps.nn import probe
from sweeps.nn.activations import NO_FLAT_ENDS
from sweeps.nn.evaluation import Examination, Progress
from sweeps.nn.loss_scale import LossScale
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.custom import build_custom, check_input
from sweeps.nn.net import CustomNet, Net, Scales, SwitchedNet, describe_structure, has_own_functions
from sweeps.nn.normalization import (
    Moments,
    batch_statistics,
    find_normalizations,
    pool_moments,
    read_averages,
    write_averages,
)
from sweeps.nn.optimizers import SwitchedOptimizer
from sweeps.wording import list_first

MOST_TRAINERS = 8  # each holds some 50 to 200 MiB of traced graph
MOST_PARAMETERS = 50_000_000  # of the trainers kept beside a new one: weights, slots and a copy of each


class Trainer:
    """One net, for one trial after the other; `reset` starts a trial, `train_steps`, `evaluate` and `examine` serve it.

    Each of the three is traced once for all trials: shapes of batches are left open, a trial's choices are variables.

    Attributes:
        stop: bool, on the CPU. Any thread may set it to True: `train_steps` then ends after the step in hand, and at
            once from then on, until it is set to False.
        trial: number of the trial that the net is in.
        normalizations: the net's layers of batch normalisation that are trained.
    """

    def __init__(self, architecture: Architecture, net: Net) -> None:
        self.net = net
        self.layers = net.names
        self.traces = 0
        self.trial = 0
        self.normalizations = find_normalizations(net.model)
        self._regression = architecture.regression
        self._kernels = [kernel.value for kernel in probe.list_kernels(net.layers)]
        self._variables = [variable.value for variable in net.model.trainable_variables]
        self._optimizer = SwitchedOptimizer(self._variables, net.choices)
        self._loss_scale = LossScale(dynamic=architecture.dtype == "mixed_float16")
        with tf.device("CPU:0"):
            self.stop = tf.Variable(False, trainable=False)
        image = architecture.input_shape
        pixels = tf.as_dtype(architecture.input_dtype)
        if architecture.regression:
            label = tf.float32
        else:
            label = tf.int32
        images = tf.TensorSpec((None, *image), pixels)
        labels = tf.TensorSpec((None,), label)
        chunk = [tf.TensorSpec((None, None, *image), pixels), tf.TensorSpec((None, None), label)]
        chunk.append(tf.TensorSpec((), tf.float32))
        self._advance = tf.function(self._train_steps, input_signature=chunk, autograph=False)
        self._evaluate = tf.function(self._score_batch, input_signature=[images, labels], autograph=False)
        self._normalize_by_batch = tf.function(
            self._score_with_batch_statistics, input_signature=[images, labels], autograph=False
        )
        asked = [images, labels, tf.TensorSpec((), tf.bool)]
        self._examine = tf.function(self._vital_signs, input_signature=asked, autograph=False)

    def reset(self, config: Config, scaling: Scales) -> int:
        """Start a trial: its choices, its weights, an optimiser without a past. Returns the trial's number."""
        self.net.reset(config, scaling)
        self._optimizer.reset()
        self._loss_scale.reset()
        self.stop.assign(False)
        self.trial += 1
        return self.trial

    def values(self) -> list[NDArray[Any]]:
        """Return the value of every variable that a trial changes, as `restore` takes them."""
        return [variable.numpy() for variable in self._changing_variables()]

    def restore(self, values: Sequence[NDArray[Any]]) -> None:
        """Give every variable its value.

        Raises:
            TrialError: a number of variables, a shape or a dtype is not the net's; nothing was changed.
        """
        variables = self._changing_variables()
        if len(values) != len(variables):
            raise TrialError(
                f"the saved state does not fit the net: it has {len(values)} variables, the net has {len(variables)}"
            )
        for variable, value in zip(variables, values, strict=True):
            if value.dtype != variable.dtype.as_numpy_dtype or not variable.shape.is_compatible_with(value.shape):
                raise TrialError(
                    f"the saved state does not fit the net: {value.dtype.name} {value.shape} is no value of "
                    f"{variable.name}, {variable.dtype.name} {tuple(variable.shape)}"
                )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def untrained_variables(self) -> list[tuple[tf.Variable, tf.Tensor]]:
        """Return the net's variables that no gradient changes, such as states of random generators, with their
        values.
        """
        return [(variable.value, variable.value.read_value()) for variable in self.net.model.non_trainable_variables]

    def _changing_variables(self) -> list[tf.Variable]:
        net = [variable.value for variable in self.net.model.variables]
        return [*net, *self._optimizer.state, *self._loss_scale.state]

    def train_steps(self, images: NDArray[Any], labels: NDArray[Any], loss_sum: np.float32 | None = None) -> Progress:
        """Return one step per leading index, unless `stop` ends them; images (steps, batch, ...), labels (steps,
        batch).

        Args:
            loss_sum: of earlier steps, to which the losses of these are added; none were before unless given.
        """
        if loss_sum is None:
            before = np.float32(0)
        else:
            before = loss_sum
        steps, total, norms, ratios = (value.numpy() for value in self._advance(images, labels, before))
        return Progress(int(steps), total, float(norms[-1]), norms[:-1], ratios)

    def evaluate(self, images: NDArray[Any], labels: NDArray[Any]) -> tuple[tf.Tensor, tf.Tensor]:
        """Evaluate a batch in inference mode.

        Returns:
            What `probe.score_batch` sums, and the predicted classes, (batch,), both still on the device.
        """
        return self._evaluate(images, labels)

    def averages(self) -> Moments:
        """Return the moving averages of batch normalisation; none where the net has no such layer."""
        return read_averages(self.normalizations)

    def set_averages(self, averages: Moments) -> None:
        """Give batch normalisation the averages that `averages` returned."""
        write_averages(self.normalizations, averages)

    def recalibrate(self, batches: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> None:
        """Estimate the moving averages of batch normalisation anew, with the weights as they are.

        Args:
            batches: training images and labels.
        """
        of_batches = []
        for images, labels in batches:
            self._normalize_by_batch(images, labels)
            of_batches.append(self.averages())
        self.set_averages(pool_moments(of_batches, [len(images) for images, _ in batches]))

    def measure_batch_loss(self, batches: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
        """Return the mean loss where batch normalisation uses the statistics of each batch; the averages stay."""
        before = self.averages()
        scores = [self._normalize_by_batch(images, labels).numpy() for images, labels in batches]
        self.set_averages(before)
        return probe.sum_scores(scores, sum(len(images) for images, _ in batches))[0]

    def examine(self, images: NDArray[Any], labels: NDArray[Any], channels_too: bool = False) -> Examination:
        """Return what `evaluate` says of the probe batch and, from the same pass, its vital signs."""
        signs, finite, channels, score, classes = self._examine(images, labels, channels_too)
        return Examination(signs.numpy(), bool(finite), [channel.numpy() for channel in channels], (score, classes))

    def _train_steps(self, images: tf.Tensor, labels: tf.Tensor, loss_sum: tf.Tensor) -> list[tf.Tensor]:
        self.traces += 1
        steps = tf.shape(images)[0]
        kernels = len(self._kernels)

        def more(step: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(step < steps, tf.logical_not(self.stop))

        def body(step: tf.Tensor, loss_sum: tf.Tensor, *_: tf.Tensor) -> list[tf.Tensor]:
            loss, *norms = self._train_step(images[step], labels[step], tf.equal(step, steps - 1))
            return [step + 1, loss_sum + loss, *norms]

        start = [tf.constant(0), loss_sum, tf.zeros(kernels + 1), tf.zeros(kernels)]
        return tf.while_loop(more, body, start, parallel_iterations=1)

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor, is_last: tf.Tensor) -> list[tf.Tensor]:
        """Return one step; the loss, and for the last one gradient norms (global one last) and update ratios, else
        zeros.
        """
        kernels = len(self._kernels)
        with tf.GradientTape() as tape:
            outputs = self.net.watched(images, training=True)
            loss = tf.reduce_mean(probe.compute_losses(labels, self.net.compute_logits(outputs)))
            scaled = self._loss_scale.scale_loss(loss + self.net.compute_penalty(outputs))
        gradients = tape.gradient(scaled, self._variables)
        self._require_gradients(gradients)
        gradients = self._loss_scale.unscale_gradients(gradients)
        before = tf.cond(is_last, lambda: _flatten_all(self._kernels), lambda: tf.zeros(0))
        self._loss_scale.step(gradients, lambda: self._update(gradients))
        norms = tf.cond(is_last, lambda: self._gradient_norms(gradients), lambda: tf.zeros(kernels + 1))
        ratios = tf.cond(is_last, lambda: self._update_ratios(before), lambda: tf.zeros(kernels))
        return [loss, norms, ratios]

    def _require_gradients(self, gradients: Sequence[tf.Tensor | None]) -> None:
        """Check, while the step is traced, that the loss depends on every variable that is to be trained.

        Raises:
            TrialError: it does not depend on some.
        """
        pairs = zip(self.net.model.trainable_variables, gradients, strict=True)
        unreached = [variable.path for variable, gradient in pairs if gradient is None]
        if unreached:
            raise TrialError(
                f"the loss does not depend on {list_first(unreached)}: no gradient leads there; connect the layer to "
                "the output, or set its trainable = False"
            )

    def _update(self, gradients: list[tf.Tensor]) -> None:
        self._optimizer.apply_gradients(gradients)
        self.net.apply_constraints()

    def _gradient_norms(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        squares = {id(v): tf.reduce_sum(tf.square(g)) for v, g in zip(self._variables, gradients, strict=True)}
        of_kernels = [squares[id(kernel)] for kernel in self._kernels]
        return tf.sqrt(tf.stack([*of_kernels, tf.add_n(list(squares.values()))]))

    def _update_ratios(self, before: tf.Tensor) -> tf.Tensor:
        olds = tf.split(before, [kernel.shape.num_elements() for kernel in self._kernels])
        news = [tf.reshape(kernel, [-1]) for kernel in self._kernels]
        updates = [tf.norm(new - old) for new, old in zip(news, olds, strict=True)]
        return tf.math.divide_no_nan(tf.stack(updates), tf.stack([tf.norm(old) for old in olds]))

    def _score_batch(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        self.traces += 1
        return _score_logits(labels, self.net.compute_logits(self.net.watched(images, training=False)))

    def _score_with_batch_statistics(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        self.traces += 1
        with batch_statistics(self.normalizations):
            logits = self.net.compute_logits(self.net.watched(images, training=False))
        return probe.score_batch(labels, logits)

    def _vital_signs(self, images: tf.Tensor, labels: tf.Tensor, channels_too: tf.Tensor) -> tuple[Any, ...]:
        self.traces += 1
        outputs = self.net.watched(images, training=False)
        logits = self.net.compute_logits(outputs)
        watched = [*outputs[: len(self._kernels) - 1], logits]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(variable)) for variable in self._variables])
        ends = [*map(probe.flat_ends, self.net.watched.outputs[: len(self._kernels) - 1]), NO_FLAT_ENDS]
        signs = tf.stack(
            [
                probe.pack_signs(probe.vital_signs(output, flat), probe.weight_moments(kernel, output.shape[-1]))
                for output, flat, kernel in zip(watched, ends, self._kernels, strict=True)
            ]
        )
        channels = tf.cond(
            channels_too,
            lambda: [probe.channel_signs(output) for output in watched],
            lambda: [tf.zeros((3, output.shape[-1])) for output in watched],
        )
        return signs, finite, channels, *_score_logits(labels, logits)


def _score_logits(labels: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return probe.score_batch(labels, logits), tf.argmax(logits, axis=-1, output_type=tf.int32)


def _flatten_all(tensors: list[tf.Variable]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


_trainers: OrderedDict[tuple[Architecture, str], Trainer] = OrderedDict()  # the least recently used first


def trainer_for(config: Config, architecture: Architecture) -> Trainer:
    """Return the process's trainer of an architecture, or of a user's net: made once, then used for trial after
    trial.
    """
    if architecture.model.architecture != "custom":
        return _cached_trainer((architecture, ""), lambda: SwitchedNet(architecture))
    model = build_custom(config)
    check_input(config, model, architecture.input_shape)
    try:
        text = describe_structure(model)
    except (TypeError, ValueError, NotImplementedError):  # a net that Keras cannot describe serves one trial
        return Trainer(architecture, CustomNet(config, model))
    if has_own_functions(model):  # of which the description has the name alone, and not what they do
        return Trainer(architecture, CustomNet(config, model))
    return _cached_trainer((architecture, f"{config.output} {text}"), lambda: CustomNet(config, model))


def _cached_trainer(key: tuple[Architecture, str], net: Callable[[], Net]) -> Trainer:
    if key in _trainers:
        _trainers.move_to_end(key)
        return _trainers[key]
    while len(_trainers) >= MOST_TRAINERS or sum(map(_count_parameters, _trainers.values())) > MOST_PARAMETERS:
        _trainers.popitem(last=False)
    gc.collect()  # graphs are full of reference cycles: without this those of a dropped trainer would stay for long
    _trainers[key] = Trainer(key[0], net())
    return _trainers[key]


def _count_parameters(trainer: Trainer) -> int:
    return int(trainer.net.model.count_params())


def drop_trainers() -> None:
    """Free the memory of all trainers that nobody else holds."""
    _trainers.clear()
    gc.collect()
