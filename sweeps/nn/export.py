"""Exported recipes as Keras has them: model, optimiser and loss; and what an export notes of their models.

`answer_requests` reads recipes and writes what `describe` finds, as JSON, for a process without Keras.
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from sweeps.config import Config
from sweeps.data.arrays import Arrays, input_scaling
from sweeps.errors import InputError, SweepsError, one_line
from sweeps.nn import datasets, device, models, optimizers, standalone
from sweeps.nn.standalone import learns_scaling

MOST_MADE_UP = 2**31  # bytes of procedural images that are made only to see what they are like


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A recipe, ready to be trained.

    Attributes:
        model: with the weights that the recipe's seed gives; not compiled.
        optimizer: without a past; wrapped for loss scaling in mixed_float16.
        loss: without the penalties on weights and gates, which the model adds.
    """

    config: Config
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    loss: keras.losses.Loss

    def compile(self, **more: Any) -> keras.Model:
        """Return the model, compiled with its optimiser, its loss and what else Keras's `compile` takes."""
        self.model.compile(optimizer=self.optimizer, loss=self.loss, **more)
        return self.model


def load_recipe(config: Config, input_shape: Sequence[int], images: Any = None) -> Loaded:
    """Return the model, optimiser and loss of a recipe.

    Args:
        input_shape: of the trial's images (height, width, channels), whatever the recipe's size, or rows (columns,).
        images: training images (n, height, width, channels) or rows (n, columns), where inputs are scaled by what
            these are like; else unread. Without them the recipe's own source is asked.

    Raises:
        InputError: images are needed and cannot be had, or are of another shape; the user's own net cannot be built.
    """
    shape = _input_shape(config, input_shape)
    scaling = models.UNIT
    if config.model.architecture != "custom":  # a user's net scales its own inputs
        scaling = input_scaling(config.inputs, _load_images(config, shape, images))
    loss: keras.losses.Loss = keras.losses.MeanSquaredError()
    if config.data.task == "classification":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=config.output == "logits")
    return Loaded(config, models.build_model(config, shape, scaling), optimizers.build_optimizer(config), loss)


def describe(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an export notes of a recipe's models.

    Args:
        asked: `recipe` and `trained`, the configs at full size and as the trial had it; `input_shape` of the trial's
            inputs; `about`, the first lines of a stand-alone module, or None where none is wanted.

    Returns:
        `parameters`, `parameters_as_trained`; `weights_sha256`, see `weights_digest`, as trained; `model`, Keras's JSON
        of the full size, or None, then in `no_model` the reason and in `because` what depends on the place and the day;
        `module`, the text of the stand-alone module, or None.

    Raises:
        InputError: a stand-alone module of a user's own net is wanted, or that net cannot be built.
    """
    keras.utils.clear_session(free_memory=False)  # names that Keras gives by itself are counted from the start
    config, trained = (Config.model_validate(asked[part]) for part in ("recipe", "trained"))
    if asked["about"] is not None and config.model.architecture == "custom":
        raise InputError(f"no stand-alone module: {config.model.build} builds the net; leave out --module")
    full, small = (
        _model_size(own_config, _input_shape(own_config, asked["input_shape"])) for own_config in (config, trained)
    )
    text, why, because = _model_json(full)
    return {
        "parameters": full.model.count_params(),
        "parameters_as_trained": small.model.count_params(),
        "weights_sha256": weights_digest(small.model),
        "model": text,
        "no_model": why,
        "because": because,
        "module": None if asked["about"] is None else standalone.module(asked["about"], full, small),
    }


def weights_digest(model: keras.Model) -> str:
    """Return the sha256 over the values of `model.weights`, in their order, as little-endian float32."""
    total = hashlib.sha256()
    for weight in model.weights:
        total.update(np.ascontiguousarray(weight.numpy(), "<f4").tobytes())
    return total.hexdigest()


def _model_size(config: Config, shape: tuple[int, ...]) -> standalone.Size:
    """Return a recipe and its model, whose inputs are scaled anyhow where they are scaled by what the training images
    are.
    """
    if learns_scaling(config, shape):
        return standalone.Size(config, shape, models.build_model(config, shape))
    return standalone.Size(config, shape, load_recipe(config, shape).model)


def _model_json(size: standalone.Size) -> tuple[str | None, str, str]:
    """Return Keras's JSON of a recipe's model, or why there is none."""
    try:
        learns = learns_scaling(size.config, size.input_shape)
        if learns:
            model = load_recipe(size.config, size.input_shape).model
        else:
            model = size.model
        return json.dumps(json.loads(model.to_json()), indent=1) + "\n", "", ""
    except InputError as exc:
        return None, "its inputs are scaled by what the training images are like, and these were not at hand", str(exc)
    except (TypeError, ValueError, NotImplementedError) as exc:
        return None, f"Keras cannot describe the net of {size.config.model.build}", one_line(exc)


def _input_shape(config: Config, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an input at the recipe's size."""
    size = config.data.image_size
    if len(input_shape) == 3 and config.model.architecture != "custom":
        return (size, size, input_shape[-1])
    return tuple(input_shape)


def _load_images(config: Config, shape: tuple[int, ...], images: Any) -> Arrays:
    """Training images as far as the scaling of the inputs needs them; labels that mean nothing."""
    if not learns_scaling(config, shape):
        images = np.zeros((0, *shape), np.uint8)
    elif images is None:
        return _own_objects(config, shape)
    else:
        images = np.asanyarray(images)
        if images.shape[1:] != shape or not len(images) or (len(shape) == 3 and images.dtype != np.uint8):
            if len(shape) == 3:
                kind = "uint8 images"
            else:
                kind = "rows"
            wanted = ", ".join(map(str, shape))
            raise InputError(f"images= are {images.dtype} {images.shape}; give the {kind} trained on, (n, {wanted})")
    labels = np.zeros(len(images), np.int32)
    return Arrays(images, labels, images[:0], labels[:0], 0)


def _own_objects(config: Config, shape: tuple[int, ...]) -> Arrays:
    """Return the recipe's own data."""
    data = config.data
    sides = ", ".join(map(str, shape))
    wanted = f'inputs = "{config.inputs}" depend on what they are like: give load() images=, an array (n, {sides})'
    if data.source == "procedural" and data.images * data.image_size**2 > MOST_MADE_UP:
        raise InputError(f"procedural images of this size are too many to be made here, and {wanted}")
    try:
        arrays = datasets.load_dataset(data, config.holdout_images)
    except Exception as exc:  # a user's own source may raise anything
        raise InputError(f"the images of {data.source!r} are not here ({one_line(exc)[:300]}), and {wanted}") from exc
    if arrays.input_shape != shape:
        raise InputError(f"the images of {data.source!r} are {arrays.input_shape} here, and {wanted}")
    return arrays


def _answer_request(asked: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return describe(asked)
    except SweepsError as exc:
        return {"error": one_line(exc)}
    except Exception as exc:  # noqa: BLE001  a user's own net may raise anything, and Keras where memory ends
        return {"error": f"{type(exc).__name__}: {one_line(exc)[:300]}"}


def answer_requests() -> None:
    """Read a JSON list of arguments of `describe` from stdin; write a list of its results, or of `error`, to stdout."""
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a user's net prints
    device.prepare_device()
    found = [_answer_request(asked) for asked in json.load(sys.stdin)]
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        json.dump(found, file)
