"""A Keras callback that takes readings of a model in training for the judge, and stops a dead run with the reason."""

import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from math import isnan, nan
from typing import Any

import keras  # noqa: TID253
import numpy as np
import optuna
import tensorflow as tf  # noqa: TID253
from numpy.typing import ArrayLike, NDArray

from sweeps.errors import one_line
from sweeps.integrations.compiled_loss import Output, require_same_task, task_of
from sweeps.integrations.holdout import read_holdout, to_classes, to_targets
from sweeps.integrations.optuna import chance_of, keep_reading, keep_shares, reason_to_stop
from sweeps.nn import probe
from sweeps.nn.activations import NO_FLAT_ENDS
from sweeps.nn.net import LEAST_PROBABILITY
from sweeps.readings import IncomingWeights, LayerVitals, Reading

EVALUATION_BATCH = 256
TOO_LOW = 0.8  # share of guessing's loss, for the first batch of a net that has learned nothing


class DeadRunCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """Evaluates the model before training and every so many batches, keeps the reading with the trial and reports the
    hold-out loss to it; ends training where the study's pruner says so. Training itself is not changed by it.

    What is reported is the cross-entropy in nats or, of a regression, the mean squared error, whatever the compiled
    loss adds to that (regularisation, smoothed labels, weights). The compiled loss says which of them, and how outputs
    become probabilities. The training loss is kept where it is a mean of the same unit.

    Of a model that is neither functional nor sequential only loss, hits and the size of updates are seen; one of these
    within another is seen as a single layer.

    Args:
        trial: of a study with a `DeadRunPruner`; its steps are overruled by those given here. One callback watches one
            training of it: of several folds, give it to the first alone, and report their mean as the trial's value.
        inputs: the hold-out set, (inputs, ...): an array, a list, a tensor or a table of pandas, as the model takes it;
            or, without labels, a `tf.data.Dataset`, a `keras.utils.PyDataset` or another iterable of batches of
            (inputs, labels), which is read once and kept in memory.
        labels: (inputs,) or (inputs, 1): classes from 0, of any numeric type; 0 and 1 for a single sigmoid; or rows
            with a one at the class; or the target of a regression with one output.
        steps: batches of the whole training.
        every: batches from reading to reading; default: a twentieth of the steps.

    Raises:
        ValueError: steps or every below 1, or inputs and labels that are no finite numbers, empty or of different
            lengths; when training begins, labels that are not classes of this model, or a loss that does not say
            what the labels are.
        optuna.TrialPruned: in training, with the judge's reason if it was the judge.

    Example:
        ```python
        judge = DeadRunCallback(trial, x_val, y_val, steps=epochs * math.ceil(len(x) / batch_size))
        model.fit(x, y, batch_size=batch_size, epochs=epochs, callbacks=[judge])
        ```
    """

    def __init__(
        self,
        trial: optuna.trial.BaseTrial,
        inputs: ArrayLike | Iterable[Any],
        labels: ArrayLike | None = None,
        *,
        steps: int,
        every: int | None = None,
    ) -> None:
        super().__init__()
        if steps < 1 or (every is not None and every < 1):
            raise ValueError(f"steps is {steps}, every is {every}; both must be at least 1")
        self._trial = trial
        self._steps = steps
        self._every = every or max(1, steps // 20)
        self._inputs, self._labels = read_holdout(inputs, labels, keras.config.floatx())
        self._step = self._epoch_start = 0
        self._step_of_reading = 0  # of training, over the batches since the last reading
        self._loss_sum = 0.0
        self._loss_of_epoch = 0.0  # over those of the epoch
        self._first_loss = nan  # on the hold-out set, of the untrained model
        self._rates: set[float] = set()  # learning rates that were seen
        self._has_schedule = False
        self._before: tuple[int, dict[str, tf.Tensor]] = (-1, {})  # a step, and the weights then
        self._started = time.perf_counter()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Take the reading of the untrained model."""
        answers = _ask(self.model, self._inputs)
        outputs = int(answers.shape[1])
        self._chance = chance_of(self._trial)
        classes = None
        if self._chance is not None:
            classes = self._chance.classes
        self._task = task_of(self.model, answers, self._labels, classes)
        self._targets: NDArray[Any]
        if self._task.regression:
            self._targets = to_targets(self._labels)
        else:
            self._targets = to_classes(self._labels, outputs)
        if classes is not None:
            require_same_task(self.model, self._task, outputs, classes)
        center = 0.0
        if self._task.regression:
            center = float(np.mean(self._targets, dtype=np.float64))
        self._watched = WatchedModel(self.model, self._task.output, center)
        if not self._task.regression:
            keep_shares(self._trial, self._targets)
        self._has_schedule = has_schedule(self.model.optimizer)
        if not self._step:
            keep_reading(self._trial, self._reading({}), self._steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Start to count batches again, as Keras does, and to average their losses."""
        self._epoch_start = self._step
        self._loss_of_epoch = 0.0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Keep the weights before the last batch of an interval: their change is the update."""
        step = self._epoch_start + batch
        if self._due(step, step + 1):
            self._rates.add(learning_rate(self.model.optimizer))
            self._before = step, self._watched.weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Take a reading where one is due."""
        before = self._step
        self._step = self._epoch_start + batch + 1
        of_epoch = (logs or {}).get("loss", nan) * (batch + 1)
        self._loss_sum += of_epoch - self._loss_of_epoch
        self._loss_of_epoch = of_epoch
        if self._step == 1:
            self._compare_with_guessing(of_epoch)
        if self._due(before, self._step):
            self._keep_reading()

    def _compare_with_guessing(self, first_loss: float) -> None:
        """Leave the training loss out where its first value is below what a net that has learned nothing can have.

        Keras multiplies it by the weights of classes and of samples, and shows them to no callback.
        """
        if self._chance is None or not self._task.same_unit:
            return
        loss = first_loss - self._watched.penalty()
        too_low = TOO_LOW * self._chance.loss
        if loss < too_low < self._first_loss:
            self._task = replace(self._task, same_unit=False)
            warnings.warn(
                f"the loss of the first training batch is {loss:.3g}, where guessing scores {self._chance.loss:.3g} "
                f"and the untrained model {self._first_loss:.3g} on the hold-out set: too little, as with weights of "
                "classes or samples; the verdict is made without the training loss",
                stacklevel=2,
            )

    def _due(self, before: int, step: int) -> bool:
        return step // self._every > before // self._every or before < self._steps <= step

    def _keep_reading(self) -> None:
        step, weights = self._before
        if step != self._step - 1:
            weights = {}
        reading = self._reading(weights)
        keep_reading(self._trial, reading, self._steps)
        self._trial.report(reading.loss, self._step)
        if self._trial.should_prune():
            raise optuna.TrialPruned(reason_to_stop(self._trial))

    def _reading(self, before: dict[str, tf.Tensor]) -> Reading:
        """Return a reading of the model as it is; `before` are the weights before its last update."""
        loss, loss_std, hits1, hits5 = self._watched.evaluate(self._inputs, self._targets)
        if not self._step:
            self._first_loss = loss
        ratios = self._watched.update_ratios(before)
        done = self._step - self._step_of_reading
        train_loss = nan
        if done and self._task.same_unit:
            train_loss = self._loss_sum / done - self._watched.penalty()
        update_ratio = nan
        if ratios:
            update_ratio = float(np.max(list(ratios.values())))
        self._loss_sum = 0.0
        self._step_of_reading = self._step
        return Reading(
            step=self._step,
            train_loss=train_loss,
            loss=loss,
            hits1=hits1,
            hits5=hits5,
            count=len(self._inputs),
            gradient_norm=nan,
            update_ratio=update_ratio,
            finite=self._watched.finite(),
            seconds=time.perf_counter() - self._started,
            layers=self._watched.vitals(self._inputs[: probe.PROBE_IMAGES], ratios),
            loss_std=loss_std,
            constant_rate=self._has_constant_rate(),
        )

    def _has_constant_rate(self) -> bool:
        """Return whether the learning rate is taken to stay what it is.

        Other callbacks may change it at any time, as after epochs of warm-up at 0; one that has stood still for half of
        the training is taken to stay.
        """
        known = len(self._rates) == 1 and not any(map(isnan, self._rates))
        return known and not self._has_schedule and 2 * self._step >= self._steps


def has_schedule(optimizer: Any) -> bool:
    """Return whether an optimiser's learning rate is a schedule, also within one that scales the loss."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # Keras shows the rate of the moment only, and the schedule in no public way.
    return isinstance(getattr(inner, "_learning_rate", None), keras.optimizers.schedules.LearningRateSchedule)


def learning_rate(optimizer: Any) -> float:
    """Return an optimiser's learning rate at the moment; not a number where it has none that can be read, as where
    training steps of the user's own use other optimisers.
    """
    rate = getattr(optimizer, "learning_rate", None)
    if rate is None:
        return nan
    return float(tf.convert_to_tensor(rate))


class WatchedModel:
    """What can be read off a user's model. Its weights are what is trained and has two axes or more: no biases."""

    def __init__(self, model: keras.Model, output: Output, center: float = 0.0) -> None:
        """Watch a model.

        Args:
            center: mean of a regression's target: a prediction far from 0 in the mean may still tell inputs apart.
        """
        self._model = model
        self._output = output
        self._center = center
        self._weights = {v.path: v for v in model.trainable_variables if len(v.shape) > 1}
        self._layers, self._inner = _inner_outputs(model)
        self._kernels = probe.list_kernels(self._layers)
        self._score = tf.function(self._score_of_batch, reduce_retracing=True, autograph=False)
        self._outputs = tf.function(self._outputs_of_layers, reduce_retracing=True, autograph=False)

    def weights(self) -> dict[str, tf.Tensor]:
        """Return the weights as they are now."""
        return {path: tf.identity(variable.value) for path, variable in self._weights.items()}

    def update_ratios(self, before: dict[str, tf.Tensor]) -> dict[str, float]:
        """Norm of each weight's change since then, divided by its norm."""
        changes = {path: tf.norm(self._weights[path].value - old) for path, old in before.items()}
        return {path: float(tf.math.divide_no_nan(changes[path], tf.norm(old))) for path, old in before.items()}

    def finite(self) -> bool:
        """Return whether every trainable weight, biases too, is a finite number."""
        return all(bool(tf.reduce_all(tf.math.is_finite(v.value))) for v in self._model.trainable_variables)

    def penalty(self) -> float:
        """Return what the weights' regularisers add to the training loss."""
        return sum(float(v.regularizer(v)) for v in self._model.trainable_variables if v.regularizer)

    def evaluate(self, inputs: NDArray[Any], labels: NDArray[Any]) -> tuple[float, float, int, int]:
        """Mean and standard deviation of the loss, top-1 and top-5 hits."""
        batches = [slice(at, at + EVALUATION_BATCH) for at in range(0, len(inputs), EVALUATION_BATCH)]
        scores = [self._score(tf.constant(inputs[batch]), tf.constant(labels[batch])) for batch in batches]
        return probe.sum_scores([score.numpy() for score in scores], len(inputs))

    def vitals(self, inputs: NDArray[Any], ratios: dict[str, float]) -> tuple[LayerVitals, ...]:
        """Return the vital signs of each layer that can be watched, the logits' last."""
        if self._inner is None:
            return ()
        ends = [probe.flat_ends(output) for output in self._inner.outputs[: len(self._layers) - 1]]
        ends.append(NO_FLAT_ENDS)
        watched = zip(self._layers, self._kernels, self._outputs(tf.constant(inputs)), ends, strict=True)
        return tuple(_layer_vitals(layer.name, kernel, output, flat, ratios) for layer, kernel, output, flat in watched)

    def _score_of_batch(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return probe.score_batch(labels, self._logits(self._model(inputs, training=False)))

    def _outputs_of_layers(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        *outputs, last = self._inner(inputs, training=False)
        return [*outputs[:-1], self._logits(last) - self._center]

    def _logits(self, output: tf.Tensor) -> tf.Tensor:
        """Return logits or predictions, float32, (batch, outputs). A logit is taken less the mean of its input's
        logits, whether it was given as a logit or as a probability.
        """
        scores = tf.cast(output, tf.float32)
        if self._output == Output.PREDICTIONS:
            return scores
        found = None
        if self._output in (Output.PROBABILITIES, Output.SIGMOIDS):
            found = probe.find_logits(output)
        if found is not None:
            scores = tf.cast(found, tf.float32)
            if scores.shape[1] == 1:
                scores = tf.concat([tf.zeros_like(scores), scores], axis=1)
            return scores - tf.reduce_mean(scores, axis=1, keepdims=True)
        if self._output == Output.CLIPPED:
            scores = tf.clip_by_value(scores, keras.config.epsilon(), 1 - keras.config.epsilon())
        if scores.shape[1] == 1:
            of_class_0 = tf.zeros_like(scores)
            if self._output in (Output.PROBABILITIES, Output.CLIPPED):
                of_class_0 = 1 - scores
            scores = tf.concat([of_class_0, scores], axis=1)
        if self._output in (Output.PROBABILITIES, Output.CLIPPED):
            scores = _logarithm(scores)
        if self._output == Output.SIGMOIDS:
            scores = _logarithm(scores) - _logarithm(1 - scores)
        if self._output == Output.BINARY_LOGITS:
            scores = tf.math.log_sigmoid(scores)
        return scores - tf.reduce_mean(scores, axis=1, keepdims=True)


def _logarithm(probabilities: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(probabilities, LEAST_PROBABILITY))


def _ask(model: keras.Model, inputs: NDArray[Any]) -> tf.Tensor:
    """Return what the model gives for the first inputs, (inputs, outputs), after building it as Keras would at its
    first batch.

    Raises:
        ValueError: it does not take the inputs, or does not give one row per input.
    """
    try:
        _build(model, inputs)
        output = model(tf.constant(inputs[: probe.PROBE_IMAGES]), training=False)
    except (TypeError, ValueError, tf.errors.OpError) as exc:
        raise ValueError(
            f"the model does not take the hold-out inputs, {inputs.shape} of {inputs.dtype}; give them as one array, "
            f"prepared as for model.fit ({one_line(exc)})"
        ) from exc
    if not tf.is_tensor(output) or len(output.shape) != 2:
        shape = keras.tree.map_structure(lambda tensor: tuple(tensor.shape), output)
        raise ValueError(
            f"for {min(len(inputs), probe.PROBE_IMAGES)} inputs the model gives {shape}; the callback can judge one "
            "output tensor, (inputs, classes) or (inputs, 1): leave it out, and report the validation loss with "
            "trial.report"
        )
    return output


def _build(model: keras.Model, inputs: NDArray[Any]) -> None:
    """Make the weights of a model that Keras would build at its first batch."""
    if not model.built and isinstance(model, keras.Sequential):
        model.build((None, *inputs.shape[1:]))  # called with an input, it would hold for batches of that size
    elif not model.built:
        model(tf.constant(inputs[:1]), training=False)


@cache
def _vital_signs(rank: int) -> Any:
    """Return `probe.vital_signs`, traced once for all layers and trials: a trace per model would take longer than its
    readings.
    """
    signature = [tf.TensorSpec([None] * rank, tf.float32), tf.TensorSpec([2], tf.float32)]
    return tf.function(probe.vital_signs, input_signature=signature, autograph=False)


def _layer_vitals(
    name: str, kernel: keras.Variable, output: tf.Tensor, ends: Any, ratios: dict[str, float]
) -> LayerVitals:
    signs = _vital_signs(len(output.shape))(tf.cast(output, tf.float32), tf.constant(ends, tf.float32))
    moments = probe.weight_moments(kernel.value, output.shape[-1])
    return LayerVitals(
        name=name,
        mean=float(signs.mean),
        std=float(signs.std),
        signal=float(signs.signal),
        dead=float(signs.dead),
        gradient_norm=nan,
        update_ratio=ratios.get(kernel.path, nan),
        saturated=float(signs.saturated),
        weights=IncomingWeights(**{name: float(value) for name, value in moments._asdict().items()}),
    )


def _inner_outputs(model: keras.Model) -> tuple[list[keras.layers.Layer], Any]:
    """Return the layers with a trained kernel, and inputs -> the output of each, then the model's; None if there is no
    way.
    """
    try:
        expanded = probe.expand_models(model)
        layers = probe.kernel_layers(expanded)
        if not layers:
            return layers, None
        return layers, keras.Model(expanded.inputs, probe.layer_outputs(expanded) + [expanded.outputs[0]])
    except (AttributeError, ValueError):  # neither functional nor sequential, or a layer that is called twice
        return [], None
