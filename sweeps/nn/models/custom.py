"""Users' own nets: whatever a function of theirs makes of the Config, as long as Keras can tell its layers."""

import keras

from sweeps.config import Config
from sweeps.errors import InputError
from sweeps.imports import load_function


def custom(config: Config) -> keras.Model:
    """The model that `config.model.build` returns.

    Raises:
        InputError: it returns no functional or Sequential model, or one with another number of outputs.
    """
    path = config.model.build
    model = load_function(path)(config)
    if not isinstance(model, keras.Model) or not isinstance(getattr(model, "output", None), keras.KerasTensor):
        raise InputError(f"{path}: returned {type(model).__name__}; return a functional or Sequential Keras model")
    wanted = (None, config.data.outputs)
    if tuple(model.output.shape) != wanted:
        raise InputError(f"{path}: the model's output is {tuple(model.output.shape)}; the data need {wanted}")
    return model
