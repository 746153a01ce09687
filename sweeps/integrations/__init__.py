"""The judge for people with an Optuna script of their own: a pruner here, and a callback that looks at a Keras model.

The callback opens TensorFlow, and so is not imported here: `from sweeps.integrations.keras import DeadRunCallback`.
"""

from sweeps.integrations.optuna import DeadRunPruner

__all__ = ["DeadRunPruner"]
