"""Constraints on kernels, applied after initialisation and after each step.

A kernel has the shape (fan-in axes..., units): all axes but the last belong to one unit. For one unit with weights w of
number n: omega = sum(w), tau = sum(w^2) (Klambauer et al. 2017, arXiv:1706.02515). Kernels in half precision are
computed in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
from keras import ops

from sweeps.config import Constraint

# The domain of (omega, tau) in Theorem 1 of Klambauer et al. 2017, in which SELU has a stable attracting fixed point.
SELU_OMEGA = 0.1
SELU_TAU = (0.95, 1.1)
# A unit put onto the boundary must count as inside the next time, in spite of float32 sums over 10 000 weights.
SLACK = 1e-5
# Below this sum of squares a unit's centred weights are rounding, and have no direction that could be scaled up.
NO_VARIANCE = 1e-12


def _float(w: Any) -> Any:
    """The kernel as a tensor of at least single precision."""
    w = ops.convert_to_tensor(w)
    return ops.cast(w, "float32") if w.dtype in ("float16", "bfloat16") else w


def _fan_in(w: Any) -> tuple[tuple[int, ...], int]:
    """The axes of one unit's weights, and the number of these weights."""
    return tuple(range(len(w.shape) - 1)), prod(w.shape[:-1])


def _centred(values: Any, axes: tuple[int, ...]) -> Any:
    """Each unit's weights without their mean; twice, since scaling up would enlarge the first's rounding."""
    once = values - ops.mean(values, axis=axes, keepdims=True)
    return once - ops.mean(once, axis=axes, keepdims=True)


@keras.saving.register_keras_serializable("sweeps")
class CentralizeLayer(keras.constraints.Constraint):
    """W - mean of all entries of W: the mean of omega over the units is 0, each single omega is free."""

    def __call__(self, w: Any) -> Any:
        values = _float(w)
        return ops.cast(values - ops.mean(values), w.dtype)


@keras.saving.register_keras_serializable("sweeps")
class CentralizeUnit(keras.constraints.Constraint):
    """W - mean of each unit's incoming weights: omega = 0. A unit of a single weight is left as it is."""

    def __call__(self, w: Any) -> Any:
        values = _float(w)
        axes, n = _fan_in(values)
        if n == 1:
            return ops.cast(values, w.dtype)
        return ops.cast(values - ops.mean(values, axis=axes, keepdims=True), w.dtype)


@keras.saving.register_keras_serializable("sweeps")
class StandardizeUnit(keras.constraints.Constraint):
    """V = W - mean per unit, then V * sqrt(tau / sum(V^2)): omega = 0 and sum of squares = tau, in one pass.

    Scaling keeps the zero mean, hence one pass is exact. A unit without variance becomes 0; a unit of a single weight
    is left as it is. Klambauer et al. 2017, section 3, take omega = 0 and tau = 1 for granted.

    Args:
        tau: the sum of squares that every unit gets.
    """

    def __init__(self, tau: Any = 1.0) -> None:
        self.tau = tau

    def __call__(self, w: Any) -> Any:
        values = _float(w)
        axes, n = _fan_in(values)
        if n == 1:
            return ops.cast(values, w.dtype)
        centred = _centred(values, axes)
        squares = ops.sum(ops.square(centred), axis=axes, keepdims=True)
        scale = ops.sqrt(ops.cast(self.tau, values.dtype) / ops.maximum(squares, NO_VARIANCE))
        return ops.cast(ops.where(squares < NO_VARIANCE, 0.0, centred * scale), w.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"tau": self.tau}


@keras.saving.register_keras_serializable("sweeps")
class SeluDomain(keras.constraints.Constraint):
    """The nearest point of the domain |omega| <= 0.1, 0.95 <= tau <= 1.1 (Klambauer et al. 2017, Theorem 1).

    With a = omega / sqrt(n) and b the norm of the centred weights, tau = a^2 + b^2, so that the domain is a ring in the
    plane (a, b), cut by the strip |a| <= A = 0.1 / sqrt(n), and distances in the plane are distances of weights. The
    nearest point is the first of these that lies in the domain: the unit itself (bitwise untouched), a clipped to the
    strip, (a, b) scaled to the ring, else the corner of the strip and the ring's nearer circle. A unit without
    variance has no b to move; a unit of a single weight cannot be in the domain and is left as it is.
    """

    def __call__(self, w: Any) -> Any:
        values = _float(w)
        axes, n = _fan_in(values)
        if n == 1:
            return ops.cast(values, w.dtype)
        centred = _centred(values, axes)
        a = ops.mean(values, axis=axes, keepdims=True) * n**0.5
        b = ops.sqrt(ops.sum(ops.square(centred), axis=axes, keepdims=True))
        inside, new_a, new_b = _nearest_in_domain(a, b, SELU_OMEGA / n**0.5)
        scale = ops.where(b > NO_VARIANCE**0.5, new_b / ops.maximum(b, NO_VARIANCE**0.5), 1.0)
        return ops.cast(ops.where(inside, values, centred * scale + new_a / n**0.5), w.dtype)


def _nearest_in_domain(a: Any, b: Any, limit: float) -> tuple[Any, Any, Any]:
    """Whether (a, b) is in the ring cut by |a| <= limit, and the nearest point that is; shapes as `a`."""
    low, high = SELU_TAU
    clipped = ops.clip(a, -limit, limit)
    in_strip = ops.abs(a) <= limit * (1 + SLACK)
    square, clipped_square = ops.square(a) + ops.square(b), ops.square(clipped) + ops.square(b)
    inside = ops.logical_and(in_strip, _in_ring(square))

    scale = ops.sqrt(ops.clip(square, low, high) / ops.maximum(square, NO_VARIANCE))
    scaled_in_strip = ops.abs(a * scale) <= limit * (1 + SLACK)
    corner_a = ops.where(a < 0, -limit, limit)
    corner_b = ops.sqrt(ops.clip(clipped_square, low, high) - limit**2)

    clip_is_enough = _in_ring(clipped_square)
    new_a = ops.where(clip_is_enough, clipped, ops.where(scaled_in_strip, a * scale, corner_a))
    new_b = ops.where(clip_is_enough, b, ops.where(scaled_in_strip, b * scale, corner_b))
    return inside, new_a, new_b


def _in_ring(square: Any) -> Any:
    return ops.logical_and(square >= SELU_TAU[0] - SLACK, square <= SELU_TAU[1] + SLACK)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a constraint may need to know: the kernel's number of axes, the trial's numbers (floats or variables)."""

    rank: int
    tau: Any
    max_norm: Any

    @property
    def axes(self) -> list[int]:
        """Axes of one unit's weights; Keras's default of axis 0 is wrong for the kernel of a convolution."""
        return list(range(self.rank - 1))


CONSTRAINTS: dict[Constraint, Callable[[Limits], keras.constraints.Constraint | None]] = {
    "none": lambda _: None,
    "centralize_layer": lambda _: CentralizeLayer(),
    "centralize_unit": lambda _: CentralizeUnit(),
    "standardize_unit": lambda limits: StandardizeUnit(limits.tau),
    "selu_domain": lambda _: SeluDomain(),
    "unit_norm": lambda limits: keras.constraints.UnitNorm(limits.axes),
    "max_norm": lambda limits: keras.constraints.MaxNorm(limits.max_norm, limits.axes),
}
