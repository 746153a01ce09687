"""A Keras callback that takes readings of a model in training for the judge, and stops a dead run with the reason."""

import time
from functools import cache
from math import nan
from typing import Any

import keras  # noqa: TID253
import numpy as np
import optuna
import tensorflow as tf  # noqa: TID253
from numpy.typing import NDArray

from sweeps.integrations.optuna import keep_reading, reason_to_stop
from sweeps.nn import probe
from sweeps.nn.activations import NO_FLAT_ENDS
from sweeps.nn.net import LEAST_PROBABILITY
from sweeps.readings import IncomingWeights, LayerVitals, Reading

EVALUATION_BATCH = 256


class DeadRunCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no annotations
    """Evaluates the model before training and every so many batches, keeps the reading with the trial and reports the
    hold-out loss to it (in nats, or the mean squared error, without regularisation); ends training where the study's
    pruner says so. Training itself is not changed by it.

    Of a model that is neither functional nor sequential, and of layers within a nested model, only loss, hits and the
    size of updates are seen.

    Args:
        trial: of a study with a `DeadRunPruner`; its steps are overruled by those given here.
        inputs: the hold-out set, (inputs, ...): as the model takes them.
        labels: (inputs,), integers: classes, of a model with an output per class, or with one output for the second of
            two classes; or floats: the target of a regression with one output.
        steps: batches of the whole training.
        every: batches from reading to reading; default: a twentieth of the steps.

    Raises:
        ValueError: steps or every below 1, or labels that are not one number per input; when training begins, a model
            whose output is not one row per input.
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
        inputs: NDArray[Any],
        labels: NDArray[Any],
        *,
        steps: int,
        every: int | None = None,
    ) -> None:
        super().__init__()
        if steps < 1 or (every is not None and every < 1):
            raise ValueError(f"steps is {steps}, every is {every}; both must be at least 1")
        if labels.size != len(inputs):
            raise ValueError(
                f"labels are {labels.shape} for {len(inputs)} inputs; they must be one number each: the place of the "
                "class, not a row with a one there"
            )
        self._trial = trial
        self._steps = steps
        self._every = every or max(1, steps // 20)
        self._inputs = inputs
        if inputs.dtype.kind == "f":
            self._inputs = inputs.astype(keras.config.floatx())
        label_dtype = "int32"
        if labels.dtype.kind == "f":
            label_dtype = "float32"
        self._labels = labels.reshape(-1).astype(label_dtype)
        self._step = self._epoch_start = 0
        self._step_of_reading = 0  # of training, over the batches since the last reading
        self._loss_sum = 0.0
        self._loss_of_epoch = 0.0  # over those of the epoch
        self._before: tuple[int, dict[str, tf.Tensor]] = (-1, {})  # a step, and the weights then
        self._started = time.perf_counter()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Take the reading of the untrained model."""
        _build(self.model, self._inputs)
        self._watched = WatchedModel(self.model, regression=self._labels.dtype.kind == "f")
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
            self._before = step, self._watched.weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Take a reading where one is due."""
        before = self._step
        self._step = self._epoch_start + batch + 1
        of_epoch = (logs or {}).get("loss", nan) * (batch + 1)
        self._loss_sum += of_epoch - self._loss_of_epoch
        self._loss_of_epoch = of_epoch
        if self._due(before, self._step):
            self._keep_reading()

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
        loss, loss_std, hits1, hits5 = self._watched.evaluate(self._inputs, self._labels)
        ratios = self._watched.update_ratios(before)
        done = self._step - self._step_of_reading
        if done:
            train_loss = self._loss_sum / done - self._watched.penalty()
        else:
            train_loss = nan
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
        )


class WatchedModel:
    """What can be read off a user's model. Its weights are what is trained and has two axes or more: no biases."""

    def __init__(self, model: keras.Model, regression: bool) -> None:
        self._model = model
        self._regression = regression
        self._probabilities = not regression and _gives_probabilities(model)
        self._weights = {v.path: v for v in model.trainable_variables if len(v.shape) > 1}
        self._layers, self._inner = _inner_outputs(model)
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
        watched = zip(self._layers, self._outputs(tf.constant(inputs)), ends, strict=True)
        return tuple(_layer_vitals(layer, output, flat, ratios) for layer, output, flat in watched)

    def _score_of_batch(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return probe.score_batch(labels, self._logits(self._model(inputs, training=False)))

    def _outputs_of_layers(self, inputs: tf.Tensor) -> list[tf.Tensor]:
        *outputs, last = self._inner(inputs, training=False)
        return [*outputs[:-1], self._logits(last)]

    def _logits(self, output: Any) -> tf.Tensor:
        """Return logits or predictions, float32, (batch, outputs). A logit is taken less the mean of its input's
        logits, whether it was given as a logit or as a probability.
        """
        if not tf.is_tensor(output) or len(output.shape) != 2 or (self._regression and output.shape[1] != 1):
            raise ValueError(f"the model gives {output}; it must be one tensor, (inputs, classes), or (inputs, 1)")
        scores = tf.cast(output, tf.float32)
        if self._regression:
            return scores
        if scores.shape[1] == 1:
            of_class_0 = tf.zeros_like(scores)
            if self._probabilities:
                of_class_0 = 1 - scores
            scores = tf.concat([of_class_0, scores], axis=1)
        if self._probabilities:
            scores = tf.math.log(tf.maximum(scores, LEAST_PROBABILITY))
        return scores - tf.reduce_mean(scores, axis=1, keepdims=True)


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


def _layer_vitals(layer: keras.layers.Layer, output: tf.Tensor, ends: Any, ratios: dict[str, float]) -> LayerVitals:
    signs = _vital_signs(len(output.shape))(tf.cast(output, tf.float32), tf.constant(ends, tf.float32))
    moments = probe.weight_moments(layer.kernel.value)
    return LayerVitals(
        name=layer.name,
        mean=float(signs.mean),
        std=float(signs.std),
        signal=float(signs.signal),
        dead=float(signs.dead),
        gradient_norm=nan,
        update_ratio=ratios.get(layer.kernel.path, nan),
        saturated=float(signs.saturated),
        weights=IncomingWeights(**{name: float(value) for name, value in moments._asdict().items()}),
    )


def _inner_outputs(model: keras.Model) -> tuple[list[keras.layers.Layer], Any]:
    """Return the layers with a trained kernel, and inputs -> the output of each, then the model's; None if there is no
    way.
    """
    try:
        layers = probe.kernel_layers(model)
        if not layers:
            return layers, None
        return layers, keras.Model(model.inputs, probe.layer_outputs(model) + [model.outputs[0]])
    except (AttributeError, ValueError):  # neither functional nor sequential, or a layer that is called twice
        return [], None


def _gives_probabilities(model: keras.Model) -> bool:
    from_logits = getattr(model.loss, "from_logits", None)
    if from_logits is not None:
        return not from_logits
    if model.layers:
        last = model.layers[-1]
    else:
        last = model
    name = getattr(getattr(last, "activation", None), "__name__", "")
    return name in ("softmax", "sigmoid") or isinstance(last, keras.layers.Softmax)
