"""The net that a trainer trains: one of ours, whose parts follow a trial's choices, or a user's own."""

import json
from functools import partial
from inspect import isfunction
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sweeps.config import Config, Constraint
from sweeps.errors import InputError
from sweeps.nn import probe
from sweeps.nn.choices import TrialChoices
from sweeps.nn.constraints import CONSTRAINTS, Limits
from sweeps.nn.dropout import SwitchedDropout
from sweeps.nn.models import build_switched
from sweeps.nn.models.architecture import Architecture
from sweeps.nn.models.custom import build_custom, check_outputs
from sweeps.nn.models.parts import gate_bias, kernel_initializer
from sweeps.nn.scaling import Scaling

Scales = tuple[NDArray[np.float32], NDArray[np.float32]]
OUTPUTS = "outputs"  # the name of the last row of vital signs where no layer of its own makes the outputs
LEAST_PROBABILITY = 1e-30  # below it a float32 logarithm is infinite


class Net(Protocol):
    """What a trainer needs of a net.

    Attributes:
        model: holds all variables.
        watched: images -> the output of each layer with a trained kernel, then what `logits` and `penalty` need.
        layers: those layers.
        names: theirs, as readings have them.
    """

    choices: TrialChoices
    model: keras.Model
    watched: keras.Model
    layers: list[keras.layers.Layer]
    names: list[str]

    def reset(self, config: Config, scaling: Scales) -> None:
        """Set the trial's choices and its first weights."""
        ...

    def compute_logits(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        """Return logits or predictions, float32, (batch, outputs), from what `watched` gives."""
        ...

    def compute_penalty(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        """Return what regularisation adds to the loss."""
        ...

    def apply_constraints(self) -> None:
        """Put the kernels under their constraints, after an update."""
        ...


class SwitchedNet:
    """One of our architectures, for every trial that has it."""

    def __init__(self, architecture: Architecture) -> None:
        self.choices = TrialChoices()
        self.model, self._gates = build_switched(architecture, self.choices)
        self.layers = probe.kernel_layers(self.model)
        self.names = [layer.name for layer in self.layers]
        gates = [gate.activation.output for gate in self._gates]
        outputs = probe.layer_outputs(self.model) + gates
        self.watched = keras.Model(self.model.input, outputs)
        self._kernels = [layer.kernel.value for layer in self.layers]
        self._pristine = [(variable, variable.numpy()) for variable in self.model.variables]

    def reset(self, config: Config, scaling: Scales) -> None:
        """See `Net`."""
        self.choices.set(config)
        for variable, value in self._pristine:
            variable.assign(value)
        for index, kernel in enumerate(self._kernels):
            last = index == len(self._kernels) - 1
            draw = kernel_initializer(config, index, last, len(kernel.shape))
            kernel.assign(draw(tuple(kernel.shape), dtype=kernel.dtype.name))
        for gate in self._gates:
            bias = gate.excitation.bias
            bias.assign(gate_bias(config, gate.kernel)(bias.shape, dtype="float32"))
        for layer in self.model.layers:
            if isinstance(layer, SwitchedDropout):
                layer.reset(config.seed)
            elif isinstance(layer, Scaling):
                layer.set(*scaling)

    def compute_logits(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        """See `Net`."""
        return outputs[len(self.layers) - 1]

    def compute_penalty(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        """See `Net`."""
        squares = tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in self._kernels])
        gates = [tf.reduce_mean(tf.square(1 - tf.cast(gate, tf.float32))) for gate in outputs[len(self.layers) :]]
        if gates:
            closed = self.choices["excitation_penalty"] * tf.add_n(gates)
        else:
            closed = 0.0
        return self.choices["l2"] * squares + closed

    def apply_constraints(self) -> None:
        """See `Net`."""
        self.choices.run_branch("constraint", {name: partial(self._apply_constraint, name) for name in CONSTRAINTS})

    def _apply_constraint(self, name: Constraint) -> None:
        for index, kernel in enumerate(self._kernels):
            limits = Limits(len(kernel.shape), self.choices["tau"], self.choices["max_norm"])
            constraint = CONSTRAINTS[name](limits)
            if constraint is None:
                continue
            bound = constraint(kernel)
            if index == 0:
                bound = tf.where(self.choices["constrain_first"], bound, kernel)
            if index == len(self._kernels) - 1:
                bound = tf.where(self.choices["constrain_last"], bound, kernel)
            kernel.assign(bound)


class CustomNet:
    """A user's net, with its own constraints and regularisers, for all trials whose models differ in weights only.

    Raises:
        InputError: the model's outputs are not what `config.output` says.
    """

    def __init__(self, config: Config, model: keras.Model) -> None:
        check_outputs(config, model)
        self.choices = TrialChoices()
        self.model = model
        expanded = probe.expand_models(model)
        self.layers = probe.kernel_layers(expanded)
        names = probe.name_layers(model)
        self.names = [names.get(id(layer), layer.name) for layer in self.layers]
        if probe.find_head(expanded) is not self.layers[-1]:
            self.names[-1] = OUTPUTS
        self._softmax = config.output == "softmax" and config.data.task == "classification"
        self.watched = keras.Model(expanded.inputs[0], [*probe.layer_outputs(expanded), expanded.outputs[0]])

    def reset(self, config: Config, scaling: Scales) -> None:  # noqa: ARG002  (a user's net scales its own inputs)
        """See `Net`.

        Raises:
            InputError: the user's function returns weights that it returned before.
        """
        self.choices.set(config)
        fresh = build_custom(config)
        trained = {id(variable) for variable in self.model.trainable_variables}
        if any(id(variable) in trained for variable in fresh.trainable_variables):
            raise InputError(
                f"{config.model.build}: returns layers that it returned before, so that a trial would go on with the "
                "weights of the trial before; build new layers at each call"
            )
        for variable, value in zip(self.model.variables, fresh.variables, strict=True):
            variable.assign(value)
        for variable in self.model.trainable_variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def compute_logits(self, outputs: list[tf.Tensor]) -> tf.Tensor:
        """See `Net`; of probabilities what their softmax was made of, else the logarithm, less its mean."""
        if not self._softmax:
            return tf.cast(outputs[-1], tf.float32)
        logits = probe.find_logits(outputs[-1])
        if logits is not None:
            return tf.cast(logits, tf.float32)
        scores = tf.cast(outputs[-1], tf.float32)
        logs = tf.math.log(tf.maximum(scores, LEAST_PROBABILITY))
        return logs - tf.reduce_mean(logs, axis=-1, keepdims=True)

    def compute_penalty(self, outputs: list[tf.Tensor]) -> tf.Tensor:  # noqa: ARG002
        """See `Net`."""
        if self.watched.losses:
            return tf.add_n(self.watched.losses)
        return tf.constant(0.0)

    def apply_constraints(self) -> None:
        """See `Net`."""
        for variable in self.model.trainable_variables:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))


def describe_structure(model: keras.Model) -> str:
    """Return the same text for models that differ in their weights, seeds and automatic names only."""
    described = json.loads(model.to_json())
    names = {name: f"#{index}" for index, name in enumerate(dict.fromkeys(_collect_names(described)))}
    return json.dumps(_replace_names(described, names))


def has_own_functions(model: keras.Model) -> bool:
    """Return whether a layer holds a function that is not Keras's: an activation of the user's own, or a Lambda.

    Methods do not count, which Keras wraps and keeps with the layer: they are the same for all layers of a class.
    """
    for layer in model._flatten_layers():
        attributes = vars(layer).items()
        functions = [value for name, value in attributes if isfunction(value) and not hasattr(type(layer), name)]
        if any(not (function.__module__ or "").startswith("keras.") for function in functions):
            return True
    return False


def _collect_names(value: Any) -> list[str]:
    """Return what is called a name anywhere in a description."""
    if isinstance(value, list):
        return [name for part in value for name in _collect_names(part)]
    if not isinstance(value, dict):
        return []
    own = [value["name"]] if isinstance(value.get("name"), str) else []
    return own + [name for part in value.values() for name in _collect_names(part)]


def _replace_names(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: None if key == "seed" else _replace_names(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_replace_names(part, names) for part in value]
    if isinstance(value, str):
        return names.get(value, value)
    return value
