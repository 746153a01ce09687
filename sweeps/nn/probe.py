"""The probe: what a net's outputs say of its health, and how its predictions are counted."""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Sequence
from math import isfinite, nan
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.nn.activations import FLAT_ENDS, NO_FLAT_ENDS, SwitchedActivation

PROBE_IMAGES = 64
AT_THE_END = 0.01  # of an activation: how near an output must be to its flat end to count as saturated

# Layers that finish the output of the layer before; the model's last one does not, since the logits are wanted.
FINISHING = (
    keras.layers.BatchNormalization,
    keras.layers.Activation,
    SwitchedActivation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.PReLU,
)


class VitalSigns(NamedTuple):
    """The vital signs of one layer's output, see `LayerVitals`: scalars of float32 in a graph, numbers in a reading."""

    mean: Any
    std: Any
    signal: Any
    dead: Any
    saturated: Any


class WeightMoments(NamedTuple):
    """The fields of `IncomingWeights`: scalars of float32 in a graph, numbers in a reading."""

    omega_mean: Any
    omega_std: Any
    tau_mean: Any
    tau_std: Any
    in_domain: Any


def flatten_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return every layer, however deep it lies in nested models and in other layers; the models themselves are left
    out.
    """
    # Keras has no public way to the layers inside of layers.
    return [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]


def name_layers(model: keras.Model) -> dict[int, str]:
    """Return the name of every layer, by the layer's id.

    Names that Keras gave by itself count all layers that the process has built; here they count those of the model, so
    that a net's names do not depend on what was built before it.
    """
    names: dict[int, str] = {}
    counts: Counter[str] = Counter()
    for layer in flatten_layers(model):
        base = re.sub(r"_\d+$", "", layer.name)
        if base.replace("_", "") != type(layer).__name__.lower():
            names[id(layer)] = layer.name
            continue
        number = f"_{counts[base]}" if counts[base] else ""
        names[id(layer)] = base + number
        counts[base] += 1
    return names


def find_kernel(layer: keras.layers.Layer) -> keras.Variable | None:
    """Return the trained weights of a layer that stand for it in readings; None without any of two axes or more.

    They are its `kernel`, the `pointwise_kernel` of a separable convolution, or the first of its trained variables with
    two axes or more, as of a recurrent layer, of attention, of a layer of the user's own or of a nested model.
    """
    trained = [variable for variable in layer.trainable_variables if len(variable.shape) > 1]
    if not trained:
        return None
    for name in ("kernel", "pointwise_kernel"):
        kernel = getattr(layer, name, None)
        if any(kernel is variable for variable in trained):
            return kernel
    return trained[0]


def list_kernels(layers: Sequence[keras.layers.Layer]) -> list[keras.Variable]:
    """Return what `find_kernel` finds in each of the layers that `kernel_layers` gave."""
    return [kernel for kernel in map(find_kernel, layers) if kernel is not None]


def kernel_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers that hold a trained kernel, see `find_kernel`, from the input to the logits: those of which the
    first output is a tensor with a known number of channels.
    """
    calls = _find_calls(model)
    return [
        layer
        for layer in model.layers
        if id(layer) in calls and _has_channels(calls[id(layer)]) and find_kernel(layer) is not None
    ]


def _has_channels(call: Any) -> bool:
    shape = call.outputs[0].shape
    return len(shape) > 1 and shape[-1] is not None


def find_head(model: keras.Model) -> keras.layers.Layer | None:
    """Return the layer with a trained kernel from which the model's output comes, with nothing beside it on the way;
    None where there is no such layer, as behind a join.
    """
    kernels = {id(layer) for layer in kernel_layers(model)}
    tensor = model.outputs[0]
    while True:
        history = tensor._keras_history
        if id(history.operation) in kernels:
            return history.operation
        inputs = history.operation._inbound_nodes[history.node_index].input_tensors
        if len(inputs) != 1 or isinstance(history.operation, keras.Model):
            return None
        tensor = inputs[0]


def layer_outputs(model: keras.Model) -> list[keras.KerasTensor]:
    """Return the output of each layer with a kernel, activation and normalisation included, but no pooling and no
    dropout.
    """
    tensors: list[keras.KerasTensor] = []
    last = model.outputs[0]
    kernels = {id(layer) for layer in kernel_layers(model)}
    calls = _find_calls(model)
    for layer in model.layers:
        call = calls.get(id(layer))
        if call is None:
            continue
        if id(layer) in kernels:
            tensors.append(call.outputs[0])
            continue
        finishes = isinstance(layer, FINISHING) and tensors and call.input_tensors[0] is tensors[-1]
        if finishes and call.outputs[0] is not last:
            tensors[-1] = call.outputs[0]
    return tensors


def _find_calls(model: keras.Model) -> dict[int, Any]:
    """Return the first call of each layer within this very model, as Keras's node, by the layer's id.

    A layer may have been called elsewhere too, which `layer.output` does not tell apart.
    """
    calls: dict[int, Any] = {}
    seen = set()
    waiting = list(model.outputs)
    while waiting:
        operation, index, _ = waiting.pop()._keras_history
        node = operation._inbound_nodes[index]
        if id(node) in seen:
            continue
        seen.add(id(node))
        first = calls.get(id(operation))
        if first is None or operation._inbound_nodes.index(first) > index:
            calls[id(operation)] = node
        waiting += node.input_tensors
    return calls


def expand_models(model: keras.Model) -> keras.Model:
    """Return a model with the layers of nested models in their place, so that each can be watched; it shares all layers
    and weights with the model given.

    The same model is returned where it has no nested models, and where Keras cannot build it so, as with two layers of
    one name.
    """
    if not any(_is_expandable(layer) for layer in model.layers):
        return model
    try:
        inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
        return keras.Model(inputs, _call_expanded(model, inputs, None))
    except ValueError:
        return model


def _is_expandable(operation: keras.Operation) -> bool:
    """Return whether it is a functional or Sequential model, with Keras's own way to call it."""
    return isinstance(operation, keras.Model) and type(operation).__module__.startswith("keras.")


def _call_expanded(model: keras.Model, inputs: Any, training: bool | None) -> Any:
    """Return the outputs of a model's layers, called one by one, those of nested models too."""

    def wrap_operation(operation: keras.Operation) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            takes_training = "training" in inspect.signature(operation.call).parameters
            if takes_training and training is not None:
                kwargs.setdefault("training", training)
            given = {name for name, value in kwargs.items() if value is not None}
            if _is_expandable(operation) and len(args) == 1 and given <= {"training"}:
                return _call_expanded(operation, args[0], kwargs.get("training"))
            return operation(*args, **kwargs)

        return call

    # Keras has no public way to run a model's graph layer by layer.
    graph = getattr(model, "_functional", model)
    return graph._run_through_graph(inputs, operation_fn=wrap_operation)


def flat_ends(output: keras.KerasTensor) -> Any:
    """Return where the activation that made an output is flat: lower and upper end, infinite where there is none."""
    layer = output._keras_history.operation
    if isinstance(layer, SwitchedActivation):
        return layer.flat_ends()
    return FLAT_ENDS.get(getattr(getattr(layer, "activation", None), "__name__", ""), NO_FLAT_ENDS)


def vital_signs(output: tf.Tensor, ends: Any) -> VitalSigns:
    """Return the vital signs of one layer's output on the probe batch.

    Args:
        output: (inputs, positions..., channels), any float dtype.
        ends: lower and upper flat end of its activation, (2,).
    """
    x = tf.cast(output, tf.float32)
    # Differences to the first input are exactly zero where all inputs agree: a constant unit has no variance at all.
    # All else is read off them, unit by unit: passes over the whole output are what a probe costs.
    away = x - x[:1]
    mean_away = tf.reduce_mean(away, axis=0)
    square_away = tf.reduce_mean(tf.square(away), axis=0)
    over_inputs = tf.reduce_mean(tf.maximum(square_away - tf.square(mean_away), 0.0))
    of_units = x[0] + mean_away
    mean = tf.reduce_mean(of_units)
    variance = over_inputs + tf.math.reduce_variance(of_units)
    signal = tf.math.divide_no_nan(over_inputs, variance + tf.square(mean))
    same = tf.reduce_all(tf.equal(square_away, 0.0), axis=list(range(x.shape.rank - 2)))
    saturated = tf.cond(
        tf.reduce_any(tf.math.is_finite(ends)),
        lambda: tf.reduce_mean(tf.cast((x <= ends[0] + AT_THE_END) | (x >= ends[1] - AT_THE_END), tf.float32)),
        lambda: float("nan"),
    )
    return VitalSigns(
        mean=mean,
        std=tf.sqrt(variance),
        signal=signal,
        dead=tf.reduce_mean(tf.cast(same, tf.float32)),
        saturated=saturated,
    )


def weight_moments(kernel: tf.Tensor, units: int) -> WeightMoments:
    """Return mean and standard deviation of omega and of tau, and the share of units in the domain.

    Args:
        kernel: (..., units); of a depthwise convolution (positions..., channels, multiples).
        units: of the layer's output, which is how a depthwise kernel is told: its units are channels times multiples.
    """
    by_last = kernel.shape[-1]
    if kernel.shape.rank > 2 and by_last != units and kernel.shape[-2] * by_last == units:
        by_last = units
    weights = tf.reshape(tf.cast(kernel, tf.float32), [-1, by_last])
    omega = tf.reduce_sum(weights, axis=0)
    tau = tf.reduce_sum(tf.square(weights), axis=0)
    inside = (tf.abs(omega) <= 0.1) & (tau >= 0.95) & (tau <= 1.1)
    return WeightMoments(
        omega_mean=tf.reduce_mean(omega),
        omega_std=tf.math.reduce_std(omega),
        tau_mean=tf.reduce_mean(tau),
        tau_std=tf.math.reduce_std(tau),
        in_domain=tf.reduce_mean(tf.cast(inside, tf.float32)),
    )


def pack_signs(signs: VitalSigns, weights: WeightMoments) -> tf.Tensor:
    """Return what is known of a layer as one tensor, float32, (10,): one tensor leaves the device faster than ten."""
    return tf.stack([*signs, *weights])


def unpack_signs(packed: NDArray[np.float32]) -> tuple[VitalSigns, WeightMoments]:
    """Return the inverse of `pack_signs`."""
    values = packed.tolist()
    count = len(VitalSigns._fields)
    return VitalSigns(*values[:count]), WeightMoments(*values[count:])


def channel_signs(output: tf.Tensor) -> tf.Tensor:
    """Minimum, maximum and std of each channel of an output, over inputs and positions; float32, (3, channels)."""
    x = tf.cast(output, tf.float32)
    axes = list(range(x.shape.rank - 1))
    return tf.stack([tf.reduce_min(x, axes), tf.reduce_max(x, axes), tf.math.reduce_std(x, axes)])


def find_logits(output: tf.Tensor) -> tf.Tensor | None:
    """Return what a softmax or sigmoid made its output of, as Keras's losses find it; None where it is not to be found.

    A logarithm of probabilities has no gradient where these are rounded to 0.
    """
    logits = getattr(output, "_keras_logits", None)
    if logits is None and not hasattr(output, "numpy") and output.op.type in ("Softmax", "Sigmoid"):
        (logits,) = output.op.inputs
    return logits


def compute_losses(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross-entropy in nats of each image, labels int32 (images,), logits float32 (images, classes); for
    labels of float32 the squared error of predictions (images, 1).
    """
    if tf.as_dtype(labels.dtype).is_floating:
        return tf.square(logits[:, 0] - labels)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def compute_ranks(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return how many classes each image's own class does not surpass; 0 is a top-1 hit, below 5 a top-5 hit.

    A tie, or a logit that is not a number, counts as surpassing: a net that gives all classes the same logit has no
    hits (but where there are no more than five classes, when every image is a top-5 hit of any net).

    Returns:
        int32, (images,).
    """
    own = tf.gather(logits, labels, axis=1, batch_dims=1)[:, tf.newaxis]
    beaten = tf.reduce_sum(tf.cast(logits < own, tf.int32), axis=1)
    return tf.shape(logits)[1] - 1 - beaten


def score_batch(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Sum of the losses and of their squares, top-1 and top-5 hits (in regression none) of a batch; float32, (4,)."""
    tensor = compute_losses(labels, logits)
    sums = [tf.reduce_sum(tensor), tf.reduce_sum(tf.square(tensor))]
    if tf.as_dtype(labels.dtype).is_floating:
        return tf.stack([*sums, 0.0, 0.0])
    rank = compute_ranks(labels, logits)
    return tf.stack([*sums, *(tf.reduce_sum(tf.cast(rank < k, tf.float32)) for k in (1, 5))])


def sum_scores(scores: Sequence[NDArray[np.float32]], images: int) -> tuple[float, float, int, int]:
    """Mean and standard deviation of the loss, top-1 and top-5 hits, out of what `score_batch` gives of each batch.

    Args:
        images: of all batches together.
    """
    total, squares, hits1, hits5 = np.stack(scores).astype(np.float64).sum(axis=0).tolist()
    loss = total / images
    if isfinite(loss):
        spread = max(0.0, squares / images - loss**2) ** 0.5
    else:
        spread = nan
    return loss, spread, int(hits1), int(hits5)
