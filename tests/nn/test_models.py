"""Models of plain Keras layers: their shape, their starting weights, their way through a file."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_net import tiny

from sweeps.config import Config
from sweeps.nn import models
from sweeps.nn.constraints import CONSTRAINTS
from sweeps.nn.models.cnn import convolutions_per_stage
from sweeps.nn.probe import kernel_layers


def fan_in_sums(kernel: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    w = np.asarray(kernel, dtype=np.float64).reshape(-1, kernel.shape[-1])
    return w.sum(0), (w**2).sum(0)


@pytest.mark.parametrize(
    ("convolutions", "stages", "expected"),
    [(12, 4, [3, 3, 3, 3]), (7, 3, [3, 2, 2]), (4, 4, [1, 1, 1, 1]), (5, 1, [5])],
)
def test_convolutions_are_spread_evenly_the_earlier_stages_first(
    convolutions: int, stages: int, expected: list[int]
) -> None:
    assert convolutions_per_stage(convolutions, stages) == expected


def test_the_default_net_is_twelve_convolutions_three_dense_layers_and_the_logits() -> None:
    layers = kernel_layers(models.build_model(Config.model_validate({})))
    assert [layer.kernel.shape[-1] for layer in layers] == [16] * 3 + [32] * 3 + [64] * 6 + [128] * 3 + [365]
    assert [layer.name for layer in layers][-4:] == ["dense_1", "dense_2", "dense_3", "logits"]


def test_a_net_without_dense_layers_goes_from_the_last_pool_to_the_logits() -> None:
    config = tiny(model={"convolutions": 2, "stages": 2, "width": 4, "dense": 0})
    assert [layer.name for layer in kernel_layers(models.build_model(config))] == [
        "convolution_1",
        "convolution_2",
        "logits",
    ]


def test_a_model_holds_keras_s_own_layers_only() -> None:
    model = models.build_model(tiny(dropout="alpha_dropout", batch_normalization="before"))
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


def test_softmax_gives_probabilities_of_the_logits() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    logits, probabilities = (
        np.asarray(models.build_model(tiny(output=name))(images)) for name in ("logits", "softmax")
    )
    assert np.allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), probabilities, atol=1e-6)


def test_the_constraint_holds_before_the_first_step() -> None:
    for layer in kernel_layers(models.build_model(tiny(constraint="standardize_unit", tau=1.5))):
        omega, squares = fan_in_sums(layer.kernel)
        assert np.allclose(omega, 0, atol=1e-5)
        assert np.allclose(squares, 1.5, rtol=1e-4)


@pytest.mark.parametrize(("first", "last"), [(True, False), (False, True), (False, False)])
def test_the_first_and_the_last_layer_can_be_left_free(first: bool, last: bool) -> None:
    config = tiny(constraint="unit_norm", constrain_first=first, constrain_last=last)
    bound = [
        np.allclose(fan_in_sums(layer.kernel)[1], 1, rtol=1e-3) for layer in kernel_layers(models.build_model(config))
    ]
    assert bound == [first, True, True, True, True, last]


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_halves_but_keeps_weights_logits_and_output_in_float32(dtype: str) -> None:
    model = models.build_model(tiny(dtype=dtype))
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.get_layer("convolution_2").compute_dtype == dtype.removeprefix("mixed_")
    assert model.get_layer("logits").compute_dtype == "float32"
    assert model.output.dtype == "float32"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's own, under NumPy 2
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_a_model_survives_json_and_a_keras_file(constraint: str, tmp_path: Path) -> None:
    config = tiny(
        constraint=constraint, l2=1e-3, dropout="alpha_dropout", batch_normalization="before", activation="swish"
    )
    model = models.build_model(config)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1), dtype=np.uint8)
    from_json = keras.models.model_from_json(model.to_json())
    assert all(np.array_equal(a, b) for a, b in zip(from_json.get_weights(), model.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    from_file = keras.models.load_model(tmp_path / "model.keras")
    assert from_file.to_json() == model.to_json()
    assert np.array_equal(from_file(images), model(images))
