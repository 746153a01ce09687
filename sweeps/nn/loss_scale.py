"""Loss scaling: in float16 small gradients vanish, so the loss is scaled up before, and the gradients down after."""

from collections.abc import Callable, Sequence

import tensorflow as tf

# As Keras's LossScaleOptimizer: a first scale near float16's largest number, doubled after so many good steps.
INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000


class LossScale:
    """A scale that grows while gradients are finite, and halves with the step skipped when they are not.

    Args:
        dynamic: whether to scale at all; without, every method passes its argument on.
    """

    def __init__(self, dynamic: bool) -> None:
        self._dynamic = dynamic
        self._scale = tf.Variable(INITIAL_SCALE, trainable=False)
        self._good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def reset(self) -> None:
        """Forget the trial before."""
        self._scale.assign(INITIAL_SCALE)
        self._good_steps.assign(0)

    @property
    def state(self) -> tuple[tf.Variable, tf.Variable]:
        """Return all that a step changes."""
        return self._scale, self._good_steps

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss to differentiate."""
        if self._dynamic:
            return loss * self._scale
        return loss

    def unscale_gradients(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the gradients of the loss itself."""
        if self._dynamic:
            return [g / self._scale for g in gradients]
        return list(gradients)

    def step(self, gradients: Sequence[tf.Tensor], update: Callable[[], None]) -> None:
        """Run `update`, unless the scale was too large for these (unscaled) gradients."""
        if not self._dynamic:
            update()
            return
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        tf.cond(finite, lambda: self._after_finite(update), self._after_overflow)

    def _after_finite(self, update: Callable[[], None]) -> None:
        update()
        grow = tf.equal(self._good_steps, GROWTH_STEPS - 1)
        self._good_steps.assign(tf.where(grow, tf.zeros_like(self._good_steps), self._good_steps + 1))
        self._scale.assign(tf.where(grow, self._scale * 2.0, self._scale))

    def _after_overflow(self) -> None:
        self._good_steps.assign(0)
        self._scale.assign(self._scale * 0.5)
