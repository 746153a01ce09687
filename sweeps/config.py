"""Config: one trial's full recipe, seed and dtype included. Equal configs give equal trials.

It is what the store keeps, what a resumed trial compares, and what an export writes. The names of all parts stand here,
so that a search-space file is checked without opening the room that implements them (`sweeps.nn`).
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Activation = Literal["relu", "elu", "selu", "tanh", "sigmoid", "gelu", "swish", "leaky_relu"]
Initializer = Literal["lecun_normal", "lecun_uniform", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]
Constraint = Literal[
    "none", "centralize_layer", "centralize_unit", "standardize_unit", "selu_domain", "unit_norm", "max_norm"
]
Optimizer = Literal["adam", "nadam", "adadelta", "sgd", "rmsprop"]
Dropout = Literal["none", "dropout", "alpha_dropout"]
Dtype = Literal["float32", "mixed_float16", "mixed_bfloat16"]

# The initialiser each activation is usually given, and tau = 1 / E[f(z)^2] for z ~ N(0, 1): the sum of squared incoming
# weights at which a unit hands on its inputs' second moment unchanged (He et al. 2015, arXiv:1502.01852, section 2.2).
ACTIVATION_DEFAULTS: dict[Activation, tuple[Initializer, float]] = {
    "relu": ("he_normal", 2.0),
    "elu": ("he_normal", 1.5505),
    "selu": ("lecun_normal", 1.0),
    "tanh": ("lecun_normal", 2.5362),
    "sigmoid": ("glorot_uniform", 3.4086),
    "gelu": ("he_normal", 2.3517),
    "swish": ("he_normal", 2.8108),
    "leaky_relu": ("he_normal", 1.9231),
}

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Frozen(BaseModel):
    """What the tables of a file have in common: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(Frozen):
    """Which images are learnt.

    Attributes:
        source: `procedural` (gratings and discs, made on the spot) or `digits` (scikit-learn's 8x8 handwritten digits).
        classes: how many classes; the first ones where the source has more.
        images: images to train on.
        image_size: height and width in pixels.
        noise: standard deviation of the procedural images' Gaussian noise; 1 is the whole range from black to white.
        seed: of the procedural images; the images are the same for all trials of a study.
    """

    source: Literal["procedural", "digits", "store"] = "procedural"
    path: str = ""
    classes: Annotated[int, Field(ge=2)] = 365
    images: Count = 16_384
    image_size: Annotated[int, Field(ge=8)] = 32
    noise: Share = 0.08
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _digits_are_ten(self) -> Self:
        if self.source == "digits" and self.classes > 10:
            raise ValueError(f"the digits have 10 classes, not {self.classes}; set data.classes = 10")
        if self.source == "digits" and self.image_size % 8:
            raise ValueError(f"digits grow by whole factors: data.image_size is a multiple of 8, not {self.image_size}")
        if self.images < self.classes:
            raise ValueError(f"{self.images} images cannot show {self.classes} classes; raise data.images")
        return self


class ModelConfig(Frozen):
    """The net: `convolutions` 3x3 layers in `stages`, a 2x2 max-pool after each, then dense layers and logits.

    Attributes:
        convolutions, stages: layers, spread over the stages as evenly as can be, the earlier stages first.
        width: channels of the first stage; the second has twice, all later ones four times as many.
        dense, dense_units: hidden dense layers and their width.
    """

    architecture: Literal["cnn"] = "cnn"
    convolutions: Count = 12
    stages: Count = 4
    width: Count = 16
    dense: Annotated[int, Field(ge=0)] = 3
    dense_units: Count = 128

    @model_validator(mode="after")
    def _a_convolution_per_stage(self) -> Self:
        if self.convolutions < self.stages:
            raise ValueError(f"{self.convolutions} convolutions cannot fill {self.stages} stages; lower model.stages")
        return self


class Config(Frozen):
    """One trial's recipe.

    Attributes:
        seed: of weights, batch order and dropout.
        steps: optimiser steps; report_interval: steps from one reading to the next.
        holdout_images: images that are never trained on; a reading counts hits and loss on all of them.
        initializer: of the kernels; the activation's usual one unless given. Biases start at zero.
        constraint: on the kernels, applied after initialisation and after each step.
        tau: sum of squared incoming weights that `standardize_unit` sets; 1 / E[f(z)^2] of the activation unless given.
        max_norm: largest norm of a unit's incoming weights under `max_norm`.
        constrain_first, constrain_last: whether the first layer, and the output layer, are constrained too.
        epsilon: of adam, nadam, adadelta and rmsprop; sgd has none.
        momentum: of sgd.
        l2: factor of the sum of squared kernels that is added to the loss.
        weight_decay: decoupled decay of all weights, per step and learning rate, as Keras's optimisers have it.
        dropout, dropout_rate: after each hidden dense layer.
        batch_normalization: before each hidden activation.
        output: whether the model ends in a softmax or in logits; the loss is set to match.
    """

    version: Literal[1] = 1
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    steps: Count = 200
    report_interval: Count = 10
    holdout_images: Annotated[int, Field(ge=64)] = 1024
    activation: Activation = "relu"
    initializer: Initializer
    constraint: Constraint = "none"
    tau: Positive
    max_norm: Positive = 2.0
    constrain_first: bool = True
    constrain_last: bool = True
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 1e-3
    epsilon: Positive = 1e-7
    momentum: Share = 0.9
    batch_size: Count = 64
    l2: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    dropout: Dropout = "none"
    dropout_rate: Share = 0.1
    batch_normalization: bool = False
    dtype: Dtype = "float32"
    output: Literal["softmax", "logits"] = "softmax"

    @model_validator(mode="before")
    @classmethod
    def _usual_values_of_the_activation(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        usual = ACTIVATION_DEFAULTS.get(values.get("activation", "relu"))
        if usual is None:
            return values
        return {"initializer": usual[0], "tau": usual[1], **values}

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.data.image_size < 2**self.model.stages:
            raise ValueError(
                f"{self.model.stages} poolings need {2**self.model.stages} pixels, not {self.data.image_size}; "
                "raise data.image_size or lower model.stages"
            )
        if self.batch_size > self.data.images:
            raise ValueError(
                f"a batch of {self.batch_size} is more than the {self.data.images} images; "
                "lower batch_size or raise data.images"
            )
        return self

    def to_json(self) -> str:
        """One line of JSON; `Config.model_validate_json` is the inverse."""
        return self.model_dump_json()
