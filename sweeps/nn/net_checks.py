"""What is odd in a user's net without being wrong: said before anything is trained."""

from collections.abc import Callable, Iterator

import keras
import numpy as np

from sweeps.config import Config
from sweeps.data.oddities import Finding, NetReport
from sweeps.nn import device
from sweeps.nn.models.custom import answer_noise, build_custom
from sweeps.nn.normalization import find_normalizations
from sweeps.nn.probe import expand_models, find_head, flatten_layers, kernel_layers, name_layers
from sweeps.wording import count_noun, list_first

LEFT = 0.05  # share of a moving average that may be its first value at the end of a trial
MUCH_DROPPED = 0.9
NEVER_BELOW_ZERO = ("relu", "relu6", "softplus", "sigmoid", "hard_sigmoid", "exponential", "softmax")

Named = list[tuple[str, keras.layers.Layer]]  # a model's layers, however deep, with their names


def check_net(config: Config) -> NetReport:
    """Check the net that a user's function builds for a config.

    Raises:
        InputError: see `build_custom`.
    """
    device.prepare_device()
    values_read: set[str] = set()
    model = build_custom(config, values_read)
    names = name_layers(model)
    layers = [(names[id(layer)], layer) for layer in flatten_layers(model)]
    findings = [Finding(name, "; ".join(check(model, layers, config))) for name, check in NET_CHECKS.items()]
    return NetReport(tuple(findings), frozenset(values_read), _scales_columns(layers))


def _scales_columns(layers: Named) -> bool:
    """Return whether the first layer with numbers of its own gives each column, or channel, a scale of its own."""
    scaling = (keras.layers.Normalization, keras.layers.BatchNormalization)
    first = next((layer for _, layer in layers if layer.weights or isinstance(layer, scaling)), None)
    return isinstance(first, scaling)


def _check_averages(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    slow = [layer for layer in find_normalizations(model) if layer.momentum**config.steps > LEFT]
    if slow and not config.recalibrate_batch_normalization:
        momentum = max(layer.momentum for layer in slow)
        yield (
            f"{count_noun(len(slow), 'layer')} of batch normalisation with a momentum of {momentum:g}: after "
            f"{config.steps} steps {momentum**config.steps:.0%} of the averages are still their first values; set "
            "budget.recalibrate_batch_normalization = true, or a momentum of 0.9"
        )


def _check_trained(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    frozen = [name for name, layer in layers if layer.weights and not layer.trainable]
    if frozen:
        trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
        yield (
            f"{count_noun(len(frozen), 'layer')} are not trained ({list_first(frozen)}): {trained:,} of "
            f"{model.count_params():,} numbers are"
        )


def _check_first_weights(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    last = {id(layer) for layer in kernel_layers(expand_models(model))[-1:]}  # which may start at zero
    zero = [
        name
        for name, layer in layers
        if id(layer) not in last and getattr(layer, "kernel", None) is not None and not np.any(layer.kernel.numpy())
    ]
    if zero:
        yield (
            f"the kernel of {list_first(zero)} is all zero at the start: nothing goes through it, and nothing before "
            "it learns, until it has moved. That is harmless where an Add goes round it; two such layers in a row "
            "never learn"
        )


def _check_outputs(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    if not np.isfinite(answer_noise(model)).all():
        yield (
            "the outputs are no finite numbers before the first step, for random pixels too: it is the net that makes "
            "them, not the data"
        )


def _check_range(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    if config.data.task != "regression":
        return
    last = find_head(expand_models(model))
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if activation in NEVER_BELOW_ZERO:
        yield (
            f"{activation} ends the net and gives no number below 0, while the target is standardised and about half "
            "of it lies below: end the net without an activation"
        )
    elif activation in ("tanh", "hard_tanh", "softsign"):
        yield (
            f"{activation} ends the net and gives no number beyond -1 and 1, while the target is standardised and "
            "about a third of it lies beyond: end the net without an activation"
        )


def _check_seeds(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    again = build_custom(config)
    pairs = zip(model.trainable_variables, again.trainable_variables, strict=False)
    if not all(np.array_equal(one.numpy(), other.numpy(), equal_nan=True) for one, other in pairs):
        yield (
            "the first weights are others at each call, so that a trial cannot be repeated: seed the initialisers, or "
            "begin the function with keras.utils.set_random_seed(config.seed)"
        )


def _check_dropout(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    heavy = [name for name, layer in layers if isinstance(layer, keras.layers.Dropout) and layer.rate >= MUCH_DROPPED]
    if heavy:
        yield f"{list_first(heavy)} drops {MUCH_DROPPED:.0%} of its inputs or more"


def _check_watched(model: keras.Model, layers: Named, config: Config) -> Iterator[str]:  # noqa: ARG001
    watched = {id(variable) for layer in kernel_layers(expand_models(model)) for variable in layer.trainable_variables}
    hidden = [name for name, layer in layers if _has_unwatched_kernel(layer, watched)]
    if hidden:
        yield (
            f"{count_noun(len(hidden), 'layer')} ({list_first(hidden)}) are trained and not watched, since their "
            "outputs have no fixed number of channels: verdicts and autopsies see the other layers alone"
        )


def _has_unwatched_kernel(layer: keras.layers.Layer, watched: set[int]) -> bool:
    """Return whether a layer holds trained weights with two axes or more, in no layer within it, that are not
    watched.
    """
    if any(True for _ in layer._flatten_layers(include_self=False)):
        return False
    return any(len(variable.shape) > 1 and id(variable) not in watched for variable in layer.trainable_variables)


NetCheck = Callable[[keras.Model, Named, Config], Iterator[str]]
NET_CHECKS: dict[str, NetCheck] = {
    "averages of batch normalisation": _check_averages,
    "parts that are trained": _check_trained,
    "layers that are watched": _check_watched,
    "first weights": _check_first_weights,
    "outputs": _check_outputs,
    "range of the outputs": _check_range,
    "seeds": _check_seeds,
    "dropout": _check_dropout,
}
