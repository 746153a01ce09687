"""What the loss that a Keras model was compiled with says about its labels and outputs."""

import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import keras  # noqa: TID253
import numpy as np
import tensorflow as tf  # noqa: TID253
from numpy.typing import NDArray

from sweeps.integrations.holdout import is_one_hot

ROUNDING = 0.02  # of a sum of probabilities, in half precision too

CATEGORICAL = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "kl_divergence",
)
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "poisson",
)
# Their mean over the batches is what the judge compares with guessing. Others have another unit.
IN_JUDGES_UNIT = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
)
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


OF_OPS = "ops."  # before the name of an activation that is a call of keras.ops, behind which Keras finds no logits


class Output(StrEnum):
    """What the outputs of a model are."""

    PREDICTIONS = "predictions"  # of a regression
    LOGITS = "logits"
    PROBABILITIES = "probabilities"  # of a softmax or sigmoid, whose logits Keras finds
    CLIPPED = "clipped"  # taken for probabilities: Keras clips them
    SIGMOIDS = "sigmoids"  # of logits that the loss puts through a softmax
    BINARY_LOGITS = "binary logits"  # of several classes, each for itself


@dataclass(frozen=True, slots=True)
class Task:
    """How a model is judged.

    Attributes:
        output: what its outputs are.
        same_unit: whether its training loss is what the judge compares: nats, or the mean squared error.
    """

    output: Output
    same_unit: bool

    @property
    def regression(self) -> bool:
        """Return whether labels are numbers, not classes."""
        return self.output == Output.PREDICTIONS


def task_of(model: keras.Model, answers: tf.Tensor, labels: NDArray[Any], classes: int | None) -> Task:
    """Return how to judge a compiled model.

    Args:
        answers: what the model gives for some inputs, (inputs, outputs).
        labels: of the hold-out set; they decide where the loss is a function of the user's own, or there is none.
        classes: that the study's pruner was made for, 0 for a regression; None if there is no such pruner.

    Raises:
        ValueError: loss, outputs and labels do not say whether there are classes, or how outputs become probabilities.
    """
    loss = _only_loss(model)
    name = loss_name(loss)
    outputs = int(answers.shape[1])
    activation = _last_activation(model, answers)
    function = activation.removeprefix(OF_OPS)
    if name in CATEGORICAL and outputs == 1:
        raise ValueError(
            f"the model has one output, with which {name} is 0 for any label; use 'binary_crossentropy' with a "
            "sigmoid, or an output per class"
        )
    if name in CATEGORICAL or name in BINARY:
        return Task(_class_output(loss, name, activation, outputs), _in_judges_unit(loss, name, outputs))
    if name in REGRESSION and outputs == 1 and function == "sigmoid" and classes != 0 and _are_binary(labels):
        return Task(Output.PROBABILITIES, same_unit=False)  # two classes, compared by their squares
    if name in REGRESSION and outputs == 1:
        return Task(Output.PREDICTIONS, _in_judges_unit(loss, name, outputs))
    if name in REGRESSION and function == "softmax":  # rows with a one at the class, compared by their squares
        return Task(Output.PROBABILITIES, same_unit=False)
    if name in REGRESSION:
        raise ValueError(
            f"the model has {outputs} outputs and the loss {name}, but no softmax: a regression with several outputs "
            "cannot be judged; use one output or, for classes, a cross-entropy as the loss"
        )
    return Task(_output_by_labels(loss, labels, outputs, function, classes), same_unit=False)


def require_same_task(model: keras.Model, task: Task, outputs: int, classes: int) -> None:
    """Check that the study's pruner was made for what the model is trained for.

    Args:
        classes: the pruner's, 0 for a regression.

    Raises:
        ValueError: it was made for something else.
    """
    if task.regression and classes:
        raise ValueError(
            f"the model's loss is {loss_name(_only_loss(model))}, with one output: a regression; but the study's "
            f"DeadRunPruner has classes={classes}; make it with classes=None and chance_loss=the variance of the "
            "target or, for two classes, compile the model with 'binary_crossentropy' and a sigmoid"
        )
    of_model = max(2, outputs)
    if not task.regression and not classes:
        raise ValueError(
            f"the model has {of_model} classes, but the study's DeadRunPruner was made for a regression; make it with "
            f"classes={of_model}"
        )
    if not task.regression and classes > of_model:
        raise ValueError(
            f"the model has {of_model} classes, but the study's DeadRunPruner has classes={classes}; make it with "
            f"classes={of_model}"
        )


def loss_name(loss: Any) -> str:
    """Return the name of the function behind a loss, as `mean_squared_error`; of a user's own class, its name."""
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    function = getattr(loss, "fn", loss)
    return str(getattr(function, "__name__", type(function).__name__))


def _only_loss(model: keras.Model) -> Any:
    """Return what the model was compiled with, of a list or dict of one loss the loss; None without any."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, list | tuple) and len(loss) == 1:
        return loss[0]
    return loss


def _class_output(loss: Any, name: str, activation: str, outputs: int) -> Output:
    """Return what the outputs are to a cross-entropy. Keras finds the logits behind a softmax or sigmoid by itself,
    whatever `from_logits` says.
    """
    if activation == "sigmoid" and outputs > 1 and name in CATEGORICAL:
        return Output.SIGMOIDS
    if activation in ("softmax", "sigmoid"):
        return Output.PROBABILITIES
    if not getattr(loss, "from_logits", False):
        if activation == "linear":
            warnings.warn(
                f"the model's last layer has no activation, and {name} takes its outputs for probabilities; use "
                "from_logits=True, or a softmax or sigmoid",
                stacklevel=2,
            )
        return Output.CLIPPED
    if name in BINARY and outputs > 1:
        return Output.BINARY_LOGITS
    return Output.LOGITS


def _output_by_labels(loss: Any, labels: NDArray[Any], outputs: int, activation: str, classes: int | None) -> Output:
    """Return what the outputs are to a loss that is not known here."""
    of_classes = Output.LOGITS
    if activation in ("softmax", "sigmoid"):
        of_classes = Output.PROBABILITIES
    elif getattr(loss, "from_logits", None) is False:
        of_classes = Output.CLIPPED
    one_per_input = labels.size == len(labels)
    if classes == 0 and outputs == 1 and one_per_input:
        return Output.PREDICTIONS
    if classes == 2 and outputs == 1 and _are_binary(labels):
        return of_classes
    if outputs > 1 and (is_one_hot(labels) or (one_per_input and bool((labels == np.floor(labels)).all()))):
        return of_classes
    if outputs == 1 and one_per_input:
        if _are_binary(labels) and (activation == "sigmoid" or labels.dtype.kind != "f"):
            return of_classes
        if activation != "sigmoid" and not np.isin(labels, (-1, 0, 1)).all():
            return Output.PREDICTIONS
    raise ValueError(
        f"the loss {loss_name(loss)} with {outputs} outputs and labels {labels.shape} of {labels.dtype} does not say "
        "whether these are classes or numbers; compile the model with one of Keras's cross-entropies and labels from "
        "0, or with 'mse', or give the study a DeadRunPruner, whose classes say it"
    )


def _in_judges_unit(loss: Any, name: str, outputs: int) -> bool:
    if name not in IN_JUDGES_UNIT or (name in BINARY and outputs > 1):
        return False
    if getattr(loss, "ignore_class", None) is not None:
        return False
    return not getattr(loss, "label_smoothing", 0) and getattr(loss, "reduction", "mean") in MEANS


def _are_binary(labels: NDArray[Any]) -> bool:
    return labels.size == len(labels) and bool(np.isin(labels, (0, 1)).all())


def _last_activation(model: keras.Model, answers: tf.Tensor) -> str:
    """Return the name of the activation that the outputs come from, if it can be seen."""
    last: Any = model
    while isinstance(last, keras.Model) and getattr(last, "outputs", None):  # functional or sequential
        last = last.outputs[0]._keras_history.operation
    if isinstance(last, keras.layers.Softmax):
        return "softmax"
    if not isinstance(last, keras.layers.Layer) and type(last).__name__ in ("Softmax", "Sigmoid"):
        return OF_OPS + type(last).__name__.lower()
    if not isinstance(last, keras.Model):  # whose layers are in the order of their making
        return str(getattr(getattr(last, "activation", None), "__name__", ""))
    # Where a softmax or sigmoid of Keras ends the model, it leaves the logits with what it returns.
    if not hasattr(answers, "_keras_logits"):
        return ""
    if answers.shape[1] > 1 and np.allclose(np.sum(answers, axis=1, dtype=float), 1, atol=ROUNDING):
        return "softmax"
    return "sigmoid"
