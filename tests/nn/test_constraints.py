"""Constraints against NumPy's float64, and what must hold whatever the kernel."""

from collections.abc import Sequence
from typing import Any, get_args

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from numpy.typing import NDArray

from sweeps import config
from sweeps.nn.constraints import CONSTRAINTS, CentralizeLayer, CentralizeUnit, Limits, SeluDomain, StandardizeUnit

SHAPES: list[tuple[int, ...]] = [(3, 3, 1, 4), (3, 3, 4, 8), (1, 1, 2, 3), (7, 5), (2, 1), (400, 6)]
BOUND = [name for name in CONSTRAINTS if name != "none"]


@st.composite
def kernels(draw: st.DrawFn, shapes: Sequence[tuple[int, ...]] = SHAPES) -> NDArray[np.float32]:
    """Kernels of every size and offset, units of one layer differing in both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(shapes))
    spread = 10.0 ** rng.uniform(-2, 1, shape[-1]) / np.prod(shape[:-1]) ** 0.5
    drawn: NDArray[np.float64] = (rng.normal(size=shape) + rng.choice([0.0, 1.0, -3.0])) * spread
    return drawn.astype(np.float32)


def made(name: config.Constraint, limits: Limits) -> Any:
    """A constraint by its name, `none` excepted."""
    constraint = CONSTRAINTS[name](limits)
    assert constraint is not None
    return constraint


def bound(
    name: config.Constraint, w: NDArray[np.float32], tau: float = 1.5, max_norm: float = 0.7
) -> NDArray[np.float32]:
    new: NDArray[np.float32] = ops.convert_to_numpy(made(name, Limits(w.ndim, tau, max_norm))(w))
    return new


def units(w: NDArray[np.float32]) -> NDArray[np.float64]:
    """One unit per column, in double precision."""
    return w.reshape(-1, w.shape[-1]).astype(np.float64)


def sums(w: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return units(w).sum(0), (units(w) ** 2).sum(0)


def rounding(w: NDArray[np.float32]) -> NDArray[np.float64]:
    """Largest error that float32 may leave in a unit's sum of weights."""
    largest: NDArray[np.float64] = 1e-6 * (np.abs(units(w)).sum(0) + 1)
    return largest


def test_the_table_has_every_constraint_of_the_config() -> None:
    assert tuple(CONSTRAINTS) == get_args(config.Constraint)


@settings(max_examples=40)
@given(kernels())
def test_centralize_layer_takes_the_mean_of_all_entries(w: NDArray[np.float32]) -> None:
    assert np.allclose(CentralizeLayer()(w), w - w.astype(np.float64).mean(), atol=1e-5 * np.abs(w).max())


@settings(max_examples=40)
@given(kernels())
def test_centralize_unit_makes_every_omega_zero_and_moves_along_ones_only(w: NDArray[np.float32]) -> None:
    new = bound("centralize_unit", w)
    assert np.all(np.abs(sums(new)[0]) <= rounding(w))
    moved = units(w) - units(new)
    assert np.allclose(moved, moved.mean(0), atol=1e-5 * np.abs(w).max())


@settings(max_examples=40)
@given(kernels(), st.floats(0.1, 5))
def test_standardize_unit_makes_omega_zero_and_the_sum_of_squares_tau(w: NDArray[np.float32], tau: float) -> None:
    omega, squares = sums(bound("standardize_unit", w, tau=tau))
    assert np.allclose(squares, tau, rtol=1e-4)
    assert np.all(np.abs(omega) <= 1e-3 * tau**0.5)


@settings(max_examples=40)
@given(kernels())
def test_standardize_unit_keeps_the_direction_of_the_centred_weights(w: NDArray[np.float32]) -> None:
    centred, new = units(w) - units(w).mean(0), units(bound("standardize_unit", w))
    cosines = (centred * new).sum(0) / np.linalg.norm(centred, axis=0) / np.linalg.norm(new, axis=0)
    assert np.allclose(cosines, 1, atol=1e-4)


def nearest_in_selu_domain(w: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance of each unit from the domain, by trying out points on a grid of the plane (omega / sqrt(n), norm)."""
    n = len(units(w))
    a, b = units(w).sum(0) / n**0.5, np.linalg.norm(units(w) - units(w).mean(0), axis=0)
    grid_a = np.linspace(-0.1, 0.1, 401)[:, None] / n**0.5
    radius = np.linspace(0.95**0.5, 1.1**0.5, 401)[None, :]
    grid_b = np.sqrt(radius**2 - grid_a**2)
    return np.array([np.hypot(grid_a - x, grid_b - y).min() for x, y in zip(a, b, strict=True)])


@settings(max_examples=60)
@given(kernels())
def test_selu_domain_holds_afterwards_and_no_nearer_point_does(w: NDArray[np.float32]) -> None:
    new = bound("selu_domain", w)
    omega, squares = sums(new)
    assert np.all(np.abs(omega) <= 0.1 + rounding(new) + 2e-5)
    assert np.all((squares >= 0.95 - 1e-4) & (squares <= 1.1 + 1e-4))
    moved = np.linalg.norm(units(new) - units(w), axis=0)
    assert np.all(moved <= nearest_in_selu_domain(w) + 1e-3)


@settings(max_examples=40)
@given(kernels(shapes=[(3, 3, 4, 8), (400, 6)]), st.floats(-0.09, 0.09), st.floats(0.96, 1.09))
def test_a_unit_inside_the_selu_domain_stays_bitwise_untouched(
    w: NDArray[np.float32], omega: float, squares: float
) -> None:
    centred = units(w) - units(w).mean(0)
    n = len(centred)
    inside = centred / np.linalg.norm(centred, axis=0) * (squares - omega**2 / n) ** 0.5 + omega / n
    inside = inside.reshape(w.shape).astype(np.float32)
    mixed = np.concatenate([inside, w], axis=-1)
    assert np.array_equal(bound("selu_domain", mixed)[..., : w.shape[-1]], inside)


@settings(max_examples=40)
@given(kernels())
def test_unit_norm_takes_the_norm_over_the_whole_fan_in(w: NDArray[np.float32]) -> None:
    assert np.allclose(sums(bound("unit_norm", w))[1], 1, atol=1e-3)


@settings(max_examples=40)
@given(kernels())
def test_max_norm_shrinks_long_units_and_leaves_short_ones(w: NDArray[np.float32]) -> None:
    before, after = sums(w)[1] ** 0.5, sums(bound("max_norm", w))[1] ** 0.5
    assert np.allclose(after, np.minimum(before, 0.7), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", BOUND)
@settings(max_examples=20)
@given(w=kernels())
def test_a_second_application_changes_nothing(name: config.Constraint, w: NDArray[np.float32]) -> None:
    once = bound(name, w)
    assert np.allclose(bound(name, once), once, rtol=1e-4, atol=1e-5 * max(1, np.abs(once).max()))


@pytest.mark.parametrize("constraint", [CentralizeUnit(), StandardizeUnit(2.0), SeluDomain()])
def test_a_unit_of_a_single_weight_is_left_as_it_is(constraint: Any) -> None:
    w = np.array([[[[0.3, -2.0, 0.0]]]], np.float32)
    assert np.array_equal(constraint(w), w)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0])
@pytest.mark.parametrize("name", BOUND)
def test_units_without_variance_give_finite_weights(name: config.Constraint, value: float) -> None:
    assert np.all(np.isfinite(bound(name, np.full((3, 3, 2, 4), value, np.float32))))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["centralize_layer", "centralize_unit", "standardize_unit", "selu_domain"])
def test_half_precision_kernels_are_computed_in_single_precision(name: config.Constraint, dtype: str) -> None:
    w = np.random.default_rng(0).normal(0.01, 0.05, (3, 3, 64, 8)).astype(np.float32)
    half = ops.cast(w, dtype)
    new = made(name, Limits(4, 1.0, 1.0))(half)
    assert keras.backend.standardize_dtype(new.dtype) == dtype
    exact = bound(name, ops.convert_to_numpy(ops.cast(half, "float32")), tau=1.0)
    assert np.array_equal(ops.cast(new, "float32"), ops.cast(ops.cast(exact, dtype), "float32"))


@pytest.mark.parametrize("name", BOUND)
def test_a_constraint_survives_serialisation(name: config.Constraint) -> None:
    constraint = made(name, Limits(4, 1.25, 0.5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(constraint))
    w = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    assert again.get_config() == constraint.get_config()
    assert np.array_equal(again(w), constraint(w))
