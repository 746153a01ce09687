"""Users' own nets: whatever a function of theirs makes of the Config, as long as Keras can tell its layers."""

import keras

from sweeps.config import Config
from sweeps.errors import InputError
from sweeps.imports import load_function
from sweeps.nn.probe import kernel_layers


def build_custom(config: Config) -> keras.Model:
    """Return the model that `config.model.build` returns.

    Raises:
        InputError: it returns no functional or Sequential model, one with another number of outputs, or one without a
            layer to watch.
    """
    path = config.model.build
    model = load_function(path)(config)
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        raise InputError(f"{path}: returned {type(model).__name__}; return a functional or Sequential Keras model")
    shapes = [tuple(output.shape) for output in model.outputs]
    wanted = (None, config.data.outputs)
    if shapes != [wanted] or len(model.inputs) != 1:
        raise InputError(f"{path}: the model's outputs are {shapes}; one input and one output {wanted} are needed")
    if not kernel_layers(model):
        raise InputError(f"{path}: no layer of the model has a trained kernel; give it a Dense or Conv2D layer")
    return model
