"""Keras objects as the code that makes them: initialisers, layers, and whole functional models, a line per layer."""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

# Where Keras's own classes are, as people write it.
ROOMS = {
    keras.initializers.Initializer: "initializers",
    keras.constraints.Constraint: "constraints",
    keras.regularizers.Regularizer: "regularizers",
}
SQUARE = ("kernel_size", "strides", "pool_size")  # may be one number where all sides are alike
SEED = re.compile(r"\bseed=\d+")
AXES = "axis="  # a constraint that says which axes belong to a unit: other ones in each kind of layer


@dataclass(slots=True)
class Code:
    """What code of several models stands on, gathered while it is written.

    Attributes:
        classes: ours that occur.
        kernels: first name, and arguments of a kernel but for the seed -> name of the function that gives them.
    """

    classes: set[type] = field(default_factory=set)
    kernels: dict[tuple[str, ...], str] = field(default_factory=dict)

    def expression(self, value: Any) -> str:
        """Return a value, or an initialiser, constraint or regulariser, as an expression."""
        if isinstance(value, Mapping) and "class_name" in value:
            return self.expression(keras.saving.deserialize_keras_object(value))
        if isinstance(value, keras.DTypePolicy):
            return json.dumps(value.name)
        room = next((name for kind, name in ROOMS.items() if isinstance(value, kind)), None)
        if room is None:
            if isinstance(value, str):
                return json.dumps(value)
            return repr(value)
        kind = type(value)
        config = value.get_config()
        ours = kind.__module__.startswith("sweeps.")
        if ours:
            self.classes.add(kind)
        parameters = [p for p in inspect.signature(kind).parameters.values() if p.name in config]
        required = [self.expression(config[p.name]) for p in parameters if p.default is p.empty]
        others = [p for p in parameters if p.default is not p.empty and (ours or config[p.name] != p.default)]
        arguments = ", ".join([*required, *(f"{p.name}={self.expression(config[p.name])}" for p in others)])
        if ours:
            return f"{kind.__name__}({arguments})"
        return f"{room}.{kind.__name__}({arguments})"

    def layer(self, layer: keras.layers.Layer) -> str:
        """Return the call that makes a layer: what must be given, what it would not have by itself, its name."""
        kind = type(layer)
        config = layer.get_config()
        parameters = inspect.signature(kind).parameters.values()
        required = [p.name for p in parameters if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD]
        given = {name: config[name] for name in required} | {"name": layer.name}
        while missing := _missing(kind, config, given):  # one that is given may decide what another is by itself
            given |= missing
        kernel = [name for name in given if name.startswith("kernel_") and name not in SQUARE]
        others = [name for name in given if name not in (*required, *kernel, "dtype", "name")]
        named = [*others, *(["dtype"] if "dtype" in given else []), "name"]
        arguments = [self._argument(name, config[name]) for name in required]
        arguments += [f"{name}={self._argument(name, config[name])}" for name in named]
        if kernel:
            arguments.append(self._kernel(kind, [f"{name}={self.expression(config[name])}" for name in kernel]))
        return f"layers.{kind.__name__}({', '.join(arguments)})"

    def _argument(self, name: str, value: Any) -> str:
        alike = name in SQUARE and isinstance(value, (tuple, list)) and len(set(value)) == 1
        return self.expression(value[0] if alike else value)

    def _kernel(self, kind: type, arguments: list[str]) -> str:
        """Return arguments of a kernel: a single one as it is, several as a function of the seed, which layers
        share.
        """
        seeds = SEED.findall(" ".join(arguments))
        if len(arguments) == 1 or len(seeds) != 1:
            return ", ".join(arguments)
        if kind is keras.layers.Conv2D:
            of = "convolution_"
        else:
            of = "dense_"
        name = f"{of if AXES in ' '.join(arguments) else ''}kernel"
        template = (name, *(SEED.sub("seed=seed", word) for word in arguments))
        taken = sum(kernel[0] == name for kernel in self.kernels)
        self.kernels.setdefault(template, f"{name}_{taken + 1}" if taken else name)
        return f"**{self.kernels[template]}({seeds[0]})"

    def functions(self) -> str:
        """Return the functions that layers share."""
        parts = []
        for (_, *given), name in self.kernels.items():
            pairs = [word.partition("=") for word in given]
            lines = [f'        "{key}": {expression},' for key, _, expression in pairs]
            words = '    """How a kernel starts, and what it is held to."""'
            head = [f"def {name}(seed: int) -> dict[str, Any]:", words, "    return {"]
            parts.append("\n".join([*head, *lines, "    }"]))
        return "\n\n\n".join(parts)

    def model(self, model: keras.Model, replaced: Mapping[str, str]) -> list[str]:
        """Return a functional model as lines: a layer each, then the model.

        Args:
            replaced: name of a layer -> the call that makes it instead.
        """
        of = {id(layer.output): number for number, layer in enumerate(model.layers)}
        read_by: dict[int, list[int]] = {}
        for number, layer in enumerate(model.layers):
            for tensor in _inputs(layer):
                read_by.setdefault(of[id(tensor)], []).append(number)
        ends = of[id(model.outputs[0])]
        names = {
            number: "x" if read_by.get(number, []) == [number + 1] or number == ends else layer.name
            for number, layer in enumerate(model.layers)
        }
        lines = []
        for number, layer in enumerate(model.layers):
            if isinstance(layer, keras.layers.InputLayer):
                names[number] = layer.name
                if layer.dtype == "float32":
                    dtype = ""
                else:
                    dtype = f", dtype={json.dumps(layer.dtype)}"
                call = f"keras.Input({tuple(layer.batch_shape[1:])!r}{dtype}, name={json.dumps(layer.name)})"
            else:
                read = [names[of[id(tensor)]] for tensor in _inputs(layer)]
                made = replaced.get(layer.name) or self.layer(layer)
                if len(read) == 1:
                    call = f"{made}({', '.join(read)})"
                else:
                    call = f"{made}([{', '.join(read)}])"
            lines.append(f"{names[number]} = {call}")
        first = names[of[id(model.inputs[0])]]
        return [*lines, f"return keras.Model({first}, {names[ends]}, name={json.dumps(model.name)})"]


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    """Return what a layer reads, in its order."""
    if isinstance(layer, keras.layers.InputLayer):
        return []
    if isinstance(layer.input, list):
        return layer.input
    return [layer.input]


def _missing(kind: type, config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a layer that is made with these arguments only has otherwise than the config says."""
    usual = kind(**given).get_config()
    return {name: value for name, value in config.items() if name not in given and value != usual.get(name)}
