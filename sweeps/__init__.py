"""Hyperparameter sweeps for deep image classifiers that refuse to learn."""

__version__ = "0.1.0"
