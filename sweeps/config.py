"""Config: one trial's full recipe, seed and dtype included. Equal configs give equal trials.

It is what the store keeps, what a resumed trial compares, and what an export writes. The names of all parts stand here,
so that a search-space file is checked without opening the room that implements them (`sweeps.nn`).
"""

import hashlib
import keyword
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

Activation = Literal["relu", "elu", "selu", "tanh", "sigmoid", "gelu", "swish", "leaky_relu"]
Initializer = Literal[
    "lecun_normal",
    "lecun_uniform",
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "standard_normal",
]
Constraint = Literal[
    "none", "centralize_layer", "centralize_unit", "standardize_unit", "selu_domain", "unit_norm", "max_norm"
]
Optimizer = Literal["adam", "nadam", "adadelta", "sgd", "rmsprop"]
Dropout = Literal["none", "dropout", "alpha_dropout"]
Dtype = Literal["float32", "mixed_float16", "mixed_bfloat16"]
Inputs = Literal["unit", "centred", "standardized_set", "standardized_pixel"]
SOURCES = (
    "procedural",
    "digits",
    "store",
    "arrays",
    "fashion_mnist",
    "cifar10",
    "boston_housing",
    "california_housing",
    "diabetes",
    "csv",
)
IMPORT_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def _check_source(value: str) -> str:
    if value not in SOURCES and not re.match(IMPORT_PATH, value):
        raise ValueError(f"{value!r} is not among {', '.join(SOURCES)}, nor written as package.module:function")
    return value


Source = Annotated[
    str, AfterValidator(_check_source), WithJsonSchema({"anyOf": [{"enum": list(SOURCES)}, {"pattern": IMPORT_PATH}]})
]
REGRESSION = {"boston_housing", "california_housing", "diabetes"}  # sources whose labels are numbers
NEEDS_PATH = {"store", "arrays", "csv"}
LEAST_HOLDOUT_IMAGES = 64  # fewer tell no net from guessing
MOST_CLASSES = {"digits": 10, "fashion_mnist": 10, "cifar10": 10}

# Values that make the net: of a user's own net, those that its function reads.
NET_VALUES = frozenset(
    {
        "inputs",
        "activation",
        "initializer",
        "constraint",
        "tau",
        "max_norm",
        "constrain_first",
        "constrain_last",
        "l2",
        "dropout",
        "dropout_rate",
        "batch_normalization",
        "batch_normalization_affine",
        "excitation_bias",
        "excitation_penalty",
    }
)

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


OWN = "my."  # how the names of a user's own hyperparameters begin in a search space


def _check_own_value(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError(f"must be a finite number, a text, true or false, not {value!r}")
    return value


OwnValue: TypeAlias = Annotated[
    Any, AfterValidator(_check_own_value), WithJsonSchema({"type": ["boolean", "integer", "number", "string"]})
]


class OwnValues(Mapping[str, Any]):
    """Values of a user's own hyperparameters by their names; they never change."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnValues) and self._values == other._values

    def __repr__(self) -> str:
        return f"OwnValues({self._values!r})"

    @classmethod
    def _to_table(cls, values: Any) -> Any:
        if isinstance(values, cls):
            return dict(values)
        return values

    @classmethod
    def _from_table(cls, values: dict[str, Any]) -> Self:
        for name in values:
            if problem := explain_own_name(name):
                raise ValueError(f"my.{name} {problem}")
        return cls(values)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take these values themselves, or a table of numbers, texts and truth values; write them as a table."""
        table = handler.generate_schema(dict[str, OwnValue])
        plain = core_schema.no_info_before_validator_function(cls._to_table, table)
        return core_schema.no_info_after_validator_function(
            cls._from_table, plain, serialization=core_schema.plain_serializer_function_ser_schema(dict)
        )


def is_own(name: str) -> bool:
    """Return whether this is how a search space calls a hyperparameter of the user's own, such as `my.filters`."""
    return name.startswith(OWN)


def explain_own_name(name: str) -> str:
    """Return why a user's own hyperparameter cannot have this name; empty where it can."""
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or keyword.iskeyword(name):
        return "must be a name that Python allows for a parameter, of letters, digits and _, such as filters"
    if name == "config":
        return "is the name of the whole recipe in a function of yours; take another"
    return ""


class Frozen(BaseModel):
    """What the tables of a file have in common: unknown keys and wrong types are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(Frozen):
    """Which images, or rows of a table, are learnt.

    Attributes:
        source: `procedural` (gratings and discs, made on the spot); `digits` (scikit-learn's 8x8 handwritten digits);
            `store` (made by sweeps data prepare); `arrays` (.npz file or folder of .npy files); `fashion_mnist`,
            `cifar10`, `boston_housing`, `california_housing` (Keras's files); `diabetes` (scikit-learn's table); `csv`
            (a table, the target in its last column); or `package.module:function`, called with this table and the
            number of hold-out images, which returns Arrays.
        path: of the store, the arrays or the table.
        task: whether labels are classes or numbers to be predicted.
        classes: how many classes; the first ones where the source has more. Of no meaning in regression.
        images: images (or rows) to train on; all there are where the source has fewer, unless it makes its own.
        image_size: height and width in pixels; of no meaning for tables.
        noise: standard deviation of the procedural images' Gaussian noise; 1 is the whole range from black to white.
        seed: of the procedural images, or of the choice of images; they are the same for all trials of a study.
    """

    source: Source = "procedural"
    path: str = ""
    task: Literal["classification", "regression"] = "classification"
    classes: Annotated[int, Field(ge=2)] = 365
    images: Count = 16_384
    image_size: Annotated[int, Field(ge=8)] = 32
    noise: Share = 0.08
    seed: Annotated[int, Field(ge=0)] = 0

    @property
    def is_of_user(self) -> bool:
        """Return whether the data are a user's own, in a file or from a function, and may change under a study."""
        return self.source in NEEDS_PATH or ":" in self.source

    @property
    def outputs(self) -> int:
        """Return how many numbers a net gives for one image: its logits, or the predicted target."""
        if self.task == "classification":
            return self.classes
        return 1

    @model_validator(mode="after")
    def _source_fits(self) -> Self:
        most = MOST_CLASSES.get(self.source, self.classes)
        if self.classes > most:
            raise ValueError(f"{self.source} has {most} classes, not {self.classes}; set data.classes = {most}")
        if self.source == "digits" and self.image_size % 8:
            raise ValueError(f"digits grow by whole factors: data.image_size is a multiple of 8, not {self.image_size}")
        if self.source in NEEDS_PATH and not self.path:
            raise ValueError(f'source = "{self.source}" needs a place; set data.path')
        if self.path and self.source not in NEEDS_PATH:
            raise ValueError(f'source = "{self.source}" reads no file of yours; drop data.path')
        if self.source in REGRESSION and self.task != "regression":
            raise ValueError(f'{self.source} has numbers to predict; set data.task = "regression"')
        if self.source in MOST_CLASSES and self.task == "regression":
            raise ValueError(f'{self.source} has classes; set data.task = "classification"')
        if self.task == "classification" and self.images < self.classes:
            raise ValueError(f"{self.images} images cannot show {self.classes} classes; raise data.images")
        return self


# What each architecture takes of [model]; a key that has no say in it is refused rather than ignored.
ALEXNET_FIELDS = {"width", "stem_kernel", "stem_stride", "dense", "dense_units"}
EXCITATION_FIELDS = {"excitation", "excitation_ratio"}
ARCHITECTURE_FIELDS: dict[str, set[str]] = {
    "cnn": {"convolutions", "stages", "width", "dense", "dense_units"},
    "dense": {"dense", "dense_units"},
    "alexnet": ALEXNET_FIELDS,
    "se_resnet": ALEXNET_FIELDS | EXCITATION_FIELDS,
    "se_blocks": {"stages", "width", "dense", "dense_units"} | EXCITATION_FIELDS,
    "custom": {"build"},
}


class ModelConfig(Frozen):
    """The net.

    Attributes:
        architecture: `cnn`: `convolutions` 3x3 layers in `stages`, a 2x2 max-pool after each stage, dense layers;
            `dense`: dense layers alone; `alexnet`: five convolutions and dense layers (Krizhevsky et al. 2012);
            `se_resnet`: ten convolutions in the manner of AlexNet with squeeze-and-excitation (Hu et al. 2018,
            arXiv:1709.01507) and two residual joins; `se_blocks`: in each stage a convolution, squeeze-and-excitation
            and a max-pool; `custom`: what `build` returns. All but the last end in logits.
        convolutions, stages: layers, spread over the stages as evenly as can be, the earlier stages first.
        width: channels of the first convolution; later ones have a fixed multiple.
        dense, dense_units: hidden dense layers and their width.
        stem_kernel, stem_stride: of the first convolution of `alexnet` and `se_resnet`; 11 and 4 at full size.
        excitation: the gate's activation.
        excitation_ratio: channels per unit of the squeezed layer.
        build: `package.module:function`, called with the Config, returns a functional Keras model.
    """

    architecture: Literal["cnn", "dense", "alexnet", "se_resnet", "se_blocks", "custom"] = "cnn"
    convolutions: Count = 12
    stages: Count = 4
    width: Count = 16
    dense: Annotated[int, Field(ge=0)] = 3
    dense_units: Count = 128
    stem_kernel: Count = 3
    stem_stride: Count = 1
    excitation: Literal["sigmoid", "relu", "elu"] = "sigmoid"
    excitation_ratio: Count = 16
    build: Annotated[str, Field(pattern=rf"^$|{IMPORT_PATH}")] = ""

    @model_validator(mode="before")
    @classmethod
    def _build_makes_it_custom(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("build"):
            return {"architecture": "custom", **values}
        return values

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        known = ARCHITECTURE_FIELDS[self.architecture]
        fields = type(self).model_fields
        for name in sorted(self.model_fields_set - known - {"architecture"}):
            if getattr(self, name) != fields[name].default:
                raise ValueError(
                    f"{self.architecture} has no {name}; it has {', '.join(sorted(known))}; drop model.{name}"
                )
        if self.architecture == "custom" and not self.build:
            raise ValueError('architecture = "custom" needs model.build = "package.module:function"')
        if self.architecture == "cnn" and self.convolutions < self.stages:
            raise ValueError(f"{self.convolutions} convolutions cannot fill {self.stages} stages; lower model.stages")
        return self


class Config(Frozen):
    """One trial's recipe.

    Attributes:
        seed: of weights, batch order and dropout.
        steps: optimiser steps; report_interval: steps from one reading to the next.
        channel_vitals: whether readings hold minimum, maximum and spread of every channel.
        inputs: how images enter the net: `unit` in [0, 1], `centred` in [-0.5, 0.5], `standardized_set` to mean 0 and
            variance 1 over all training images and pixels, `standardized_pixel` for each pixel (or column of a table,
            for which `unit` is the range of the training rows) by itself. A custom net gets them as they are stored.
        recalibrate_batch_normalization: whether the moving averages of batch normalisation are estimated anew before
            each evaluation, from training images, for that evaluation alone.
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
        batch_normalization: before or after each hidden activation.
        batch_normalization_affine: whether it has a learnt scale and shift.
        excitation_bias: of the gates of squeeze-and-excitation: zeros, or normal with mean 1 and spread 1/256, which
            starts relu and elu gates near 1, where they change nothing.
        excitation_penalty: c of the gates' activity regulariser c mean((1 - a)^2), added to the loss for each gate.
        output: whether a classifier ends in a softmax or in logits; the loss is set to match. In regression the
            loss is the mean squared error of the standardised target, whatever stands here.
        my: hyperparameters of the user's own, which the function in `model.build` reads: `config.my["filters"]`.
    """

    version: Literal[1] = 1
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    steps: Count = 200
    report_interval: Count = 10
    holdout_images: Annotated[int, Field(ge=LEAST_HOLDOUT_IMAGES)] = 1024
    channel_vitals: bool = False
    # Left out where it is false: a config of before this key has the same JSON, and so the same digest.
    recalibrate_batch_normalization: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    inputs: Inputs = "unit"
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
    batch_normalization: Literal["none", "before", "after"] = "none"
    batch_normalization_affine: bool = True
    excitation_bias: Literal["zeros", "one_plus_noise"] = "zeros"
    excitation_penalty: NonNegative = 0.0
    dtype: Dtype = "float32"
    output: Literal["softmax", "logits"] = "softmax"
    # Left out where it is empty, as above.
    my: Annotated[OwnValues, Field(exclude_if=lambda values: not values)] = OwnValues()

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
        if self.model.architecture in ("cnn", "se_blocks"):
            stages = self.model.stages
        else:
            stages = 0
        if self.data.image_size < 2**stages:
            raise ValueError(
                f"{stages} poolings need {2**stages} pixels, not {self.data.image_size}; "
                "raise data.image_size or lower model.stages"
            )
        if self.my and self.model.architecture != "custom":
            raise ValueError(f"my.{next(iter(self.my))} is for a function of yours; set model.build, or drop it")
        if self.batch_size > self.data.images:
            raise ValueError(
                f"a batch of {self.batch_size} is more than the {self.data.images} images; "
                "lower batch_size or raise data.images"
            )
        return self

    def get_value(self, name: str) -> Any:
        """Return a value by its name in a search space, such as `model.width` or `my.filters`; None without one."""
        table, _, key = name.rpartition(".")
        if table == "my":
            return self.my.get(key)
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part, None)
        return value

    def digest(self) -> str:
        """Return the first 12 hexadecimal digits of the sha256 of `to_json`: equal for equal trials."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return one line of JSON; `Config.model_validate_json` is the inverse."""
        return self.model_dump_json()
