"""Users' own nets: whatever a function of theirs makes of the Config, as long as Keras can tell its layers."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from sweeps.config import Config, OwnValues
from sweeps.errors import InputError
from sweeps.imports import load_function
from sweeps.nn.probe import expand_models, flatten_layers, kernel_layers

TRIED_IMAGES = 4
TRIED_LENGTH = 16  # of an axis that the net leaves open
WHOLE = {"__dict__", "__iter__", "model_copy", "model_dump", "model_dump_json"}  # what shows all values of a config
ROUNDING = 0.02  # of a sum of probabilities, in half precision too


def build_custom(config: Config, values_read: set[str] | None = None) -> keras.Model:
    """Return the model that `config.model.build` returns.

    Args:
        values_read: takes the names of the values that the function reads from the config, where it is given.

    Raises:
        InputError: it has a parameter without a value; or it returns no functional or Sequential model, one with
            another number of outputs, or one without a layer to watch.
    """
    path = config.model.build
    shown = config
    if values_read is not None:
        shown = _record_reads(config, values_read)
    model = _call_function(load_function(path), shown)
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise InputError(f"{path}: returned {type(model).__name__}; return a functional or Sequential Keras model")
    shapes = [tuple(output.shape) for output in model.outputs]
    wanted = (None, config.data.outputs)
    if shapes != [wanted] or len(model.inputs) != 1:
        raise InputError(f"{path}: the model's outputs are {shapes}; one input and one output {wanted} are needed")
    if not kernel_layers(expand_models(model)):
        if any(len(variable.shape) > 1 for variable in model.trainable_variables):
            raise InputError(
                f"{path}: no layer with a trained kernel has an output with a fixed number of channels, so that none "
                "can be watched; end the net in a Dense layer"
            )
        raise InputError(f"{path}: no layer of the model has a trained kernel; give it a Dense or Conv2D layer")
    return model


def _record_reads(config: Config, names: set[str]) -> Config:
    """Return an equal config that adds to the names those of its values that are read."""

    own_names = {f"my.{name}" for name in config.my}

    class RecordingConfig(Config):
        def __getattribute__(self, name: str) -> Any:
            if name in WHOLE:
                names.update(Config.model_fields)
                names.update(own_names)
            elif name in Config.model_fields and name != "my":  # of which each value counts by itself
                names.add(name)
            return super().__getattribute__(name)

    class RecordingValues(OwnValues):
        def __getitem__(self, name: str) -> Any:
            names.add(f"my.{name}")
            return super().__getitem__(name)

        def __iter__(self) -> Iterator[str]:
            names.update(own_names)
            return super().__iter__()

    return RecordingConfig.model_construct(**(dict(config) | {"my": RecordingValues(config.my)}))


def _call_function(function: Callable[..., Any], config: Config) -> Any:
    """Return what a user's function returns.

    A parameter that has the name of a hyperparameter of the user's own gets its value. The config goes to the first
    parameter, if that is none of these and has no default, and to one that is called `config`.

    Raises:
        InputError: a parameter is left without a value.
    """
    own = config.my
    if not own:
        return function(config)
    first: list[Config] = []  # the config, for a parameter that has no name for callers
    named: dict[str, Any] = {}
    for index, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= {name: value for name, value in own.items() if name not in named}
        elif parameter.name in own:
            named[parameter.name] = own[parameter.name]
        elif parameter.name == "config" or (index == 0 and parameter.default is parameter.empty):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                first.append(config)
            else:
                named[parameter.name] = config
        elif parameter.default is parameter.empty:
            raise InputError(
                f"{config.model.build}: its parameter {parameter.name} gets no value; set space.my.{parameter.name}, "
                "or give it a default"
            )
    return function(*first, **named)


def check_input(config: Config, model: keras.Model, shape: tuple[int, ...]) -> None:
    """Check that a user's net takes inputs of this shape; Keras adds or drops a last axis of one channel.

    Raises:
        InputError: it does not.
    """
    taken = model.inputs[0].shape[1:]
    shapes = [shape, (*shape, 1)]
    if shape[-1] == 1:
        shapes.append(shape[:-1])
    if any(_is_compatible(taken, candidate) for candidate in shapes):
        return
    advice = "give its Input the shape of the data"
    size = config.data.image_size
    if len(taken) > 1 and len(shape) > 1 and taken[0] == taken[1] == size and shape[0] == shape[1]:
        advice = f"set data.image_size = {shape[0]}"
    raise InputError(
        f"{config.model.build}: the model takes inputs of {tuple(taken)}, and the data have {shape}; {advice}"
    )


def _is_compatible(taken: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(taken) == len(shape) and all(side in (None, other) for side, other in zip(taken, shape, strict=True))


def answer_noise(model: keras.Model) -> NDArray[np.float32]:
    """Return what a model answers in inference to a few images of random pixels, (images, outputs)."""
    shape = [side or TRIED_LENGTH for side in model.inputs[0].shape[1:]]
    images = np.random.default_rng(0).integers(0, 256, (TRIED_IMAGES, *shape))
    tokens = [layer.input_dim for layer in flatten_layers(model) if isinstance(layer, keras.layers.Embedding)]
    images %= min([256, *tokens])
    outputs = model(keras.ops.convert_to_tensor(images, dtype=model.inputs[0].dtype), training=False)
    answers: NDArray[np.float32] = keras.ops.convert_to_numpy(keras.ops.cast(outputs, "float32"))
    return answers


def check_outputs(config: Config, model: keras.Model) -> None:
    """Check on a few random images that a classifier's outputs are what `config.output` says.

    Raises:
        InputError: they are no probabilities under softmax, or probabilities under logits.
    """
    if config.data.task == "regression":
        return
    outputs = answer_noise(model)
    if not np.isfinite(outputs).all():
        return  # which is another mistake
    sums = outputs.sum(axis=-1)
    are_probabilities = outputs.min() >= 0 and np.allclose(sums, 1, atol=ROUNDING)
    path = config.model.build
    if config.output == "softmax" and not are_probabilities and outputs.min() >= 0 and outputs.max() <= 1:
        raise InputError(
            f"{path}: the outputs for an image lie between 0 and 1 and add up to {sums[0]:.4g}, as those of sigmoids; "
            "an image has one class here, so end the net in a softmax"
        )
    if config.output == "softmax" and not are_probabilities:
        raise InputError(
            f"{path}: the outputs for an image must be probabilities, but add up to {sums[0]:.4g}, the least of them "
            f'{outputs.min():.4g}; end the net in a softmax, or set space.output = "logits"'
        )
    if config.output == "logits" and are_probabilities:
        raise InputError(
            f"{path}: the outputs for an image add up to 1, as after a softmax, and are no logits; end the net without "
            'it, or set space.output = "softmax"'
        )
