"""Optimisers: update rules equal to Keras's own, which share two slots per variable; the trial's choice picks one.

TensorFlow's fused operations are used where their formula is that of Keras: they trace several times faster.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from sweeps.config import Config, Optimizer
from sweeps.nn.choices import TrialChoices

BETA_1 = 0.9  # Keras's defaults for Adam and Nadam
BETA_2 = 0.999
RHO = {"adadelta": 0.95, "rmsprop": 0.9}  # Keras's defaults
NADAM_DECAY = 0.96  # of the momentum schedule, fixed in Keras


class SwitchedOptimizer:
    """The rule that the trial's `optimizer` names, with its learning rate, epsilon, momentum and weight decay.

    Args:
        variables: TensorFlow variables (float32) in the order of the gradients that `apply` will get.
    """

    def __init__(self, variables: Sequence[tf.Variable], choices: TrialChoices) -> None:
        self.variables = tuple(variables)
        self.choices = choices
        self.first = tuple(tf.Variable(tf.zeros_like(v), trainable=False) for v in variables)
        self.second = tuple(tf.Variable(tf.zeros_like(v), trainable=False) for v in variables)
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.u_product = tf.Variable(1.0, trainable=False)

    def reset(self) -> None:
        """Forget the trial before."""
        for slot in (*self.first, *self.second, self.iterations):
            slot.assign(tf.zeros_like(slot))
        self.u_product.assign(1.0)

    @property
    def state(self) -> tuple[tf.Variable, ...]:
        """Return all that an update changes beside the weights."""
        return (*self.first, *self.second, self.iterations, self.u_product)

    def apply_gradients(self, gradients: Sequence[tf.Tensor]) -> None:
        """Decay the weights, then update them, as Keras 3 does in this order."""
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.cond(self.choices["weight_decay"] > 0, self._decay_weights, lambda: None)
        self.choices.run_branch(
            "optimizer", {name: partial(rule.update, self, gradients, step) for name, rule in OPTIMIZERS.items()}
        )
        self.iterations.assign_add(1)

    def _decay_weights(self) -> None:
        for variable in self.variables:
            variable.assign_sub(variable * self.choices["weight_decay"] * self.choices["learning_rate"])


def _update_adam(optimizer: SwitchedOptimizer, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
    """Apply Adam: m += (g - m)(1 - b1); v += (g^2 - v)(1 - b2); w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) +
    epsilon).
    """
    for variable, m, v, gradient in zip(optimizer.variables, optimizer.first, optimizer.second, gradients, strict=True):
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.pow(BETA_1, step),
            beta2_power=tf.pow(BETA_2, step),
            lr=optimizer.choices["learning_rate"],
            beta1=BETA_1,
            beta2=BETA_2,
            epsilon=optimizer.choices["epsilon"],
            grad=gradient,
        )


def _update_nadam(optimizer: SwitchedOptimizer, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
    """Adam with Nesterov's momentum and the momentum schedule u_t = b1 (1 - 0.96^t / 2), as Keras has it."""
    u_now = BETA_1 * (1 - 0.5 * tf.pow(NADAM_DECAY, step))
    u_next = BETA_1 * (1 - 0.5 * tf.pow(NADAM_DECAY, step + 1))
    product = optimizer.u_product.assign(optimizer.u_product * u_now)
    for variable, m, v, gradient in zip(optimizer.variables, optimizer.first, optimizer.second, gradients, strict=True):
        new_m = m.assign_add((gradient - m) * (1 - BETA_1))
        new_v = v.assign_add((tf.square(gradient) - v) * (1 - BETA_2))
        m_hat = u_next * new_m / (1 - product * u_next) + (1 - u_now) * gradient / (1 - product)
        v_hat = new_v / (1 - tf.pow(BETA_2, step))
        epsilon = optimizer.choices["epsilon"]
        variable.assign_sub(m_hat * optimizer.choices["learning_rate"] / (tf.sqrt(v_hat) + epsilon))


def _update_adadelta(optimizer: SwitchedOptimizer, gradients: Sequence[tf.Tensor], _step: tf.Tensor) -> None:
    """Apply Adadelta: a = rho a + (1 - rho) g^2; d = g sqrt(u + epsilon) / sqrt(a + epsilon); u = rho u + (1 - rho)
    d^2; w -= lr d.
    """
    for variable, squares, updates, gradient in zip(
        optimizer.variables, optimizer.first, optimizer.second, gradients, strict=True
    ):
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=squares.handle,
            accum_update=updates.handle,
            lr=optimizer.choices["learning_rate"],
            rho=RHO["adadelta"],
            epsilon=optimizer.choices["epsilon"],
            grad=gradient,
        )


def _update_sgd(optimizer: SwitchedOptimizer, gradients: Sequence[tf.Tensor], _step: tf.Tensor) -> None:
    """Apply SGD with momentum: m = momentum m - lr g; w += m."""
    for variable, m, gradient in zip(optimizer.variables, optimizer.first, gradients, strict=True):
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=m.handle,
            lr=optimizer.choices["learning_rate"],
            grad=gradient,
            momentum=optimizer.choices["momentum"],
        )


def _update_rmsprop(optimizer: SwitchedOptimizer, gradients: Sequence[tf.Tensor], _step: tf.Tensor) -> None:
    """Apply RMSprop: v = rho v + (1 - rho) g^2; w -= lr g / sqrt(v + epsilon)."""
    for variable, squares, momentum, gradient in zip(
        optimizer.variables, optimizer.first, optimizer.second, gradients, strict=True
    ):
        tf.raw_ops.ResourceApplyRMSProp(
            var=variable.handle,
            ms=squares.handle,
            mom=momentum.handle,
            lr=optimizer.choices["learning_rate"],
            rho=RHO["rmsprop"],
            momentum=0.0,
            epsilon=optimizer.choices["epsilon"],
            grad=gradient,
        )


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """One optimiser: the update inside the traced step, and Keras's class with the fields of Config that it takes."""

    update: Callable[[SwitchedOptimizer, Sequence[tf.Tensor], tf.Tensor], None]
    plain: Callable[..., keras.optimizers.Optimizer]
    fields: tuple[str, ...] = ("epsilon",)


def build_optimizer(config: Config) -> keras.optimizers.Optimizer:
    """Return the trial's optimiser as Keras has it; wrapped for loss scaling in mixed_float16, as `compile` would
    do.
    """
    rule = OPTIMIZERS[config.optimizer]
    chosen: dict[str, Any] = {name: getattr(config, name) for name in rule.fields}
    if config.weight_decay:
        chosen["weight_decay"] = config.weight_decay
    optimizer = rule.plain(learning_rate=config.learning_rate, **chosen)
    if config.dtype == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


OPTIMIZERS: dict[Optimizer, UpdateRule] = {
    "adam": UpdateRule(_update_adam, keras.optimizers.Adam),
    "nadam": UpdateRule(_update_nadam, keras.optimizers.Nadam),
    "adadelta": UpdateRule(_update_adadelta, keras.optimizers.Adadelta),
    "sgd": UpdateRule(_update_sgd, keras.optimizers.SGD, fields=("momentum",)),
    "rmsprop": UpdateRule(_update_rmsprop, keras.optimizers.RMSprop),
}
