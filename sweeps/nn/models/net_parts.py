"""What a user's net is made of, as far as advice on a run must know it."""

import re

import keras

from sweeps.nn.probe import flatten_layers

NORMALIZING = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)
SCALING = (keras.layers.Rescaling, keras.layers.Normalization, keras.layers.BatchNormalization)
DROPPING = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
)
AUGMENTING = "Random"  # how Keras's layers that change images at random begin: RandomFlip, RandomCrop, ...
OWN_NET = "own_net"


def list_parts(model: keras.Model) -> tuple[str, ...]:
    """Return names of activations, initialisers and constraints in the spelling of a config, and of kinds of layers:
    `batch_normalization` and its kin, `dropout`, `augmentation`, and `scaled_inputs` where the first layer with numbers
    of its own scales what enters; `own_net` always.
    """
    parts = {OWN_NET}
    layers = flatten_layers(model)
    for layer in layers:
        if isinstance(layer, NORMALIZING):
            parts.add(_to_snake_case(type(layer).__name__))
        if isinstance(layer, DROPPING):
            parts.add("dropout")
        if type(layer).__name__.startswith(AUGMENTING):
            parts.add("augmentation")
        activation = getattr(layer, "activation", None)
        if activation is not None and activation is not keras.activations.linear:
            parts.add(getattr(activation, "__name__", type(activation).__name__))
        elif isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.ELU):
            parts.add(_to_snake_case(type(layer).__name__))
        for name in ("kernel_initializer", "kernel_constraint"):
            part = getattr(layer, name, None)
            if part is not None:
                parts.add(_to_snake_case(type(part).__name__))
    first = next((layer for layer in layers if layer.weights or isinstance(layer, SCALING)), None)
    if isinstance(first, SCALING):
        parts.add("scaled_inputs")
    return tuple(sorted(parts))


def _to_snake_case(name: str) -> str:
    """Return `HeNormal` as `he_normal`, and `ReLU`, `ELU` and `LeakyReLU` as activations are written."""
    if name.endswith("LU"):
        return name.replace("LeakyReLU", "leaky_relu").lower()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
